//! `watchword store copy`: what a node promised over one storage, it keeps over the next.
//! `watchword store partition`: and in partitions.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::{Fleet, POLICY, POSTGRES, Storage, kind, start_for};
use crate::postgres;
use crate::server::{Caller, Said, another, call, program, run};

const TO: &str = "+14155550171";
const OTHER: &str = "+14155550172";

/// The storages of a walk, the last of which everything ends at.
fn stations(stores: impl IntoIterator<Item = Option<Storage>>) -> Option<Vec<Storage>> {
    let file = |name: &str| Storage::at(format!("sqlite:{name}"));
    let mut all = vec![file("first.db")];
    for store in stores {
        all.push(store?);
    }
    all.push(file("last.db"));
    Some(all)
}

/// As an operator would who does not want passwords in a list of processes.
fn copying(fleet: &Fleet, from: &Storage, to: &Storage) -> std::process::Command {
    let mut command = program(fleet.folder.path());
    let args = ["store", "copy", "env:FROM", "env:TO"];
    // Accounts are not what this is about, and Redis keeps none.
    command.args(args).env("FROM", &from.url).env("TO", &to.url);
    command
}

fn copy(fleet: &Fleet, from: &Storage, to: &Storage) -> Said {
    run(&mut copying(fleet, from, to))
}

fn partition(fleet: &Fleet, storage: &Storage, count: &str) -> Said {
    let mut command = program(fleet.folder.path());
    let args = ["store", "partition", "env:STORAGE", "--count", count];
    run(command.args(args).env("STORAGE", &storage.url))
}

