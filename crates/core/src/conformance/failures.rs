//! Promises about the failure budget: it outlives every code.

use std::sync::Arc;
use std::time::Duration;

use super::Opened;
use super::desk::{
    CROWD, Desk, MILLI, MINUTE, Order, RIGHT, T0, WRONG, approved, count, crowd, incorrect, locked,
};
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::ledger::Locked;
use crate::policy::FailureBudget;
use crate::step::{CheckOutcome, Refusal, ResendOutcome, StartOutcome};
use crate::store::Store;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn retry_after(outcome: &CheckOutcome) -> Option<Duration> {
    match outcome {
        CheckOutcome::Locked(locked) => locked.retry_after,
        other => panic!("the recipient is not locked: {other:?}"),
    }
}

/// Fails `times` times, a fresh code for each five.
async fn fail(desk: &Desk<impl Opened>, order: &Order, times: usize, now: Timestamp) {
    let mut left = 0;
    let mut id = None;
    for _ in 0..times {
        if left == 0 {
            (id, left) = (Some(desk.start(order, now).await), 5);
        }
        let id = id.expect("just started");
        let outcome = desk.check(id, order, WRONG, now).await;
        assert!(incorrect(&outcome), "{outcome:?}");
        left -= 1;
    }
}

/// The eleventh failure in any hour is not compared, and a millisecond after the first of the
/// ten is an hour old, one more is.
pub async fn ten_failures_an_hour_are_the_most(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::budgeted());
    let patient = Order {
        ttl: HOUR,
        ..order.clone()
    };
    fail(&desk, &order, 5, T0).await;
    let id = desk.start(&patient, T0.plus(MINUTE)).await;
    for second in 0..4 {
        let now = T0.plus(MINUTE + Duration::from_secs(second));
        assert!(incorrect(&desk.check(id, &order, WRONG, now).await));
    }
    let id = desk.start(&patient, T0.plus(MINUTE * 2)).await;
    let now = T0.plus(MINUTE * 2);
    assert!(incorrect(&desk.check(id, &order, WRONG, now).await));
    for code in [RIGHT, WRONG] {
        let outcome = desk.check(id, &order, code, now).await;
        assert_eq!(retry_after(&outcome), Some(MINUTE * 58));
    }
    let last = T0.plus(HOUR).minus(MILLI);
    let outcome = desk.check(id, &order, RIGHT, last).await;
    assert_eq!(retry_after(&outcome), Some(MILLI));
    let outcome = desk.check(id, &order, RIGHT, T0.plus(HOUR)).await;
    assert!(approved(&outcome), "{outcome:?}");
}

/// Twenty failures lock until the first of them is a day old, however they are spread.
pub async fn twenty_failures_a_day_are_the_most(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::budgeted());
    fail(&desk, &order, 10, T0).await;
    fail(&desk, &order, 10, T0.plus(HOUR * 2)).await;
    let now = T0.plus(HOUR * 4);
    let (_, outcome) = desk.try_start(&order, now).await;
    let locked = Locked {
        retry_after: Some(HOUR * 20),
    };
    assert_eq!(outcome, StartOutcome::Refused(Refusal::Locked(locked)));
    let (_, outcome) = desk.try_start(&order, T0.plus(DAY).minus(MILLI)).await;
    let locked = Locked {
        retry_after: Some(MILLI),
    };
    assert_eq!(outcome, StartOutcome::Refused(Refusal::Locked(locked)));
    fail(&desk, &order, 10, T0.plus(DAY)).await;
}

/// NIST SP 800-63B-4 section 3.2.2: no more than 100 failures in a row, over however many days,
/// until somebody vouches for the recipient.
pub async fn a_hundred_failures_in_a_row_lock_until_unlocked(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::budgeted());
    let mut now = T0;
    for _ in 0..10 {
        fail(&desk, &order, 10, now).await;
        now = now.plus(DAY);
    }
    now = now.plus(DAY * 7);
    let forever = Locked { retry_after: None };
    let (_, outcome) = desk.try_start(&order, now).await;
    assert_eq!(outcome, StartOutcome::Refused(Refusal::Locked(forever)));
    let index = desk.index(&order);
    let unlocked = desk.store.unlock(index, now).await;
    assert!(unlocked.expect("the store works"));
    let id = desk.start(&order, now).await;
    assert!(approved(&desk.check(id, &order, RIGHT, now).await));
    let unlocked = desk.store.unlock(index, now).await;
    assert!(!unlocked.expect("the store works"), "nothing is left");
}

/// Of many failures at once, the last that the recipient bears says that it is locked now, and no other.
pub async fn one_failure_says_that_it_locks(store: impl Opened) {
    let desk = Arc::new(Desk::open(store));
    let budget = FailureBudget {
        in_a_row: 4,
        ..FailureBudget::default()
    };
    let order = Order {
        attempts: 60,
        failures: Some(budget),
        ..Order::default()
    };
    let id = desk.start(&order, T0).await;
    let outcomes = crowd(CROWD, |_| {
        let (desk, order) = (Arc::clone(&desk), order.clone());
        async move { desk.check(id, &order, WRONG, T0).await }
    })
    .await;
    let locks =
        |outcome: &CheckOutcome| matches!(outcome, CheckOutcome::Incorrect { locks: true, .. });
    assert_eq!(
        (count(&outcomes, incorrect), count(&outcomes, locks)),
        (4, 1)
    );
    let (_, refused) = desk.try_start(&order, T0).await;
    let forever = Locked { retry_after: None };
    assert_eq!(refused, StartOutcome::Refused(Refusal::Locked(forever)));
}

