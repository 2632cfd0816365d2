use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use watchword_core::Timestamp;
use watchword_core::audit::{Anchor, Link, MemoryAudit, Page};
use watchword_core::fakes::{self, SeededEntropy, SetClock};
use watchword_core::keys::SecretKey;

use super::*;

/// How long the disk takes for a page.
const A_PAGE: Duration = Duration::from_millis(2);

/// How long it takes to delete a portion: longer than the rest behind it.
const A_PORTION: Duration = Duration::from_millis(80);

/// Pages in memory that take their time, as a disk does.
#[derive(Default)]
pub(crate) struct Slow {
    pub(crate) kept: MemoryAudit,
    /// How many portions of removed pages are to be deleted.
    portions: AtomicU32,
    /// What is removed once somebody has begun to read.
    pub(crate) removes: Mutex<Option<Anchor>>,
    /// The number of a page that somebody made look old, if not 0.
    aged: AtomicU64,
}

#[async_trait]
impl AuditStore for Slow {
    async fn last(&self) -> Result<Option<Link>, StoreError> {
        self.kept.last().await
    }

    async fn append(&self, page: Page) -> Result<bool, StoreError> {
        sleep(A_PAGE).await;
        self.kept.append(page).await
    }

    async fn pages(&self, after: u64, limit: u32) -> Result<Vec<Page>, StoreError> {
        let mut pages = self.kept.pages(after, limit).await?;
        let aged = self.aged.load(SeqCst);
        for page in pages.iter_mut().filter(|page| page.link.number == aged) {
            page.draft.written_at = Timestamp::default();
        }
        let removes = self.removes.lock().take();
        if let Some(anchor) = removes {
            self.kept.remove(anchor).await?;
        }
        Ok(pages)
    }

    async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        self.kept.anchor().await
    }

    async fn last_before(&self, moment: Timestamp) -> Result<Option<Link>, StoreError> {
        let aged = self.aged.load(SeqCst);
        if aged > 0 {
            let pages = self.kept.pages(aged - 1, 1).await?;
            return Ok(pages.first().map(|page| page.link));
        }
        self.kept.last_before(moment).await
    }

    async fn remove(&self, anchor: Anchor) -> Result<(), StoreError> {
        self.kept.remove(anchor).await
    }

    async fn prune(&self) -> Result<bool, StoreError> {
        sleep(A_PORTION).await;
        let less = |left: u32| left.checked_sub(1);
        let one = self.portions.fetch_update(SeqCst, SeqCst, less);
        Ok(one.is_ok_and(|before| before > 1))
    }
}

/// A log whose scribe writes to a slow store.
struct Office {
    clock: Arc<SetClock>,
    log: Arc<AuditLog>,
    store: Arc<Slow>,
    stop: CancellationToken,
    scribe: JoinHandle<()>,
}

impl Office {
    fn open() -> Self {
        Self::with(fakes::keys(1))
    }

