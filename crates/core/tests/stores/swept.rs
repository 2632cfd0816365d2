//! A store that sweeps everything before every step. Nobody may notice.

use std::sync::Arc;

use async_trait::async_trait;
use watchword_core::memory::{MemoryStore, SHARDS};
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, DeliveryId, MessageKey, Note, Purpose,
    RecipientIndex, ResendOutcome, ResendStep, StartOutcome, StartStep, Store, StoreError,
    Timestamp, Turn, Verification, VerificationId, Withdrawal,
};

#[derive(Default)]
struct Swept(MemoryStore);

impl Swept {
    fn at(&self, now: Timestamp) -> &MemoryStore {
        (0..SHARDS).for_each(|part| self.0.sweep(part, now));
        &self.0
    }
}

#[async_trait]
impl Store for Swept {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        self.at(now).start(step, now).await
    }
    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        self.at(now).resend(step, now).await
    }
    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        self.at(now).check(step, now).await
    }
    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.at(now).get(app, id, now).await
    }
    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.at(now).newest(app, recipient, purpose, now).await
    }
    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        self.at(now).cancel(app, id, now).await
    }
    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        self.at(now).withdraw(step, now).await
    }
    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.at(now).fail(id, sent_at, now).await
    }
    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.at(now).note(id, note, now).await
    }
    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        self.at(now).locate(name, now).await
    }
    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        self.at(now).overdue(most, now).await
    }
    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.at(now).fall_back(id, now).await
    }
    async fn unlock(&self, index: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        self.at(now).unlock(index, now).await
    }

    async fn remembered(
        &self,
        index: RecipientIndex,
        now: Timestamp,
    ) -> Result<watchword_core::Remembered, StoreError> {
        self.at(now).remembered(index, now).await
    }

    async fn erase(&self, index: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        self.at(now).erase(index, now).await
    }
    async fn ready(&self) -> Result<(), StoreError> {
        self.0.ready().await
    }
}

#[test]
fn sweeping_before_every_step_changes_no_answer() {
    watchword_core::conformance::model_histories_forward(|| async { Arc::new(Swept::default()) });
}
