//! Which verifications have a fallback that is due some time, in the order of their times.
//!
//! An index: what counts is the row. An entry whose row says otherwise is dropped when it is met.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::journal::Journal;
use super::names::NamedMessage;
use super::record::Change;
use super::store::MemoryStore;
use crate::clock::Timestamp;
use crate::delivery::DeliveryId;
use crate::id::VerificationId;
use crate::step::{self, Note, Turn};
use crate::store::MessageKey;
use crate::verification::{RETENTION, Verification};

#[derive(Default)]
pub(super) struct Fallbacks(Mutex<BTreeSet<(Timestamp, VerificationId)>>);

/// When the next channel's turn comes by itself.
fn due(verification: &Verification) -> Option<Timestamp> {
    verification.fallback.and_then(|fallback| fallback.due)
}

impl Fallbacks {
    pub(super) fn expect(&self, verification: &Verification) {
        if let Some(due) = due(verification) {
            self.0.lock().insert((due, verification.id));
        }
    }

    fn drop(&self, entry: &(Timestamp, VerificationId)) {
        self.0.lock().remove(entry);
    }

    /// The first entries that are due.
    fn first(&self, most: usize, now: Timestamp) -> Vec<(Timestamp, VerificationId)> {
        let entries = self.0.lock();
        let due = entries.iter().take_while(|(due, _)| *due <= now);
        due.take(most).copied().collect()
    }
}

impl<J: Journal> MemoryStore<J> {
    /// Notes hand-overs; the turn that this gave, and the position that it has to wait for.
    pub(super) fn note_now(
        &self,
        id: VerificationId,
        note: &Note,
        now: Timestamp,
    ) -> (Option<Turn>, Option<u64>) {
        let mut shard = self.shard(id.tag());
        if !shard.remembers(id, now) {
            return (None, None);
        }
        let Some(mut verification) = shard.verification(id) else {
            return (None, None);
        };
        let (changed, next) = step::note(&mut verification, note, now);
        let mut position = None;
        if changed {
            shard.put(&verification);
            let at = self.append(|out| Change::put(out, &verification));
            let planned = note.dispatched.is_some_and(|end| end.fallback.is_some());
            position = (next.is_some() || planned).then_some(at);
            self.fallbacks.expect(&verification);
        }
        for (key, delivery) in &note.names {
            let named = NamedMessage {
                verification: id,
                delivery: *delivery,
                until: verification.expires_at.plus(RETENTION),
            };
            self.names.put(*key, named, now, |key, named| {
                self.append(|out| Change::put_name(out, key, named));
            });
        }
        let turn = next.map(|next| Turn {
            verification: Box::new(verification),
            next,
        });
        (turn, position)
    }

    pub(super) fn locate_now(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Option<(VerificationId, DeliveryId)> {
        let named = self.names.get(name, now)?;
        Some((named.verification, named.delivery))
    }

    pub(super) fn overdue_now(&self, most: usize, now: Timestamp) -> Vec<VerificationId> {
        let mut found = Vec::new();
        while found.len() < most {
            let mut stale = false;
            for entry in self.fallbacks.first(most, now) {
                let shard = self.shard(entry.1.tag());
                let row = shard.verification(entry.1);
                if row.is_some_and(|row| due(&row) == Some(entry.0) && row.is_live(now)) {
                    if !found.contains(&entry.1) {
                        found.push(entry.1);
                    }
                } else {
                    self.fallbacks.drop(&entry);
                    stale = true;
                }
            }
            if !stale {
                break;
            }
        }
        found.truncate(most);
        found
    }

    pub(super) fn fall_back_now(&self, id: VerificationId, now: Timestamp) -> (Option<Turn>, u64) {
        let mut shard = self.shard(id.tag());
        let Some(mut verification) = shard.verification(id) else {
            return (None, self.journal.position());
        };
        let entry = due(&verification).map(|due| (due, id));
        let Some(next) = step::fall_back(&mut verification, now) else {
            return (None, self.journal.position());
        };
        shard.put(&verification);
        let position = self.append(|out| Change::put(out, &verification));
        let turn = Turn {
            verification: Box::new(verification),
            next,
        };
        drop(shard);
        if let Some(entry) = entry {
            self.fallbacks.drop(&entry);
        }
        (Some(turn), position)
    }
}
