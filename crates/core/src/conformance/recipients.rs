//! Promises about what is held of a recipient, and about erasing it.

use std::time::Duration;

use super::Opened;
use super::desk::{Desk, MINUTE, Order, RIGHT, SECOND, T0, WRONG, quota, started};
use crate::policy::FailureBudget;
use crate::step::{CheckOutcome, Refusal, StartOutcome};
use crate::store::Store;
use crate::verification::{RETENTION, Status};

/// Live ones and ended ones, oldest first, with the counters; nothing of anybody else.
pub async fn everything_of_a_recipient_is_remembered_and_nothing_of_others(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order::default();
    let signup = Order {
        purpose: "signup",
        ..order.clone()
    };
    let other = Order {
        to: 101,
        ..order.clone()
    };
    let first = desk.start(&order, T0).await;
    let second = desk.start(&order, T0.plus(SECOND)).await;
    let third = desk.start(&signup, T0.plus(SECOND * 2)).await;
    desk.start(&other, T0).await;
    let now = T0.plus(SECOND * 3);
    desk.check(second, &order, WRONG, now).await;
    let of = |order: &Order| desk.store.remembered(desk.index(order), now);
    let found = of(&order).await.expect("the store works");
    let ids: Vec<_> = found.verifications.iter().map(|row| row.id).collect();
    assert_eq!(ids, [first, second, third]);
    assert_eq!(found.verifications[0].status, Status::Superseded);
    assert_eq!(found.verifications[1].attempts_left, order.attempts - 1);
    assert_eq!(found.ledger.sends.moments().len(), 3);
    assert_eq!(found.ledger.failures.moments(), [now]);
    assert_eq!((found.ledger.row, found.ledger.locked), (1, false));
    let found = of(&other).await.expect("the store works");
    assert_eq!((found.verifications.len(), found.ledger.row), (1, 0));
    let nobody = Order {
        to: 102,
        ..order.clone()
    };
    let found = of(&nobody).await.expect("the store works");
    assert_eq!(found, crate::store::Remembered::default());
    let late = T0.plus(SECOND * 3 + order.ttl + RETENTION);
    let found = desk.store.remembered(desk.index(&order), late).await;
    assert!(found.expect("the store works").verifications.is_empty());
}

/// Live codes are dead, and the handles are unknown.
pub async fn an_erased_recipient_has_no_verification_left(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order::default();
    let other = Order {
        to: 101,
        ..order.clone()
    };
    let old = desk.start(&order, T0).await;
    let live = desk.start(&order, T0.plus(SECOND)).await;
    let theirs = desk.start(&other, T0).await;
    let now = T0.plus(SECOND * 2);
    let index = desk.index(&order);
    let erased = desk.store.erase(index, now).await;
    assert_eq!(erased.expect("the store works"), 2);
    for id in [old, live] {
        assert_eq!(desk.status(id, &order, now).await, None);
        let outcome = desk.check(id, &order, RIGHT, now).await;
        assert_eq!(outcome, CheckOutcome::NotFound);
    }
    let newest = desk
        .store
        .newest(&order.app, index, &order.purpose(), now)
        .await;
    assert_eq!(newest.expect("the store works"), None);
    let found = desk.store.remembered(index, now).await;
    assert_eq!(found.expect("the store works").verifications, []);
    let again = desk.store.erase(index, now).await;
    assert_eq!(again.expect("the store works"), 0);
    let status = desk.status(theirs, &other, now).await;
    assert_eq!(status, Some(Status::Pending));
    // And it can begin anew.
    let fresh = desk.start(&order, now).await;
    assert!(matches!(
        desk.check(fresh, &order, RIGHT, now).await,
        CheckOutcome::Approved(_)
    ));
}

/// Sends, cooldown and failures count as before: else erasing would be a way around them.
pub async fn an_erasure_is_no_way_around_a_budget(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order {
        limits: vec![quota(2, MINUTE * 10)],
        cooldown: MINUTE,
        failures: Some(FailureBudget {
            per_hour: 2,
            ..FailureBudget::default()
        }),
        ..Order::default()
    };
    let index = desk.index(&order);
    let id = desk.start(&order, T0).await;
    desk.check(id, &order, WRONG, T0).await;
    desk.store.erase(index, T0).await.expect("the store works");
    let (_, outcome) = desk.try_start(&order, T0.plus(SECOND)).await;
    let refusal = Refusal::Cooldown {
        retry_after: MINUTE - SECOND,
    };
    assert_eq!(outcome, StartOutcome::Refused(refusal));
    let now = T0.plus(MINUTE);
    let id = desk.start(&order, now).await;
    desk.store.erase(index, now).await.expect("the store works");
    let now = T0.plus(MINUTE * 2);
    let (_, outcome) = desk.try_start(&order, now).await;
    let refusal = Refusal::RecipientLimit {
        retry_after: MINUTE * 8,
    };
    assert_eq!(outcome, StartOutcome::Refused(refusal));
    let outcome = desk.check(id, &order, WRONG, now).await;
    assert_eq!(outcome, CheckOutcome::NotFound);
    let now = T0.plus(MINUTE * 10);
    let id = desk.start(&order, now).await;
    desk.check(id, &order, WRONG, now).await;
    desk.store.erase(index, now).await.expect("the store works");
    let unlimited = Order {
        limits: Vec::new(),
        cooldown: Duration::ZERO,
        ..order.clone()
    };
    let (_, outcome) = desk.try_start(&unlimited, now).await;
    assert!(!started(&outcome), "two failures in an hour: {outcome:?}");
    let found = desk.store.remembered(index, now).await;
    assert_eq!(found.expect("the store works").ledger.row, 2);
}
