//! Private PostgreSQL servers: each in a folder of its own, on a Unix socket there and on a free
//! port of loopback, and gone when the test is.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[allow(
    clippy::duplicate_mod,
    reason = "each counts on, in a range of its own"
)]
#[path = "port.rs"]
mod port;
use port::free_port;

const PORTS: Range<u16> = 12_000..22_000;
/// The role that owns everything.
const OWNER: &str = "watchword";

/// The programs of a PostgreSQL that is installed, the newest one.
pub(crate) struct Installed(PathBuf);

impl Installed {
    /// Where they are. Nothing, said aloud, where none is; that fails where
    /// `WATCHWORD_TEST_ALL_STORES` is 1.
    pub(crate) fn find() -> Option<Self> {
        let version = |folder: &PathBuf| -> Option<u32> {
            folder.parent()?.file_name()?.to_str()?.parse().ok()
        };
        let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let mut folders: Vec<_> = debian
            .map(|entry| entry.unwrap().path().join("bin"))
            .filter(|folder| folder.join("initdb").exists())
            .collect();
        folders.sort_by_key(version);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
        let found = folders.pop().or(on_path);
        if found.is_none() {
            missing("PostgreSQL");
        }
        found.map(Self)
    }

    /// One of the programs, as somebody whom it trusts: it refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.0.join(name));
        become_nobody(&mut command);
        command
    }
}

/// Says that tests are skipped, or fails them where every store is to be tested.
pub(crate) fn missing(what: &str) {
    let all = std::env::var_os("WATCHWORD_TEST_ALL_STORES").is_some_and(|value| value == "1");
    assert!(
        !all,
        "{what} is not installed, and WATCHWORD_TEST_ALL_STORES is 1"
    );
    // Past the capture of the test harness, so that it is seen.
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED: {what} is not installed");
}

/// Whom a server runs as where the tests run as root.
fn user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let fields = |line: &str| -> Option<(u32, u32)> {
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let postgres = users.lines().find(|line| line.starts_with("postgres:"));
    Some(postgres.and_then(fields).unwrap_or((65534, 65534)))
}

fn become_nobody(command: &mut Command) {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C");
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
}

/// Whether a process holds anything yet. What has ended and was not looked at does not.
fn is_there(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
    state.is_some_and(|state| !matches!(state, b'Z' | b'X'))
}

