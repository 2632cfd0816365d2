//! Every metric that a document, the dashboard or an alert names is one of the running program. The alerts
//! themselves are judged by `promtool`, which comes with Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use watchword_stand_ins::Mode;

use crate::receipts::Stage;
use crate::server::another;

const PREFIX: &str = "watchword_";

/// What begins as metrics do and is none: a role of PostgreSQL.
const OTHERS: [&str; 1] = ["watchword_server"];

/// What Prometheus adds to series and alerts, and what histograms have.
const FOREIGN: [&str; 4] = ["job", "instance", "alertname", "le"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

/// The page of a server in which something of each kind has happened.
async fn page() -> String {
    let stage = Stage::set("whatsapp = [\"meta\", \"gupshup\"]\nsms = [\"twilio_sms\"]").await;
    stage.meta.set_mode(Mode::Refuse {
        code: Some(190),
        status: None,
    });
    let (server, caller) = stage.serve();
    let body = json!({"to": "+12015550123", "channel": "whatsapp"});
    let started = caller.post("/v1/verifications", body).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let code = stage.gupshup.messages()[0].code.clone().unwrap();
    let id = started.id();
    let resend = format!("/v1/verifications/{id}/resend");
    assert_eq!(caller.check(&id, &another(&code)).await.status, 422);
    assert_eq!(caller.post(&resend, json!({})).await.status, 200);
    let code = stage.gupshup.messages().last().unwrap().code.clone();
    assert_eq!(caller.check(&id, &code.unwrap()).await.status, 200);
    let mut socket = TcpStream::connect(server.api.trim_start_matches("http://")).unwrap();
    socket.write_all(b"no request\r\n\r\n").unwrap();
    std::io::copy(&mut socket, &mut std::io::sink()).unwrap();
    caller.get(&format!("{}/metrics", server.admin)).await.text
}

/// The families of a page with the labels that their samples have.
struct Families(BTreeMap<String, BTreeSet<String>>);

impl Families {
    /// By the names that an expression uses: those of the samples.
    fn read(page: &str) -> Self {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split([' ', '{']).next().unwrap();
            let labels = line
                .split_once('{')
                .and_then(|(_, rest)| rest.rsplit_once('}'));
            let labels = labels
                .map(|(labels, _)| label_names(labels))
                .unwrap_or_default();
            found.entry(name.to_owned()).or_default().extend(labels);
        }
        Self(found)
    }

    fn labels(&self) -> BTreeSet<&str> {
        let own = self.0.values().flatten().map(String::as_str);
        own.chain(FOREIGN).collect()
    }
}

