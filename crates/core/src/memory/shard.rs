//! One part of the state: everything of the recipients that it holds, under one lock.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::digest::{RecipientIndex, SourceIndex};
use crate::id::VerificationId;
use crate::ledger::RecipientLedger;
use crate::limit::SlidingLog;
use crate::verification::Verification;

/// Recipients and their verifications. Handles begin with the tag of their recipient's index, so
/// that both are always in the same shard.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) ledgers: HashMap<RecipientIndex, RecipientLedger>,
    pub(super) verifications: HashMap<VerificationId, Verification>,
}

impl Shard {
    /// Drops what can no longer matter; returns how many verifications went.
    pub(super) fn sweep(&mut self, horizon: Duration, now: Timestamp) -> usize {
        let before = self.verifications.len();
        self.verifications
            .retain(|_, verification| !verification.is_forgettable(now));
        self.ledgers
            .retain(|_, ledger| !ledger.is_idle(horizon, now));
        shrink(&mut self.verifications);
        shrink(&mut self.ledgers);
        before - self.verifications.len()
    }

    /// Removes a ledger that holds nothing, as those of verifications without a recipient do.
    pub(super) fn tidy(&mut self, index: RecipientIndex) {
        if let Entry::Occupied(entry) = self.ledgers.entry(index)
            && *entry.get() == RecipientLedger::default()
        {
            entry.remove();
        }
    }

    /// Puts a verification; whether it is a new one.
    pub(super) fn put(&mut self, verification: Verification) -> bool {
        self.verifications
            .insert(verification.id, verification)
            .is_none()
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
fn shrink<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
