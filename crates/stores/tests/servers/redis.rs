//! Private Redis servers for tests: on free ports, in temporary folders, gone with the test.
//!
//! Every server is watched by a shell that reads from a pipe which only the test holds: however
//! the test ends, the pipe closes, and the shell ends the server.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "shared by tests, each of which uses a part of it"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[allow(
    clippy::duplicate_mod,
    reason = "each counts on, in a range of its own"
)]
#[path = "port.rs"]
mod port;
use port::free_port;

const PORTS: Range<u16> = 22_000..32_000;
/// How long a server may take to be there. Generous: test machines are busy.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Whether there is a `redis-server` to test with. Where there has to be one
/// (`WATCHWORD_TEST_ALL_STORES=1`), a missing one is a failure; else it is said.
pub(crate) fn is_there() -> bool {
    let version = Command::new("redis-server").arg("--version").output();
    let there = version.is_ok_and(|output| output.status.success());
    let needed = std::env::var("WATCHWORD_TEST_ALL_STORES").is_ok_and(|all| all == "1");
    assert!(
        there || !needed,
        "redis-server is missing (Debian: apt-get install redis-server)"
    );
    if !there {
        eprintln!("SKIPPED: redis-server is missing");
    }
    there
}

/// One `redis-server`.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    folder: TempDir,
    options: Vec<String>,
    process: Mutex<Option<Process>>,
}

struct Process {
    watcher: Child,
    pid: u32,
}

impl Process {
    fn start(folder: &Path, port: u16, options: &[String]) -> Self {
        // The file of a Sentinel comes first.
        let (file, options, keeps) = match options {
            [sentinel, file] if sentinel == RedisServer::SENTINEL => {
                (Some(file), &options[..1], &[][..])
            }
            options => (None, options, &["--save", "", "--appendonly", "no"][..]),
        };
        let mut watcher = Command::new("sh")
            .arg("-c")
            .arg(r#""$@" & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait"#)
            .args(["sh", "redis-server"])
            .args(file)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--dir", folder.to_str().unwrap()])
            .args(["--logfile", "redis.log"])
            .args(keeps)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(watcher.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap();
        Self { watcher, pid }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.pid.to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

impl RedisServer {
    /// Starts a server with these options, such as `--requirepass secret`.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(options, None).0
    }

    /// The same, with a second port of its own that is set by this option, such as `--tls-port`.
    pub(crate) fn start_with(options: &[&str], second: Option<&str>) -> (Self, u16) {
        for _ in 0..5 {
            let mut options: Vec<_> = options.iter().map(ToString::to_string).collect();
            let other = free_port(PORTS);
            if let Some(second) = second {
                options.extend([second.to_owned(), other.to_string()]);
            }
            let server = Self {
                port: free_port(PORTS),
                folder: tempfile::tempdir().unwrap(),
                options,
                process: Mutex::default(),
            };
            // Somebody may have taken the port meanwhile.
            if server.try_start_again() {
                return (server, other);
            }
        }
        panic!("redis-server does not start");
    }

    /// Starts a Sentinel with this configuration, which it writes to.
    pub(crate) fn sentinel(configuration: &Path) -> Self {
        let configuration = configuration.to_str().unwrap();
        Self::start(&[Self::SENTINEL, configuration])
    }

    const SENTINEL: &str = "--sentinel";

    /// Whether it could have its ports. What answers there may be somebody else's, and does so before a
    /// server of a cluster has its second one; so it is asked what it says itself.
    fn try_start_again(&self) -> bool {
        let said_before = self.log().len();
        let process = Process::start(self.folder.path(), self.port, &self.options);
        *self.process.lock().unwrap() = Some(process);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let log = self.log();
            let said = &log[said_before..];
            if said.contains("Ready to accept connections") || said.contains("Sentinel ID is") {
                return true;
            }
            if said.contains("Failed listening") {
                return false;
            }
            sleep(PAUSE);
        }
        panic!("redis-server does not start: {}", self.log());
    }

    /// What it said so far.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }

    /// Starts it on the same port after [`Self::kill`], empty unless it was told to keep things.
    pub(crate) fn start_again(&self) {
        assert!(self.try_start_again(), "the port was taken meanwhile");
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        let process = self.process.lock().unwrap().take().unwrap();
        process.signal("-KILL");
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.lock().unwrap().as_ref().map(|it| it.pid)
    }

    /// Lets it hang: connections are accepted, and nothing is answered.
    pub(crate) fn hang(&self) {
        self.process
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.process
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .signal("-CONT");
    }

    /// The URL of this server, with what comes behind the port.
    pub(crate) fn url(&self, rest: &str) -> String {
        format!("redis://127.0.0.1:{}{rest}", self.port)
    }

    pub(crate) fn connect(&self) -> RawConnection {
        RawConnection::to(self.port)
    }

    /// What it is set to.
    pub(crate) fn setting(&self, name: &str) -> String {
        let told = self.connect().ask(&["CONFIG", "GET", name]);
        told.list()[1].text()
    }

    /// Sets it while it runs.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let set = self.connect().ask(&["CONFIG", "SET", name, value]);
        assert_eq!(set, Answer::Text(b"OK".to_vec()), "{name}");
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Text(Vec<u8>),
    Number(i64),
    List(Vec<Answer>),
    Nothing,
    Error(String),
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn list(self) -> Vec<Self> {
        match self {
            Self::List(list) => list,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }
}

/// A connection beside the library under test.
pub(crate) struct RawConnection(BufReader<TcpStream>);

impl RawConnection {
    pub(crate) fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends one command and reads its answer.
    pub(crate) fn ask<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Answer {
        let mut message = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            message.extend(format!("${}\r\n", part.as_ref().len()).into_bytes());
            message.extend(part.as_ref());
            message.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&message).unwrap();
        self.read()
    }

    /// The next line, as long as there is somebody to say it.
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line);
        read.is_ok_and(|bytes| bytes > 0).then_some(line)
    }

