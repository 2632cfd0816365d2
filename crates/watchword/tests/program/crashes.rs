//! `kill -9` in a loop under load: nothing that was acknowledged is lost, nothing is approved twice.
//!
//! Callers keep a ledger of what the server told them. After each kill and restart the ledger is
//! held against the server. `WATCHWORD_TEST_KILLS` says how often (15 unless set).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::server::{Caller, Server, another, folder};

/// Sends that are allowed for one recipient in the test's time.
pub(crate) const SENDS: usize = 3;
const CALLERS: usize = 8;

/// What one caller was told about one verification.
#[derive(Debug)]
pub(crate) struct Entry {
    id: String,
    to: String,
    code: Option<String>,
    /// The fewest attempts that an answer left.
    attempts: u64,
    /// How often a check was approved.
    approvals: usize,
    /// Whether a request about it got no answer: then it may have been done or not.
    in_doubt: bool,
}

/// One recipient with its acknowledged sends, and whether one got no answer.
#[derive(Debug)]
pub(crate) struct Recipient {
    to: String,
    sends: usize,
}

#[derive(Default, Debug)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    pub(crate) recipients: Vec<Recipient>,
}

/// Starts, misses, approves, until the server goes away, or `stop` is set and a recipient is done.
pub(crate) async fn work(caller: Caller, names: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Ledger {
    let mut ledger = Ledger::default();
    while !stop.load(Ordering::Relaxed) {
        let to = format!("u{}@example.com", names.fetch_add(1, Ordering::Relaxed));
        ledger.recipients.push(Recipient {
            to: to.clone(),
            sends: 0,
        });
        for send in 0..SENDS {
            let body = json!({ "to": to, "purpose": format!("p{send}") });
            let Ok(started) = caller
                .try_send("POST", "/v1/verifications", Some(&body), &[])
                .await
            else {
                return ledger;
            };
            assert_eq!(started.status, 201, "{}", started.text);
            if let Some(recipient) = ledger.recipients.last_mut() {
                recipient.sends += 1;
            }
            ledger.entries.push(Entry {
                id: started.id(),
                to: to.clone(),
                code: None,
                attempts: 5,
                approvals: 0,
                in_doubt: false,
            });
            let Some(entry) = ledger.entries.last_mut() else {
                return ledger;
            };
            // One stays pending, one is missed once, one is approved.
            if use_code(&caller, entry, send).await.is_none() {
                return ledger;
            }
        }
    }
    ledger
}

/// `None` when the server went away.
async fn use_code(caller: &Caller, entry: &mut Entry, send: usize) -> Option<()> {
    let inbox = format!("/dev/messages?to={}", entry.to);
    let messages = caller.try_send("GET", &inbox, None, &[]).await.ok()?.json();
    let code = messages[0]["code"].as_str()?.to_owned();
    entry.code = Some(code.clone());
    let check = format!("/v1/verifications/{}/check", entry.id);
    if send >= 1 {
        entry.in_doubt = true;
        let wrong = json!({ "code": another(&code) });
        let answer = caller
            .try_send("POST", &check, Some(&wrong), &[])
            .await
            .ok()?;
        assert_eq!(answer.status, 422, "{}", answer.text);
        entry.attempts = answer.json()["attempts_remaining"].as_u64().unwrap();
        entry.in_doubt = false;
    }
    if send >= 2 {
        entry.in_doubt = true;
        let right = json!({ "code": code });
        let answer = caller
            .try_send("POST", &check, Some(&right), &[])
            .await
            .ok()?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        entry.approvals += 1;
        entry.in_doubt = false;
    }
    Some(())
}

/// Holds a ledger against the server.
pub(crate) async fn hold(caller: &Caller, ledger: &mut Ledger) {
    for entry in &mut ledger.entries {
        let got = caller.get(&format!("/v1/verifications/{}", entry.id)).await;
        assert_eq!(
            got.status, 200,
            "an acknowledged start is lost: {entry:?} {}",
            got.text
        );
        let now = got.json();
        let status = now["status"].as_str().unwrap();
        let attempts = now["attempts_remaining"].as_u64().unwrap();
        assert!(
            attempts <= entry.attempts,
            "a guess came back: {entry:?} {now}"
        );
        match status {
            "approved" => assert!(entry.approvals == 1 || entry.in_doubt, "{entry:?} {now}"),
            "pending" => assert_eq!(entry.approvals, 0, "an approval is lost: {entry:?} {now}"),
            other => panic!("{other}: {entry:?}"),
        }
        let Some(code) = &entry.code else { continue };
        let checked = caller.check(&entry.id, code).await;
        match (status, checked.status) {
            ("approved", 404) => {}
            ("pending", 200) => entry.approvals += 1,
            (_, other) => panic!("{other}: {entry:?} {}", checked.text),
        }
        assert!(entry.approvals <= 1, "approved twice: {entry:?}");
    }
    for recipient in ledger
        .recipients
        .iter()
        .filter(|recipient| recipient.sends == SENDS)
    {
        let body = json!({ "to": recipient.to, "purpose": "one more" });
        let refused = caller.post("/v1/verifications", body).await;
        assert_eq!(
            refused.status, 429,
            "a send was forgotten: {recipient:?} {}",
            refused.text
        );
    }
}

/// A server whose codes live for an hour, and whose limits only [`SENDS`] sends reach.
pub(crate) fn start(folder: &Path) -> Server {
    let policy = format!(
        "[log]\naccess = false\n[policy]\nresend_cooldown = \"0s\"\nttl = \"1h\"\n\
         limits = [{{ per = \"recipient\", max = {SENDS}, window = \"1d\" }}, \
         {{ per = \"source\", max = 10000, window = \"1s\" }}]\n"
    );
    std::fs::write(folder.join("policy.toml"), policy).unwrap();
    Server::dev(folder, &["--config", "policy.toml"])
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_loses_nothing_that_was_acknowledged() {
    let kills = std::env::var("WATCHWORD_TEST_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok());
    let kills: u64 = kills.unwrap_or(15);
    let folder = folder();
    let names = Arc::new(AtomicU64::new(0));
    let (mut acknowledged, mut server) = (0, start(folder.path()));
    for kill in 0..kills {
        let caller = Caller::new(&server, None);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(work(caller.clone(), Arc::clone(&names), Arc::default()));
        }
        // Another moment each time: from the first requests on to some thousands later.
        tokio::time::sleep(Duration::from_millis(20 + kill * 37 % 300)).await;
        server.kill();
        let mut ledgers = callers.join_all().await;
        server = start(folder.path());
        let caller = Caller::new(&server, None);
        for ledger in &mut ledgers {
            acknowledged += ledger.entries.len();
            hold(&caller, ledger).await;
        }
    }
    assert!(acknowledged > 0, "no load");
    eprintln!("{kills} kills, {acknowledged} acknowledged starts");
    assert!(server.stop().success());
}
