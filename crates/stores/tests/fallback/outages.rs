//! What a stand-in promises: before, during and after an outage of the primary.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::{AppId, CheckError, Readiness, Refusal, SendError, Store as _, WhenPending};

use super::server::{Server, WRONG, is_limited, is_unavailable, recipient};
use super::switch::Site;

const TO: &str = "+14155550100";
const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn new_codes_live_here_while_the_primary_is_away_and_it_says_so() {
    let site = Site::new().await;
    let server = Server::of(&site);
    assert_eq!(site.readiness().await.unwrap(), Readiness::Ready);
    site.primary.switch(false);
    assert_eq!(site.readiness().await.unwrap(), Readiness::Degraded);
    let id = server.started(TO).await;
    assert!(server.check(id, &server.code(id)).await.is_ok());
    assert!(site.primary.store.is_empty(), "and nowhere else");
    site.mend().await;
    assert_eq!(site.readiness().await.unwrap(), Readiness::Ready);
}

#[tokio::test]
async fn a_failing_step_is_enough_to_notice_and_the_next_one_is_served_here() {
    let site = Site::new().await;
    let server = Server::of(&site);
    site.primary.switch(false);
    // Nobody knows whether the primary took this one, so its code is never sent.
    assert!(server.start(TO).await.is_err());
    assert_eq!(server.pigeon.count(), 0);
    assert!(site.is_away());
    assert!(server.start(TO).await.is_ok());
}

#[tokio::test]
async fn an_outage_resets_no_limit_of_a_recipient() {
    let site = Site::new().await;
    let server = Server::of(&site);
    server.started(TO).await;
    site.cut().await;
    server.started(TO).await;
    site.mend().await;
    let other = Server::beside(&site);
    other.started(TO).await;
    for server in [&server, &other] {
        assert!(
            is_limited(&server.start(TO).await),
            "a fourth code in ten minutes"
        );
    }
    site.cut().await;
    // The code of the other node is not known here, but three are not used up by two.
    server.started(TO).await;
    assert!(is_limited(&server.start(TO).await));
    site.mend().await;
    assert!(is_limited(&other.start(TO).await));
    site.clock.advance(MINUTE * 11);
    assert!(other.start(TO).await.is_ok(), "and a limit ends");
}

#[tokio::test]
async fn an_outage_resets_no_limit_of_a_source() {
    let site = Site::new().await;
    let server = Server::of(&site);
    let from = "198.51.100.7";
    let to = |number: usize| format!("+1415555010{number}");
    server.start_from(&to(1), from).await.unwrap();
    server.start_from(&to(2), from).await.unwrap();
    site.cut().await;
    server.start_from(&to(3), from).await.unwrap();
    assert!(is_limited(&server.start_from(&to(4), from).await));
    site.mend().await;
    for server in [&server, &Server::beside(&site)] {
        assert!(is_limited(&server.start_from(&to(5), from).await));
    }
}

#[tokio::test]
async fn a_send_that_the_primary_gave_back_is_given_back_here_too() {
    let site = Site::new().await;
    let server = Server::of(&site);
    server
        .pigeon
        .answer(Some(watchword_core::Verdict::Unavailable));
    for _ in 0..5 {
        assert!(server.start_from(TO, "one").await.is_err());
    }
    server.pigeon.answer(None);
    site.cut().await;
    for _ in 0..3 {
        server.start_from(TO, "one").await.unwrap();
    }
}

