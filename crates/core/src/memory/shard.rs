//! One part of the state: everything of the recipients that it holds, under one lock.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::VerificationId;
use crate::verification::Verification;

use super::bundles::{Bundles, Loose};
use super::ledgers::Ledgers;
use super::packed::{self, Packed};

/// Recipients and their verifications. Handles begin with the tag of their recipient's index, so
/// that both are always in the same shard.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) ledgers: Ledgers,
    pub(super) verifications: Rows,
}

/// Verifications by their handles.
#[derive(Default)]
pub(super) struct Rows(Bundles);

impl Rows {
    /// The verification as it stands. What is changed of it counts once it is put back.
    pub(super) fn open(&self, id: VerificationId) -> Option<Verification> {
        self.packed(id).map(|packed| packed.open(id))
    }

    /// Puts a verification in the place of what had its handle; whether nothing had.
    pub(super) fn put(&mut self, verification: &Verification) -> bool {
        let id = verification.id.as_bytes();
        packed::write(verification, |packed| self.0.put(id, packed))
    }

    /// Puts verifications that were packed; how many are new.
    pub(super) fn put_all(&mut self, loose: &Loose) -> usize {
        self.0.put_all(loose)
    }

    pub(super) fn has(&self, id: VerificationId) -> bool {
        self.packed(id).is_some()
    }

    /// Whether there is one that is remembered at `now`.
    pub(super) fn remembers(&self, id: VerificationId, now: Timestamp) -> bool {
        let packed = self.packed(id);
        packed.is_some_and(|packed| !packed.is_forgettable(now))
    }

    /// Removes one; whether it was there.
    pub(super) fn remove(&mut self, id: VerificationId) -> bool {
        self.0.remove(id.as_bytes())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Verification> {
        let all = self.0.all();
        all.map(|(id, packed)| Packed(packed).open(VerificationId::from_bytes(id)))
    }

    /// Drops what can be forgotten; returns how many went.
    fn sweep(&mut self, now: Timestamp) -> usize {
        self.0
            .retain(|_, packed| !Packed(packed).is_forgettable(now))
    }

    fn packed(&self, id: VerificationId) -> Option<Packed<'_>> {
        self.0.get(id.as_bytes()).map(Packed)
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