fn own(path: &Path) {
    if let Some((user, group)) = user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// A server that runs. Killed and started again at will.
pub(crate) struct Server {
    installed: Installed,
    folder: TempDir,
    pub(crate) port: u16,
    settings: Vec<String>,
    guard: Option<Child>,
}

/// Ends the server when the test's end of the pipe is closed, however the test ended.
const GUARD: &str = r#"
"$@" >>"$LOG" 2>&1 </dev/null & server=$!
cat >/dev/null
kill -QUIT $server 2>/dev/null
wait $server
[ -z "$REMOVE" ] || rm -rf "$REMOVE"
"#;

impl Server {
    /// A new one. What it says goes to a file, and nothing to the disk: it is to be quick.
    pub(crate) fn start(installed: Installed) -> Self {
        Self::start_with(installed, &["fsync=off", "full_page_writes=off"])
    }

    /// A new one with these settings.
    pub(crate) fn start_with(installed: Installed, settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("wwpg").tempdir().unwrap();
        own(folder.path());
        let initdb = installed
            .program("initdb")
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={OWNER}"))
            .arg("-D")
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        assert!(initdb.status.success(), "{initdb:?}");
        let mut server = Self {
            installed,
            folder,
            port: 0,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            guard: None,
        };
        // Somebody else may take the port that was free a moment ago.
        while !server.run() {
            server.port = 0;
        }
        server
    }

    /// A standby that follows this one as it writes, once it does. What is set here afterwards is
    /// not set there.
    pub(crate) fn standby(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("wwpg").tempdir().unwrap();
        own(folder.path());
        let place = format!("host=127.0.0.1 port={} user={OWNER}", self.port);
        let copied = self
            .installed
            .program("pg_basebackup")
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .args(["-d", &place])
            .arg("-D")
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
        let mut standby = Self {
            installed: Installed(self.installed.0.clone()),
            folder,
            port: 0,
            settings: self.settings.clone(),
            guard: None,
        };
        while !standby.run() {
            standby.port = 0;
        }
        while self.sql("postgres", "SELECT state FROM pg_stat_replication") != "streaming\n" {
            std::thread::sleep(Duration::from_millis(20));
        }
        standby
    }

    /// Answers a commit from now on only when a standby has it.
    pub(crate) fn wait_for_standby(&self) {
        self.sql(
            "postgres",
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
        );
        self.sql("postgres", "SELECT pg_reload_conf()");
        while self.sql("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync\n" {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends its standby nothing any more, until it is killed.
    pub(crate) fn hold_replication_back(&self) {
        let sender = self.sql("postgres", "SELECT pid FROM pg_stat_replication");
        let stopped = Command::new("kill").args(["-STOP", sender.trim()]).status();
        assert!(stopped.unwrap().success());
    }

    /// Makes a standby take writes.
    pub(crate) fn promote(&self) {
        let data = self.folder.path().join("data");
        let promoted = self
            .installed
            .program("pg_ctl")
            .args(["promote", "-s", "-D"])
            .arg(data)
            .status();
        assert!(promoted.unwrap().success(), "{}", self.log());
    }

    /// Lets it live on until this process ends, and removes its folder then.
    pub(crate) fn keep(mut self) -> &'static Self {
        self.stop();
        let folder = self.folder.path().to_owned();
        self.folder.disable_cleanup(true);
        assert!(self.run_and_remove(Some(&folder)), "{}", self.log());
        Box::leak(Box::new(self))
    }

    /// Starts it on its port; whether it answers.
    pub(crate) fn run(&mut self) -> bool {
        self.run_and_remove(None)
    }

    fn run_and_remove(&mut self, remove: Option<&Path>) -> bool {
        if self.port == 0 {
            self.port = free_port(PORTS);
        }
        let said_before = self.log().len();
        let folder = self.folder.path();
        let mut guard = Command::new("sh");
        become_nobody(&mut guard);
        guard
            .env("LOG", folder.join("log"))
            .env("REMOVE", remove.unwrap_or(Path::new("")))
            .args(["-c", GUARD, "guard"])
            .arg(self.installed.0.join("postgres"))
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "max_connections=200"])
            .stdin(Stdio::piped());
        for setting in &self.settings {
            guard.args(["-c", setting]);
        }
        self.guard = Some(guard.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            // Its own word: on its port, somebody else may answer.
            let log = self.log();
            let said = &log[said_before..];
            if said.contains("could not bind") {
                break;
            }
            if said.contains("ready to accept") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.stop();
        false
    }

    /// Has these settings, too, when it is started the next time.
    pub(crate) fn set(&mut self, settings: &[&str]) {
        let settings = settings.iter().map(|&setting| setting.to_owned());
        self.settings.extend(settings);
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its processes, the first of which is the one that the others come from.
    fn processes(&self) -> Vec<String> {
        let lock = fs::read_to_string(self.folder.path().join("data/postmaster.pid"));
        let Some(first) = lock
            .ok()
            .and_then(|lock| lock.lines().next().map(str::to_owned))
        else {
            return Vec::new();
        };
        let children = format!("/proc/{first}/task/{first}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().map(str::to_owned);
        std::iter::once(first).chain(children).collect()
    }

    /// The process that the others come from.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.processes().first()?.parse().ok()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .stderr(Stdio::null())
            .arg(signal)
            .args(self.processes())
            .status();
        // One of them may have ended by itself meanwhile.
        sent.unwrap();
    }

    /// As if the machine lost its mind: nothing answers, nothing is refused.
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    /// Goes on where it hung.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    /// `kill -9`, for all of its processes at once.
    pub(crate) fn kill(&mut self) {
        // Else it might have another child after they were looked up.
        self.hang();
        let killed = self.processes();
        self.signal("-KILL");
        self.end_guard();
        // While one of them still holds the memory that they share, the next server refuses to start.
        while killed.iter().any(|process| is_there(process)) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends it, and waits for that.
    pub(crate) fn stop(&mut self) {
        // A test that failed may have left it hanging, deaf to being told to end.
        self.go_on();
        self.end_guard();
    }

    fn end_guard(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            guard.wait().unwrap();
        }
    }

    /// The connection string of one of its databases, over loopback.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The same over its Unix socket.
    pub(crate) fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{OWNER}@{folder}:{}/{database}", self.port)
    }

    /// Where it keeps its files, for those that it is to read.
    pub(crate) fn give(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        own(&path);
        path
    }

    /// A client of one of its databases.
    pub(crate) fn psql(&self, database: &str) -> Command {
        let mut psql = self.installed.program("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(self.folder.path())
            .args(["-p", &self.port.to_string(), "-U", OWNER, "-d", database]);
        psql
    }

    /// Runs SQL in one of its databases; what that printed.
    pub(crate) fn sql(&self, database: &str, text: &str) -> String {
        said(self.psql(database).args(["-c", text]))
    }

    /// What is in one of its databases, as SQL.
    pub(crate) fn dump(&self, database: &str, options: &[&str]) -> String {
        let mut dump = self.installed.program("pg_dump");
        dump.args(options).arg("-h").arg(self.folder.path());
        said(dump.args(["-p", &self.port.to_string(), "-U", OWNER, database]))
    }
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A PgBouncer before a server, which gives every transaction any of its connections.
pub(crate) struct Pooler {
    child: Child,
    _folder: TempDir,
    pub(crate) port: u16,
}

impl Pooler {
    /// Nothing, said aloud, where none is installed.
    pub(crate) fn start(server: &Server) -> Option<Self> {
        Self::that_drops(server, "")
    }

    /// One that takes these settings from those who connect, and drops them; others it refuses.
    pub(crate) fn that_drops(server: &Server, settings: &str) -> Option<Self> {
        let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];
        let Some(program) = places.into_iter().find(|place| Path::new(place).exists()) else {
            missing("PgBouncer");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        own(folder.path());
        let port = free_port(PORTS);
        let config = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={OWNER}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 3\n\
             ignore_startup_parameters = {settings}\n",
            server.port,
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        become_nobody(&mut command);
        let mut child = command
            .arg("-q")
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if child.try_wait().unwrap().is_some() {
                let mut said = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .unwrap();
                panic!("PgBouncer ended: {said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self {
            child,
            _folder: folder,
            port,
        })
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