    fn read(&mut self) -> Answer {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        let line = line.trim_end();
        let (kind, rest) = line.split_at(1);
        match kind {
            "+" => Answer::Text(rest.as_bytes().to_vec()),
            "-" => Answer::Error(rest.to_owned()),
            ":" => Answer::Number(rest.parse().unwrap()),
            "$" | "*" if rest == "-1" => Answer::Nothing,
            "$" => {
                let mut text = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut text).unwrap();
                text.truncate(text.len() - 2);
                Answer::Text(text)
            }
            "*" => {
                let parts = 0..rest.parse::<usize>().unwrap();
                Answer::List(parts.map(|_| self.read()).collect())
            }
            _ => panic!("{line}"),
        }
    }
}

/// Three masters and three replicas.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

pub(crate) const MASTERS: usize = 3;

impl RedisCluster {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same, of servers to which something is done before they meet.
    pub(crate) fn start_with(prepare: impl FnOnce(&[RedisServer])) -> Self {
        let nodes: Vec<_> = (0..2 * MASTERS)
            .map(|_| {
                let options = [
                    "--cluster-enabled",
                    "yes",
                    "--cluster-config-file",
                    "nodes.conf",
                    "--cluster-node-timeout",
                    "2000",
                    "--repl-diskless-sync-delay",
                    "0",
                ];
                RedisServer::start_with(&options, Some("--cluster-port")).0
            })
            .collect();
        prepare(&nodes);
        let cluster = Self { nodes };
        cluster.join();
        cluster
    }

    fn join(&self) {
        let first = &self.nodes[0];
        for (place, node) in self.nodes.iter().enumerate() {
            let mut raw = node.connect();
            let epoch = (place + 1).to_string();
            raw.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if place < MASTERS {
                let from = 16_384 * place / MASTERS;
                let to = 16_384 * (place + 1) / MASTERS - 1;
                let (from, to) = (from.to_string(), to.to_string());
                raw.ask(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
            }
            let bus = match first.setting("cluster-announce-bus-port") {
                none if none == "0" => first.setting("cluster-port"),
                announced => announced,
            };
            let port = first.port.to_string();
            raw.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        for (place, node) in self.nodes.iter().enumerate().skip(MASTERS) {
            let master = self.nodes[place - MASTERS].connect();
            let id = { master }.ask(&["CLUSTER", "MYID"]).text();
            let mut raw = node.connect();
            until("the replica knows its master", || {
                raw.ask(&["CLUSTER", "REPLICATE", &id]) == Answer::Text(b"OK".to_vec())
            });
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let mut raw = node.connect();
            until("the cluster stands", || {
                let info = raw.ask(&["CLUSTER", "INFO"]).text();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6")
            });
            until("all replicas follow", || {
                let slots = raw.ask(&["CLUSTER", "SLOTS"]).list();
                slots.len() == MASTERS && slots.into_iter().all(|slots| slots.list().len() == 4)
            });
            if place >= MASTERS {
                until("the replica is in step", || {
                    let info = raw.ask(&["INFO", "replication"]).text();
                    info.contains("master_link_status:up")
                });
            }
        }
    }

    /// A URL that names two of its nodes, a replica among them.
    pub(crate) fn url(&self, rest: &str) -> String {
        let (one, other) = (self.nodes[0].port, self.nodes[MASTERS].port);
        format!("redis-cluster://127.0.0.1:{one},127.0.0.1:{other}{rest}")
    }
}

/// Waits for a server to come round.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(PAUSE);
    }
}

/// Something that all tests of a program share that run at the same time. The last one takes it
/// down.
pub(crate) struct SharedServer<T>(Mutex<Weak<T>>);

impl<T> SharedServer<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    pub(crate) fn get(&self, start: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock().unwrap();
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(start());
        *shared = Arc::downgrade(&started);
        started
    }
}
