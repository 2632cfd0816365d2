//! Two nodes on one server behave as one, whatever their clocks say.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use watchword_core::fakes::{self, SeededEntropy, SetClock};
use watchword_core::{
    ApiKey, ApiKeyRecord, ApiKeyStore as _, AppId, Channel, CheckError, Clock as _, Dispatched,
    Fallback, Note, RecipientIndex, Refusal, ReplayKey, Scope, SendError, StartOutcome, Store as _,
    Timestamp,
};
use watchword_stores::RedisTime;

use super::alike::start;
use super::fixture::{on_a_cluster, on_a_server, open};
use super::node::{Node, WRONG};

const TO: &str = "+14155552671";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn right_codes_at_two_nodes_yield_one_approval() {
    for _ in 0..10 {
        let Some(one) = on_a_cluster().await else {
            return;
        };
        let other = one.beside().await;
        let nodes = [Node::of(one.port(), 1), Node::of(other.store(), 2)];
        let id = nodes[0].started(TO).await;
        let code = nodes[0].code(id);
        let checks = (0..40).map(|number| nodes[number % 2].check(id, &code));
        let outcomes = join_all(checks).await;
        let approved = outcomes.iter().filter(|outcome| outcome.is_ok());
        assert_eq!(approved.count(), 1, "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrong_codes_at_two_nodes_share_the_attempts() {
    let Some(one) = on_a_server().await else {
        return;
    };
    let other = one.beside().await;
    let nodes = [Node::of(one.port(), 1), Node::of(other.store(), 2)];
    let id = nodes[0].started(TO).await;
    let checks = (0..100).map(|number| nodes[number % 2].check(id, WRONG));
    let outcomes = join_all(checks).await;
    let compared = |outcome: &&Result<_, _>| matches!(outcome, Err(CheckError::Incorrect { .. }));
    assert_eq!(outcomes.iter().filter(compared).count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts_at_two_nodes_share_the_limits_of_recipient_and_source() {
    let Some(one) = on_a_cluster().await else {
        return;
    };
    let other = one.beside().await;
    let nodes = [Node::of(one.port(), 1), Node::of(other.store(), 2)];
    let starts = (0..40).map(|number| nodes[number % 2].start(TO, None));
    let started = join_all(starts).await;
    assert_eq!(started.iter().filter(|start| start.is_ok()).count(), 3);
    let numbers: Vec<_> = (0..60)
        .map(|number| format!("+1415555{number:04}"))
        .collect();
    let from = Some("198.51.100.7");
    let starts = numbers
        .iter()
        .enumerate()
        .map(|(number, to)| nodes[number % 2].start(to, from));
    let started = join_all(starts).await;
    let refused = started
        .iter()
        .filter(|start| matches!(start, Err(SendError::Refused(Refusal::SourceLimit { .. }))));
    assert_eq!(refused.count(), 30);
}

/// A resend over another channel changes what the digest binds, and no node knows of it but the one.
#[tokio::test]
async fn a_resend_at_another_node_ends_the_old_code_and_begins_the_new_one_everywhere() {
    let Some(one) = on_a_server().await else {
        return;
    };
    let other = one.beside().await;
    let nodes = [Node::of(one.port(), 1), Node::of(other.store(), 2)];
    let id = nodes[0].started(TO).await;
    for node in &nodes {
        let wrong = node.check(id, WRONG).await;
        assert!(matches!(wrong, Err(CheckError::Incorrect { .. })));
    }
    let voice = Some(Channel::Voice);
    nodes[1].resend_over(id, voice).await.unwrap();
    let old = nodes[0].check(id, &nodes[0].code(id)).await;
    assert!(matches!(old, Err(CheckError::Incorrect { .. })), "{old:?}");
    assert!(nodes[0].check(id, &nodes[1].code(id)).await.is_ok());
}

/// The server's clock rules, so that no node gains anything by its own.
#[tokio::test]
async fn nodes_whose_clocks_are_a_day_apart_see_one_time() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let at = |offset: i64| {
        let system = std::time::SystemTime::now();
        let since = system.duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = i64::try_from(since.as_millis()).unwrap() + offset;
        let now = Timestamp::from_millis(u64::try_from(now).unwrap());
        Arc::new(SetClock::new(now))
    };
    let day = 86_400_000;
    let mut nodes = Vec::new();
    for (seed, offset) in [(1, -day), (2, 0), (3, day)] {
        let storage = open(&fixture.url, RedisTime::Server).await.unwrap();
        nodes.push(Node::over(storage.store(), seed, at(offset)));
    }
    let id = nodes[0].started(TO).await;
    for node in &nodes[1..] {
        node.start(TO, None).await.unwrap();
    }
    // A day later by one clock is not a day later.
    for node in &nodes {
        let refused = node.start(TO, None).await.unwrap_err();
        let SendError::Refused(Refusal::RecipientLimit { retry_after }) = refused else {
            panic!("{refused:?}");
        };
        assert!(retry_after <= Duration::from_mins(10), "{retry_after:?}");
    }
    // The code of the first was replaced; that of the last lives for all of them.
    let gone = nodes[0].check(id, &nodes[0].code(id)).await;
    assert!(matches!(gone, Err(CheckError::NotFound)), "{gone:?}");
    let to = "+14155550199";
    let id = nodes[2].started(to).await;
    let wrong = nodes[0].check(id, WRONG).await;
    assert!(matches!(wrong, Err(CheckError::Incorrect { .. })));
    assert!(nodes[1].check(id, &nodes[2].code(id)).await.is_ok());
}

/// What a caller says of later moments is moved by as much as its clock is off.
#[tokio::test]
async fn an_idempotency_key_of_a_node_that_lags_is_held_all_the_same() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let storage = open(&fixture.url, RedisTime::Server).await.unwrap();
    let replays = storage.replays();
    let (long_ago, key) = (Timestamp::from_millis(1_000_000), ReplayKey([3; 16]));
    let until = long_ago.plus(Duration::from_mins(1));
    for expected in [
        watchword_core::Replay::Fresh,
        watchword_core::Replay::Running,
    ] {
        let claimed = replays.claim(key, [1; 32], until, long_ago).await.unwrap();
        assert_eq!(claimed, expected);
    }
}

/// Else it would be given at once where the node lags, and never where it is ahead.
#[tokio::test]
async fn the_turn_that_a_node_plans_whose_clock_is_wrong_comes_when_the_server_says() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let storage = open(&fixture.url, RedisTime::Server).await.unwrap();
    let (store, long_ago) = (storage.store(), Timestamp::from_millis(1_000_000));
    let mut due = Vec::new();
    for (number, wait) in [(1, Duration::ZERO), (2, Duration::from_mins(1))] {
        let step = start(number, number.into());
        let id = step.id;
        let started = store.start(step, long_ago).await.unwrap();
        let StartOutcome::Started(charged) = started else {
            panic!("{started:?}");
        };
        let note = Note {
            dispatched: Some(Dispatched {
                sent_at: charged.made_at,
                fallback: Some(Fallback {
                    next: 1,
                    due: Some(long_ago.plus(wait)),
                }),
            }),
            ..Note::default()
        };
        store.note(id, note, long_ago).await.unwrap();
        due.push(store.fall_back(id, long_ago).await.unwrap().is_some());
    }
    assert_eq!(due, [true, false]);
}

#[tokio::test]
async fn api_keys_are_shared_by_all_nodes() {
    let Some(fixture) = on_a_cluster().await else {
        return;
    };
    let (ours, theirs) = (fixture.storage.api_keys(), fixture.beside().await);
    let theirs = theirs.api_keys();
    let now = SetClock::default().now();
    let make = |seed| {
        let key = ApiKey::generate(&SeededEntropy::new(seed)).unwrap();
        let scopes = Scope::ALL.to_vec();
        let end = Some(now.plus(Duration::from_mins(5)));
        let name = "the shop".to_owned();
        ApiKeyRecord::of(&key, name, AppId::default(), scopes, now, end)
    };
    let (first, second) = (make(1), make(2));
    ours.add(first.clone()).await.unwrap();
    assert!(
        ours.add(first.clone()).await.is_err(),
        "an id is added once"
    );
    ours.add(second.clone()).await.unwrap();
    assert_eq!(ours.list().await.unwrap().len(), 2);
    while theirs.find(&second.id).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(theirs.find(&first.id).await.unwrap(), Some(first.clone()));
    assert!(theirs.revoke(&first.id, now).await.unwrap());
    assert!(!theirs.revoke(&first.id, now).await.unwrap());
    let revoked =
        |found: Option<ApiKeyRecord>| found.is_some_and(|key| key.revoked_at == Some(now));
    while !revoked(ours.find(&first.id).await.unwrap()) {
        tokio::task::yield_now().await;
    }
    let expired = second.expires_at.unwrap();
    assert!(!ours.revoke(&second.id, expired).await.unwrap());
}

#[tokio::test]
async fn a_lock_is_seen_and_lifted_everywhere() {
    let Some(one) = on_a_server().await else {
        return;
    };
    let other = one.beside().await;
    let nodes = [Node::of(one.port(), 1), Node::of(other.store(), 2)];
    for node in &nodes {
        let id = node.started(TO).await;
        for _ in 0..5 {
            node.check(id, WRONG).await.unwrap_err();
        }
    }
    for node in &nodes {
        let refused = node.start(TO, None).await.unwrap_err();
        assert!(matches!(refused, SendError::Refused(Refusal::Locked(_))));
    }
    let to = watchword_core::Recipient::from_canonical(TO);
    let index: RecipientIndex = fakes::keys(1).recipient_index(&AppId::default(), &to);
    let now = SetClock::default().now();
    assert!(one.unlock(index, now).await.unwrap());
    nodes[1].started(TO).await;
}
