//! Promises about checks.

use std::sync::Arc;

use super::Opened;
use super::desk::{
    CROWD, Desk, MILLI, MINUTE, Order, RIGHT, WRONG, approved, count, crowd, incorrect, locked,
    other_app,
};
use crate::channel::Channel;
use crate::policy::FailureBudget;
use crate::step::CheckOutcome;
use crate::store::Store;
use crate::verification::Status;

use super::desk::T0;

/// Start, check, approved; and never again.
pub async fn a_right_code_is_approved_once(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    let later = T0.plus(MINUTE);
    match desk.check(id, &order, RIGHT, later).await {
        CheckOutcome::Approved(verification) => {
            assert_eq!(verification.id, id);
            assert_eq!(verification.status, Status::Approved);
            assert_eq!(verification.ended_at, Some(later));
        }
        other => panic!("the right code was not approved: {other:?}"),
    }
    let again = desk.check(id, &order, RIGHT, later).await;
    assert_eq!(again, CheckOutcome::NotFound);
    assert_eq!(
        desk.status(id, &order, later).await,
        Some(Status::Approved),
        "the owner can still read how it ended"
    );
}

/// A right code is worth one approval, however many callers bring it at once.
pub async fn parallel_right_codes_yield_one_approval(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    let outcomes = crowd(CROWD, |_| {
        let (desk, order) = (Arc::clone(&desk), order.clone());
        async move { desk.check(id, &order, RIGHT, T0).await }
    })
    .await;
    assert_eq!(count(&outcomes, approved), 1, "approvals");
    let not_found = |outcome: &CheckOutcome| *outcome == CheckOutcome::NotFound;
    assert_eq!(count(&outcomes, not_found), CROWD - 1);
}

/// An attempt is spent before it is compared: a crowd of guesses gets five answers, and then
/// even the right code gets none.
pub async fn parallel_wrong_codes_get_no_more_comparisons_than_attempts(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    let outcomes = crowd(CROWD, |_| {
        let (desk, order) = (Arc::clone(&desk), order.clone());
        async move { desk.check(id, &order, WRONG, T0).await }
    })
    .await;
    assert_eq!(count(&outcomes, incorrect), 5, "compared guesses");
    for attempts_left in 0..5 {
        let answer = CheckOutcome::Incorrect {
            attempts_left,
            locks: false,
        };
        assert_eq!(count(&outcomes, |outcome| *outcome == answer), 1);
    }
    let exhausted = |outcome: &CheckOutcome| *outcome == CheckOutcome::Exhausted;
    assert_eq!(count(&outcomes, exhausted), CROWD - 5);
    let right = desk.check(id, &order, RIGHT, T0).await;
    assert_eq!(right, CheckOutcome::Exhausted);
    desk.assert_failures(&order, 5, T0).await;
}

/// Right and wrong codes, by handle and by recipient, all at once: five comparisons at most and
/// one approval at most, and every wrong one is on the recipient's account.
pub async fn parallel_guesses_of_all_kinds_share_the_attempts(store: impl Opened) {
    let desk = Desk::open(store);
    for to in 0..20 {
        let order = Order {
            to,
            ..Order::default()
        };
        let id = desk.start(&order, T0).await;
        let outcomes = crowd(24, |number| {
            let (desk, order) = (Arc::clone(&desk), order.clone());
            let code = if number % 8 == 7 { RIGHT } else { WRONG };
            async move {
                if number % 2 == 0 {
                    desk.check(id, &order, code, T0).await
                } else {
                    desk.check_newest(&order, code, T0).await
                }
            }
        })
        .await;
        let (right, wrong) = (count(&outcomes, approved), count(&outcomes, incorrect));
        assert!(right <= 1, "{outcomes:?}");
        assert!(right + wrong <= 5, "{outcomes:?}");
        assert!(right == 1 || wrong == 5, "{outcomes:?}");
        let wrong = u32::try_from(wrong).expect("at most 5");
        desk.assert_failures(&order, wrong, T0).await;
    }
}

