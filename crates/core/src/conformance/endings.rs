//! Promises about how verifications end, and what is remembered of them.

use std::time::Duration;

use super::Opened;
use super::desk::{
    Desk, MILLI, MINUTE, Order, RIGHT, SECOND, T0, WRONG, approved, delivery, incorrect, noted,
    other_app, quota, started,
};
use crate::delivery::{Delivery, DeliveryStatus};
use crate::step::{CancelOutcome, CheckOutcome, Refusal, ResendOutcome, StartOutcome};
use crate::store::Store;
use crate::verification::{RETENTION, Status};

const TEN_MINUTES: Duration = Duration::from_mins(10);

fn costly() -> Order {
    Order {
        cooldown: MINUTE,
        limits: vec![quota(1, TEN_MINUTES)],
        source: Some((1, vec![quota(1, TEN_MINUTES)])),
        ..Order::default()
    }
}

/// No provider could be reached: the slots of recipient and source and the cooldown are given
/// back, and the verification has failed.
pub async fn a_withdrawn_start_gives_everything_back(store: impl Opened) {
    let (desk, order) = (Desk::open(store), costly());
    for _ in 0..3 {
        let (id, charged) = desk.start_charged(&order, T0).await;
        desk.withdraw(id, &order, charged, true).await;
        assert_eq!(desk.status(id, &order, T0).await, Some(Status::Failed));
        let outcome = desk.check(id, &order, RIGHT, T0).await;
        assert_eq!(outcome, CheckOutcome::NotFound);
    }
    desk.start(&order, T0).await;
    let (_, outcome) = desk.try_start(&order, T0).await;
    assert!(!started(&outcome), "this one was sent");
    // What is given back late does not cost a later send its place.
    let order = Order {
        to: 101,
        ..Order::default()
    };
    let (slow, charged) = desk.start_charged(&order, T0).await;
    let cooling = Order {
        cooldown: MINUTE,
        ..order.clone()
    };
    let newer = desk.start(&order, T0.plus(SECOND)).await;
    desk.withdraw(slow, &order, charged, true).await;
    let (_, outcome) = desk.try_start(&cooling, T0.plus(SECOND)).await;
    let refusal = Refusal::Cooldown {
        retry_after: MINUTE,
    };
    assert_eq!(outcome, StartOutcome::Refused(refusal));
    assert!(approved(
        &desk.check(newer, &order, RIGHT, T0.plus(SECOND)).await
    ));
}

/// A resend that reached no provider gives its slots back; the verification goes on, and a later
/// start of its purpose still takes its place.
pub async fn a_withdrawn_resend_stays_the_newest_of_its_purpose(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order {
        limits: vec![quota(2, TEN_MINUTES)],
        source: Some((1, vec![quota(2, TEN_MINUTES)])),
        ..costly()
    };
    let id = desk.start(&order, T0).await;
    let now = T0.plus(MINUTE);
    let charged = desk.renew(id, &order, now).await;
    desk.withdraw(id, &order, charged, false).await;
    assert_eq!(desk.status(id, &order, now).await, Some(Status::Pending));
    let charged = desk.renew(id, &order, now).await;
    desk.withdraw(id, &order, charged, false).await;
    // A send for another purpose, as it tidies the recipient's counters.
    let signup = Order {
        purpose: "signup",
        source: None,
        ..Order::default()
    };
    desk.start(&signup, now).await;
    let found = desk.check_newest(&order, WRONG, now).await;
    assert!(incorrect(&found), "{found:?}");
    let free = Order {
        cooldown: Duration::ZERO,
        source: None,
        limits: Vec::new(),
        ..order.clone()
    };
    let newer = desk.start(&free, now).await;
    assert_eq!(desk.status(id, &order, now).await, Some(Status::Superseded));
    let outcome = desk.resend(id, &free, now).await;
    assert_eq!(outcome, ResendOutcome::NotFound);
    assert_eq!(desk.status(newer, &order, now).await, Some(Status::Pending));
}

