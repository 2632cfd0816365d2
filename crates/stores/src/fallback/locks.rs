//! Locks that an operator lifts: at the primary, or here at once and there when it is back.

use std::sync::Arc;

use watchword_core::memory::Journal;
use watchword_core::{RecipientIndex, Store as _, StoreError, Timestamp};

use super::Shared;
use super::owed::{lifted, remember_lifted};

/// So many locks may be lifted in one outage: people do that by hand.
const MOST: usize = 1000;

impl<J: Journal> Shared<J> {
    /// Lifts a lock where it holds at present; whether there was one there. To do it twice is
    /// harmless, so an answer that was lost does not matter.
    pub(super) async fn lift(
        self: Arc<Self>,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if let Some(here) = self.lift_here(recipient, now).await? {
            return Ok(here);
        }
        let there = self.primary.unlock(recipient, now).await;
        match self.watched(there).await {
            Ok(there) => Ok(self.local.unlock(recipient, now).await? || there),
            Err(error) => self.lift_here(recipient, now).await?.ok_or(error),
        }
    }

    /// Lifts it here, and remembers to lift it at the primary, if that is away.
    async fn lift_here(
        &self,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        if !self.is_away() {
            return Ok(None);
        }
        let _standing_in = self.gate.read().await;
        if !self.is_away() {
            return Ok(None);
        }
        let _changing = self.lifted.lock().await;
        let mut all = lifted(self.local.as_ref(), now).await?;
        if !all.contains(&recipient) {
            if all.len() >= MOST {
                return Err(StoreError::unavailable(
                    "too many locks were lifted while the primary storage was away",
                ));
            }
            all.push(recipient);
            remember_lifted(self.local.as_ref(), &all, now).await?;
        }
        self.local.unlock(recipient, now).await.map(Some)
    }

    /// Lifts at the primary what was lifted here. Before failures are taken there: those that were
    /// counted since then stay.
    pub(super) async fn carry_lifted(&self) -> Result<(), StoreError> {
        let _changing = self.lifted.lock().await;
        let now = self.clock.now();
        let all = lifted(self.local.as_ref(), now).await?;
        for recipient in &all {
            self.primary.unlock(*recipient, now).await?;
        }
        remember_lifted(self.local.as_ref(), &[], now).await
    }
}