/// Approved, canceled, expired, exhausted, superseded, failed, locked, another app's, unknown:
/// in none of these states does the answer tell a right code from a wrong one.
pub async fn the_answer_does_not_depend_on_the_code_once_it_is_dead(store: impl Opened) {
    let desk = Desk::open(store);
    let mut to = 0;
    let mut order = || {
        to += 1;
        Order {
            to,
            ..Order::default()
        }
    };
    let mut dead = Vec::new();

    let one = order();
    let id = desk.start(&one, T0).await;
    assert!(approved(&desk.check(id, &one, RIGHT, T0).await));
    dead.push(("approved", id, one, T0, CheckOutcome::NotFound));

    let one = order();
    let id = desk.start(&one, T0).await;
    let canceled = desk.store.cancel(&one.app, id, T0).await;
    canceled.expect("the store works");
    dead.push(("canceled", id, one, T0, CheckOutcome::NotFound));

    let one = order();
    let id = desk.start(&one, T0).await;
    let end = T0.plus(one.ttl);
    dead.push(("expired", id, one, end, CheckOutcome::NotFound));

    let one = order();
    let id = desk.start(&one, T0).await;
    for _ in 0..5 {
        assert!(incorrect(&desk.check(id, &one, WRONG, T0).await));
    }
    dead.push(("exhausted", id, one.clone(), T0, CheckOutcome::Exhausted));
    dead.push((
        "exhausted and old",
        id,
        one,
        T0.plus(MINUTE * 6),
        CheckOutcome::Exhausted,
    ));

    let one = order();
    let id = desk.start(&one, T0).await;
    desk.start(&one, T0).await;
    dead.push(("superseded", id, one, T0, CheckOutcome::NotFound));

    let one = order();
    let id = desk.start(&one, T0).await;
    desk.store.fail(id, T0, T0).await.expect("the store works");
    dead.push(("failed", id, one, T0, CheckOutcome::NotFound));

    let mut one = order();
    let id = desk.start(&one, T0).await;
    assert!(incorrect(&desk.check(id, &one, WRONG, T0).await));
    one.failures = Some(FailureBudget {
        per_hour: 1,
        ..FailureBudget::default()
    });
    let refused = desk.check(id, &one, WRONG, T0).await;
    assert!(locked(&refused), "{refused:?}");
    dead.push(("locked", id, one, T0, refused));

    let mut one = order();
    let id = desk.start(&one, T0).await;
    one.app = other_app();
    dead.push(("another app's", id, one, T0, CheckOutcome::NotFound));

    let one = order();
    let unknown = desk.start_step(&one).id;
    dead.push(("unknown", unknown, one, T0, CheckOutcome::NotFound));

    for (state, id, order, now, answer) in dead {
        for code in [RIGHT, WRONG, RIGHT] {
            let outcome = desk.check(id, &order, code, now).await;
            assert_eq!(outcome, answer, "{state}");
        }
    }
}

/// Whoever brings another app's key finds nothing, and burns none of the owner's attempts.
pub async fn a_check_by_another_app_is_not_found_and_costs_nothing(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let foreign = Order {
        app: other_app(),
        ..order.clone()
    };
    let id = desk.start(&order, T0).await;
    for code in [RIGHT, WRONG] {
        let by_id = desk.check(id, &foreign, code, T0).await;
        assert_eq!(by_id, CheckOutcome::NotFound);
        let by_recipient = desk.check_newest(&foreign, code, T0).await;
        assert_eq!(by_recipient, CheckOutcome::NotFound);
    }
    assert_eq!(desk.get(id, &foreign, T0).await, None);
    let found = desk.get(id, &order, T0).await.expect("it is the owner's");
    assert_eq!(found.attempts_left, 5);
    desk.assert_failures(&order, 0, T0).await;
}

