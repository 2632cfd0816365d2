//! Stand-ins for ports that core has no fake of.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use watchword_core::fakes::Pigeon;
use watchword_core::keys::Sealed;
use watchword_core::{
    ApiKeyId, ApiKeyRecord, ApiKeyStore, AppId, CancelOutcome, Channel, CheckOutcome, CheckStep,
    DeliveryId, Dispatch, Envelope, Inbox, InboxMessage, MessageKey, Messenger, Note, Purpose,
    Recipient, RecipientIndex, Replay, ReplayKey, ReplayStore, ResendOutcome, ResendStep,
    StartOutcome, StartStep, Store, StoreError, Timestamp, Turn, Verification, VerificationId,
    Withdrawal,
};

/// API keys in memory.
#[derive(Default)]
pub struct KeyBox(Mutex<HashMap<ApiKeyId, ApiKeyRecord>>);

impl KeyBox {
    pub fn put(&self, record: ApiKeyRecord) {
        self.0.lock().insert(record.id.clone(), record);
    }

    pub fn count(&self) -> usize {
        self.0.lock().len()
    }
}

#[async_trait]
impl ApiKeyStore for KeyBox {
    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
        Ok(self.0.lock().get(id).cloned())
    }

    async fn add(&self, record: ApiKeyRecord) -> Result<(), StoreError> {
        self.put(record);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        Ok(self.0.lock().values().cloned().collect())
    }

    async fn revoke(&self, id: &ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        let mut keys = self.0.lock();
        let record = keys.get_mut(id);
        Ok(record.map(|record| record.revoked_at = Some(now)).is_some())
    }
}

/// An inbox that a test fills.
pub struct Postbox {
    messages: Mutex<Vec<Arc<InboxMessage>>>,
    revision: watch::Sender<u64>,
}

impl Default for Postbox {
    fn default() -> Self {
        Self {
            messages: Mutex::default(),
            revision: watch::Sender::new(0),
        }
    }
}

impl Postbox {
    pub fn put(&self, message: InboxMessage) {
        self.messages.lock().insert(0, Arc::new(message));
        self.revision.send_modify(|revision| *revision += 1);
    }
}

#[async_trait]
impl Inbox for Postbox {
    fn messages(&self, to: Option<&Recipient>) -> Vec<Arc<InboxMessage>> {
        let mut messages = self.messages.lock().clone();
        messages.retain(|message| to.is_none_or(|to| message.to == *to));
        messages
    }

    fn clear(&self) {
        self.messages.lock().clear();
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    async fn changed(&self, seen: u64) -> u64 {
        let mut watched = self.revision.subscribe();
        let changed = watched.wait_for(|revision| *revision != seen).await;
        changed.map(|revision| *revision).unwrap_or(seen)
    }
}

/// A store that cannot be reached.
pub struct Unreachable;

fn gone<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable("connection refused"))
}

#[async_trait]
impl Store for Unreachable {
    async fn start(&self, _: StartStep, _: Timestamp) -> Result<StartOutcome, StoreError> {
        gone()
    }

    async fn resend(&self, _: ResendStep, _: Timestamp) -> Result<ResendOutcome, StoreError> {
        gone()
    }

    async fn check(&self, _: CheckStep, _: Timestamp) -> Result<CheckOutcome, StoreError> {
        gone()
    }

    async fn get(
        &self,
        _: &AppId,
        _: VerificationId,
        _: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        gone()
    }

    async fn newest(
        &self,
        _: &AppId,
        _: RecipientIndex,
        _: &Purpose,
        _: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        gone()
    }

    async fn cancel(
        &self,
        _: &AppId,
        _: VerificationId,
        _: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        gone()
    }

    async fn withdraw(&self, _: Withdrawal, _: Timestamp) -> Result<(), StoreError> {
        gone()
    }

    async fn fail(&self, _: VerificationId, _: Timestamp, _: Timestamp) -> Result<(), StoreError> {
        gone()
    }

    async fn note(
        &self,
        _: VerificationId,
        _: Note,
        _: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        gone()
    }

    async fn locate(
        &self,
        _: MessageKey,
        _: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        gone()
    }

    async fn overdue(&self, _: usize, _: Timestamp) -> Result<Vec<VerificationId>, StoreError> {
        gone()
    }

    async fn fall_back(&self, _: VerificationId, _: Timestamp) -> Result<Option<Turn>, StoreError> {
        gone()
    }

    async fn unlock(&self, _: RecipientIndex, _: Timestamp) -> Result<bool, StoreError> {
        gone()
    }

    async fn remembered(
        &self,
        _: RecipientIndex,
        _: Timestamp,
    ) -> Result<watchword_core::Remembered, StoreError> {
        gone()
    }

    async fn erase(&self, _: RecipientIndex, _: Timestamp) -> Result<u64, StoreError> {
        gone()
    }

    async fn ready(&self) -> Result<(), StoreError> {
        gone()
    }
}

#[async_trait]
impl ReplayStore for Unreachable {
    async fn claim(
        &self,
        _: ReplayKey,
        _: [u8; 32],
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Replay, StoreError> {
        gone()
    }

    async fn finish(&self, _: ReplayKey, _: Sealed, _: Timestamp) -> Result<(), StoreError> {
        gone()
    }

    async fn abandon(&self, _: ReplayKey) -> Result<(), StoreError> {
        gone()
    }
}

/// Where every request is running already.
pub struct Busy;

#[async_trait]
impl ReplayStore for Busy {
    async fn claim(
        &self,
        _: ReplayKey,
        _: [u8; 32],
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Replay, StoreError> {
        Ok(Replay::Running)
    }

    async fn finish(&self, _: ReplayKey, _: Sealed, _: Timestamp) -> Result<(), StoreError> {
        gone()
    }

    async fn abandon(&self, _: ReplayKey) -> Result<(), StoreError> {
        gone()
    }
}

/// A messenger behind a gate: messages wait until it is opened.
pub struct Gate {
    pub pigeon: Arc<Pigeon>,
    open: Semaphore,
    waiting: AtomicUsize,
}

impl Gate {
    pub fn closed() -> Self {
        Self {
            pigeon: Arc::default(),
            open: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// How many messages have come to the gate so far.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Lets one message through.
    pub fn let_one_through(&self) {
        self.open.add_permits(1);
    }
}

#[async_trait]
impl Messenger for Gate {
    fn serves(&self, channel: Channel) -> bool {
        self.pigeon.serves(channel)
    }

    async fn dispatch(&self, envelope: Envelope, deadline: Duration) -> Dispatch {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.open.acquire().await.unwrap().forget();
        self.pigeon.dispatch(envelope, deadline).await
    }
}