/// Moves a node from one storage to the next. Whatever was left of attempts, limits and codes is
/// left there, too.
async fn walk(all: Vec<Storage>) {
    let first = Storage::at(all[0].url.clone());
    let mut fleet = Fleet::with(first, POLICY, "sms = [\"twilio\"]", 1).await;
    let (id, right) = fleet.begin(TO).await;
    let second = fleet.callers[0]
        .post("/v1/verifications", start_for(TO, 1))
        .await;
    assert_eq!(second.status, 201, "{}", second.text);
    let (used, code) = fleet.begin(OTHER).await;
    assert_eq!(fleet.callers[0].check(&used, &code).await.status, 200);
    let mut caller: Caller = fleet.callers[0].clone();
    let mut node = fleet.nodes.pop().unwrap();
    for (hop, pair) in all.windows(2).enumerate() {
        let refused = copy(&fleet, &pair[0], &pair[1]);
        if pair[0].url.starts_with("sqlite:") {
            assert_eq!(refused.code, 1, "the server is running: {}", refused.out);
            assert!(refused.err.contains("stop it first"), "{}", refused.err);
        }
        assert!(node.stop().success());
        let moved = copy(&fleet, &pair[0], &pair[1]);
        assert_eq!(moved.code, 0, "{} {}", moved.out, moved.err);
        let again = copy(&fleet, &pair[0], &pair[1]);
        assert_eq!((again.code, &again.out), (0, &moved.out), "{}", again.err);
        let counted = |class: &str| {
            let line = moved.out.lines().find(|line| line.starts_with(class));
            let words: Vec<_> = line.unwrap().split_whitespace().rev().take(2).collect();
            (words[1].to_owned(), words[0].to_owned())
        };
        let pairs = [
            ("verifications", "3"),
            ("recipients", "2"),
            ("API keys", "1"),
        ];
        for (class, number) in pairs {
            assert_eq!(
                counted(class),
                (number.to_owned(), number.to_owned()),
                "{}",
                moved.out
            );
        }
        for secret in [right.as_str(), &code, TO] {
            assert!(!moved.out.contains(secret) && !moved.err.contains(secret));
        }
        node = fleet.serve_over(hop + 1, &pair[1].url);
        caller = caller.at(&node);
        let wrong = caller.check(&id, &another(&right)).await;
        assert_eq!(kind(&wrong), "422 incorrect-code");
        assert_eq!(
            wrong.json()["attempts_remaining"],
            json!(4 - hop),
            "{}",
            wrong.text
        );
        assert_eq!(kind(&caller.check(&used, &code).await), "404 not-found");
    }
    let third = caller.post("/v1/verifications", start_for(TO, 2)).await;
    assert_eq!(third.status, 201, "{}", third.text);
    let fourth = caller.post("/v1/verifications", start_for(TO, 3)).await;
    assert_eq!(kind(&fourth), "429 rate-limited");
    assert_eq!(caller.check(&id, &right).await.status, 200);
    assert_eq!(kind(&caller.check(&id, &right).await), "404 not-found");
    assert!(node.stop().success());
    // It has served since, so it is no target any more.
    let refused = copy(&fleet, &all[0], &all[all.len() - 1]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("already holds 4 verifications"),
        "{}",
        refused.err
    );
    let nothing = call(
        fleet.folder.path(),
        &["store", "copy", "sqlite:no.db", "sqlite:n.db"],
    );
    assert_eq!(nothing.code, 1);
    assert!(
        nothing.err.contains("no.db does not exist"),
        "{}",
        nothing.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_its_promises_when_it_moves_to_postgresql_and_back() {
    let all = tokio::task::spawn_blocking(|| stations([Storage::postgres()]));
    if let Some(all) = all.await.unwrap() {
        walk(all).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_its_promises_when_it_moves_to_redis_and_back() {
    let all = tokio::task::spawn_blocking(|| stations([Storage::redis()]));
    if let Some(all) = all.await.unwrap() {
        walk(all).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_its_promises_when_its_tables_go_into_partitions() {
    let storage = tokio::task::spawn_blocking(Storage::postgres);
    let Some(storage) = storage.await.unwrap() else {
        return;
    };
    let there = Storage::at(storage.url.clone());
    let mut fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 1).await;
    let (id, right) = fleet.begin(TO).await;
    let mut caller = fleet.callers[0].clone();
    for (round, (count, said)) in [
        ("8", "start the servers"),
        ("8", "nothing to do"),
        ("1", "one piece"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(fleet.nodes.pop().unwrap().stop().success());
        let done = partition(&fleet, &there, count);
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.out.contains(said), "{}", done.out);
        let node = fleet.serve(round);
        caller = caller.at(&node);
        fleet.nodes.push(node);
        let wrong = caller.check(&id, &another(&right)).await;
        assert_eq!(kind(&wrong), "422 incorrect-code");
        assert_eq!(wrong.json()["attempts_remaining"], json!(4 - round));
    }
    for purpose in 1..=2 {
        let more = caller.post("/v1/verifications", start_for(TO, purpose));
        assert_eq!(more.await.status, 201);
    }
    let fourth = caller.post("/v1/verifications", start_for(TO, 3)).await;
    assert_eq!(kind(&fourth), "429 rate-limited");
    assert_eq!(caller.check(&id, &right).await.status, 200);
    for (url, count, said) in [
        ("sqlite:first.db", "8", "this is for PostgreSQL"),
        (&there.url, "65", "65 is not in 1..=64"),
    ] {
        let refused = partition(&fleet, &Storage::at(url.to_owned()), count);
        assert_ne!(refused.code, 0);
        assert!(refused.err.contains(said), "{}", refused.err);
    }
}

/// Holds a row of `recipient` that a copy is about to write, until it is dropped: the copy waits
/// there, with verifications behind it and limits before it.
struct Held<'a>(&'a postgres::Server, std::process::Child);

impl<'a> Held<'a> {
    fn like_one_of(from: &str, to: &str) -> Self {
        let server = POSTGRES.unwrap();
        let row = server.sql(
            from,
            "SELECT tag, recipient FROM watchword.recipient LIMIT 1",
        );
        let (tag, recipient) = row.trim().split_once('|').unwrap();
        let hold = format!(
            "BEGIN; INSERT INTO watchword.recipient VALUES ({tag}, '{recipient}', '{{}}', '{{}}', 0,
                false, '{{}}', '{{}}', '{{}}', '{{}}', 0, 0); SELECT pg_sleep(600)"
        );
        let mut psql = server.psql(to);
        let psql = psql
            .args(["-c", &hold])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let held = Self(server, psql.spawn().unwrap());
        held.wait_for(to, "wait_event = 'PgSleep'");
        held
    }

    /// Until a session of a database does this.
    fn wait_for(&self, database: &str, what: &str) {
        let asked = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND {what}"
        );
        while self.0.sql("postgres", &asked).trim() == "0" {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE query LIKE '%pg_sleep(600)' AND pid <> pg_backend_pid()";
        self.0.sql("postgres", end);
        let _ = self.1.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_killed_half_way_is_served_by_nobody_and_can_be_made_again() {
    let all = || stations([Storage::postgres(), Storage::postgres()]);
    let Some(all) = tokio::task::spawn_blocking(all).await.unwrap() else {
        return;
    };
    let (first, whole, half) = (&all[0], &all[1], &all[2]);
    let source = Storage::at(first.url.clone());
    let mut fleet = Fleet::with(source, POLICY, "sms = [\"twilio\"]", 1).await;
    let (id, right) = fleet.begin(TO).await;
    assert!(fleet.nodes.pop().unwrap().stop().success());
    assert_eq!(copy(&fleet, first, whole).code, 0);
    let database = |storage: &Storage| {
        let path = storage.url.split('?').next().unwrap();
        path.rsplit('/').next().unwrap().to_owned()
    };
    let mut migrate = program(fleet.folder.path());
    migrate.args(["migrate", "--config", "watchword.toml"]);
    assert_eq!(
        run(migrate.env("WATCHWORD__STORAGE__URL", &half.url)).code,
        0
    );
    let held = Held::like_one_of(&database(whole), &database(half));
    let mut killed = copying(&fleet, first, half)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    held.wait_for(&database(half), "wait_event_type = 'Lock'");
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    drop(held);
    let there = "SELECT count(*) FROM watchword.verification";
    assert_eq!(POSTGRES.unwrap().sql(&database(half), there).trim(), "1");
    let mut serve = fleet.command();
    let refused = run(serve.env("WATCHWORD__STORAGE__URL", &half.url));
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("not finished"), "{}", refused.err);
    let from_half = copy(&fleet, half, &Storage::at("sqlite:other.db".to_owned()));
    assert_eq!(from_half.code, 1, "{}", from_half.out);
    let again = copy(&fleet, first, half);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(
        again.out.contains("both sides hold the same"),
        "{}",
        again.out
    );
    let node = fleet.serve_over(1, &half.url);
    let caller = fleet.callers[0].at(&node);
    assert_eq!(caller.check(&id, &right).await.status, 200);
}
