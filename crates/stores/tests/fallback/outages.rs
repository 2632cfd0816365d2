//! What a stand-in promises: before, during and after an outage of the primary.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::keys::Sealed;
use watchword_core::{
    AppId, CheckError, Clock as _, Readiness, Refusal, Replay, ReplayKey, ReplayStore as _,
    SendError, Store as _, WhenPending,
};

use super::server::{Server, WRONG, is_limited, is_unavailable, recipient};
use super::site::{Kind, Site};

const TO: &str = "+14155550100";
const MINUTE: Duration = Duration::from_mins(1);

pub(super) async fn new_codes_live_here_while_the_primary_is_away_and_it_says_so(kind: Kind) {
    let site = Site::new(kind).await;
    let server = Server::of(&site);
    assert_eq!(site.readiness().await.unwrap(), Readiness::Ready);
    site.primary.down().await;
    assert_eq!(site.readiness().await.unwrap(), Readiness::Degraded);
    let id = server.started(TO).await;
    assert!(server.check(id, &server.code(id)).await.is_ok());
    site.mend().await;
    let (app, now) = (AppId::default(), site.clock.now());
    let there = site.primary.get(&app, id, now);
    assert!(there.await.unwrap().is_none(), "and nowhere else");
    assert_eq!(site.readiness().await.unwrap(), Readiness::Ready);
}

pub(super) async fn a_failing_step_is_enough_to_notice_and_the_next_one_is_served_here(kind: Kind) {
    let site = Site::new(kind).await;
    let server = Server::of(&site);
    // From here on there is a connection.
    server.started("+14155550101").await;
    site.primary.down().await;
    // Nobody knows whether the primary took this one, so its code is never sent.
    assert!(server.start(TO).await.is_err());
    assert_eq!(server.pigeon.count(), 1);
    assert!(site.is_away());
    let id = server.started(TO).await;
    assert_eq!(server.pigeon.count(), 2);
    site.mend().await;
    assert!(server.check(id, &server.code(id)).await.is_ok());
}

/// As where nobody listens: it is certain that the primary did not do the step.
pub(super) async fn a_step_that_the_primary_did_not_hear_of_is_done_here_at_once(kind: Kind) {
    let site = Site::new(kind).await;
    let server = Server::of(&site);
    server.started(TO).await;
    site.primary.down().await;
    site.primary.lose_connections().await;
    assert!(!site.is_away(), "nobody has noticed");
    let id = server.started(TO).await;
    assert!(site.is_away());
    assert_eq!(server.pigeon.count(), 2, "sent once");
    assert!(server.check(id, &server.code(id)).await.is_ok());
    server.started(TO).await;
    assert!(is_limited(&server.start(TO).await));
    site.mend().await;
    assert!(is_limited(&Server::beside(&site).start(TO).await));
}

/// To look for a newer code at the primary changes nothing there.
pub(super) async fn a_check_of_what_was_made_here_goes_on_without_the_primary(kind: Kind) {
    let site = Site::cut_off(kind).await;
    let server = Server::of(&site);
    let id = server.started(TO).await;
    site.mend().await;
    site.primary.down().await;
    let wrong = server.check_newest(TO, WRONG).await;
    assert!(
        matches!(wrong, Err(CheckError::Incorrect { .. })),
        "{wrong:?}"
    );
    assert!(server.check_newest(TO, &server.code(id)).await.is_ok());
    assert!(site.is_away());
}

/// So is a resend of what was made here, which the primary only counts.
pub(super) async fn a_resend_that_the_primary_did_not_hear_of_is_done_here_at_once(kind: Kind) {
    let site = Site::cut_off(kind).await;
    let server = Server::of(&site);
    let id = server.started(TO).await;
    site.mend().await;
    site.primary.down().await;
    site.primary.lose_connections().await;
    server.resend(id).await.unwrap();
    assert!(site.is_away());
    assert!(server.check_newest(TO, &server.code(id)).await.is_ok());
}

