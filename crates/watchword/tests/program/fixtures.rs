//! The documented requests and responses of each surface, over the built program.
//!
//! A fixture is a file `*.http` beside its surface. It is played on a fresh `watchword dev`:
//!
//! - `# …` is a remark. `@listener 2` plays it at the second listener, `@flag --x` and `@env NAME=value`
//!   go to the program, `@config …` is a line of its configuration file.
//! - `### title` begins a step: a request line, headers, an empty line, a body as it is sent; then
//!   `--> status`, headers that the answer must have, an empty line if there are any, and the JSON that it
//!   must be. Without JSON the body does not matter.
//! - In a request `{{code TO}}` is the newest code in the inbox for a recipient, `{{wrong TO}}` another
//!   one, `{{name}}` what an answer gave under `{{name = }}`. In an answer, `{{code TO}}` as well;
//!   `"{{text}}"`, `"{{number}}"`, `"{{uuid}}"` stand for any such value, and `"{{name = }}"` keeps it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::server::{Caller, Server, another, folder};

#[derive(Default)]
struct Fixture {
    second: bool,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    config: String,
    steps: Vec<Step>,
}

#[derive(Default)]
struct Step {
    title: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    status: u16,
    wanted: Vec<(String, String)>,
    answer: String,
}

impl Fixture {
    fn read(text: &str) -> Self {
        let mut fixture = Self::default();
        let mut parts = text.split("\n### ");
        for line in parts.next().unwrap_or_default().lines() {
            let Some((name, rest)) = line.strip_prefix('@').and_then(|line| line.split_once(' '))
            else {
                assert!(
                    line.is_empty() || line.starts_with('#'),
                    "what is {line:?}?"
                );
                continue;
            };
            match name {
                "listener" => fixture.second = rest.trim() == "2",
                "flag" => fixture
                    .args
                    .extend(rest.split_whitespace().map(str::to_owned)),
                "env" => fixture.variables.extend(pair(rest, '=')),
                "config" => fixture.config += &format!("{rest}\n"),
                _ => panic!("what is @{name}?"),
            }
        }
        fixture.steps = parts.map(Step::read).collect();
        assert!(!fixture.steps.is_empty());
        fixture
    }
}

fn pair(text: &str, at: char) -> Option<(String, String)> {
    let (name, value) = text.split_once(at)?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

impl Step {
    fn read(text: &str) -> Self {
        let mut step = Self::default();
        let (request, answer) = text.split_once("\n--> ").expect("a step has an answer");
        let mut lines = request.lines();
        step.title = lines.next().unwrap_or_default().to_owned();
        let line = lines.next().unwrap();
        (step.method, step.path) = pair(line, ' ').unwrap();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            step.headers.extend(pair(line, ':'));
        }
        step.body = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
        let mut lines = answer.lines().peekable();
        step.status = lines.next().unwrap().trim().parse().unwrap();
        let has_headers =
            |line: &&str| pair(line, ':').is_some() && !line.starts_with(['{', '[', '"', ' ']);
        while let Some(line) = lines.next_if(has_headers) {
            step.wanted.extend(pair(line, ':'));
        }
        step.answer = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
        step
    }
}

/// What a fixture knows by now.
struct Known {
    inbox: Caller,
    kept: HashMap<String, String>,
}

