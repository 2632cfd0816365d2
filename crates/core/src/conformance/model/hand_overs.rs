//! Hand-overs, and what comes next if they fail.

use super::{Answer, Model, Next};
use crate::clock::Timestamp;
use crate::delivery::DeliveryStatus;
use crate::verification::Status;

impl Model {
    /// Notes a hand-over: a receipt, or the end of a dispatch with what is next, which may have
    /// been of an earlier code.
    pub(in crate::conformance) fn note(
        &mut self,
        place: usize,
        (delivery, status): (u8, DeliveryStatus),
        end: Option<(Option<Next>, bool)>,
        now: Timestamp,
    ) -> Answer {
        // As far as it came, in the order in which a message travels.
        let order = [
            DeliveryStatus::Unknown,
            DeliveryStatus::Accepted,
            DeliveryStatus::Sent,
            DeliveryStatus::Failed,
            DeliveryStatus::Delivered,
            DeliveryStatus::Read,
        ];
        let far = |status| order.iter().position(|step| *step == status);
        let row = &mut self.rows[place];
        if row.forgotten(now) {
            return Answer::Turn(None);
        }
        let late = end.is_some_and(|(_, late)| late);
        let deliveries = &mut row.seen.deliveries;
        match deliveries.iter().position(|known| known.0 == delivery) {
            Some(known) if far(deliveries[known].1) < far(status) => deliveries[known].1 = status,
            Some(_) => {}
            None => {
                let code = row.renewed - i32::from(late);
                let before = row.carried.iter().filter(|other| **other < row.renewed);
                let place = if late {
                    before.count()
                } else {
                    deliveries.len()
                };
                deliveries.insert(place, (delivery, status));
                row.carried.insert(place, code);
            }
        }
        if let Some((next, false)) = end {
            row.seen.next = next;
        }
        let present: Vec<_> = row
            .carried
            .iter()
            .zip(&row.seen.deliveries)
            .filter(|(code, _)| **code == row.renewed)
            .map(|(_, (_, status))| *status)
            .collect();
        let arrived = present
            .iter()
            .any(|status| far(*status) >= far(DeliveryStatus::Delivered));
        let failed = present
            .iter()
            .all(|status| *status == DeliveryStatus::Failed);
        if arrived {
            row.seen.next = None;
        }
        let Some((next, due)) = row.seen.next else {
            return Answer::Turn(None);
        };
        if present.is_empty() || !failed || row.status(now) != Status::Pending {
            return Answer::Turn(None);
        }
        if end.is_some() {
            let at_once = due.unwrap_or(now).min(now);
            row.seen.next = Some((next, Some(at_once)));
            return Answer::Turn(None);
        }
        row.seen.next = None;
        Answer::Turn(Some((next, row.show(now))))
    }

    pub(in crate::conformance) fn sent_at(&self, place: usize) -> Timestamp {
        self.rows[place].seen.sent_at
    }

    fn is_due(&self, place: usize, now: Timestamp) -> bool {
        let row = &self.rows[place];
        let due = row.seen.next.and_then(|(_, due)| due);
        row.status(now) == Status::Pending && due.is_some_and(|due| due <= now)
    }

    /// Takes the turn of the next channel.
    pub(in crate::conformance) fn fall_back(&mut self, place: usize, now: Timestamp) -> Answer {
        if !self.is_due(place, now) {
            return Answer::Turn(None);
        }
        let row = &mut self.rows[place];
        let next = row.seen.next.take().map(|(next, _)| next);
        Answer::Turn(next.map(|next| (next, row.show(now))))
    }

    pub(in crate::conformance) fn due(&self, now: Timestamp) -> Vec<usize> {
        let all = 0..self.rows.len();
        all.filter(|place| self.is_due(*place, now)).collect()
    }
}
