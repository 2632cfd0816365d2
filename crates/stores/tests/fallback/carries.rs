//! What was counted during an outage is taken to the primary once, however often that fails on the
//! way back.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::fakes;
use watchword_core::{AppId, CheckError, Clock as _, Store as _};

use super::server::{Server, WRONG, is_limited, recipient};
use super::site::{Kind, Site};

const ONE: &str = "+14155550100";
const OTHER: &str = "+14155550101";

/// How many sends and failures the primary counts.
async fn counted(site: &Site, to: &str) -> (usize, usize) {
    let index = fakes::keys(1).recipient_index(&AppId::default(), &recipient(to));
    let remembered = site.primary.remembered(index, site.clock.now());
    let ledger = remembered.await.unwrap().ledger;
    (
        ledger.sends.moments().len(),
        ledger.failures.moments().len(),
    )
}

async fn fail_once(server: &Server, to: &str) {
    let wrong = server.check_newest(to, WRONG).await;
    assert!(
        matches!(wrong, Err(CheckError::Incorrect { .. })),
        "{wrong:?}"
    );
}

/// Each step of the return fails in its turn; in between, this node goes on counting.
#[tokio::test]
async fn a_return_that_fails_in_the_middle_counts_nothing_twice() {
    for step in 1.. {
        let site = Site::cut_off(Kind::Switched).await;
        let server = Server::of(&site);
        for _ in 0..2 {
            server.start_from(ONE, "a shop").await.unwrap();
            fail_once(&server, ONE).await;
        }
        server.started(OTHER).await;
        for _ in 0..3 {
            fail_once(&server, OTHER).await;
        }
        site.primary.fail_at(step);
        site.primary.up().await;
        site.store.probe().await;
        let failed = !site.primary.is_to_fail();
        if failed {
            assert!(site.is_away(), "it failed at step {step}");
            site.clock.advance(Duration::from_secs(1));
            fail_once(&server, ONE).await;
            server.started(OTHER).await;
            site.mend().await;
        } else {
            site.primary.fail_at(0);
        }
        let more = usize::from(failed);
        let at = format!("after a failure at step {step}");
        assert_eq!(counted(&site, ONE).await, (2, 2 + more), "{at}");
        assert_eq!(counted(&site, OTHER).await, (1 + more, 3), "{at}");
        let there = Server::beside(&site);
        assert!(there.start_from("+14155550102", "a shop").await.is_ok());
        let limited = there.start_from("+14155550103", "a shop").await;
        assert!(is_limited(&limited), "{at}");
        if !failed {
            assert!(step > 13, "a step for each at least");
            return;
        }
    }
}

/// Entries of a clock that stepped back are taken last. Whoever had theirs taken when that failed
/// goes on counting all the same.
#[tokio::test]
async fn what_is_counted_after_a_return_that_failed_late_is_taken_with_the_next() {
    for step in 1.. {
        let site = Site::cut_off(Kind::Switched).await;
        let server = Server::of(&site);
        let now = site.clock.now();
        site.clock.advance(Duration::from_mins(5));
        server.started(ONE).await;
        server.started(OTHER).await;
        site.clock.set(now);
        site.primary.fail_at(step);
        site.primary.up().await;
        site.store.probe().await;
        if site.primary.is_to_fail() {
            assert!(step > 6, "a step for each at least");
            return;
        }
        server.started(ONE).await;
        server.started(OTHER).await;
        site.mend().await;
        for to in [ONE, OTHER] {
            assert_eq!(counted(&site, to).await, (2, 0), "{to} at step {step}");
        }
    }
}

/// The primary has counted it, and went away before the rest was done.
#[tokio::test]
async fn a_failure_that_the_primary_has_counted_is_not_owed() {
    let site = Site::cut_off(Kind::Switched).await;
    let server = Server::of(&site);
    let id = server.started(ONE).await;
    site.mend().await;
    // Counting a failure there takes a start, a check, and the end of what was started.
    site.primary.go_down_at(3);
    assert!(server.check(id, WRONG).await.is_err());
    assert!(site.is_away());
    site.mend().await;
    assert_eq!(counted(&site, ONE).await, (1, 1));
}

/// Its answers come when it counts as away, and when this node has begun to count by itself.
#[tokio::test]
async fn what_the_primary_did_is_not_owed_however_late_it_says_so() {
    let site = Arc::new(Site::new(Kind::Switched).await);
    let server = Arc::new(Server::of(&site));
    let id = server.started(OTHER).await;
    let held = site.primary.hold_answers().await;
    let start = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.start_from(ONE, "a shop").await })
    };
    let check = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.check(id, WRONG).await })
    };
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    site.cut().await;
    site.clock.advance(Duration::from_secs(1));
    server.start_from(ONE, "a shop").await.unwrap();
    drop(held);
    start.await.unwrap().unwrap();
    let wrong = check.await.unwrap();
    assert!(matches!(wrong, Err(CheckError::Incorrect { .. })));
    server.started(OTHER).await;
    fail_once(&server, OTHER).await;
    site.mend().await;
    assert_eq!(counted(&site, ONE).await, (2, 0));
    assert_eq!(counted(&site, OTHER).await, (2, 2));
    let there = Server::beside(&site);
    assert!(there.start_from("+14155550102", "a shop").await.is_ok());
    assert!(is_limited(
        &there.start_from("+14155550103", "a shop").await
    ));
}
