//! One part of the state: everything of the recipients that it holds, under one lock.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::digest::SourceIndex;
use crate::id::VerificationId;
use crate::limit::SlidingLog;
use crate::verification::Verification;

use super::ledgers::Ledgers;
use super::packed::Packed;

/// Recipients and their verifications. Handles begin with the tag of their recipient's index, so
/// that both are always in the same shard.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) ledgers: Ledgers,
    pub(super) verifications: Rows,
}

/// Verifications by their handles.
#[derive(Default)]
pub(super) struct Rows(HashMap<VerificationId, Packed>);

impl Rows {
    /// The verification as it stands. What is changed of it counts once it is put back.
    pub(super) fn open(&self, id: VerificationId) -> Option<Verification> {
        self.0.get(&id).map(|packed| packed.open(id))
    }

    /// Puts a verification in the place of what had its handle; whether nothing had.
    pub(super) fn put(&mut self, verification: &Verification) -> bool {
        let packed = Packed::of(verification);
        self.0.insert(verification.id, packed).is_none()
    }

    pub(super) fn has(&self, id: VerificationId) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether there is one that is remembered at `now`.
    pub(super) fn remembers(&self, id: VerificationId, now: Timestamp) -> bool {
        let packed = self.0.get(&id);
        packed.is_some_and(|packed| !packed.is_forgettable(now))
    }

    /// Removes one; whether it was there.
    pub(super) fn remove(&mut self, id: VerificationId) -> bool {
        self.0.remove(&id).is_some()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Verification> {
        self.0.iter().map(|(id, packed)| packed.open(*id))
    }

    /// Drops what can be forgotten; returns how many went.
    fn sweep(&mut self, now: Timestamp) -> usize {
        let before = self.0.len();
        self.0.retain(|_, packed| !packed.is_forgettable(now));
        shrink(&mut self.0);
        before - self.0.len()
    }
}

impl Shard {
    /// Drops what can no longer matter; returns how many verifications went.
    pub(super) fn sweep(&mut self, horizon: Duration, now: Timestamp) -> usize {
        let gone = self.verifications.sweep(now);
        self.ledgers.sweep(horizon, now);
        gone
    }
}

/// The sends of some sources, under one lock.
#[derive(Default)]
pub(super) struct SourceShard {
    pub(super) logs: HashMap<SourceIndex, SlidingLog>,
}

impl SourceShard {
    pub(super) fn sweep(&mut self, horizon: Duration, now: Timestamp) {
        self.logs.retain(|_, log| {
            log.moments()
                .last()
                .is_some_and(|newest| newest.plus(horizon) > now)
        });
        shrink(&mut self.logs);
    }

    /// Removes a log that became empty.
    pub(super) fn tidy(&mut self, index: SourceIndex) {
        if let Entry::Occupied(entry) = self.logs.entry(index)
            && entry.get().is_empty()
        {
            entry.remove();
        }
    }
}

/// Gives memory back after a flood, but never on the way up.
pub(super) fn shrink<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
