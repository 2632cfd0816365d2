//! A primary storage that can be switched off, and a node before it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use watchword_core::fakes::SetClock;
use watchword_core::keys::Sealed;
use watchword_core::memory::{MemoryStore, NoJournal};
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, Clock, DeliveryId, MessageKey, Note, Purpose,
    RecipientIndex, Replay, ReplayKey, ReplayStore, ResendOutcome, ResendStep, StartOutcome,
    StartStep, Store, StoreError, Timestamp, Turn, Verification, VerificationId, Withdrawal,
};
use watchword_stores::LocalFallback;

/// A store behind a switch.
#[derive(Default)]
pub(crate) struct Switched {
    pub(crate) store: MemoryStore,
    off: AtomicBool,
}

impl Switched {
    pub(crate) fn switch(&self, on: bool) {
        self.off.store(!on, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<&MemoryStore, StoreError> {
        if self.off.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("switched off"));
        }
        Ok(&self.store)
    }
}

macro_rules! behind_the_switch {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for Switched {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$answer, StoreError> {
                self.reach()?.$name($($argument),*).await
            })+
        }
    };
}

behind_the_switch! {
    start(step: StartStep, now: Timestamp) -> StartOutcome;
    resend(step: ResendStep, now: Timestamp) -> ResendOutcome;
    check(step: CheckStep, now: Timestamp) -> CheckOutcome;
    get(app: &AppId, id: VerificationId, now: Timestamp) -> Option<Verification>;
    newest(app: &AppId, recipient: RecipientIndex, purpose: &Purpose, now: Timestamp) -> Option<Verification>;
    cancel(app: &AppId, id: VerificationId, now: Timestamp) -> CancelOutcome;
    withdraw(step: Withdrawal, now: Timestamp) -> ();
    fail(id: VerificationId, now: Timestamp) -> ();
    note(id: VerificationId, note: Note, now: Timestamp) -> Option<Turn>;
    locate(name: MessageKey, now: Timestamp) -> Option<(VerificationId, DeliveryId)>;
    overdue(most: usize, now: Timestamp) -> Vec<VerificationId>;
    fall_back(id: VerificationId, now: Timestamp) -> Option<Turn>;
    unlock(recipient: RecipientIndex, now: Timestamp) -> bool;
    ready() -> ();
}

#[async_trait]
impl ReplayStore for Switched {
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError> {
        let store = self.reach()?;
        store.claim(key, fingerprint, running_until, now).await
    }

    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError> {
        self.reach()?.finish(key, answer, keep_until).await
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        self.reach()?.abandon(key).await
    }
}

/// A primary, its stand-in, and the time.
pub(crate) struct Site {
    pub(crate) primary: Arc<Switched>,
    pub(crate) local: Arc<MemoryStore>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) store: Arc<LocalFallback<NoJournal>>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let (primary, local) = (Arc::default(), Arc::default());
        Self::over(primary, local, Arc::default()).await
    }

    pub(crate) async fn over(
        primary: Arc<Switched>,
        local: Arc<MemoryStore>,
        clock: Arc<SetClock>,
    ) -> Self {
        let store = LocalFallback::over(
            Arc::clone(&primary) as Arc<dyn Store>,
            Arc::clone(&primary) as Arc<dyn ReplayStore>,
            Arc::clone(&local),
            Arc::clone(&clock) as Arc<dyn Clock>,
        );
        let store = Arc::new(store.await.unwrap());
        Self {
            primary,
            local,
            clock,
            store,
        }
    }

    /// Its primary is away, and that is known; since a minute before anything happens.
    pub(crate) async fn cut_off() -> Self {
        let site = Self::new().await;
        let before = site.clock.now().minus(Duration::from_mins(1));
        site.clock.set(before);
        site.cut().await;
        site
    }

    pub(crate) async fn cut(&self) {
        self.primary.switch(false);
        self.store.probe().await;
        assert!(self.store.is_away());
    }

    pub(crate) async fn mend(&self) {
        self.primary.switch(true);
        self.store.probe().await;
        assert!(!self.store.is_away());
    }

    /// Was away once, and is back.
    pub(crate) async fn mended() -> Self {
        let site = Self::cut_off().await;
        site.mend().await;
        site
    }
}

impl Deref for Site {
    type Target = LocalFallback<NoJournal>;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}
