//! A disk that is full under the running program, its log included: refused while it lasts, served
//! again once there is room, without a restart.
//!
//! The limit is that on the size of files, which a process without any rights can be given. SQLite
//! and the log meet it as they meet a disk without room.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::server::{Caller, DEV, Server, folder, program};

/// Limits how far files can be written to, in bytes or as `unlimited`.
fn limit(server: &Server, size: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string()])
        .arg(format!("--fsize={size}:unlimited"))
        .status();
    assert!(limited.unwrap().success());
}

/// A server that is told of the limit by an error, as of a full disk, and not by a signal.
fn start(folder: &std::path::Path) -> Server {
    let plain = program(folder);
    let mut command = Command::new("/bin/sh");
    command.current_dir(folder).env_clear();
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    command.arg(plain.get_program()).args(DEV);
    Server::start(command, folder)
}

/// The messages in the inbox.
async fn sent(caller: &Caller) -> usize {
    let messages = caller.get("/dev/messages").await.json();
    messages.as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_refused_with_503_and_served_again_without_a_restart() {
    let folder = folder();
    let mut server = start(folder.path());
    let caller = Caller::new(&server, None);
    let ready = format!("{}/readyz", server.admin);
    let (to, other) = ("+12025550123", "+12025550145");
    let id = caller.start(to).await.id();
    let code = caller.code(to).await;
    let before = sent(&caller).await;

    limit(&server, "1");
    // This one meets the end of the disk, and may count as sent; nothing after it even does that.
    for _ in 0..3 {
        let refused = caller.start(other).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert_eq!(refused.json()["code"], "storage-unavailable");
    }
    let refused = caller.check(&id, &code).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(caller.get(&ready).await.status, 503);
    let alive = format!("{}/livez", server.admin);
    assert_eq!(caller.get(&alive).await.status, 200);
    assert_eq!(sent(&caller).await, before, "something was sent");

    limit(&server, "unlimited");
    let freed = Instant::now();
    while caller.get(&ready).await.status != 200 {
        assert!(freed.elapsed() < Duration::from_mins(1), "still refused");
        tokio::task::yield_now().await;
    }
    let approved = caller.check(&id, &code).await;
    assert_eq!(approved.status, 200, "{}", approved.text);
    assert_eq!(caller.start("+12025550167").await.status, 201);
    assert!(server.log_text().contains("can be written again"));

    // And nothing that was answered is forgotten.
    server.kill();
    let again = start(folder.path());
    let caller = caller.at(&again);
    assert_eq!(caller.check(&id, &code).await.status, 404);
    let kept = caller.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(kept.json()["status"], "approved");
}
