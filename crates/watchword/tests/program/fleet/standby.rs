//! A PostgreSQL is killed under load, and its standby is promoted.
//!
//! Nodes that name both hosts go over by themselves. What was answered is there where the primary
//! waits for its standby (`synchronous_standby_names`); where it does not, how much is forgotten is
//! told, for `docs/reliability.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use super::failover::{Forgotten, hold, under_load};
use super::{Fleet, POLICY, Storage, until};
use crate::postgres::{Installed, Server};

/// How long a standby gets nothing at most, while steps wait for it.
const HELD_BACK: Duration = Duration::from_secs(2);

async fn takeover(synchronous: bool) -> Option<Forgotten> {
    let installed = Installed::find()?;
    let (mut primary, standby) = block_in_place(|| {
        let primary = Server::start_with(installed, &[]);
        let standby = primary.standby();
        if synchronous {
            primary.wait_for_standby();
        }
        (primary, standby)
    });
    let both = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
    let url = primary.url("postgres");
    let url = url.replace(&format!("127.0.0.1:{}", primary.port), &both);
    let fleet = Fleet::with(Storage::at(url), POLICY, "sms = [\"twilio\"]", 2).await;
    let (fleet, stop) = (Arc::new(fleet), Arc::new(AtomicBool::new(false)));
    let callers = under_load(&fleet, &stop).await;
    // Else a standby on the same machine is never behind, and whether a step waited for it makes no
    // difference.
    let held_back = block_in_place(|| {
        primary.hold_replication_back();
        Instant::now()
    });
    let before = fleet.twilio.messages().len();
    while fleet.twilio.messages().len() < before + 50 && held_back.elapsed() < HELD_BACK {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    block_in_place(|| primary.kill());
    let killed = Instant::now();
    block_in_place(|| standby.promote());
    let promoted = killed.elapsed();
    let numbers = AtomicUsize::new(0);
    for caller in &fleet.callers {
        until(201, || async {
            let next = numbers.fetch_add(1, Ordering::Relaxed);
            caller.start(&format!("+1202555{next:04}")).await
        })
        .await;
    }
    let served = killed.elapsed() - promoted;
    stop.store(true, Ordering::Relaxed);
    let mut ledger = Vec::new();
    for caller in callers {
        ledger.extend(caller.await.unwrap());
    }
    let forgotten = hold(&fleet.callers[0], &ledger).await;
    eprintln!(
        "synchronous: {synchronous}; {} verifications, promoted after {promoted:.2?}, served by all \
         nodes {served:.2?} later: {forgotten:?}",
        ledger.len()
    );
    Some(forgotten)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_promoted_is_gone_over_to_without_a_restart() {
    if let Some(forgotten) = takeover(false).await {
        // It had not got all that was answered: what the other test would see, too.
        assert_ne!(forgotten, Forgotten::default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_synchronous_standby_has_is_there_when_it_is_promoted() {
    if let Some(forgotten) = takeover(true).await {
        assert_eq!(forgotten, Forgotten::default());
    }
}