/// A dispatch that failed after a resend ends nothing: somebody may hold the code that came since.
pub async fn what_fails_late_does_not_end_a_code_that_was_sent_since(store: impl Opened) {
    let desk = Desk::open(store);
    let order = Order::default();
    let (id, charged) = desk.start_charged(&order, T0).await;
    let now = T0.plus(MINUTE);
    desk.renew(id, &order, now).await;
    desk.withdraw(id, &order, charged, true).await;
    assert_eq!(desk.status(id, &order, now).await, Some(Status::Pending));
    let failed = desk.store.fail(id, T0, now).await;
    failed.expect("the store works");
    assert!(approved(&desk.check(id, &order, RIGHT, now).await));
}

/// A provider refused the recipient: the verification has failed, and its send stays charged.
pub async fn a_refused_recipient_stays_charged(store: impl Opened) {
    let (desk, order) = (Desk::open(store), costly());
    let id = desk.start(&order, T0).await;
    desk.store.fail(id, T0, T0).await.expect("the store works");
    assert_eq!(desk.status(id, &order, T0).await, Some(Status::Failed));
    let outcome = desk.check(id, &order, RIGHT, T0).await;
    assert_eq!(outcome, CheckOutcome::NotFound);
    let others = Order {
        source: None,
        cooldown: Duration::ZERO,
        ..order.clone()
    };
    let (_, outcome) = desk.try_start(&others, T0).await;
    let retry_after = TEN_MINUTES;
    let refusal = Refusal::RecipientLimit { retry_after };
    assert_eq!(outcome, StartOutcome::Refused(refusal));
    let others = Order { to: 101, ..order };
    let (_, outcome) = desk.try_start(&others, T0).await;
    let refusal = Refusal::SourceLimit { retry_after };
    assert_eq!(outcome, StartOutcome::Refused(refusal));
    // One that has ended otherwise does not fail any more.
    let order = Order {
        to: 102,
        ..Order::default()
    };
    let id = desk.start(&order, T0).await;
    assert!(approved(&desk.check(id, &order, RIGHT, T0).await));
    desk.store.fail(id, T0, T0).await.expect("the store works");
    assert_eq!(desk.status(id, &order, T0).await, Some(Status::Approved));
}

/// Canceling is final and may be repeated; another app cancels nothing, and what had another end
/// keeps it.
pub async fn a_canceled_verification_is_dead(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    let foreign = desk.store.cancel(&other_app(), id, T0).await;
    assert_eq!(foreign.expect("the store works"), CancelOutcome::NotFound);
    let now = T0.plus(SECOND);
    for again in [now, now.plus(SECOND)] {
        let outcome = desk.store.cancel(&order.app, id, again).await;
        match outcome.expect("the store works") {
            CancelOutcome::Canceled(verification) => {
                assert_eq!(verification.status, Status::Canceled);
                assert_eq!(verification.ended_at, Some(now));
            }
            other => panic!("not canceled: {other:?}"),
        }
    }
    let outcome = desk.check(id, &order, RIGHT, now).await;
    assert_eq!(outcome, CheckOutcome::NotFound);

    let done = desk.start(&order, now).await;
    assert!(approved(&desk.check(done, &order, RIGHT, now).await));
    let outcome = desk.store.cancel(&order.app, done, now).await;
    let ended = CancelOutcome::Ended(Status::Approved);
    assert_eq!(outcome.expect("the store works"), ended);
    let superseded = desk.start(&order, now).await;
    let expired = desk.start(&order, now).await;
    for (id, at) in [(superseded, now), (expired, now.plus(order.ttl))] {
        let outcome = desk.store.cancel(&order.app, id, at).await;
        assert_eq!(outcome.expect("the store works"), CancelOutcome::NotFound);
    }
    let unknown = desk.start_step(&order).id;
    let outcome = desk.store.cancel(&order.app, unknown, now).await;
    assert_eq!(outcome.expect("the store works"), CancelOutcome::NotFound);
}

