//! Checks, where the code was made.

use std::sync::Arc;

use watchword_core::memory::Journal;
use watchword_core::{
    CheckOutcome, CheckStep, CheckTarget, RecipientIndex, Store, StoreError, Timestamp,
    VerificationId,
};

use super::Shared;

impl<J: Journal> Shared<J> {
    /// Which verification a check by recipient means, if that one is kept here. Of two that live,
    /// the newer one.
    pub(super) async fn newest_here(
        &self,
        step: &CheckStep,
        now: Timestamp,
    ) -> Result<Option<VerificationId>, StoreError> {
        let CheckTarget::Recipient(recipient, purpose) = &step.target else {
            return Ok(None);
        };
        let newest = self.local.newest_known(*recipient, purpose);
        let Some(id) = newest.filter(|id| self.local.holds(*id, now)) else {
            return Ok(None);
        };
        if self.is_away() {
            return Ok(Some(id));
        }
        let there = self
            .primary
            .newest(&step.app, *recipient, purpose, now)
            .await;
        let there = match self.watched(there).await {
            Ok(there) => there,
            // Nothing was done there, so it is as if it had been known to be away.
            Err(_) if self.is_away() => return Ok(Some(id)),
            Err(error) => return Err(error),
        };
        let newer =
            |sent_at| there.is_some_and(|there| there.is_live(now) && there.sent_at >= sent_at);
        let held = self.local.held(id);
        Ok(held.filter(|held| !newer(held.sent_at)).map(|_| id))
    }

    /// A check of what is kept here. While the primary is there, it hears of a failure.
    pub(super) async fn check_here(
        self: Arc<Self>,
        id: VerificationId,
        mut step: CheckStep,
        now: Timestamp,
    ) -> Result<CheckOutcome, StoreError> {
        step.target = CheckTarget::Id(id);
        {
            let _standing_in = self.gate.read().await;
            if self.is_away() {
                return self.local.check(step, self.local_moment(now)).await;
            }
        }
        let budget = step.failures;
        let outcome = self.local.check(step, now).await?;
        let held = self.local.held(id).filter(|held| held.addressed);
        if let (CheckOutcome::Incorrect { .. }, Some(held)) = (&outcome, held) {
            let locked = self.local.is_locked(held.recipient);
            let mut counted = false;
            let carried = self
                .carry_failures(held.recipient, 1, locked, || counted = true)
                .await;
            if self.watched(carried).await.is_err() && !counted {
                // It is owed, and what is owed counts from the outage on.
                let budget = budget.unwrap_or_default();
                let at = self.local_moment(self.mirror_moment(now));
                self.local.mirror_failure(held.recipient, budget, at);
            }
        }
        Ok(outcome)
    }

    /// A check at the primary, whose outcome is counted here too.
    pub(super) async fn check_there(
        self: Arc<Self>,
        step: CheckStep,
        now: Timestamp,
    ) -> Result<CheckOutcome, StoreError> {
        let outcome = self.primary.check(step.clone(), now).await;
        let outcome = self.watched(outcome).await?;
        match &outcome {
            CheckOutcome::Approved(approved) if approved.addressed => {
                self.local.mirror_success(approved.recipient);
            }
            CheckOutcome::Incorrect { .. } => {
                if let Some(recipient) = self.whose(&step, now).await {
                    let budget = step.failures.unwrap_or_default();
                    self.mirror_failure(recipient, budget, now).await;
                }
            }
            CheckOutcome::Locked(locked) if locked.retry_after.is_none() => {
                if let Some(recipient) = self.whose(&step, now).await {
                    self.local.mirror_lock(recipient);
                }
            }
            _ => {}
        }
        Ok(outcome)
    }

    /// Whom a check at the primary was about; nobody if there is no recipient.
    async fn whose(&self, step: &CheckStep, now: Timestamp) -> Option<RecipientIndex> {
        match &step.target {
            CheckTarget::Recipient(recipient, _) => Some(*recipient),
            CheckTarget::Id(id) => match self.local.recipient_of(*id) {
                Some(recipient) => Some(recipient),
                // Started by another node, or not the newest.
                None => {
                    let found = self.primary.get(&step.app, *id, now).await.ok()??;
                    found.addressed.then_some(found.recipient)
                }
            },
        }
    }
}