pub(super) async fn an_outage_resets_no_limit_of_a_recipient(kind: Kind) {
    let site = Site::new(kind).await;
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

pub(super) async fn an_outage_resets_no_limit_of_a_source(kind: Kind) {
    let site = Site::new(kind).await;
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

pub(super) async fn a_send_that_the_primary_gave_back_is_given_back_here_too(kind: Kind) {
    let site = Site::new(kind).await;
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

pub(super) async fn an_outage_resets_no_failure_budget(kind: Kind) {
    let site = Site::new(kind).await;
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

pub(super) async fn a_lock_from_before_holds_here_and_one_from_here_holds_afterwards(kind: Kind) {
    let site = Site::new(kind).await;
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
        assert!(
            server
                .verifier
                .unlock(&app, &recipient(to), None)
                .await
                .unwrap()
        );
        assert!(server.start(to).await.is_ok());
    }
    site.cut().await;
    assert!(server.start(before).await.is_ok(), "lifted here too");
}

/// An operator need not wait for the primary, nor do it again when that is back.
pub(super) async fn a_lock_that_is_lifted_meanwhile_is_lifted_here_and_afterwards(kind: Kind) {
    let site = Site::new(kind).await;
    let server = Server::of(&site);
    let slowly = Duration::from_hours(2);
    for _ in 0..100 {
        site.clock.advance(slowly);
        server.fail(&site, TO, 1).await;
    }
    site.clock.advance(slowly * 24);
    assert!(is_locked(&server.start(TO).await));
    site.cut().await;
    assert!(is_locked(&server.start(TO).await));
    let app = AppId::default();
    assert!(
        server
            .verifier
            .unlock(&app, &recipient(TO), None)
            .await
            .unwrap()
    );
    for _ in 0..9 {
        site.clock.advance(MINUTE);
        server.fail(&site, TO, 1).await;
    }
    site.mend().await;
    let other = Server::beside(&site);
    site.clock.advance(MINUTE * 11);
    // Nine that came afterwards are not forgotten: the tenth of an hour is the last.
    assert!(other.start(TO).await.is_ok(), "lifted there too");
    site.clock.advance(MINUTE * 4);
    other.fail(&site, TO, 1).await;
    assert!(is_locked(&other.start(TO).await));
    for _ in 0..2 {
        site.cut().await;
        site.mend().await;
    }
    assert!(is_locked(&other.start(TO).await), "lifted once");
}

fn is_locked(outcome: &Result<watchword_core::Sent, SendError>) -> bool {
    matches!(outcome, Err(SendError::Refused(Refusal::Locked(_))))
}

/// A request that was repeated is one request, whichever side of a change it comes on.
pub(super) async fn an_outage_forgets_no_idempotency_key_of_this_node(kind: Kind) {
    let site = Site::new(kind).await;
    let now = site.clock.now();
    let later = now.plus(MINUTE * 60);
    let claim = async |key: u8, request: u8| {
        let (key, request) = (ReplayKey([key; 16]), [request; 32]);
        site.claim(key, request, later, now).await.unwrap()
    };
    let finish = async |key: u8| {
        let (key, answer) = (ReplayKey([key; 16]), Sealed::from_bytes(&[key]));
        site.finish(key, answer, later).await.unwrap();
    };
    let done = |key: u8| Replay::Done(Sealed::from_bytes(&[key]));
    for key in [1, 2] {
        assert_eq!(claim(key, 0).await, Replay::Fresh);
    }
    finish(1).await;
    site.primary.down().await;
    // The first to notice goes on all the same: to hold a key does nothing yet.
    assert_eq!(claim(3, 0).await, Replay::Fresh);
    assert!(site.is_away());
    assert_eq!(claim(1, 0).await, done(1));
    assert_eq!(claim(1, 1).await, Replay::Different);
    assert_eq!(claim(2, 0).await, Replay::Running);
    finish(2).await;
    finish(3).await;
    site.mend().await;
    for key in [1, 2, 3] {
        assert_eq!(claim(key, 0).await, done(key));
    }
}

pub(super) async fn a_code_of_the_primary_is_neither_checked_nor_resent_while_that_is_away(
    kind: Kind,
) {
    let site = Site::new(kind).await;
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

pub(super) async fn a_code_made_here_is_checked_here_after_the_return_once(kind: Kind) {
    let site = Site::cut_off(kind).await;
    let server = Server::of(&site);
    let id = server.started(TO).await;
    let code = server.code(id);
    site.clock.advance(Duration::from_secs(2));
    site.mend().await;
    assert!(
        Server::beside(&site).check(id, &code).await.is_err(),
        "it is this node's"
    );
    let wrong = server.check_newest(TO, WRONG).await.unwrap_err();
    assert!(matches!(wrong, CheckError::Incorrect { attempts_left: 4 }));
    server.resend(id).await.unwrap();
    assert!(
        server.check_newest(TO, &code).await.is_err(),
        "not any more"
    );
    let code = server.code(id);
    assert!(server.check_newest(TO, &code).await.is_ok());
    assert!(server.check(id, &code).await.is_err());
    assert!(server.check_newest(TO, &code).await.is_err());
    site.cut().await;
    assert!(server.check(id, &code).await.is_err());
}

pub(super) async fn of_two_codes_the_newer_one_is_meant(kind: Kind) {
    let site = Site::new(kind).await;
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

pub(super) async fn the_code_of_another_node_is_meant_where_it_is_newer(kind: Kind) {
    let site = Site::cut_off(kind).await;
    let (server, other) = (Server::of(&site), Server::beside(&site));
    server.started(TO).await;
    site.mend().await;
    site.clock.advance(MINUTE);
    let newer = other.started(TO).await;
    assert!(server.check_newest(TO, &other.code(newer)).await.is_ok());
}

pub(super) async fn a_live_code_made_here_refuses_a_start_that_wants_a_resend(kind: Kind) {
    let site = Site::cut_off(kind).await;
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

pub(super) async fn failures_at_a_code_made_here_count_at_the_primary_after_the_return(kind: Kind) {
    let site = Site::cut_off(kind).await;
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
pub(super) async fn what_is_owed_outlives_the_process(kind: Kind) {
    let site = Site::cut_off(kind).await;
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

pub(super) async fn nothing_is_taken_to_the_primary_twice(kind: Kind) {
    let site = Site::cut_off(kind).await;
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

pub(super) async fn parallel_starts_across_a_return_get_exactly_the_limit(kind: Kind) {
    for round in 0..kind.rounds() {
        let site = Arc::new(Site::cut_off(kind).await);
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

pub(super) async fn parallel_right_codes_across_a_return_yield_one_approval(kind: Kind) {
    for round in 0..kind.rounds() {
        let site = Arc::new(Site::cut_off(kind).await);
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
