//! A primary storage that outages happen to, a node before it, and the time.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchword_core::fakes::SetClock;
use watchword_core::memory::{MemoryStore, NoJournal};
use watchword_core::{Clock, ReplayStore, Store};
use watchword_stores::LocalFallback;

pub(crate) use super::primary::Kind;
use super::primary::Primary;

/// How long a server may take to be there. Test machines are busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A primary, its stand-in, and the time.
pub(crate) struct Site {
    pub(crate) primary: Arc<Primary>,
    pub(crate) local: Arc<MemoryStore>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) store: Arc<LocalFallback<NoJournal>>,
}

impl Site {
    pub(crate) async fn new(kind: Kind) -> Self {
        let primary = Arc::new(Primary::new(kind).await);
        Self::over(primary, Arc::default(), Arc::default()).await
    }

    pub(crate) async fn over(
        primary: Arc<Primary>,
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
    pub(crate) async fn cut_off(kind: Kind) -> Self {
        let site = Self::new(kind).await;
        let before = site.clock.now().minus(Duration::from_mins(1));
        site.clock.set(before);
        site.cut().await;
        site
    }

    pub(crate) async fn cut(&self) {
        self.primary.down().await;
        self.store.probe().await;
        assert!(self.store.is_away());
    }

    pub(crate) async fn mend(&self) {
        self.primary.up().await;
        let began = Instant::now();
        while self.store.is_away() {
            assert!(began.elapsed() < PATIENCE, "it does not come back");
            self.store.probe().await;
        }
    }

    /// Was away once, and is back.
    pub(crate) async fn mended(kind: Kind) -> Self {
        let site = Self::cut_off(kind).await;
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
