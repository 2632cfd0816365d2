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
mod keys;
mod late;
mod locks;
mod mirror;
mod owed;
mod replays;
mod sends;
mod store;
mod taken;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::task::AbortHandle;
use watchword_core::memory::{Journal, MemoryStore};
use watchword_core::{Clock, ReplayStore, Store, StoreError, Timestamp};

pub(crate) use self::keys::CopiedKeys;
pub(crate) use self::late::{Alone, Late, reach};
use self::owed::{OWED_SINCE, owe_since, owed_since};
use self::taken::Owed;

/// How often the primary is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long the primary may think about that after a step of it failed.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long it may think about it otherwise.
const LONG_PATIENCE: Duration = Duration::from_secs(2);

/// A store that another one stands in for.
pub struct LocalFallback<J: Journal> {
    shared: Arc<Shared<J>>,
}

/// Ends the task of [`LocalFallback::watch`] when it is dropped.
pub struct Watch(AbortHandle);

impl Watch {
    /// Lets the task go on for as long as it likes.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

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
    /// Held by whoever changes the list of locks that the primary has to lift.
    lifted: tokio::sync::Mutex<()>,
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
            owed: Mutex::new(Owed {
                since: since.unwrap_or_default(),
                ..Owed::default()
            }),
            lifted: tokio::sync::Mutex::default(),
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

    /// Lets the local store stand in from the start, as the primary could not be reached.
    ///
    /// # Errors
    /// When the local store cannot be written.
    pub async fn begin_without(&self, why: StoreError) -> Result<(), StoreError> {
        if self.is_away() {
            say_away(&why);
            return Ok(());
        }
        self.shared.leave(&why).await;
        if self.is_away() { Ok(()) } else { Err(why) }
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
    /// one is only where it is certain that the primary did not do it before it went.
    async fn watched<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ (StoreError::Unavailable(_) | StoreError::NotReached(_))) = &answer
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
        self.owed.lock().begin(since);
        self.floor.fetch_max(since.as_millis(), Ordering::AcqRel);
        self.away.store(true, Ordering::Release);
        say_away(why);
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
        self.carry_lifted().await?;
        self.carry_until(until).await?;
        let _changing = self.gate.write().await;
        self.carry_lifted().await?;
        self.carry_until(Timestamp::from_millis(u64::MAX)).await?;
        self.local.abandon(OWED_SINCE).await?;
        self.owed.lock().begin(Timestamp::from_millis(u64::MAX));
        self.away.store(false, Ordering::Release);
        tracing::info!("the primary storage is back, and has what was counted meanwhile");
        Ok(())
    }
}

/// One line for the log, with the reason and what is behind it.
fn say_away(why: &StoreError) {
    let reason: &dyn Error = match why {
        StoreError::Unavailable(reason) | StoreError::NotReached(reason) => reason.as_ref(),
        other => other,
    };
    tracing::warn!(
        reason = with_causes(reason),
        "the primary storage is away; the local one stands in for it"
    );
}

/// An error and its causes, as far as it does not tell them itself.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let told = next.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = next.source();
    }
    text
}
