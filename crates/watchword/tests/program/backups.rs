//! `watchword backup` beside a server under load, and a server that starts from what it made.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};

use crate::crashes::{Ledger, hold, start, work};
use crate::server::{Caller, call, configure, folder};

const CALLERS: usize = 4;

fn load(caller: &Caller, names: &Arc<AtomicU64>, stop: &Arc<AtomicBool>) -> JoinSet<Ledger> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(work(caller.clone(), Arc::clone(names), Arc::clone(stop)));
    }
    callers
}

#[cfg(unix)]
fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_before_a_backup_is_there_in_a_server_that_starts_from_it() {
    let folder = folder();
    let path = folder.path().to_owned();
    let names = Arc::new(AtomicU64::new(0));
    let mut server = start(&path);
    let caller = Caller::new(&server, None);
    let stop = Arc::new(AtomicBool::new(false));
    let before = load(&caller, &names, &stop);
    tokio::time::sleep(Duration::from_millis(400)).await;
    stop.store(true, Ordering::Relaxed);
    let mut ledgers = before.join_all().await;
    // The server goes on meanwhile.
    let meanwhile = load(&caller, &names, &Arc::default());
    let made = {
        let path = path.clone();
        spawn_blocking(move || call(&path, &["backup", "copy.db", "--data", "data"]))
    };
    let made = made.await.unwrap();
    assert_eq!(made.code, 0, "{}", made.err);
    let copy = path.join("copy.db");
    #[cfg(unix)]
    assert_eq!(mode(&copy), 0o600);
    assert!(!path.join("copy.db.part").exists());
    let counted = |class: &str| -> u64 {
        let line = made.out.lines().find(|line| line.starts_with(class));
        line.unwrap()
            .split_whitespace()
            .last()
            .unwrap()
            .parse()
            .unwrap()
    };
    let acknowledged: usize = ledgers.iter().map(|ledger| ledger.entries.len()).sum();
    let recipients: usize = ledgers.iter().map(|ledger| ledger.recipients.len()).sum();
    assert!(acknowledged > 0, "no load");
    assert!(
        counted("verifications") >= acknowledged as u64,
        "{}",
        made.out
    );
    assert!(counted("recipients") >= recipients as u64, "{}", made.out);
    // What is there is never written over.
    let bytes = std::fs::read(&copy).unwrap();
    let again = call(&path, &["backup", "copy.db", "--data", "data"]);
    assert_eq!(again.code, 1);
    assert!(
        again.err.contains("copy.db exists already"),
        "{}",
        again.err
    );
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
    server.kill();
    meanwhile.join_all().await;
    let data = path.join("data");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("watchword.db{suffix}")));
    }
    std::fs::rename(&copy, data.join("watchword.db")).unwrap();
    let server = start(&path);
    let caller = Caller::new(&server, None);
    for ledger in &mut ledgers {
        hold(&caller, ledger).await;
    }
    eprintln!("{acknowledged} acknowledged starts restored");
    assert!(server.stop().success());
}

/// What `sqlite3` goes by when it closes a file: unless a lock says that somebody has it open, it clears the
/// write-ahead log away, which a running server goes on writing to.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_known_to_have_the_file_open() {
    use std::os::unix::fs::MetadataExt as _;

    let folder = folder();
    let server = start(folder.path());
    let caller = Caller::new(&server, None);
    assert_eq!(caller.start("+12025550123").await.status, 201);
    let database = folder.path().join("data/watchword.db");
    let inode = format!(":{}", database.metadata().unwrap().ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let held = locks.lines().any(|lock| {
        let fields: Vec<_> = lock.split_whitespace().collect();
        fields.contains(&"POSIX")
            && fields.contains(&server.pid().to_string().as_str())
            && fields.iter().any(|field| field.ends_with(&inode))
    });
    assert!(held, "no lock on the database:\n{locks}");
}

#[test]
fn a_backup_that_cannot_be_made_leaves_nothing_and_says_what_to_do() {
    let folder = folder();
    let path = folder.path();
    let refused = |args: &[&str], expected: &str| {
        let said = call(path, &[&["backup", "copy.db"], args].concat());
        assert_eq!(said.code, 1, "{}", said.out);
        assert!(said.err.contains(expected), "{}", said.err);
        assert!(!path.join("copy.db").exists());
    };
    refused(&["--data", "nowhere"], "watchword.db does not exist");
    std::fs::create_dir(path.join("odd")).unwrap();
    std::fs::write(
        path.join("odd/watchword.db"),
        "no database at all\n".repeat(99),
    )
    .unwrap();
    refused(&["--data", "odd"], "odd/watchword.db");
    std::fs::write(path.join("odd/watchword.db"), "").unwrap();
    refused(&["--data", "odd"], "is empty");
    std::fs::remove_dir_all(path.join("odd")).unwrap();
    configure(
        path,
        "[storage]\nurl = \"postgres://u:hunter2@127.0.0.1:1/otp\"",
    );
    refused(&[], "use pg_dump");
    configure(path, "[storage]\nurl = \"redis://:hunter2@127.0.0.1:1\"");
    refused(&[], "BGSAVE");
    configure(path, "");
    let made = call(path, &["migrate"]);
    assert_eq!(made.code, 0, "{}", made.err);
    std::fs::write(path.join("copy.db.part"), "").unwrap();
    refused(&[], "copy.db.part exists");
    refused(&["--accounts"], "leave --accounts out");
    std::fs::remove_file(path.join("copy.db.part")).unwrap();
    let made = call(path, &["backup", "copy.db"]);
    assert_eq!(made.code, 0, "{}", made.err);
}