impl Known {
    /// The text with what is between braces filled in; what an answer may be is left.
    async fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after.split_once("}}").unwrap();
            filled += before;
            filled += &match name.trim().split_once(' ') {
                Some(("code", to)) => self.inbox.code(to).await,
                Some(("wrong", to)) => another(&self.inbox.code(to).await),
                None if self.kept.contains_key(name.trim()) => self.kept[name.trim()].clone(),
                _ => format!("{{{{{name}}}}}"),
            };
            rest = behind;
        }
        filled + rest
    }

    /// Whether a value is as wanted; keeps what is to be kept.
    fn matches(&mut self, wanted: &Value, found: &Value) -> bool {
        match (wanted, found) {
            (Value::Object(wanted), Value::Object(found)) => {
                wanted.len() == found.len()
                    && wanted.iter().all(|(name, value)| {
                        found
                            .get(name)
                            .is_some_and(|found| self.matches(value, found))
                    })
            }
            (Value::Array(wanted), Value::Array(found)) => {
                wanted.len() == found.len()
                    && wanted
                        .iter()
                        .zip(found)
                        .all(|(wanted, found)| self.matches(wanted, found))
            }
            (Value::String(text), found) => {
                let Some(name) = text
                    .strip_prefix("{{")
                    .and_then(|text| text.strip_suffix("}}"))
                else {
                    return wanted == found;
                };
                if let Some(name) = name.trim().strip_suffix('=') {
                    let value = found
                        .as_str()
                        .map_or_else(|| found.to_string(), str::to_owned);
                    self.kept.insert(name.trim().to_owned(), value);
                    return true;
                }
                match name.trim() {
                    "text" => found.is_string(),
                    "number" => found.is_number(),
                    "uuid" => found.as_str().is_some_and(is_uuid),
                    name => panic!("what is {{{{{name}}}}}?"),
                }
            }
            (wanted, found) => wanted == found,
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12]
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Whether a header is there as wanted; `{{number}}` stands for any number.
fn has_header(found: &reqwest::header::HeaderMap, name: &str, wanted: &str) -> bool {
    let value = found.get(name).and_then(|value| value.to_str().ok());
    match wanted {
        "{{number}}" => value.is_some_and(|value| value.parse::<u64>().is_ok()),
        "{{text}}" => value.is_some(),
        wanted => value == Some(wanted),
    }
}

async fn play(file: &Path) {
    let fixture = Fixture::read(&std::fs::read_to_string(file).unwrap());
    let folder = folder();
    let mut args: Vec<&str> = fixture.args.iter().map(String::as_str).collect();
    if !fixture.config.is_empty() {
        std::fs::write(folder.path().join("fixture.toml"), &fixture.config).unwrap();
        args.extend(["--config", "fixture.toml"]);
    }
    let variables: Vec<_> = fixture
        .variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let server = Server::dev_with(folder.path(), &args, &variables);
    let inbox = Caller::new(&server, None);
    let api = if fixture.second {
        &server.second
    } else {
        &server.api
    };
    let mut known = Known {
        inbox,
        kept: HashMap::new(),
    };
    for step in &fixture.steps {
        let told = format!("{}: {}", file.display(), step.title);
        let url = format!("{api}{}", known.fill(&step.path).await);
        let method = step.method.parse().unwrap();
        let mut request = known.inbox.http.request(method, url);
        for (name, value) in &step.headers {
            request = request.header(name, known.fill(value).await);
        }
        if !step.body.is_empty() {
            request = request.body(known.fill(&step.body).await);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        assert_eq!(status, step.status, "{told}: {text}");
        for (name, wanted) in &step.wanted {
            assert!(
                has_header(&headers, name, wanted),
                "{told}: {name} in {headers:?}"
            );
        }
        if step.answer.is_empty() {
            continue;
        }
        let wanted = known.fill(&step.answer).await;
        let wanted: Value =
            serde_json::from_str(&wanted).unwrap_or_else(|error| panic!("{told}: {error}"));
        let found: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{told}: {error}: {text}"));
        assert!(
            known.matches(&wanted, &found),
            "{told}: wanted {wanted:#}, got {found:#}"
        );
    }
}

fn fixtures() -> Vec<PathBuf> {
    let surfaces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../http/src/surfaces");
    let mut files = Vec::new();
    for surface in std::fs::read_dir(surfaces).unwrap().flatten() {
        let Ok(found) = std::fs::read_dir(surface.path().join("fixtures")) else {
            continue;
        };
        files.extend(found.flatten().map(|file| file.path()));
    }
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "http")
    });
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_request_gets_its_documented_answer() {
    let files = fixtures();
    assert!(files.len() > 4, "{files:?}");
    // Each has a server of its own, and a debug build takes its time over a password.
    let room = Arc::new(Semaphore::new(4));
    let mut plays = tokio::task::JoinSet::new();
    for file in files {
        let room = Arc::clone(&room);
        plays.spawn(async move {
            let _place = room.acquire().await;
            play(&file).await;
        });
    }
    plays.join_all().await;
}
