//! A storage in a folder of its own, and one that dies again and again.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part")]

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::Mutex;
use watchword_core::fakes::{self, SetClock};
use watchword_core::keys::Sealed;
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, Clock, DeliveryId, MessageKey, Note, Purpose,
    RecipientIndex, Replay, ReplayKey, ReplayStore, ResendOutcome, ResendStep, StartOutcome,
    StartStep, Store, StoreError, Timestamp, Turn, Verification, VerificationId, Withdrawal,
};
use watchword_stores::{OpenOptions, Opened, StorageUrl};

pub(crate) fn options() -> OpenOptions {
    let clock: Arc<dyn Clock> = Arc::new(SetClock::default());
    OpenOptions::new(Arc::new(fakes::keys(1)), clock)
}

pub(crate) fn url(path: &Path) -> StorageUrl {
    StorageUrl::Sqlite(path.to_owned())
}

pub(crate) async fn open(path: &Path) -> Opened {
    watchword_stores::open(&url(path), options()).await.unwrap()
}

/// Copies a database as it is at this moment: what a loss of power would leave.
pub(crate) fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        fs::copy(name(from), name(to)).unwrap();
    }
}

/// A storage that loses power before every n-th step, and goes on from what is on its disk.
pub(crate) struct Mortal {
    folder: TempDir,
    life: Mutex<Life>,
    every: usize,
    steps: AtomicUsize,
}

struct Life {
    number: usize,
    opened: Arc<Opened>,
}

impl Mortal {
    pub(crate) async fn new(every: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = Arc::new(open(&path(&folder, 0)).await);
        Self {
            folder,
            life: Mutex::new(Life { number: 0, opened }),
            every,
            steps: AtomicUsize::new(1),
        }
    }

    async fn opened(&self) -> Arc<Opened> {
        let mut life = self.life.lock().await;
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        if step.is_multiple_of(self.every) {
            let next = path(&self.folder, life.number + 1);
            copy(&path(&self.folder, life.number), &next);
            life.number += 1;
            life.opened = Arc::new(open(&next).await);
        }
        Arc::clone(&life.opened)
    }
}

fn path(folder: &TempDir, life: usize) -> PathBuf {
    folder.path().join(format!("life-{life}.db"))
}

#[async_trait]
impl Store for Mortal {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        self.opened().await.store.start(step, now).await
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        self.opened().await.store.resend(step, now).await
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        self.opened().await.store.check(step, now).await
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.opened().await.store.get(app, id, now).await
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        let opened = self.opened().await;
        opened.store.newest(app, recipient, purpose, now).await
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        self.opened().await.store.cancel(app, id, now).await
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        self.opened().await.store.withdraw(step, now).await
    }

    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.opened().await.store.fail(id, sent_at, now).await
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let opened = self.opened().await;
        let planned = note.dispatched.is_some_and(|end| end.fallback.is_some());
        let turn = opened.store.note(id, note, now).await?;
        if turn.is_none() && !planned {
            // What a crash may forget of a note: let it reach the disk, as a pause would.
            let app = AppId::default();
            opened.store.get(&app, id, Timestamp::default()).await?;
        }
        Ok(turn)
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        self.opened().await.store.locate(name, now).await
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        self.opened().await.store.overdue(most, now).await
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.opened().await.store.fall_back(id, now).await
    }

    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        self.opened().await.store.unlock(recipient, now).await
    }

    async fn remembered(
        &self,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Result<watchword_core::Remembered, StoreError> {
        self.opened().await.store.remembered(recipient, now).await
    }

    async fn erase(&self, recipient: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        self.opened().await.store.erase(recipient, now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.opened().await.store.ready().await
    }
}

#[async_trait]
impl ReplayStore for Mortal {
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError> {
        let replays = &self.opened().await.replays;
        replays.claim(key, fingerprint, running_until, now).await
    }

    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError> {
        let replays = &self.opened().await.replays;
        replays.finish(key, answer, keep_until).await
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        self.opened().await.replays.abandon(key).await
    }
}

/// A storage that nobody kills, by its two ports at once.
pub(crate) struct Fixture(Mortal);

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self(Mortal::new(usize::MAX).await)
    }
}

impl Deref for Fixture {
    type Target = Mortal;

    fn deref(&self) -> &Mortal {
        &self.0
    }
}
