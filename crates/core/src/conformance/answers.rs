//! What a store answers, in the words of the naive model.

use super::model::{Answer, Seen};
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::ledger::Locked;
use crate::step::{CheckOutcome, Refusal, ResendOutcome, StartOutcome, Turn};
use crate::verification::Verification;

pub(super) fn seen(verification: &Verification, now: Timestamp) -> Seen {
    let number = |delivery: &Delivery| u8::try_from(delivery.id.0.as_u128()).unwrap_or(u8::MAX);
    Seen {
        status: verification.status_at(now),
        channel: verification.channel,
        attempts_left: verification.attempts_left,
        created_at: verification.created_at,
        sent_at: verification.sent_at,
        expires_at: verification.expires_at,
        ended_at: verification.ended_at,
        deliveries: verification
            .deliveries
            .iter()
            .map(|delivery| (number(delivery), delivery.status))
            .collect(),
        next: verification
            .fallback
            .map(|fallback| (fallback.next, fallback.due)),
    }
}

fn of_refusal(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::SourceLimit { retry_after } => Answer::SourceLimit(retry_after),
        Refusal::RecipientLimit { retry_after } => Answer::RecipientLimit(retry_after),
        Refusal::Cooldown { retry_after } => Answer::Cooldown(retry_after),
        Refusal::Locked(Locked { retry_after }) => Answer::Locked(retry_after),
        Refusal::Live => Answer::Live,
    }
}

pub(super) fn of_start(outcome: &StartOutcome) -> Answer {
    match outcome {
        StartOutcome::Started(charged) => {
            Answer::Sent(charged.made_at, charged.at, charged.source_at)
        }
        StartOutcome::Refused(refusal) => of_refusal(*refusal),
    }
}

pub(super) fn of_resend(outcome: &ResendOutcome) -> Answer {
    match outcome {
        ResendOutcome::Renewed(charged, _) => {
            Answer::Sent(charged.made_at, charged.at, charged.source_at)
        }
        ResendOutcome::Refused(refusal) => of_refusal(*refusal),
        ResendOutcome::Exhausted => Answer::Exhausted,
        ResendOutcome::NotFound => Answer::NotFound,
    }
}

pub(super) fn of_check(outcome: &CheckOutcome) -> Answer {
    match outcome {
        CheckOutcome::Approved(verification) => {
            let at = verification.ended_at.unwrap_or_default();
            Answer::Approved(seen(verification, at))
        }
        CheckOutcome::Incorrect {
            attempts_left,
            locks,
        } => Answer::Incorrect(*attempts_left, *locks),
        CheckOutcome::Exhausted => Answer::Exhausted,
        CheckOutcome::Locked(Locked { retry_after }) => Answer::Locked(*retry_after),
        CheckOutcome::NotFound => Answer::NotFound,
    }
}

pub(super) fn of_turn(turn: Option<&Turn>, now: Timestamp) -> Answer {
    Answer::Turn(turn.map(|turn| (turn.next, seen(&turn.verification, now))))
}

pub(super) fn of_look(found: Option<&Verification>, now: Timestamp) -> Answer {
    found.map_or(Answer::NotFound, |found| Answer::Found(seen(found, now)))
}
