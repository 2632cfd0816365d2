//! Hand-overs as they become known, and the turn of the next channel.

use crate::clock::Timestamp;
use crate::delivery::{Delivery, DeliveryId, DeliveryStatus};
use crate::store::MessageKey;
use crate::verification::{Fallback, Verification};

/// What is newly known of the hand-overs of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The hand-overs.
    pub deliveries: Vec<Delivery>,
    /// Of which dispatch this is the end; nothing where providers report later.
    pub dispatched: Option<Dispatched>,
    /// The hand-overs whose receipts will name them by nothing but the provider's name for the
    /// message.
    pub names: Vec<(MessageKey, DeliveryId)>,
}

/// The end of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// When the code that it carried was sent: [`Verification::sent_at`] as it was then. If a
    /// resend came between, the hand-overs were of an earlier code.
    pub sent_at: Timestamp,
    /// What comes next if the message does not arrive.
    pub fallback: Option<Fallback>,
}

/// The turn of the next channel. Whoever gets it, gets it alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// As it stands now.
    pub verification: Box<Verification>,
    /// Which of the channels that were asked for is the next, counted from 0.
    pub next: u8,
}

/// What a note does where its verification is kept: whether it changed anything, and whose turn it
/// is now: the next channel's, once every hand-over of the present code has failed.
pub fn note(verification: &mut Verification, note: &Note, now: Timestamp) -> (bool, Option<u8>) {
    let present = note
        .dispatched
        .is_none_or(|dispatched| dispatched.sent_at == verification.sent_at);
    let mut changed = verification.note(&note.deliveries, present);
    if let Some(dispatched) = note.dispatched.filter(|_| present)
        && verification.fallback != dispatched.fallback
    {
        verification.fallback = dispatched.fallback;
        changed = true;
    }
    let Some(fallback) = verification.fallback else {
        return (changed, None);
    };
    let deliveries = verification.present_deliveries();
    let arrived = deliveries
        .iter()
        .any(|delivery| delivery.status >= DeliveryStatus::Delivered);
    let failed = deliveries
        .iter()
        .all(|delivery| delivery.status == DeliveryStatus::Failed);
    let turn = failed && !deliveries.is_empty() && verification.is_live(now);
    if turn && note.dispatched.is_some() {
        // A receipt was faster than the end of its dispatch, whose caller waits for an answer.
        // The turn is due at once, for whoever looks after those.
        let due = fallback.due.map_or(now, |due| due.min(now));
        verification.fallback = Some(Fallback {
            due: Some(due),
            ..fallback
        });
        return (true, None);
    }
    if arrived || turn {
        verification.fallback = None;
        changed = true;
    }
    (changed, turn.then_some(fallback.next))
}

/// Takes the turn of the next channel if its time has come and the code lives.
pub fn fall_back(verification: &mut Verification, now: Timestamp) -> Option<u8> {
    let due = |fallback: &Fallback| fallback.due.is_some_and(|due| due <= now);
    let fallback = verification.fallback.filter(due)?;
    if !verification.is_live(now) {
        return None;
    }
    verification.fallback = None;
    Some(fallback.next)
}