#[tokio::test]
async fn an_outage_resets_no_failure_budget() {
    let site = Site::new().await;
    let server = Server::of(&site);
    server.fail(&site, TO, 5).await;
    site.cut().await;
    server.fail(&site, TO, 3).await;
    site.mend().await;
    // What was sent meanwhile counts from the return on.
    site.clock.advance(MINUTE * 10);
    server.fail(&site, TO, 2).await;
    site.clock.advance(MINUTE * 4);
    for server in [&server, &Server::beside(&site)] {
        let refused = server.start(TO).await;
        assert!(
            matches!(refused, Err(SendError::Refused(Refusal::Locked(_)))),
            "{refused:?}"
        );
    }
    site.cut().await;
    let refused = server.start(TO).await;
    assert!(
        matches!(refused, Err(SendError::Refused(Refusal::Locked(_)))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_lock_from_before_holds_here_and_one_from_here_holds_afterwards() {
    let site = Site::new().await;
    let server = Server::of(&site);
    let (before, meanwhile) = ("+14155550101", "+14155550102");
    let slowly = Duration::from_hours(2);
    for _ in 0..100 {
        site.clock.advance(slowly);
        server.fail(&site, before, 1).await;
    }
    for _ in 0..60 {
        site.clock.advance(slowly);
        server.fail(&site, meanwhile, 1).await;
    }
    site.cut().await;
    site.clock.advance(slowly * 24);
    assert!(matches!(
        server.start(before).await,
        Err(SendError::Refused(Refusal::Locked(_)))
    ));
    for _ in 0..40 {
        site.clock.advance(slowly);
        server.fail(&site, meanwhile, 1).await;
    }
    site.mend().await;
    site.clock.advance(slowly * 24);
    let other = Server::beside(&site);
    for to in [before, meanwhile] {
        for server in [&server, &other] {
            let refused = server.start(to).await;
            let Err(SendError::Refused(Refusal::Locked(locked))) = &refused else {
                panic!("{to} is not locked: {refused:?}");
            };
            assert_eq!(locked.retry_after, None);
        }
        let app = AppId::default();
        assert!(server.verifier.unlock(&app, &recipient(to)).await.unwrap());
        assert!(server.start(to).await.is_ok());
    }
    site.cut().await;
    assert!(server.start(before).await.is_ok(), "lifted here too");
    let app = AppId::default();
    let unlocked = server.verifier.unlock(&app, &recipient(before)).await;
    assert!(unlocked.is_err(), "an unlock needs the primary");
}

#[tokio::test]
async fn a_code_of_the_primary_is_neither_checked_nor_resent_while_that_is_away() {
    let site = Site::new().await;
    let server = Server::of(&site);
    let id = server.started(TO).await;
    let code = server.code(id);
    site.cut().await;
    assert!(is_unavailable(&server.check(id, &code).await));
    assert!(is_unavailable(&server.check_newest(TO, &code).await));
    assert!(server.resend(id).await.is_err());
    site.mend().await;
    assert!(server.check(id, &code).await.is_ok());
    assert!(server.check(id, &code).await.is_err(), "once");
    site.cut().await;
    assert!(server.check(id, &code).await.is_err(), "nor here");
}

#[tokio::test]
async fn a_code_made_here_is_checked_here_after_the_return_once() {
    let site = Site::cut_off().await;
    let server = Server::of(&site);
    let id = server.started(TO).await;
    let code = server.code(id);
    site.mend().await;
    assert!(
        Server::beside(&site).check(id, &code).await.is_err(),
        "it is this node's"
    );
    assert!(server.check(id, WRONG).await.is_err());
    assert!(server.check_newest(TO, &code).await.is_ok());
    assert!(server.check(id, &code).await.is_err());
    assert!(server.check_newest(TO, &code).await.is_err());
    site.cut().await;
    assert!(server.check(id, &code).await.is_err());
}

#[tokio::test]
async fn of_two_codes_the_newer_one_is_meant() {
    let site = Site::new().await;
    let server = Server::of(&site);
    let oldest = server.started(TO).await;
    site.cut().await;
    site.clock.advance(MINUTE);
    let here = server.started(TO).await;
    assert!(server.check_newest(TO, &server.code(oldest)).await.is_err());
    site.mend().await;
    let dead = server.check(oldest, &server.code(oldest)).await;
    assert!(
        matches!(dead, Err(CheckError::NotFound)),
        "a newer one took its place"
    );
    site.clock.advance(MINUTE);
    let newest = server.started(TO).await;
    let dead = server.check(here, &server.code(here)).await;
    assert!(
        matches!(dead, Err(CheckError::NotFound)),
        "a newer one took its place"
    );
    assert!(server.check_newest(TO, &server.code(newest)).await.is_ok());
}

#[tokio::test]
async fn the_code_of_another_node_is_meant_where_it_is_newer() {
    let site = Site::cut_off().await;
    let (server, other) = (Server::of(&site), Server::beside(&site));
    server.started(TO).await;
    site.mend().await;
    site.clock.advance(MINUTE);
    let newer = other.started(TO).await;
    assert!(server.check_newest(TO, &other.code(newer)).await.is_ok());
}

#[tokio::test]
async fn a_live_code_made_here_refuses_a_start_that_wants_a_resend() {
    let site = Site::cut_off().await;
    let mut server = Server::of(&site);
    server.policy.when_pending = WhenPending::Refuse;
    let id = server.started(TO).await;
    site.mend().await;
    assert!(matches!(
        server.start(TO).await,
        Err(SendError::Refused(Refusal::Live))
    ));
    let before = server.code(id);
    server.resend(id).await.unwrap();
    assert!(server.check(id, &before).await.is_err());
    server.resend(id).await.unwrap();
    assert!(is_limited(&server.resend(id).await));
    let other = Server::beside(&site);
    assert!(
        is_limited(&other.start(TO).await),
        "its resends count at the primary"
    );
    assert!(server.check(id, &server.code(id)).await.is_ok());
}

#[tokio::test]
async fn failures_at_a_code_made_here_count_at_the_primary_after_the_return() {
    let site = Site::cut_off().await;
    let server = Server::of(&site);
    let id = server.started(TO).await;
    site.mend().await;
    for _ in 0..5 {
        assert!(server.check(id, WRONG).await.is_err());
    }
    let other = Server::beside(&site);
    let id = other.started(TO).await;
    for _ in 0..5 {
        assert!(matches!(
            other.check(id, WRONG).await,
            Err(CheckError::Incorrect { .. })
        ));
    }
    let refused = other.start(TO).await;
    assert!(
        matches!(refused, Err(SendError::Refused(Refusal::Locked(_)))),
        "{refused:?}"
    );
}

/// A process that ended during an outage takes what is owed to the primary when it starts again.
#[tokio::test]
async fn what_is_owed_outlives_the_process() {
    let site = Site::cut_off().await;
    let server = Server::of(&site);
    for _ in 0..3 {
        server.started(TO).await;
    }
    let (primary, local, clock) = (&site.primary, &site.local, &site.clock);
    let again = Site::over(Arc::clone(primary), Arc::clone(local), Arc::clone(clock)).await;
    assert!(again.is_away());
    let server = Server::of(&again);
    assert!(is_limited(&server.start(TO).await));
    again.mend().await;
    assert!(is_limited(&Server::beside(&again).start(TO).await));
    let once = Site::over(Arc::clone(primary), Arc::clone(local), Arc::clone(clock)).await;
    assert!(!once.is_away());
}

#[tokio::test]
async fn nothing_is_taken_to_the_primary_twice() {
    let site = Site::cut_off().await;
    let server = Server::of(&site);
    server.started(TO).await;
    for _ in 0..3 {
        site.mend().await;
        site.cut().await;
    }
    site.mend().await;
    let other = Server::beside(&site);
    other.started(TO).await;
    other.started(TO).await;
    assert!(is_limited(&other.start(TO).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_starts_across_a_return_get_exactly_the_limit() {
    for round in 0..30 {
        let site = Arc::new(Site::cut_off().await);
        let server = Arc::new(Server::of(&site));
        let starts: Vec<_> = (0..24)
            .map(|number| {
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.start_from(TO, &number.to_string()).await })
            })
            .collect();
        site.mend().await;
        let mut admitted = 0;
        for start in starts {
            admitted += usize::from(start.await.unwrap().is_ok());
        }
        assert_eq!(admitted, 3, "in round {round}");
        assert!(is_limited(&Server::beside(&site).start(TO).await));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_right_codes_across_a_return_yield_one_approval() {
    for round in 0..30 {
        let site = Arc::new(Site::cut_off().await);
        let server = Arc::new(Server::of(&site));
        let id = server.started(TO).await;
        let code = server.code(id);
        let checks: Vec<_> = (0..24)
            .map(|_| {
                let (server, code) = (Arc::clone(&server), code.clone());
                tokio::spawn(async move { server.check(id, &code).await })
            })
            .collect();
        site.mend().await;
        let mut approved = 0;
        for check in checks {
            approved += usize::from(check.await.unwrap().is_ok());
        }
        assert_eq!(approved, 1, "in round {round}");
    }
}

/// A client that hangs up does not keep a failure from being counted here.
#[tokio::test]
async fn a_check_that_nobody_waits_for_is_counted_all_the_same() {
    let site = Site::new().await;
    let server = Server::of(&site);
    for _ in 0..2 {
        let id = server.started(TO).await;
        for _ in 0..5 {
            let mut check = Box::pin(server.check(id, WRONG));
            let polled = futures_util::poll!(&mut check);
            assert!(polled.is_pending());
            drop(check);
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
    site.cut().await;
    assert!(matches!(
        server.start(TO).await,
        Err(SendError::Refused(Refusal::Locked(_)))
    ));
}