/// The names in `a="b",c=~"d"`.
fn label_names(text: &str) -> Vec<String> {
    let outside = text.split('"').step_by(2);
    let names = outside.map(|part| part.trim_matches([',', ' ', '=', '~', '!']).trim());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The metrics that a text names, each with the labels in braces behind it.
fn named(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(PREFIX) {
        let name = &text[at..];
        let end = name.find(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'));
        let (name, rest) = name.split_at(end.unwrap_or(name.len()));
        let before = text[..at].chars().next_back();
        // Modules in log lines; and what only begins so.
        if rest.starts_with("::")
            || OTHERS.contains(&name)
            || name == PREFIX
            || before.is_some_and(|sign| sign == '_')
        {
            continue;
        }
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let labels = labels
            .map(|(labels, _)| label_names(labels))
            .unwrap_or_default();
        found.push((name.to_owned(), labels));
    }
    found
}

/// The labels that a text groups by.
fn grouped(text: &str) -> Vec<String> {
    let groups = text
        .split("by (")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    let labels = groups.flat_map(|(labels, _)| labels.split(','));
    labels.map(|label| label.trim().to_owned()).collect()
}

/// What of a text is not in the families.
fn unknown(text: &str, families: &Families) -> Vec<String> {
    let mut found = Vec::new();
    for (name, labels) in named(text) {
        let Some(known) = families.0.get(&name) else {
            found.push(name);
            continue;
        };
        let foreign = |label: &String| !known.contains(label) && !FOREIGN.contains(&label.as_str());
        found.extend(
            labels
                .into_iter()
                .filter(foreign)
                .map(|label| format!("{name}{{{label}}}")),
        );
    }
    let all = families.labels();
    found.extend(
        grouped(text)
            .into_iter()
            .filter(|label| !all.contains(label.as_str())),
    );
    found
}

/// Every expression of a dashboard.
fn expressions(part: &Value, found: &mut Vec<String>) {
    match part {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "expr" => found.push(text.to_owned()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// Runs promtool; nothing where there is none, and a missing one is a failure where nothing may be missing.
fn promtool(args: &[&str], folder: &Path, input: &str) -> Option<Result<(), String>> {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(folder).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        let all = std::env::var_os("WATCHWORD_TEST_ALL_STORES").is_some_and(|all| all == "1");
        assert!(!all, "promtool is missing: install Debian's prometheus");
        eprintln!("SKIPPED: promtool is missing");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    Some(output.status.success().then_some(()).ok_or(said))
}

/// The page in the older format, which is what promtool reads: there, the family of a counter has the name of its
/// sample, and there is no type for what never changes.
fn older(page: &str) -> String {
    let mut older = String::new();
    let mut counters = BTreeSet::new();
    for line in page.lines() {
        if let Some(name) = line
            .strip_prefix("# TYPE ")
            .and_then(|line| line.strip_suffix(" counter"))
        {
            counters.insert(name);
        }
    }
    for line in page.lines().filter(|line| *line != "# EOF") {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", what, name, rest] if counters.contains(name) => {
                let _ = writeln!(older, "# {what} {name}_total {rest}");
            }
            ["#", what, name, rest] if page.contains(&format!("# TYPE {name} info")) => {
                let rest = if what == "TYPE" { "gauge" } else { rest };
                let _ = writeln!(older, "# {what} {name}_info {rest}");
            }
            _ => older.extend([line, "\n"]),
        }
    }
    older
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_has_samples_and_is_what_documents_dashboard_and_alerts_say() {
    let page = page().await;
    let families = Families::read(&page);
    let of = |name: &str, suffix: &str| families.0.contains_key(&format!("{name}{suffix}"));
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        let sampled = ["", "_total", "_info", "_count"]
            .iter()
            .any(|suffix| of(name, suffix));
        assert!(sampled, "{name} has no sample: make what it counts happen");
    }

    let mut places = vec!["deploy/prometheus/alerts.yaml".to_owned()];
    places.push("deploy/prometheus/alerts.test.yaml".to_owned());
    for folder in ["docs", "docs/runbooks"] {
        let entries = std::fs::read_dir(repository(folder)).unwrap();
        let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages = files.filter(|name| name.ends_with(".md"));
        places.extend(pages.map(|name| format!("{folder}/{name}")));
    }
    for place in places {
        let unknown = unknown(&text(&place), &families);
        assert!(
            unknown.is_empty(),
            "{place}: no such metric or label: {unknown:?}"
        );
    }

    // The table of metrics names each of them, and no other.
    let operating = text("docs/operating.md");
    let table = operating.split("\n## Metrics\n").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let mut written = BTreeMap::new();
    for row in table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
    {
        let cells: Vec<_> = row.split('|').collect();
        let words = |cell: &str| -> Vec<String> {
            let words = cell.split('`').skip(1).step_by(2);
            words.map(str::to_owned).collect()
        };
        for name in words(cells[1]) {
            // What every program has bears no prefix.
            let prefix = if name.starts_with("process_") {
                ""
            } else {
                PREFIX
            };
            written.insert(
                format!("{prefix}{name}"),
                BTreeSet::from_iter(words(cells[2])),
            );
        }
    }
    let mut there = BTreeMap::new();
    for (name, labels) in &families.0 {
        let whole = name
            .strip_suffix("_count")
            .or_else(|| name.strip_suffix("_sum"));
        let whole = whole
            .or_else(|| name.strip_suffix("_bucket"))
            .unwrap_or(name);
        let labels = labels.iter().filter(|label| *label != "le").cloned();
        there
            .entry(whole.to_owned())
            .or_insert_with(BTreeSet::new)
            .extend(labels);
    }
    assert_eq!(
        written, there,
        "left: docs/operating.md; right: the program"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_takes_metrics_and_alerts_and_every_expression_of_the_dashboard() {
    let page = page().await;
    let families = Families::read(&page);
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/watchword.json")).unwrap();
    let mut all = Vec::new();
    expressions(&dashboard, &mut all);
    assert!(all.len() > 20, "{all:?}");
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (place, expression) in all.iter().enumerate() {
        let unknown = unknown(expression, &families);
        assert!(
            unknown.is_empty(),
            "{expression}: no such metric or label: {unknown:?}"
        );
        let plain = expression
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h");
        let plain = serde_json::to_string(&plain).unwrap();
        let _ = writeln!(rules, "  - record: dashboard:{place}\n    expr: {plain}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dashboard.yaml"), rules).unwrap();
    let deployed = repository("deploy/prometheus");
    let metrics = older(&page);
    for (args, folder, input) in [
        (&["check", "metrics"][..], folder.path(), metrics.as_str()),
        (
            &["check", "rules", "--lint-fatal", "dashboard.yaml"],
            folder.path(),
            "",
        ),
        (
            &["check", "rules", "--lint-fatal", "alerts.yaml"],
            &deployed,
            "",
        ),
        (&["test", "rules", "alerts.test.yaml"], &deployed, ""),
    ] {
        match promtool(args, folder, input) {
            Some(judged) => assert_eq!(judged, Ok(()), "{args:?}"),
            None => return,
        }
    }
}

#[test]
fn each_alert_is_tried() {
    let (alerts, tests) = (
        text("deploy/prometheus/alerts.yaml"),
        text("deploy/prometheus/alerts.test.yaml"),
    );
    let names: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(names.len() > 10);
    for name in names {
        assert!(
            tests.contains(&format!("alertname=\"{name}\"")),
            "{name} fires in no test"
        );
    }
}
