//! A master of a cluster is killed under load, and its replica takes over.
//!
//! Redis copies to replicas after it has answered, so a failover may forget what callers were told
//! last. How often is told, for `docs/reliability.md`; with a replica that has to confirm every step,
//! nothing may be forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::{JoinHandle, block_in_place};

use super::{Fleet, POLICY, Storage, until};
use crate::redis::{self, RedisCluster};
use crate::server::{Caller, another};

const CALLERS: usize = 8;
const MASTERS: usize = redis::MASTERS;

/// What a caller was told last of a verification.
#[derive(Debug)]
pub(super) struct Entry {
    id: String,
    code: String,
    attempts: u64,
    approved: bool,
    /// Whether a request about it came to no answer.
    in_doubt: bool,
}

/// What a failover forgot of what callers had been told.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Forgotten {
    starts: usize,
    attempts: usize,
    approvals: usize,
}

/// Lets callers loose on two nodes, until told to stop, and waits until they are well under way.
pub(super) async fn under_load(
    fleet: &Arc<Fleet>,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<Vec<Entry>>> {
    let callers = (0..CALLERS)
        .map(|place| {
            let caller = fleet.callers[place % 2].clone();
            let first = place * 1_000;
            tokio::spawn(work(Arc::clone(fleet), caller, first, Arc::clone(stop)))
        })
        .collect();
    while fleet.twilio.messages().len() < 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    callers
}

/// Starts, misses once, and approves every second one, until told to stop.
async fn work(
    fleet: Arc<Fleet>,
    caller: Caller,
    first: usize,
    stop: Arc<AtomicBool>,
) -> Vec<Entry> {
    let mut ledger = Vec::new();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let to = format!("+1201555{:04}", first + turn);
        let started = caller.start(&to).await;
        if started.status != 201 {
            assert_eq!(started.status, 503, "{}", started.text);
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        let mut entry = Entry {
            id: started.id(),
            code: fleet.codes(&to).pop().unwrap(),
            attempts: 5,
            approved: false,
            in_doubt: true,
        };
        let missed = caller.check(&entry.id, &another(&entry.code)).await;
        if missed.status == 422 {
            entry.attempts = missed.json()["attempts_remaining"].as_u64().unwrap();
            entry.in_doubt = false;
        }
        if turn % 2 == 0 {
            let checked = caller.check(&entry.id, &entry.code).await;
            entry.approved = checked.status == 200;
            entry.in_doubt |= checked.status == 503;
        }
        ledger.push(entry);
    }
    ledger
}

/// Holds what callers were told against what is known now.
pub(super) async fn hold(caller: &Caller, ledger: &[Entry]) -> Forgotten {
    let mut forgotten = Forgotten::default();
    for entry in ledger {
        let found = caller.get(&format!("/v1/verifications/{}", entry.id)).await;
        if found.status == 404 {
            forgotten.starts += 1;
            continue;
        }
        let found = found.json();
        if entry.approved {
            // What it would be to be approved twice.
            let again = caller.check(&entry.id, &entry.code).await;
            forgotten.approvals += usize::from(again.status == 200);
            let third = caller.check(&entry.id, &entry.code).await;
            assert_ne!(third.status, 200, "twice after one failover");
        } else if !entry.in_doubt {
            let attempts = found["attempts_remaining"].as_u64().unwrap();
            forgotten.attempts += usize::from(attempts > entry.attempts);
        }
    }
    forgotten
}

async fn failover(rest: &str) -> Option<Forgotten> {
    if !redis::is_there() {
        return None;
    }
    let cluster = block_in_place(RedisCluster::start);
    let storage = Storage::at(cluster.url(rest));
    let fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 2).await;
    let (fleet, stop) = (Arc::new(fleet), Arc::new(AtomicBool::new(false)));
    let callers = under_load(&fleet, &stop).await;
    cluster.nodes[0].kill();
    let killed = Instant::now();
    block_in_place(|| {
        let mut raw = cluster.nodes[MASTERS].connect();
        redis::until("the replica takes over", || {
            raw.ask(&["ROLE"]).list()[0].text() == "master"
        });
    });
    let taken_over = killed.elapsed();
    // As a replica now, for those who wait for one.
    block_in_place(|| cluster.nodes[0].start_again());
    let numbers = AtomicUsize::new(0);
    // More than enough to meet every shard.
    for turn in 0..40 {
        until(201, || async {
            let next = numbers.fetch_add(1, Ordering::Relaxed);
            fleet.callers[turn % 2]
                .start(&format!("+1202555{next:04}"))
                .await
        })
        .await;
    }
    let served = killed.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut ledger = Vec::new();
    for caller in callers {
        ledger.extend(caller.await.unwrap());
    }
    let forgotten = hold(&fleet.callers[0], &ledger).await;
    let body = json!({ "to": "+12035550100" });
    assert_eq!(
        fleet.callers[1]
            .post("/v1/verifications", body)
            .await
            .status,
        201
    );
    eprintln!(
        "{rest} {} verifications, taken over after {taken_over:.2?}, all shards served after \
         {served:.2?}: {forgotten:?}",
        ledger.len()
    );
    Some(forgotten)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_dies_is_replaced_under_nodes_that_go_on() {
    failover("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_confirmed_is_there_when_it_takes_over() {
    if let Some(forgotten) = failover("?wait_replicas=1").await {
        assert_eq!(forgotten, Forgotten::default());
    }
}