    fn with(keys: KeyRing) -> Self {
        let settings = AuditSettings {
            url: Some(StorageUrl::Memory),
            log: false,
            keep: Duration::from_hours(1),
        };
        let clock = Arc::new(SetClock::new(Timestamp::default()));
        let log = AuditLog::new(&settings, Arc::clone(&clock) as _, &mut Registry::default());
        let store = Arc::new(Slow::default());
        let shelf = Shelf {
            url: StorageUrl::Memory,
            beside: Neighbour::elsewhere(&StorageUrl::Memory),
            opened: Some(Arc::clone(&store) as Arc<dyn AuditStore>),
        };
        let keys = Arc::new(keys);
        let entropy = SeededEntropy::new(1);
        let scribe = Scribe::new(&log, shelf, keys, settings.keep, &entropy).unwrap();
        let stop = CancellationToken::new();
        let scribe = scribe.start(stop.clone());
        Self {
            clock,
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

    /// Another node writes pages now.
    async fn write(&self, keys: &KeyRing, pages: u32) {
        let mut tail = Tail::default();
        for _ in 0..pages {
            let draft = Draft {
                written_at: self.clock.now(),
                writer: "another".to_owned(),
                entries: 1,
                body: b"{}\n".to_vec(),
            };
            tail.append(&self.store.kept, &draft, keys).await.unwrap();
        }
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

#[tokio::test(start_paused = true)]
async fn old_pages_are_removed_at_once_and_deleted_beside_the_writing_of_new_ones() {
    let office = Office::open();
    office.work(GATHER * 4, "of long ago").await;
    let old = office.pages().await.len();
    assert!(old >= 3, "{old}");
    office.clock.advance(Duration::from_hours(2));
    let portions = 40;
    office.store.portions.store(portions, SeqCst);
    sleep(RETENTION - GATHER * 4).await;
    office.work(GATHER * 4, "today").await;
    let pages = office.pages().await;
    let anchor = office.store.anchor().await.unwrap().unwrap();
    assert_eq!(anchor.link.number, old as u64);
    // One from before, and then one every half second, as ever.
    assert!((4..=5).contains(&pages.len()), "{}", pages.len());
    // It rests after each, however long that took.
    let done = portions - office.store.portions.load(SeqCst);
    assert!(
        (1..=GATHER.as_millis() * 3 / 130).contains(&done.into()),
        "{done}"
    );
    office
        .work((A_PORTION + REST * 2) * portions, "today")
        .await;
    assert_eq!(office.store.portions.load(SeqCst), 0);
}

/// Whatever is between the two is no reason for the other to wait.
#[tokio::test(start_paused = true)]
async fn what_comes_of_age_is_removed_while_older_pages_are_still_being_deleted() {
    let office = Office::open();
    office.work(GATHER * 4, "of long ago").await;
    office.clock.advance(Duration::from_hours(2));
    office.store.portions.store(u32::MAX, SeqCst);
    sleep(RETENTION).await;
    let first = office.store.anchor().await.unwrap().unwrap();
    office.work(GATHER * 4, "of yesterday").await;
    office.clock.advance(Duration::from_hours(2));
    sleep(RETENTION).await;
    let second = office.store.anchor().await.unwrap().unwrap();
    assert!(second.link.number > first.link.number);
    assert!(office.store.portions.load(SeqCst) > 1);
}

/// Seen to fail where the server believes what the database says of a page.
#[tokio::test(start_paused = true)]
async fn a_page_that_was_made_to_look_old_is_not_removed() {
    let office = Office::open();
    office.clock.advance(Duration::from_hours(2));
    office.work(GATHER * 4, "of now").await;
    office.store.aged.store(2, SeqCst);
    sleep(RETENTION * 2).await;
    assert_eq!(office.store.anchor().await.unwrap(), None);
    // Nor is anything that is not its doing lost.
    office.store.aged.store(0, SeqCst);
    office.clock.advance(Duration::from_hours(2));
    sleep(RETENTION * 2).await;
    assert!(office.store.anchor().await.unwrap().is_some());
}

fn secret(seed: u64) -> SecretKey {
    SecretKey::generate(&SeededEntropy::new(seed)).unwrap()
}

/// Seen to fail where only the MAC of a page proves it.
#[tokio::test(start_paused = true)]
async fn old_pages_whose_key_has_left_are_removed_as_the_pages_behind_them_prove_them() {
    let office = Office::open();
    let before = fakes::keys(66);
    office.write(&before, 3).await;
    office.clock.advance(Duration::from_hours(2));
    office.write(&before, READ * 3).await;
    sleep(RETENTION * 2).await;
    assert_eq!(office.store.anchor().await.unwrap(), None);
    let during = KeyRing::new(&secret(1), &[secret(66)]);
    office.write(&during, 1).await;
    sleep(RETENTION * 2).await;
    let anchor = office.store.anchor().await.unwrap();
    assert_eq!(anchor.map(|anchor| anchor.link.number), Some(3));
}

/// Seen to fail where the server believes what the database says of a page.
#[tokio::test(start_paused = true)]
async fn a_page_from_long_ago_that_somebody_else_put_in_removes_nothing() {
    let office = Office::open();
    office.clock.advance(Duration::from_hours(2));
    office.write(&fakes::keys(1), 3).await;
    let draft = Draft {
        written_at: Timestamp::default(),
        writer: "another".to_owned(),
        entries: 1,
        body: b"{}\n".to_vec(),
    };
    let last = office.store.last().await.unwrap();
    let page = Page::behind(last, draft, &fakes::keys(66));
    assert!(office.store.append(page).await.unwrap());
    office.work(GATHER * 4, "of now").await;
    sleep(RETENTION * 2).await;
    assert_eq!(office.store.anchor().await.unwrap(), None);
}

/// Seen to fail where an anchor stays under the key that made it.
#[tokio::test(start_paused = true)]
async fn an_anchor_is_renewed_before_its_key_leaves() {
    let office = Office::with(KeyRing::new(&secret(1), &[secret(66)]));
    let before = fakes::keys(66);
    office.write(&before, 3).await;
    let pages = office.pages().await;
    let anchor = Anchor::at(pages[1].link, &before);
    office.store.remove(anchor).await.unwrap();
    sleep(GATHER * 2).await;
    let anchor = office.store.anchor().await.unwrap().unwrap();
    assert_eq!(anchor.link, pages[1].link);
    assert!(anchor.is_genuine(&fakes::keys(1)));
}