/// Both ways to a verification lead to the same one and spend the same attempts.
pub async fn a_check_by_recipient_is_a_check_of_its_newest_verification(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let nobody = desk.check_newest(&order, RIGHT, T0).await;
    assert_eq!(nobody, CheckOutcome::NotFound);
    desk.start(&order, T0).await;
    let newest = desk.start(&order, T0).await;
    let left = |attempts_left| CheckOutcome::Incorrect {
        attempts_left,
        locks: false,
    };
    assert_eq!(desk.check_newest(&order, WRONG, T0).await, left(4));
    assert_eq!(desk.check(newest, &order, WRONG, T0).await, left(3));
    assert_eq!(desk.check_newest(&order, WRONG, T0).await, left(2));
    match desk.check_newest(&order, RIGHT, T0).await {
        CheckOutcome::Approved(verification) => assert_eq!(verification.id, newest),
        other => panic!("the right code was not approved: {other:?}"),
    }
    let again = desk.check_newest(&order, RIGHT, T0).await;
    assert_eq!(again, CheckOutcome::NotFound);
}

/// A millisecond before its end a code passes, at its end it fails.
pub async fn a_code_is_good_until_its_last_millisecond(store: impl Opened) {
    let desk = Desk::open(store);
    let (in_time, late) = (
        Order::default(),
        Order {
            to: 101,
            ..Order::default()
        },
    );
    let end = T0.plus(in_time.ttl);
    let id = desk.start(&in_time, T0).await;
    let passed = desk.check(id, &in_time, RIGHT, end.minus(MILLI)).await;
    assert!(approved(&passed), "{passed:?}");
    let id = desk.start(&late, T0).await;
    let failed = desk.check(id, &late, RIGHT, end).await;
    assert_eq!(failed, CheckOutcome::NotFound);
    assert_eq!(desk.status(id, &late, end).await, Some(Status::Expired));
}

/// The code of one verification is wrong at another one, with another binding, and after another
/// channel took over; each of these costs an attempt.
pub async fn a_code_is_good_for_its_own_place_only(store: impl Opened) {
    let desk = Desk::open(store);
    let ten = Order {
        binding: r#"{"amount":10}"#,
        ..Order::default()
    };
    let thousand = Order {
        binding: r#"{"amount":1000}"#,
        ..ten.clone()
    };
    let transfer = Order {
        purpose: "transfer",
        code: "111111",
        ..ten.clone()
    };
    let neighbour = Order {
        to: 101,
        code: "222222",
        ..ten.clone()
    };
    let id = desk.start(&ten, T0).await;
    let other = desk.start(&transfer, T0).await;
    let next = desk.start(&neighbour, T0).await;
    let left = |attempts_left| CheckOutcome::Incorrect {
        attempts_left,
        locks: false,
    };
    assert_eq!(desk.check(other, &ten, RIGHT, T0).await, left(4), "purpose");
    assert_eq!(desk.check(next, &ten, RIGHT, T0).await, left(4), "handle");
    assert_eq!(desk.check(id, &ten, "222222", T0).await, left(4), "handle");
    let bound = desk.check(id, &thousand, RIGHT, T0).await;
    assert_eq!(bound, left(3), "binding");
    let renewed = Order {
        channel: Channel::Voice,
        code: "333333",
        ..ten.clone()
    };
    desk.renew(id, &renewed, T0).await;
    assert_eq!(desk.check(id, &ten, RIGHT, T0).await, left(4), "old code");
    assert!(approved(&desk.check(id, &ten, "333333", T0).await));
}

/// After the approval, nothing says "approved" any more, and a wrong code least of all.
pub async fn a_wrong_code_after_the_approval_is_not_approved(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    assert!(approved(&desk.check(id, &order, RIGHT, T0).await));
    for code in [WRONG, RIGHT] {
        let outcome = desk.check(id, &order, code, T0).await;
        assert_eq!(outcome, CheckOutcome::NotFound);
        let outcome = desk.check_newest(&order, code, T0).await;
        assert_eq!(outcome, CheckOutcome::NotFound);
    }
    desk.assert_failures(&order, 0, T0).await;
}
