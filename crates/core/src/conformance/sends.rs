//! Promises about starts and resends: which code is the live one.

use std::sync::Arc;
use std::time::Duration;

use super::Opened;
use super::desk::{
    Desk, MILLI, MINUTE, Order, RIGHT, SECOND, T0, WRONG, approved, count, crowd, incorrect,
    limited, other_app, quota, started,
};
use crate::step::{CheckOutcome, Refusal, ResendOutcome, StartOutcome};
use crate::store::Store;
use crate::verification::Status;

const TEN_MINUTES: Duration = Duration::from_mins(10);

/// What a start put in place is what can be read.
pub async fn a_started_verification_reads_as_it_was_started(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let step = desk.start_step(&order);
    let outcome = desk.store.start(step.clone(), T0).await;
    let StartOutcome::Started(charged) = outcome.expect("the store works") else {
        panic!("an order without limits was refused");
    };
    assert_eq!((charged.made_at, charged.at), (T0, T0));
    assert_eq!(charged.source_at, None);
    assert_eq!(desk.get(step.id, &order, T0).await, Some(step.open(T0)));
}

/// A crowd that starts the same verification leaves one live code; all others are superseded.
pub async fn parallel_starts_of_one_purpose_leave_one_live(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let ids = crowd(20, |_| {
        let (desk, order) = (Arc::clone(&desk), order.clone());
        async move { desk.start(&order, T0).await }
    })
    .await;
    let (index, purpose) = (desk.index(&order), order.purpose());
    let newest = desk.store.newest(&order.app, index, &purpose, T0).await;
    let newest = newest.expect("the store works").expect("it was started");
    for id in ids {
        let status = desk.status(id, &order, T0).await;
        if id == newest.id {
            assert_eq!(status, Some(Status::Pending));
        } else {
            assert_eq!(status, Some(Status::Superseded));
            let outcome = desk.check(id, &order, RIGHT, T0).await;
            assert_eq!(outcome, CheckOutcome::NotFound);
        }
    }
    assert!(approved(&desk.check(newest.id, &order, RIGHT, T0).await));
}

/// A new code for one purpose kills the old code of that purpose, and no other.
pub async fn a_start_replaces_its_own_purpose_only(store: impl Opened) {
    let (desk, login) = (Desk::open(store), Order::default());
    let signup = Order {
        purpose: "signup",
        code: "111111",
        ..login.clone()
    };
    let neighbour = Order {
        to: 101,
        ..login.clone()
    };
    let old = desk.start(&login, T0).await;
    let other = desk.start(&signup, T0).await;
    let next = desk.start(&neighbour, T0).await;
    let new = desk.start(&login, T0).await;
    assert_eq!(desk.status(old, &login, T0).await, Some(Status::Superseded));
    assert!(approved(&desk.check(new, &login, RIGHT, T0).await));
    assert!(approved(&desk.check(other, &signup, "111111", T0).await));
    assert!(approved(&desk.check(next, &neighbour, RIGHT, T0).await));
}

/// Over the limit, in the cooldown, or where a live code is to be kept: the code that lives goes
/// on living.
pub async fn a_refused_start_leaves_the_live_code_alone(store: impl Opened) {
    let desk = Desk::open(store);
    let order = limited(1);
    let id = desk.start(&order, T0).await;
    let before = desk.get(id, &order, T0).await;
    let cooling = Order {
        cooldown: MINUTE,
        ..Order::default()
    };
    let keeping = Order {
        when_pending: crate::policy::WhenPending::Refuse,
        ..Order::default()
    };
    for (refusing, refusal) in [
        (
            &order,
            Refusal::RecipientLimit {
                retry_after: TEN_MINUTES,
            },
        ),
        (
            &cooling,
            Refusal::Cooldown {
                retry_after: MINUTE,
            },
        ),
        (&keeping, Refusal::Live),
    ] {
        let (refused, outcome) = desk.try_start(refusing, T0).await;
        assert_eq!(outcome, StartOutcome::Refused(refusal));
        assert_eq!(desk.get(refused, &order, T0).await, None);
    }
    assert_eq!(desk.get(id, &order, T0).await, before);
    assert!(approved(&desk.check(id, &order, RIGHT, T0).await));
    desk.start(&keeping, T0).await;
}

/// Two tenants, one recipient, one purpose: codes, limits, cooldowns and budgets are separate.
pub async fn two_apps_share_nothing_of_a_recipient(store: impl Opened) {
    let desk = Desk::open(store);
    let ours = Order {
        cooldown: MINUTE,
        code: "111111",
        ..limited(1)
    };
    let theirs = Order {
        app: other_app(),
        code: "222222",
        ..ours.clone()
    };
    let id = desk.start(&ours, T0).await;
    let foreign = desk.start(&theirs, T0).await;
    for _ in 0..5 {
        assert!(incorrect(&desk.check(foreign, &theirs, "111111", T0).await));
    }
    let unlocked = desk.store.unlock(desk.index(&ours), T0).await;
    assert!(
        !unlocked.expect("the store works"),
        "the failures are theirs"
    );
    assert!(approved(&desk.check_newest(&ours, "111111", T0).await));
    assert_eq!(desk.status(id, &theirs, T0).await, None);
}

