//! Runs the program, and what stands around it.

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Says how long a server that is told to stop goes on serving.
pub(crate) const SHUTDOWN_DELAY: &str = "WATCHWORD__HTTP__SHUTDOWN_DELAY";

/// A command of the program, in `folder`, with an environment of its own.
pub(crate) fn program(folder: &Path) -> Command {
    // For figures of another build.
    let built = std::env::var_os("WATCHWORD_TEST_PROGRAM");
    let built = built.unwrap_or_else(|| env!("CARGO_BIN_EXE_watchword").into());
    let mut command = Command::new(built);
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// What a command that ends by itself said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command that ends by itself.
pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program with these arguments.
pub(crate) fn call(folder: &Path, args: &[&str]) -> Said {
    run(program(folder).args(args))
}

/// A fresh secret key.
pub(crate) fn keygen(folder: &Path) -> String {
    let said = call(folder, &["keygen"]);
    assert_eq!(said.code, 0, "{}", said.err);
    said.out.trim().to_owned()
}

/// Dev mode on free ports, with its data below the folder that it runs in.
pub(crate) const DEV: [&str; 9] = [
    "dev",
    "--bind",
    "127.0.0.1:0",
    "--whatsapp-bind",
    "127.0.0.1:0",
    "--admin-bind",
    "127.0.0.1:0",
    "--data",
    "data",
];

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) api: String,
    /// The second listener, if there is one.
    pub(crate) second: String,
    pub(crate) admin: String,
    /// Where its log goes.
    pub(crate) log: PathBuf,
}

impl Server {
    /// Starts `watchword dev` on free ports with `folder` as its data.
    pub(crate) fn dev(folder: &Path, more: &[&str]) -> Self {
        Self::dev_with(folder, more, &[])
    }

    /// The same in an environment.
    pub(crate) fn dev_with(folder: &Path, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program(folder);
        command.envs(variables.iter().copied());
        command.args(DEV).args(more);
        Self::start(command, folder)
    }

    /// Starts `watchword serve` with the configuration in `folder`.
    pub(crate) fn serve(folder: &Path) -> Self {
        let mut command = program(folder);
        command.args(["serve", "--config", "watchword.toml"]);
        Self::start(command, folder)
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn start(command: Command, folder: &Path) -> Self {
        Self::start_logging(command, &folder.join("server.log"))
    }

    /// The same with a log of its own.
    pub(crate) fn start_logging(mut command: Command, log: &Path) -> Self {
        let log = log.to_owned();
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        // No balancer has to notice that it stops, unless a test says so.
        if command.get_envs().all(|(name, _)| name != SHUTDOWN_DELAY) {
            command.env(SHUTDOWN_DELAY, "0s");
        }
        let mut child = command
            .arg("--print-addresses")
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Ok(addresses) = serde_json::from_str::<Value>(&line) else {
            let _ = child.wait();
            panic!(
                "it did not start: {}",
                std::fs::read_to_string(&log).unwrap()
            );
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            child,
            api: text(&addresses["api"][0]),
            second: text(&addresses["api"][1]),
            admin: text(&addresses["admin"]),
            log,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Kills it as the system does when memory runs out.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Stops it well.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Talks to a server.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    api: String,
    key: Option<String>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The id of the verification in it.
    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

impl Caller {
    pub(crate) fn new(server: &Server, key: Option<&str>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30));
        Self {
            http: http.build().unwrap(),
            api: server.api.clone(),
            key: key.map(str::to_owned),
        }
    }

    /// The same caller at another server.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self {
            api: server.api.clone(),
            ..self.clone()
        }
    }

    /// The same caller with a connection for each request.
    pub(crate) fn without_reuse(&self) -> Self {
        let http = reqwest::Client::builder().no_proxy();
        let http = http.pool_max_idle_per_host(0);
        let http = http.timeout(Duration::from_secs(30));
        Self {
            http: http.build().unwrap(),
            ..self.clone()
        }
    }

    /// One request; an error when the server went away meanwhile.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.api)
        };
        let mut request = self.http.request(method.parse().unwrap(), url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = format!("{:?}", response.headers());
        let text = response.text().await?;
        Ok(Answer {
            status,
            headers,
            text,
        })
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_send("POST", path, Some(&body), &[]).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_send("GET", path, None, &[]).await.unwrap()
    }

    pub(crate) async fn start(&self, to: &str) -> Answer {
        self.post("/v1/verifications", json!({ "to": to })).await
    }

    pub(crate) async fn check(&self, id: &str, code: &str) -> Answer {
        self.post(
            &format!("/v1/verifications/{id}/check"),
            json!({ "code": code }),
        )
        .await
    }

    /// The newest code in the inbox for a recipient.
    pub(crate) async fn code(&self, to: &str) -> String {
        let to = to.replace('+', "%2B");
        let messages = self.get(&format!("/dev/messages?to={to}")).await.json();
        messages[0]["code"].as_str().unwrap().to_owned()
    }
}

/// A code that is not the given one.
pub(crate) fn another(code: &str) -> String {
    let first = if code.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &code[1..])
}

/// A folder for one test.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a configuration for `serve`: one listener and an admin listener on free ports, a fresh
/// key, SQLite, and `more`. Gives the secret key.
pub(crate) fn configure(folder: &Path, more: &str) -> String {
    let key = keygen(folder);
    let text = format!(
        "secret_key = \"{key}\"\n{more}\n[[listeners]]\nbind = \"127.0.0.1:0\"\n\
         [admin]\nbind = \"127.0.0.1:0\"\n"
    );
    std::fs::write(folder.join("watchword.toml"), text).unwrap();
    key
}

/// Makes an API key for the configuration in `folder`.
pub(crate) fn make_key(folder: &Path, more: &[&str]) -> String {
    let mut args = vec!["apikey", "create", "test", "--config", "watchword.toml"];
    args.extend(more);
    let said = call(folder, &args);
    assert_eq!(said.code, 0, "{}", said.err);
    said.out.trim().to_owned()
}

/// Everything in the files of a folder, by name.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
            continue;
        }
        let mut bytes = Vec::new();
        // A journal may vanish between listing and reading.
        if let Ok(mut file) = std::fs::File::open(&path)
            && file.read_to_end(&mut bytes).is_ok()
        {
            found.push((path, bytes));
        }
    }
    found
}
