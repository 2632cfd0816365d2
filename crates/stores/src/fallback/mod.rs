//! A local store that stands in for the configured one, the primary, while that is away.
//!
//! - While the primary works, every step is its. What it counts is counted here too, so that the
//!   limits and budgets of what went through this node are known when the primary goes away.
//! - While it is away, new codes live here. What lives at the primary is refused, as unavailable.
//! - When it is back, what was counted here is counted there before it gets the next step. Codes
//!   that were made here are checked here for as long as they live.
//!
//! Other nodes know nothing of a code that was made here, nor of what was counted here while the
//! primary was away: a stand-in is one node's.

mod carry;
mod checks;
mod replays;
mod sends;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::task::AbortHandle;
use watchword_core::keys::Sealed;
use watchword_core::memory::{Journal, MemoryStore};
use watchword_core::{Clock, Replay, ReplayKey, ReplayStore, Store, StoreError, Timestamp};

use self::carry::Owed;

/// How often the primary is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long the primary may think about that after a step of it failed.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long it may think about it otherwise.
const LONG_PATIENCE: Duration = Duration::from_secs(2);

/// Under this key of the local store is since when the primary is owed what was counted here.
const OWED_SINCE: ReplayKey = ReplayKey(*b"owed to primary\0");

/// A store that another one stands in for.
pub struct LocalFallback<J: Journal> {
    shared: Arc<Shared<J>>,
}

/// Ends the task of [`LocalFallback::watch`] when it is dropped.
pub struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shared<J: Journal> {
    primary: Arc<dyn Store>,
    primary_replays: Arc<dyn ReplayStore>,
    local: Arc<MemoryStore<J>>,
    clock: Arc<dyn Clock>,
    away: AtomicBool,
    /// Held for reading by each step that the local store does in the primary's stead, and for
    /// writing while that changes.
    gate: RwLock<()>,
    /// No local step counts from before this moment, in milliseconds: what is before it may have
    /// been taken to the primary.
    floor: AtomicU64,
    owed: Mutex<Owed>,
}

impl<J: Journal> LocalFallback<J> {
    /// Lets `local` stand in for the primary. If something was not taken to the primary when the
    /// process ended last, the primary counts as away until it is.
    ///
    /// # Errors
    /// When the local store cannot be read.
    pub async fn over(
        primary: Arc<dyn Store>,
        primary_replays: Arc<dyn ReplayStore>,
        local: Arc<MemoryStore<J>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let since = owed_since(local.as_ref(), clock.now()).await?;
        let shared = Arc::new(Shared {
            primary,
            primary_replays,
            local,
            clock,
            away: AtomicBool::new(since.is_some()),
            gate: RwLock::new(()),
            floor: AtomicU64::new(since.unwrap_or_default().as_millis()),
            owed: Mutex::new(Owed::since(since.unwrap_or_default())),
        });
        if since.is_some() {
            tracing::warn!("the primary storage is owed what was counted while it was away");
        }
        Ok(Self { shared })
    }

    /// Whether the local store stands in at present.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.shared.is_away()
    }

    /// Asks the primary whether it is there, and acts on it: lets the local store stand in, or
    /// takes what was counted here to the primary and lets it take over.
    pub async fn probe(&self) {
        self.shared.probe().await;
    }

    /// [`Self::probe`] for ever, in a task of its own.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let shared = Arc::clone(&self.shared);
        let watch = async move {
            loop {
                tokio::time::sleep(ASK_EVERY).await;
                shared.probe().await;
            }
        };
        Watch(tokio::spawn(watch).abort_handle())
    }
}

impl<J: Journal> Shared<J> {
    fn is_away(&self) -> bool {
        self.away.load(Ordering::Acquire)
    }

    /// What a step at the primary is refused with while that is away.
    fn gone() -> StoreError {
        StoreError::unavailable("it is kept in the primary storage, which is away")
    }

    /// The moment that a local step counts from.
    fn local_moment(&self, now: Timestamp) -> Timestamp {
        now.max(Timestamp::from_millis(self.floor.load(Ordering::Acquire)))
    }