/// Receipts come twice and out of order; a delivery never goes back for them.
pub async fn deliveries_only_move_forward(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    let note = async |delivery: Delivery| {
        let noted = desk.store.note(id, noted(delivery), T0).await;
        noted.expect("the store works");
        let found = desk.get(id, &order, T0).await;
        let deliveries = found.expect("it is remembered").deliveries;
        deliveries
            .iter()
            .map(|known| known.status)
            .collect::<Vec<_>>()
    };
    use DeliveryStatus::{Accepted, Delivered, Failed, Read, Sent};
    let at = |second| T0.plus(SECOND * second);
    assert_eq!(note(delivery(1, Accepted, at(0))).await, [Accepted]);
    assert_eq!(note(delivery(1, Delivered, at(2))).await, [Delivered]);
    assert_eq!(note(delivery(1, Sent, at(1))).await, [Delivered]);
    assert_eq!(note(delivery(1, Failed, at(3))).await, [Delivered]);
    assert_eq!(note(delivery(2, Failed, at(4))).await, [Delivered, Failed]);
    assert_eq!(note(delivery(2, Read, at(5))).await, [Delivered, Read]);
    let found = desk.get(id, &order, T0).await.expect("it is remembered");
    assert_eq!(found.deliveries[0].at, at(2));
    // Of a verification that nobody knows, nothing is kept and nothing is wrong.
    let unknown = desk.start_step(&order).id;
    let noted = desk
        .store
        .note(unknown, noted(delivery(3, Sent, T0)), T0)
        .await;
    noted.expect("the store works");
    assert_eq!(desk.get(unknown, &order, T0).await, None);
}

/// How it ended can be read for some minutes after its code died; then it is as if it never was,
/// whether or not anything was swept away meanwhile.
pub async fn ended_verifications_are_read_until_they_are_forgotten(store: impl Opened) {
    let desk = Desk::open(store);
    let order = |to| Order {
        to,
        ..Order::default()
    };
    let pending = desk.start(&order(1), T0).await;
    let done = desk.start(&order(2), T0).await;
    assert!(approved(&desk.check(done, &order(2), RIGHT, T0).await));
    let exhausted = desk.start(&order(3), T0).await;
    for _ in 0..5 {
        assert!(incorrect(
            &desk.check(exhausted, &order(3), WRONG, T0).await
        ));
    }
    let last = T0.plus(order(1).ttl + RETENTION).minus(MILLI);
    for (id, status) in [
        (pending, Status::Expired),
        (done, Status::Approved),
        (exhausted, Status::Exhausted),
    ] {
        assert_eq!(desk.status(id, &order(1), last).await, Some(status));
    }
    let outcome = desk.check(exhausted, &order(3), RIGHT, last).await;
    assert_eq!(outcome, CheckOutcome::Exhausted);
    let gone = last.plus(MILLI);
    for (to, id) in [(1, pending), (2, done), (3, exhausted)] {
        assert_eq!(desk.get(id, &order(to), gone).await, None);
        let outcome = desk.check(id, &order(to), RIGHT, gone).await;
        assert_eq!(outcome, CheckOutcome::NotFound);
        let outcome = desk.resend(id, &order(to), gone).await;
        assert_eq!(outcome, ResendOutcome::NotFound);
        let outcome = desk.store.cancel(&order(to).app, id, gone).await;
        assert_eq!(outcome.expect("the store works"), CancelOutcome::NotFound);
    }
}

/// Whatever its state, while it is remembered; another app, purpose or recipient has none.
pub async fn the_newest_verification_is_found_by_recipient_and_purpose(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let newest = async |order: &Order, now| {
        let (index, purpose) = (desk.index(order), order.purpose());
        let found = desk.store.newest(&order.app, index, &purpose, now).await;
        found.expect("the store works").map(|found| found.id)
    };
    assert_eq!(newest(&order, T0).await, None);
    desk.start(&order, T0).await;
    let second = desk.start(&order, T0).await;
    assert_eq!(newest(&order, T0).await, Some(second));
    assert!(approved(&desk.check(second, &order, RIGHT, T0).await));
    assert_eq!(newest(&order, T0).await, Some(second));
    for other in [
        Order {
            purpose: "signup",
            ..order.clone()
        },
        Order {
            to: 101,
            ..order.clone()
        },
        Order {
            app: other_app(),
            ..order.clone()
        },
    ] {
        assert_eq!(newest(&other, T0).await, None);
    }
    let gone = T0.plus(order.ttl + RETENTION);
    assert_eq!(newest(&order, gone).await, None);
}