/// A success clears the row. The windows of an hour and a day stay as they are.
pub async fn a_success_ends_the_row_and_nothing_else(store: impl Opened) {
    let desk = Desk::open(store);
    let budget = FailureBudget {
        in_a_row: 4,
        per_hour: 6,
        per_day: 100,
    };
    let order = Order {
        failures: Some(budget),
        ..Order::default()
    };
    fail(&desk, &order, 3, T0).await;
    let id = desk.start(&order, T0).await;
    assert!(approved(&desk.check(id, &order, RIGHT, T0).await));
    let neighbour = Order {
        to: 101,
        ..order.clone()
    };
    fail(&desk, &neighbour, 3, T0).await;
    // Three more make six in the hour, but only three in a row.
    fail(&desk, &order, 3, T0).await;
    let (_, outcome) = desk.try_start(&order, T0).await;
    let locked = Locked {
        retry_after: Some(HOUR),
    };
    assert_eq!(outcome, StartOutcome::Refused(Refusal::Locked(locked)));
    // A success of one recipient is nothing to another.
    fail(&desk, &neighbour, 1, T0).await;
    let (_, outcome) = desk.try_start(&neighbour, T0).await;
    let forever = Locked { retry_after: None };
    assert_eq!(outcome, StartOutcome::Refused(Refusal::Locked(forever)));
}

/// Ten failures are ten failures: over starts, resends, purposes and channels.
pub async fn no_new_code_purpose_or_channel_resets_the_budget(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::budgeted());
    fail(&desk, &order, 3, T0).await;
    let id = desk.start(&order, T0).await;
    assert!(incorrect(&desk.check(id, &order, WRONG, T0).await));
    let by_voice = Order {
        channel: Channel::Voice,
        code: "111111",
        ..order.clone()
    };
    desk.renew(id, &by_voice, T0).await;
    for _ in 0..2 {
        assert!(incorrect(&desk.check(id, &order, WRONG, T0).await));
    }
    let signup = Order {
        purpose: "signup",
        channel: Channel::Whatsapp,
        ..order.clone()
    };
    fail(&desk, &signup, 4, T0).await;
    for order in [&order, &signup, &by_voice] {
        for code in [RIGHT, "111111", WRONG] {
            assert!(locked(&desk.check_newest(order, code, T0).await));
        }
    }
}

/// A crowd on several verifications of one recipient gets ten comparisons together.
pub async fn parallel_failures_share_one_budget(store: impl Opened) {
    let desk = Desk::open(store);
    let order = |purpose| Order {
        purpose,
        attempts: 50,
        ..Order::budgeted()
    };
    let mut open = Vec::new();
    for purpose in ["login", "signup", "transfer", "reset"] {
        let order = order(purpose);
        open.push((desk.start(&order, T0).await, order));
    }
    let outcomes = crowd(CROWD, |number| {
        let desk = Arc::clone(&desk);
        let (id, order) = open[number % open.len()].clone();
        async move { desk.check(id, &order, WRONG, T0).await }
    })
    .await;
    assert_eq!(count(&outcomes, incorrect), 10, "compared guesses");
    assert_eq!(count(&outcomes, locked), CROWD - 10);
}

/// A start or resend for a locked recipient is refused before anything is charged.
pub async fn a_locked_recipient_is_sent_nothing_and_charged_nothing(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order {
        source: Some((1, vec![super::desk::quota(4, MINUTE * 90)])),
        limits: vec![super::desk::quota(4, MINUTE * 90)],
        ..Order::budgeted()
    };
    fail(&desk, &order, 9, T0).await;
    let id = desk.start(&order, T0).await;
    assert!(incorrect(&desk.check(id, &order, WRONG, T0).await));
    let locked = Locked {
        retry_after: Some(HOUR),
    };
    for _ in 0..3 {
        let (_, outcome) = desk.try_start(&order, T0).await;
        assert_eq!(outcome, StartOutcome::Refused(Refusal::Locked(locked)));
        let outcome = desk.resend(id, &order, T0).await;
        assert_eq!(outcome, ResendOutcome::Refused(Refusal::Locked(locked)));
    }
    // Three sends were charged to both; a fourth is admitted when the hour is over.
    desk.start(&order, T0.plus(HOUR)).await;
    let (_, outcome) = desk.try_start(&order, T0.plus(HOUR)).await;
    let retry_after = MINUTE * 30;
    let refusal = Refusal::SourceLimit { retry_after };
    assert_eq!(outcome, StartOutcome::Refused(refusal));
}

/// Whether failures count is known by the verification. A caller that names no budget gets the
/// default one, not a way around it.
pub async fn the_budget_counts_whatever_the_caller_says(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order {
        attempts: 50,
        ..Order::budgeted()
    };
    let careless = Order {
        failures: None,
        ..order.clone()
    };
    let id = desk.start(&order, T0).await;
    for _ in 0..10 {
        assert!(incorrect(&desk.check(id, &careless, WRONG, T0).await));
    }
    assert!(locked(&desk.check(id, &careless, RIGHT, T0).await));
    assert!(locked(&desk.check(id, &order, RIGHT, T0).await));
}

/// A verification that nothing is sent for bears as many guesses as its attempts.
pub async fn without_a_recipient_only_the_attempts_count(store: impl Opened) {
    let desk = Desk::open(store);
    let anonymous = Order {
        attempts: 60,
        failures: None,
        ..Order::default()
    };
    let careful = Order::budgeted();
    let id = desk.start(&anonymous, T0).await;
    for attempts_left in (1..60).rev() {
        let outcome = desk.check(id, &careful, WRONG, T0).await;
        assert_eq!(
            outcome,
            CheckOutcome::Incorrect {
                attempts_left,
                locks: false
            }
        );
    }
    assert!(approved(&desk.check(id, &careful, RIGHT, T0).await));
}
