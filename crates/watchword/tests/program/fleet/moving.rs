//! `watchword store copy`: what a node promised over one storage, it keeps over the next.

use serde_json::json;

use super::{Fleet, POLICY, Storage, kind, start_for};
use crate::server::{Caller, Said, another, call};

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

fn copy(fleet: &Fleet, from: &Storage, to: &Storage) -> Said {
    // As an operator would who does not want passwords in a list of processes.
    let mut command = crate::server::program(fleet.folder.path());
    let args = ["store", "copy", "env:FROM", "env:TO"];
    // Accounts are not what this is about, and Redis keeps none.
    command.args(args).env("FROM", &from.url).env("TO", &to.url);
    crate::server::run(&mut command)
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
