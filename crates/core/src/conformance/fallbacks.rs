//! Promises about receipts, and about the turn of the next channel.

use super::Opened;
use super::desk::{
    CROWD, Desk, MILLI, MINUTE, Order, RIGHT, SECOND, T0, approved, count, crowd, delivery, noted,
};
use crate::clock::Timestamp;
use crate::delivery::DeliveryStatus::{self, Accepted, Delivered, Failed, Sent, Unknown};
use crate::id::VerificationId;
use crate::step::{Dispatched, Note, Turn};
use crate::store::{MessageKey, Store};
use crate::verification::{Fallback, RETENTION, Verification};

/// The end of a dispatch whose next channel is number `next`.
fn ended(
    of: &Verification,
    hand_overs: &[(u128, DeliveryStatus)],
    next: u8,
    due: Option<Timestamp>,
) -> Note {
    let all = hand_overs.iter();
    Note {
        deliveries: all
            .map(|(number, status)| delivery(*number, *status, of.sent_at))
            .collect(),
        dispatched: Some(Dispatched {
            sent_at: of.sent_at,
            fallback: Some(Fallback { next, due }),
        }),
        names: Vec::new(),
    }
}

async fn note<S: Opened>(
    desk: &Desk<S>,
    id: VerificationId,
    note: Note,
    now: Timestamp,
) -> Option<Turn> {
    let noted = desk.store.note(id, note, now).await;
    noted.expect("the store works")
}

async fn receipt<S: Opened>(
    desk: &Desk<S>,
    id: VerificationId,
    number: u128,
    status: DeliveryStatus,
    now: Timestamp,
) -> Option<Turn> {
    note(desk, id, noted(delivery(number, status, now)), now).await
}

async fn fall_back<S: Opened>(desk: &Desk<S>, id: VerificationId, now: Timestamp) -> Option<Turn> {
    let turn = desk.store.fall_back(id, now).await;
    turn.expect("the store works")
}

async fn overdue<S: Opened>(desk: &Desk<S>, now: Timestamp) -> Vec<VerificationId> {
    let found = desk.store.overdue(100, now).await;
    found.expect("the store works")
}

/// A pending verification whose first hand-over was accepted, and whose next channel is number 1.
async fn waiting<S: Opened>(
    desk: &Desk<S>,
    order: &Order,
    due: Option<Timestamp>,
) -> VerificationId {
    let id = desk.start(order, T0).await;
    let row = desk.get(id, order, T0).await.expect("it was started");
    let turn = note(desk, id, ended(&row, &[(1, Accepted)], 1, due), T0).await;
    assert_eq!(turn, None, "it was only just accepted");
    id
}

/// One hand-over that may still arrive is enough to wait; the last failure gives the turn; no
/// receipt that is repeated gives it again.
pub async fn the_turn_comes_when_every_hand_over_has_failed(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    let row = desk.get(id, &order, T0).await.expect("it was started");
    let end = ended(&row, &[(1, Unknown), (2, Accepted)], 1, None);
    assert_eq!(note(&desk, id, end, T0).await, None);
    assert_eq!(receipt(&desk, id, 2, Sent, T0).await, None);
    assert_eq!(receipt(&desk, id, 2, Failed, T0).await, None);
    let turn = receipt(&desk, id, 1, Failed, T0).await;
    let turn = turn.expect("every hand-over has failed");
    assert_eq!((turn.next, turn.verification.id), (1, id));
    for number in [1, 2] {
        assert_eq!(receipt(&desk, id, number, Failed, T0).await, None);
    }
    // The next channel's dispatch ends, and there is one more after it.
    let end = ended(&row, &[(3, Accepted)], 2, None);
    assert_eq!(note(&desk, id, end, T0).await, None);
    let turn = receipt(&desk, id, 3, Failed, T0).await;
    assert_eq!(turn.map(|turn| turn.next), Some(2));
    assert!(approved(&desk.check(id, &order, RIGHT, T0).await));
}

/// However many nodes hear of the same failure.
pub async fn parallel_failures_give_one_turn(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = waiting(&desk, &order, None).await;
    let turns = crowd(CROWD, |_| {
        let desk = desk.clone();
        async move { receipt(&desk, id, 1, Failed, T0).await }
    });
    let turns = turns.await;
    assert_eq!(count(&turns, Option::is_some), 1, "turns were given");
}

/// However many nodes look after what is due, and hear of failures meanwhile.
pub async fn parallel_takers_of_a_due_fallback_get_one_turn(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let due = T0.plus(SECOND * 20);
    let id = waiting(&desk, &order, Some(due)).await;
    let turns = crowd(CROWD, |number| {
        let desk = desk.clone();
        async move {
            if number % 4 == 0 {
                receipt(&desk, id, 1, Failed, due).await
            } else {
                fall_back(&desk, id, due).await
            }
        }
    });
    let turns = turns.await;
    assert_eq!(count(&turns, Option::is_some), 1, "turns were given");
    assert_eq!(overdue(&desk, due).await, []);
}

