//! A store that dies after every answer and is put back from its journal. Nobody may notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use watchword_core::memory::{MemoryStore, SHARDS};
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, DeliveryId, MessageKey, Note, Purpose,
    RecipientIndex, ResendOutcome, ResendStep, StartOutcome, StartStep, Store, StoreError,
    Timestamp, Turn, Verification, VerificationId, Withdrawal,
};

use crate::journal::Tape;

type Life = Arc<MemoryStore<Tape>>;

/// `records` is all that survives. Every eighth time it is a snapshot.
struct Reborn {
    records: Mutex<Vec<Vec<u8>>>,
    lives: AtomicU64,
}

impl Reborn {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            records: Mutex::default(),
            lives: AtomicU64::new(0),
        })
    }

    /// A store out of nothing but what the earlier ones wrote.
    fn wake(&self, now: Timestamp) -> Life {
        let store = MemoryStore::new(Tape::default(), 1000);
        for record in self.records.lock().iter() {
            store.restore(record, now).expect("it was just written");
        }
        Arc::new(store)
    }

    fn die(&self, store: &Life) {
        let mut records = self.records.lock();
        if self.lives.fetch_add(1, Ordering::SeqCst) % 8 == 7 {
            let mut image = Vec::new();
            for part in 0..SHARDS {
                store.snapshot(part, &mut image);
            }
            *records = vec![image];
        } else {
            records.extend(store.journal().records());
        }
    }
}

/// Wakes a store, lets it do one step, and lets it die.
macro_rules! once {
    ($reborn:ident, $now:expr, $store:ident => $step:expr) => {{
        let $store = $reborn.wake($now);
        let answer = $step;
        $reborn.die(&$store);
        answer
    }};
}

#[async_trait]
impl Store for Reborn {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        once!(self, now, store => store.start(step, now).await)
    }
    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        once!(self, now, store => store.resend(step, now).await)
    }
    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        once!(self, now, store => store.check(step, now).await)
    }
    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        once!(self, now, store => store.get(app, id, now).await)
    }
    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        once!(self, now, store => store.newest(app, recipient, purpose, now).await)
    }
    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        once!(self, now, store => store.cancel(app, id, now).await)
    }
    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        once!(self, now, store => store.withdraw(step, now).await)
    }
    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        once!(self, now, store => store.fail(id, sent_at, now).await)
    }
    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        once!(self, now, store => store.note(id, note, now).await)
    }
    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        once!(self, now, store => store.locate(name, now).await)
    }
    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        once!(self, now, store => store.overdue(most, now).await)
    }
    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        once!(self, now, store => store.fall_back(id, now).await)
    }
    async fn unlock(&self, index: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        once!(self, now, store => store.unlock(index, now).await)
    }

    async fn remembered(
        &self,
        index: RecipientIndex,
        now: Timestamp,
    ) -> Result<watchword_core::Remembered, StoreError> {
        once!(self, now, store => store.remembered(index, now).await)
    }

    async fn erase(&self, index: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        once!(self, now, store => store.erase(index, now).await)
    }
    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn dying_after_every_answer_changes_no_answer() {
    watchword_core::conformance::model_histories_forward(|| async { Reborn::new() });
}