    /// The moment that what the primary did counts from here: not before it was done.
    fn mirror_moment(&self, now: Timestamp) -> Timestamp {
        now.max(self.clock.now())
    }

    async fn probe(&self) {
        let ready = tokio::time::timeout(LONG_PATIENCE, self.primary.ready()).await;
        let ready = ready.unwrap_or_else(|_| Err(StoreError::unavailable("no answer")));
        match ready {
            Ok(()) if self.is_away() => {
                if let Err(error) = self.come_back().await {
                    tracing::debug!(%error, "the primary storage is not back yet");
                }
            }
            Ok(()) => {}
            Err(error) => self.leave(&error).await,
        }
    }

    /// Looks at what a step of the primary came to; if that is gone, the next step is local. This
    /// one is not: nobody knows whether the primary did it before it went.
    async fn watched<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Unavailable(_)) = &answer
            && !self.is_away()
        {
            let ready = tokio::time::timeout(PATIENCE, self.primary.ready()).await;
            if !matches!(ready, Ok(Ok(()))) {
                self.leave(error).await;
            }
        }
        answer
    }

    /// From now on the local store stands in. That it owes the primary something is durable before
    /// it does anything.
    async fn leave(&self, why: &StoreError) {
        if self.is_away() {
            return;
        }
        let _changing = self.gate.write().await;
        if self.is_away() {
            return;
        }
        // After everything that was counted here and there.
        let since = self.clock.now().plus(Duration::from_millis(1));
        let since = self.local_moment(since);
        if let Err(error) = owe_since(self.local.as_ref(), since).await {
            tracing::error!(%error, "the primary storage is away and the local one fails too");
            return;
        }
        *self.owed.lock() = Owed::since(since);
        self.floor.fetch_max(since.as_millis(), Ordering::AcqRel);
        self.away.store(true, Ordering::Release);
        let reason: &dyn std::error::Error = match why {
            StoreError::Unavailable(reason) => reason.as_ref(),
            other => other,
        };
        tracing::warn!(
            reason = %reason,
            "the primary storage is away; the local one stands in for it"
        );
    }

    /// Takes what was counted here to the primary, and lets it take over.
    async fn come_back(&self) -> Result<(), StoreError> {
        // Most of it while steps go on, so that they wait for the rest only.
        let until = {
            let _changing = self.gate.write().await;
            let floor = Timestamp::from_millis(self.floor.load(Ordering::Acquire));
            let until = self.clock.now().max(floor).plus(Duration::from_millis(1));
            self.floor.store(until.as_millis(), Ordering::Release);
            until
        };
        self.carry_until(until).await?;
        let _changing = self.gate.write().await;
        self.carry_until(Timestamp::from_millis(u64::MAX)).await?;
        self.local.abandon(OWED_SINCE).await?;
        self.away.store(false, Ordering::Release);
        tracing::info!("the primary storage is back, and has what was counted meanwhile");
        Ok(())
    }
}

/// Remembers since when the primary is owed what is counted here.
async fn owe_since(local: &dyn ReplayStore, since: Timestamp) -> Result<(), StoreError> {
    let forever = Timestamp::from_millis(u64::MAX);
    local.claim(OWED_SINCE, [0; 32], forever, since).await?;
    let moment = Sealed::from_bytes(&since.as_millis().to_le_bytes());
    local.finish(OWED_SINCE, moment, forever).await
}

/// Since when the primary is owed, if it is.
async fn owed_since(
    local: &dyn ReplayStore,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let forever = Timestamp::from_millis(u64::MAX);
    match local.claim(OWED_SINCE, [0; 32], forever, now).await? {
        Replay::Fresh => {
            local.abandon(OWED_SINCE).await?;
            Ok(None)
        }
        Replay::Done(moment) => {
            let bytes = moment.as_bytes().try_into().unwrap_or_default();
            Ok(Some(Timestamp::from_millis(u64::from_le_bytes(bytes))))
        }
        // Ended in the middle, before any step was done here; the claim itself is nothing owed.
        Replay::Running | Replay::Different => {
            local.abandon(OWED_SINCE).await?;
            Ok(None)
        }
    }
}
