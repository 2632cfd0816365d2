//! What the primary counted, counted here too.
//!
//! Its answer may come when it counts as away already. It is not owed what it did itself, so that is
//! written down as spared, and nothing changes between the two.

use watchword_core::memory::{Elsewhere, Journal};
use watchword_core::{FailureBudget, RecipientIndex, Timestamp};

use super::Shared;

impl<J: Journal> Shared<J> {
    /// The moment that what the primary did counts from here: not before it was done.
    pub(super) fn mirror_moment(&self, now: Timestamp) -> Timestamp {
        let at = now.max(self.clock.now());
        if self.is_away() {
            self.local_moment(at)
        } else {
            at
        }
    }

    /// Counts a send that the primary did.
    pub(super) async fn mirror_send(&self, send: Elsewhere<'_>, now: Timestamp) {
        let _mirroring = self.gate.read().await;
        let at = self.mirror_moment(now);
        let (sent_at, asked_at) = self.local.mirror_send(send, at);
        if !self.is_away() {
            return;
        }
        let mut owed = self.owed.lock();
        if let Some(at) = sent_at {
            let of = owed.recipients.entry(send.recipient).or_default();
            of.sends.spare(at);
        }
        if let Some((charge, at)) = send.terms.source.as_ref().zip(asked_at) {
            owed.sources.entry(charge.index).or_default().spare(at);
        }
    }

    /// Counts a failed check that the primary did.
    pub(super) async fn mirror_failure(
        &self,
        recipient: RecipientIndex,
        budget: FailureBudget,
        now: Timestamp,
    ) {
        let _mirroring = self.gate.read().await;
        let at = self.mirror_moment(now);
        let at = self.local.mirror_failure(recipient, budget, at);
        if self.is_away() {
            let mut owed = self.owed.lock();
            let of = owed.recipients.entry(recipient).or_default();
            of.failures.spare(at);
        }
    }
}
