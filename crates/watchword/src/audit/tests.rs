use async_trait::async_trait;
use watchword_core::Timestamp;
use watchword_core::audit::{Link, MemoryAudit, Page};
use watchword_core::fakes::{self, SeededEntropy, SetClock};

use super::*;

/// How long the disk takes for a page.
const A_PAGE: Duration = Duration::from_millis(2);

/// Pages in memory that take their time, as a disk does.
#[derive(Default)]
struct Slow(MemoryAudit);

#[async_trait]
impl AuditStore for Slow {
    async fn last(&self) -> Result<Option<Link>, StoreError> {
        self.0.last().await
    }

    async fn append(&self, page: Page) -> Result<bool, StoreError> {
        sleep(A_PAGE).await;
        self.0.append(page).await
    }

    async fn pages(&self, after: u64, limit: u32) -> Result<Vec<Page>, StoreError> {
        self.0.pages(after, limit).await
    }

    async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        self.0.anchor().await
    }

    async fn last_before(&self, moment: Timestamp) -> Result<Option<Link>, StoreError> {
        self.0.last_before(moment).await
    }

    async fn remove(&self, anchor: Anchor) -> Result<(), StoreError> {
        self.0.remove(anchor).await
    }
}

/// A log whose scribe writes to a slow store.
struct Office {
    log: Arc<AuditLog>,
    store: Arc<Slow>,
    stop: CancellationToken,
    scribe: JoinHandle<()>,
}

impl Office {
    fn open() -> Self {
        let settings = AuditSettings {
            url: Some(StorageUrl::Memory),
            log: false,
            keep: Duration::from_hours(1),
        };
        let clock = Arc::new(SetClock::new(Timestamp::default()));
        let log = AuditLog::new(&settings, clock, &mut Registry::default());
        let store = Arc::new(Slow::default());
        let shelf = Shelf {
            url: StorageUrl::Memory,
            beside: StorageUrl::Memory,
            opened: Some(Arc::clone(&store) as Arc<dyn AuditStore>),
        };
        let keys = Arc::new(fakes::keys(1));
        let entropy = SeededEntropy::new(1);
        let scribe = Scribe::new(&log, shelf, keys, settings.keep, &entropy).unwrap();
        let stop = CancellationToken::new();
        let scribe = scribe.start(stop.clone());
        Self {
            log,
            store,
            stop,
            scribe,
        }
    }

    /// Entries come in, one every tenth of a millisecond, for so long.
    async fn work(&self, span: Duration, reason: &str) -> u32 {
        let end = Instant::now() + span;
        let mut entries = 0;
        while Instant::now() < end {
            self.log.record("server.started", reason);
            entries += 1;
            sleep(Duration::from_micros(100)).await;
        }
        entries
    }

    async fn pages(&self) -> Vec<Page> {
        self.store.pages(0, u32::MAX).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn entries_that_never_stop_coming_still_gather() {
    let office = Office::open();
    let entries = office.work(GATHER * 10, "busy").await;
    let pages = office.pages().await;
    assert!((9..=10).contains(&pages.len()), "{}", pages.len());
    office.stop.cancel();
    assert!(office.scribe.await.is_ok());
    let pages = office.store.pages(0, u32::MAX).await.unwrap();
    let written: u32 = pages.iter().map(|page| page.draft.entries).sum();
    assert_eq!(written, entries);
}

#[tokio::test(start_paused = true)]
async fn a_full_page_waits_for_no_more() {
    let office = Office::open();
    let long = "x".repeat(FULL / 4);
    for _ in 0..4 {
        office.log.record("server.started", &long);
    }
    sleep(A_PAGE * 2).await;
    assert_eq!(office.pages().await.len(), 1);
    office.log.record("server.started", "and one more");
    sleep(GATHER / 2).await;
    assert_eq!(office.pages().await.len(), 1);
    sleep(GATHER).await;
    assert_eq!(office.pages().await.len(), 2);
}