/// To the millisecond, and not before.
pub async fn a_fallback_is_due_when_its_time_has_come(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let due = T0.plus(SECOND * 20);
    let id = waiting(&desk, &order, Some(due)).await;
    let other = Order {
        to: 101,
        ..Order::default()
    };
    let later = waiting(&desk, &other, Some(due.plus(MINUTE))).await;
    let never = Order {
        to: 102,
        ..Order::default()
    };
    waiting(&desk, &never, None).await;
    let early = due.minus(MILLI);
    assert_eq!(overdue(&desk, early).await, []);
    assert_eq!(fall_back(&desk, id, early).await, None);
    assert_eq!(overdue(&desk, due).await, [id]);
    assert_eq!(overdue(&desk, due).await, [id], "looking takes nothing");
    let turn = fall_back(&desk, id, due).await;
    assert_eq!(turn.map(|turn| turn.next), Some(1));
    assert_eq!(overdue(&desk, due.plus(MINUTE)).await, [later]);
}

/// What has arrived, has ended or is dead needs no other channel.
pub async fn nothing_falls_back_after_an_arrival_or_an_end(store: impl Opened) {
    let (desk, due) = (Desk::open(store), T0.plus(SECOND * 20));
    let order = |to| Order {
        to,
        ..Order::default()
    };
    let arrived = waiting(&desk, &order(1), Some(due)).await;
    assert_eq!(receipt(&desk, arrived, 1, Delivered, T0).await, None);
    let done = waiting(&desk, &order(2), Some(due)).await;
    assert!(approved(&desk.check(done, &order(2), RIGHT, T0).await));
    let canceled = waiting(&desk, &order(3), Some(due)).await;
    let outcome = desk.store.cancel(&order(3).app, canceled, T0).await;
    outcome.expect("the store works");
    for id in [arrived, done, canceled] {
        assert_eq!(fall_back(&desk, id, due).await, None);
        assert_eq!(receipt(&desk, id, 1, Failed, due).await, None);
    }
    assert_eq!(overdue(&desk, due).await, []);
    let dead = waiting(&desk, &order(4), Some(due)).await;
    let end = T0.plus(order(4).ttl);
    assert_eq!(overdue(&desk, end).await, []);
    assert_eq!(fall_back(&desk, dead, end).await, None);
    assert_eq!(receipt(&desk, dead, 1, Failed, end).await, None);
}

/// The failure of a message with the old code says nothing of the fresh one; nor does a dispatch
/// of the old code that ends late.
pub async fn a_resend_forgets_the_fallback_of_the_old_code(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let due = T0.plus(SECOND * 20);
    let id = waiting(&desk, &order, Some(due)).await;
    let old = desk.get(id, &order, T0).await.expect("it was started");
    let now = T0.plus(SECOND);
    desk.renew(id, &order, now).await;
    assert_eq!(receipt(&desk, id, 1, Failed, now).await, None);
    let late = ended(&old, &[(2, Failed)], 1, Some(due));
    assert_eq!(note(&desk, id, late, now).await, None);
    assert_eq!(fall_back(&desk, id, due).await, None);
    let row = desk.get(id, &order, now).await.expect("it was started");
    assert_eq!((row.fallback, row.present_deliveries().len()), (None, 0));
    let end = ended(&row, &[(3, Accepted)], 1, None);
    assert_eq!(note(&desk, id, end, now).await, None);
    let turn = receipt(&desk, id, 3, Failed, now).await;
    assert_eq!(turn.map(|turn| turn.next), Some(1));
}

/// A provider may tell of the failure before its answer to the hand-over was noted.
pub async fn a_failure_before_the_end_of_its_dispatch_makes_the_turn_due(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    let row = desk.get(id, &order, T0).await.expect("it was started");
    assert_eq!(receipt(&desk, id, 1, Failed, T0).await, None);
    let end = ended(&row, &[(1, Accepted)], 1, Some(T0.plus(MINUTE)));
    assert_eq!(note(&desk, id, end, T0).await, None);
    assert_eq!(overdue(&desk, T0).await, [id]);
    let turn = fall_back(&desk, id, T0).await;
    assert_eq!(turn.map(|turn| turn.next), Some(1));
}

/// Receipts that bring nothing but the provider's name for a message find it by that.
pub async fn a_named_message_is_found_while_its_verification_is_remembered(store: impl Opened) {
    let (desk, order) = (Desk::open(store), Order::default());
    let id = desk.start(&order, T0).await;
    let row = desk.get(id, &order, T0).await.expect("it was started");
    let (name, other) = (MessageKey([1; 16]), MessageKey([2; 16]));
    let mut end = ended(&row, &[(1, Accepted)], 1, None);
    let hand_over = end.deliveries[0].id;
    end.names = vec![(name, hand_over)];
    note(&desk, id, end, T0).await;
    let locate = async |name, now| {
        let found = desk.store.locate(name, now).await;
        found.expect("the store works")
    };
    assert_eq!(locate(name, T0).await, Some((id, hand_over)));
    assert_eq!(locate(other, T0).await, None);
    let gone = T0.plus(order.ttl + RETENTION);
    assert_eq!(locate(name, gone.minus(MILLI)).await, Some((id, hand_over)));
    assert_eq!(locate(name, gone).await, None);
}
