//! The mail server of the tests: aiosmtpd in a process of its own, see `tests/peers/smtp.py`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};

/// The Python of the peers, if they are installed. Missing peers are a failure where everything
/// has to be tested, else a skip that says so.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let peers = std::env::var_os("WATCHWORD_TEST_PEERS")
        .map_or_else(|| root.join("target/test-peers"), PathBuf::from);
    let python = peers.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    let missing = format!(
        "no mail server at {}; run scripts/test-peers",
        peers.display()
    );
    let all = std::env::var("WATCHWORD_TEST_ALL_STORES").is_ok_and(|all| all == "1");
    assert!(!all, "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

/// A running mail server. It ends with this value.
pub(super) struct Peer {
    pub(super) port: u16,
    child: Child,
    events: Receiver<Value>,
    // The server ends when this closes.
    _stdin: ChildStdin,
}

/// A mail as the server took it.
pub(super) struct Taken {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) content: String,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    /// How many connections were made up to then.
    pub(super) connections: usize,
}

impl Peer {
    /// Starts one; `None` when the peers are not installed and need not be.
    pub(super) fn start(told: &Value) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/smtp.py");
        let mut child = Command::new(python()?)
            .arg(script)
            .arg(told.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, events) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if say.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take().unwrap();
        let first: Value = events.recv_timeout(Duration::from_secs(30)).unwrap();
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        Some(Self {
            port,
            child,
            events,
            _stdin: stdin,
        })
    }

    /// Ends the server and gives the mails it took and the number of connections made.
    pub(super) fn finish(mut self) -> (Vec<Taken>, usize) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (mut mails, mut connections) = (Vec::new(), 0);
        while let Ok(event) = self.events.recv() {
            if event["event"] == "connect" {
                connections += 1;
                continue;
            }
            let text = |key: &str| event[key].as_str().map(str::to_owned);
            mails.push(Taken {
                from: text("from").unwrap(),
                to: serde_json::from_value(event["to"].clone()).unwrap(),
                content: text("content").unwrap(),
                tls: event["tls"].as_bool().unwrap(),
                user: text("user"),
                connections,
            });
        }
        (mails, connections)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate in files, and what makes a server use it.
pub(super) struct Identity {
    _folder: tempfile::TempDir,
    pub(super) cert: PathBuf,
    key: PathBuf,
}

impl Identity {
    /// A fresh one for a name or address.
    pub(super) fn of(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let paths = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        std::fs::write(&paths.0, cert.pem()).unwrap();
        std::fs::write(&paths.1, signing_key.serialize_pem()).unwrap();
        Self {
            _folder: folder,
            cert: paths.0,
            key: paths.1,
        }
    }

    /// What a server with this certificate is told.
    pub(super) fn told(&self, mode: &str) -> Value {
        json!({ "tls": mode, "cert": self.cert, "key": self.key })
    }
}