/// The fresh code is the only one; it has its own lifetime and attempts, which its send paid for.
pub async fn a_resend_kills_the_old_code_and_buys_new_attempts(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    for _ in 0..4 {
        assert!(incorrect(&desk.check(id, &order, WRONG, T0).await));
    }
    let fresh = Order {
        code: "111111",
        attempts: 3,
        ttl: MINUTE * 2,
        ..order.clone()
    };
    let now = T0.plus(MINUTE * 4);
    let before = desk.get(id, &order, now).await.expect("it is pending");
    let ResendOutcome::Renewed(charged, renewed) = desk.resend(id, &fresh, now).await else {
        panic!("a resend without limits was refused");
    };
    assert_eq!((charged.made_at, charged.at), (now, now));
    assert_eq!(desk.get(id, &order, now).await.as_ref(), Some(&*renewed));
    assert_eq!(renewed.created_at, before.created_at);
    assert_eq!(renewed.sent_at, now);
    assert_eq!(renewed.expires_at, now.plus(MINUTE * 2));
    let old = desk.check(id, &order, RIGHT, now).await;
    assert_eq!(
        old,
        CheckOutcome::Incorrect {
            attempts_left: 2,
            locks: false
        }
    );
    let last = now.plus(MINUTE * 2).minus(MILLI);
    assert!(approved(&desk.check(id, &order, "111111", last).await));
}

/// Exhausted, approved, canceled, superseded, expired or another app's: no fresh code.
pub async fn what_has_ended_is_not_resent(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let superseded = desk.start(&order, T0).await;
    let exhausted = desk.start(&order, T0).await;
    for _ in 0..5 {
        assert!(incorrect(&desk.check(exhausted, &order, WRONG, T0).await));
    }
    let done = desk.start(&order, T0).await;
    assert!(approved(&desk.check(done, &order, RIGHT, T0).await));
    let canceled = desk.start(&order, T0).await;
    let outcome = desk.store.cancel(&order.app, canceled, T0).await;
    outcome.expect("the store works");
    let live = desk.start(&order, T0).await;
    let foreign = Order {
        app: other_app(),
        ..order.clone()
    };
    let outcome = desk.resend(exhausted, &order, T0).await;
    assert_eq!(outcome, ResendOutcome::Exhausted);
    for id in [superseded, done, canceled] {
        let outcome = desk.resend(id, &order, T0).await;
        assert_eq!(outcome, ResendOutcome::NotFound);
    }
    let outcome = desk.resend(live, &foreign, T0).await;
    assert_eq!(outcome, ResendOutcome::NotFound);
    let outcome = desk.resend(live, &order, T0.plus(order.ttl)).await;
    assert_eq!(outcome, ResendOutcome::NotFound);
}

/// Guesses at the old code and at the new one, while one takes the other's place: at most one is
/// approved, and every wrong one is counted.
pub async fn a_check_during_a_resend_meets_one_code_and_is_counted(store: impl Opened) {
    let desk = Desk::open(store);
    for to in 0..25 {
        let order = Order {
            to,
            attempts: 50,
            ..Order::default()
        };
        let fresh = Order {
            code: "111111",
            ..order.clone()
        };
        let id = desk.start(&order, T0).await;
        let outcomes = crowd(17, |number| {
            let (desk, order, fresh) = (Arc::clone(&desk), order.clone(), fresh.clone());
            async move {
                match number {
                    8 => {
                        let outcome = desk.resend(id, &fresh, T0).await;
                        let renewed = matches!(outcome, ResendOutcome::Renewed(..));
                        assert!(renewed || outcome == ResendOutcome::NotFound, "{outcome:?}");
                        None
                    }
                    0..8 => Some(desk.check(id, &order, "111111", T0).await),
                    _ => Some(desk.check(id, &order, WRONG, T0).await),
                }
            }
        })
        .await;
        let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        assert!(count(&outcomes, approved) <= 1, "{outcomes:?}");
        let wrong = u32::try_from(count(&outcomes, incorrect)).expect("few callers");
        desk.assert_failures(&order, wrong, T0).await;
        // The old code is dead for good, wherever the race ended.
        let old = desk.check(id, &order, RIGHT, T0).await;
        assert!(!approved(&old), "{old:?}");
    }
}

/// Limits and cooldowns hold as if the clock had stood still, a code lives no longer than its
/// time, and what a new code replaced stays dead.
pub async fn a_clock_that_steps_back_gains_nothing(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order {
        cooldown: SECOND * 30,
        source: Some((1, vec![quota(10, MINUTE)])),
        ..limited(3)
    };
    let ahead = T0.plus(Duration::from_hours(24 * 365));
    for step in [0, 30, 60] {
        desk.start(&order, ahead.plus(SECOND * step)).await;
    }
    let (_, outcome) = desk.try_start(&order, T0).await;
    assert!(!started(&outcome), "{outcome:?}");

    // One was sent when the clock was ahead. The next lives from when it is made.
    let order = Order {
        to: 101,
        ..Order::default()
    };
    desk.start(&order, ahead).await;
    let (id, charged) = desk.start_charged(&order, T0).await;
    assert_eq!((charged.made_at, charged.at), (T0, ahead));
    let outcome = desk.check(id, &order, RIGHT, T0.plus(order.ttl)).await;
    assert_eq!(outcome, CheckOutcome::NotFound);

    // The first was over when the second was made; stepping back does not leave two of them.
    let order = Order {
        to: 102,
        ..Order::default()
    };
    let old = desk.start(&order, T0).await;
    let new = desk.start(&order, T0.plus(order.ttl)).await;
    let outcome = desk.check(old, &order, RIGHT, T0).await;
    assert_eq!(outcome, CheckOutcome::NotFound);
    assert!(approved(&desk.check(new, &order, RIGHT, T0).await));
}
