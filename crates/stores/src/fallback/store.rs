//! Each step goes to where its verification is kept.

use std::sync::Arc;

use async_trait::async_trait;
use watchword_core::memory::Journal;
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, CheckTarget, DeliveryId, MessageKey, Note,
    Purpose, Readiness, RecipientIndex, Remembered, ResendOutcome, ResendStep, StartOutcome,
    StartStep, Store, StoreError, Timestamp, Turn, Verification, VerificationId, Withdrawal,
};

use super::{LocalFallback, Shared};

/// Runs a step to its end even if nobody waits for it any more: what it was charged there has to
/// be counted here.
async fn to_its_end<T: Send + 'static>(
    step: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let ended = tokio::spawn(step).await;
    ended.unwrap_or_else(|error| Err(StoreError::unavailable(error)))
}

impl<J: Journal> LocalFallback<J> {
    fn local(&self) -> &dyn Store {
        self.shared.local.as_ref()
    }

    fn holds(&self, id: VerificationId, now: Timestamp) -> bool {
        self.shared.local.holds(id, now)
    }

    /// What the primary does, unless it is away.
    async fn there<T>(
        &self,
        step: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if self.is_away() {
            return Err(Shared::<J>::gone());
        }
        self.shared.watched(step.await).await
    }
}

#[async_trait]
impl<J: Journal> Store for LocalFallback<J> {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        match self.shared.start_here(step, now).await {
            Ok(outcome) => outcome,
            Err(step) => to_its_end(Arc::clone(&self.shared).start_there(step, now)).await,
        }
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        if self.holds(step.id, now) {
            let shared = Arc::clone(&self.shared);
            return to_its_end(async move { shared.resend_here(step, now).await }).await;
        }
        if self.is_away() {
            return Err(Shared::<J>::gone());
        }
        to_its_end(Arc::clone(&self.shared).resend_there(step, now)).await
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        let shared = Arc::clone(&self.shared);
        let here = match &step.target {
            CheckTarget::Id(id) => Some(*id).filter(|id| self.holds(*id, now)),
            CheckTarget::Recipient(..) => shared.newest_here(&step, now).await?,
        };
        if let Some(id) = here {
            return to_its_end(shared.check_here(id, step, now)).await;
        }
        if self.is_away() {
            return Err(Shared::<J>::gone());
        }
        to_its_end(shared.check_there(step, now)).await
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        if self.holds(id, now) {
            return self.local().get(app, id, now).await;
        }
        self.there(self.shared.primary.get(app, id, now)).await
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        let step = CheckStep {
            app: app.clone(),
            target: CheckTarget::Recipient(recipient, purpose.clone()),
            candidates: Vec::new(),
            failures: None,
        };
        if let Some(id) = self.shared.newest_here(&step, now).await? {
            return self.local().get(app, id, now).await;
        }
        let newest = self.shared.primary.newest(app, recipient, purpose, now);
        self.there(newest).await
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        if self.holds(id, now) {
            return self.local().cancel(app, id, now).await;
        }
        let canceled = self.shared.primary.cancel(app, id, now);
        self.there(canceled).await
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        if self.holds(step.id, now) {
            // What was taken to the primary of it stays counted there.
            return self.local().withdraw(step, now).await;
        }
        if self.is_away() {
            return Err(Shared::<J>::gone());
        }
        to_its_end(Arc::clone(&self.shared).withdraw_there(step, now)).await
    }

    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.holds(id, now) {
            return self.local().fail(id, sent_at, now).await;
        }
        self.there(self.shared.primary.fail(id, sent_at, now)).await
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        if self.holds(id, now) {
            return self.local().note(id, note, now).await;
        }
        self.there(self.shared.primary.note(id, note, now)).await
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        match self.local().locate(name, now).await? {
            Some(found) => Ok(Some(found)),
            None => self.there(self.shared.primary.locate(name, now)).await,
        }
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        let mut due = self.local().overdue(most, now).await?;
        if !self.is_away() && due.len() < most {
            let there = self.shared.primary.overdue(most - due.len(), now);
            match self.there(there).await {
                Ok(there) => due.extend(there),
                Err(_) if self.is_away() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(due)
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        if self.holds(id, now) {
            return self.local().fall_back(id, now).await;
        }
        self.there(self.shared.primary.fall_back(id, now)).await
    }

    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        to_its_end(Arc::clone(&self.shared).lift(recipient, now)).await
    }

    /// Of both; the counters are those of the store that counts at present.
    async fn remembered(
        &self,
        of: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError> {
        let here = self.local().remembered(of, now).await?;
        if self.is_away() {
            return Ok(here);
        }
        let there = self.shared.primary.remembered(of, now);
        let there = self.there(there).await?;
        let all = there.verifications.into_iter().chain(here.verifications);
        Ok(Remembered::of(there.ledger, all, now))
    }

    /// In both, or refused: while the primary is away, nobody could say that it is done.
    async fn erase(&self, of: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        let there = self.there(self.shared.primary.erase(of, now)).await?;
        Ok(there + self.local().erase(of, now).await?)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.readiness().await.map(|_| ())
    }

    async fn readiness(&self) -> Result<Readiness, StoreError> {
        if !self.is_away() {
            let ready = self.shared.primary.ready().await;
            let ready = self.shared.watched(ready).await;
            if !self.is_away() {
                return ready.map(|()| Readiness::Ready);
            }
        }
        self.local().ready().await.map(|()| Readiness::Degraded)
    }
}
