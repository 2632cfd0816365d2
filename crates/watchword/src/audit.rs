//! The audit log of a running server: entries are gathered, and written page by page.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use watchword_core::audit::{AuditStore, Broken, Draft, Entry, Proof, Tail};
use watchword_core::keys::KeyRing;
use watchword_core::{Clock, Entropy, Event, Events, StoreError, Subject};
use watchword_stores::{Neighbour, OpenError, StorageUrl};

use crate::config::AuditSettings;
use crate::failure::Failure;

/// How long entries wait for others: what a `kill -9` loses of them.
const GATHER: Duration = Duration::from_millis(500);
/// A page of this size is not waited for any longer, in bytes.
const FULL: usize = 256 << 10;
/// More than this is not kept while it cannot be written, in bytes.
const MOST: usize = 16 << 20;
const RETENTION: Duration = Duration::from_hours(1);
/// How many pages are read at a time to prove the age of one whose key has left.
const READ: u32 = 64;
/// After each portion of what is read or deleted, for those who write meanwhile: up to 5 MB of pages a second.
const REST: Duration = Duration::from_millis(50);
/// Until it is tried again to write.
const PAUSE: Duration = Duration::from_secs(1);
/// Until it is tried again to remove or to delete.
const LONG_PAUSE: Duration = Duration::from_mins(1);

/// What whoever writes behind a page of somebody else says.
pub(crate) const UNPROVEN: &str = "the newest page of the audit log is not of a server with this \
    secret key; entries go behind it, and `watchword audit verify` will name it: somebody else \
    wrote to audit.url, or the key of that page was taken off secret_keys before another was in use";

/// What is said where the database calls something old that is not proven to be.
const NOT_OLD: &str = "nothing is removed from the audit log, as what is old in it cannot be proven: \
    see `watchword audit verify`";

/// Takes entries from everywhere, without blocking anybody.
pub(crate) struct AuditLog {
    clock: Arc<dyn Clock>,
    is_kept: bool,
    is_logged: bool,
    waiting: Mutex<Waiting>,
    full: Notify,
    written: Counter,
    lost: Counter,
}

#[derive(Default)]
struct Waiting {
    body: Vec<u8>,
    entries: u32,
    lost: u64,
}

impl AuditLog {
    /// With nothing in it.
    pub(crate) fn new(
        settings: &AuditSettings,
        clock: Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> Arc<Self> {
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let written = "Entries that were written to the audit log";
        let lost = "Entries that are missing in the audit log, as it could not be written";
        Arc::new(Self {
            clock,
            is_kept: settings.url.is_some(),
            is_logged: settings.log,
            waiting: Mutex::default(),
            full: Notify::new(),
            written: counter(registry, "audit_entries", written),
            lost: counter(registry, "audit_entries_lost", lost),
        })
    }

    /// Takes note of something that is no step of a verification.
    pub(crate) fn record(&self, event: &'static str, reason: &str) {
        self.add(&Entry::new(self.clock.now(), event, reason));
    }

    fn add(&self, entry: &Entry<'_>) {
        if self.is_logged {
            let (subject, reason) = (&entry.subject, entry.reason.as_deref());
            tracing::info!(
                target: "watchword::audit",
                event = entry.event,
                reason,
                channel = entry.channel,
                app = subject.app.map(tracing::field::display),
                verification = subject.verification.map(tracing::field::display),
                recipient = subject.recipient.map(tracing::field::display),
                by = subject.by.map(tracing::field::display),
                "audit"
            );
        }
        if !self.is_kept {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.body.len() >= MOST {
            waiting.lost += 1;
            return;
        }
        entry.write(&mut waiting.body);
        waiting.entries += 1;
        if waiting.body.len() >= FULL {
            self.full.notify_one();
        }
    }

    /// How much waits to be written, in bytes.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.lock().body.len()
    }

    /// What waits, as a page; an entry says how many were lost before it.
    fn draft(&self, writer: &str) -> Option<Draft> {
        let mut waiting = std::mem::take(&mut *self.waiting.lock());
        let now = self.clock.now();
        if waiting.lost > 0 {
            self.lost.inc_by(waiting.lost);
            let lost = waiting.lost.to_string();
            Entry::new(now, "audit.entries_lost", lost).write(&mut waiting.body);
            waiting.entries += 1;
        }
        (waiting.entries > 0).then(|| Draft {
            written_at: now,
            writer: writer.to_owned(),
            entries: waiting.entries,
            body: waiting.body,
        })
    }
}

impl Events for AuditLog {
    fn note(&self, event: Event, subject: &Subject<'_>) {
        if !self.is_kept && !self.is_logged {
            return;
        }
        if let Some(entry) = Entry::of(event, subject, self.clock.now()) {
            self.add(&entry);
        }
    }
}

/// Where the chain is kept, and what is kept beside it.
pub(crate) struct Shelf {
    url: StorageUrl,
    beside: Neighbour,
    opened: Option<Arc<dyn AuditStore>>,
}

impl Shelf {
    /// The one that is configured, if any.
    pub(crate) fn of(settings: &AuditSettings, beside: Neighbour) -> Option<Self> {
        let url = settings.url.clone()?;
        Some(Self {
            url,
            beside,
            opened: None,
        })
    }

    /// Opens it, once.
    ///
    /// # Errors
    /// When it cannot be opened; it may be tried again.
    pub(crate) async fn open(&mut self) -> Result<Arc<dyn AuditStore>, OpenError> {
        if let Some(store) = &self.opened {
            return Ok(Arc::clone(store));
        }
        let store = watchword_stores::open_audit(&self.url, &self.beside).await?;
        self.opened = Some(Arc::clone(&store));
        Ok(store)
    }
}

/// What the scribe has to do next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Stop,
    /// There may be entries to write.
    Write,
    /// There may be pages to remove or to delete.
    Tidy,
}

/// What became of the pages that are too old.
enum Retention {
    Nothing,
    Removed,
    /// It is not proven yet that they are.
    Reading,
    /// They are not what was written.
    Broken(Broken),
}

/// What is known of the newest page that is too old, if there is one; or what its number is and what
/// is wrong with it or behind it.
type Read = Result<Option<Proof>, (u64, Broken)>;

/// Writes pages until it is stopped, and then what is left.
pub(crate) struct Scribe {
    log: Arc<AuditLog>,
    shelf: Shelf,
    keys: Arc<KeyRing>,
    keep: Duration,
    writer: String,
    tail: Tail,
    /// The page of somebody else that was told of last.
    unproven: Option<u64>,
    failing: bool,
    /// When it looks for what is too old.
    retention: Instant,
    /// What is too old, as far as that is proven.
    proof: Option<Proof>,
    /// When the next portion of what was removed is deleted.
    deletion: Instant,
}

impl Scribe {
    /// One for a store. It names itself by a number of its own, so that pages of several nodes
    /// can be told apart.
    pub(crate) fn new(
        log: &Arc<AuditLog>,
        shelf: Shelf,
        keys: Arc<KeyRing>,
        keep: Duration,
        entropy: &dyn Entropy,
    ) -> Result<Self, Failure> {
        let number: [u8; 4] =
            watchword_core::draw(entropy).map_err(|error| Failure::from_error(&error))?;
        Ok(Self {
            log: Arc::clone(log),
            shelf,
            keys,
            keep,
            writer: format!("server-{:08x}", u32::from_be_bytes(number)),
            tail: Tail::default(),
            unproven: None,
            failing: false,
            retention: Instant::now() + GATHER,
            proof: None,
            deletion: Instant::now() + GATHER,
        })
    }

    /// Goes on in a task of its own.
    pub(crate) fn start(mut self, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut gathered = Instant::now() + GATHER;
            loop {
                let call = tokio::select! {
                    biased;
                    () = stop.cancelled() => Call::Stop,
                    () = self.log.full.notified() => Call::Write,
                    () = sleep_until(gathered) => Call::Write,
                    () = sleep_until(self.retention.min(self.deletion)) => Call::Tidy,
                };
                // One page at a time: what came in while it was written gathers as well.
                while call != Call::Tidy
                    && let Some(draft) = self.log.draft(&self.writer)
                {
                    if !self.write(draft, &stop).await {
                        return;
                    }
                    if call == Call::Write {
                        break;
                    }
                }
                match call {
                    Call::Stop => return,
                    Call::Write => gathered = Instant::now() + GATHER,
                    Call::Tidy => {}
                }
                self.keep_house().await;
            }
        })
    }

    /// Tries until the page is written; gives up only if the server ends meanwhile.
    async fn write(&mut self, draft: Draft, stop: &CancellationToken) -> bool {
        let entries = u64::from(draft.entries);
        loop {
            match self.append(&draft).await {
                Ok(()) => {
                    self.log.written.inc_by(entries);
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("the audit log can be written again");
                    }
                    return true;
                }
                Err(error) if stop.is_cancelled() => {
                    tracing::error!(%error, entries, "the last entries of the audit log are lost");
                    return false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::error!(%error, "the audit log cannot be written; entries wait");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn append(&mut self, draft: &Draft) -> Result<(), StoreError> {
        let store = self.shelf.open().await.map_err(StoreError::unavailable)?;
        let appended = self.tail.append(&*store, draft, &self.keys).await;
        if let Some(page) = self.tail.take_unproven()
            && self.unproven.replace(page) != Some(page)
        {
            tracing::error!(page, "{UNPROVEN}");
        }
        appended
    }

    /// Removes what is too old, and deletes a portion of what was removed, each if it is time.
    async fn keep_house(&mut self) {
        if self.retention <= Instant::now() {
            let pause = match self.remove_old().await {
                Ok(Retention::Removed) => {
                    self.deletion = Instant::now();
                    RETENTION
                }
                Ok(Retention::Nothing) => RETENTION,
                Ok(Retention::Reading) => REST,
                Ok(Retention::Broken(broken)) => {
                    tracing::error!(%broken, "{NOT_OLD}");
                    RETENTION
                }
                Err(error) => {
                    tracing::warn!(%error, "old pages of the audit log are not removed");
                    LONG_PAUSE
                }
            };
            self.retention = Instant::now() + pause;
        }
        if self.deletion <= Instant::now() {
            let pause = match self.prune().await {
                Ok(true) => REST,
                Ok(false) => RETENTION,
                Err(error) => {
                    tracing::warn!(%error, "removed pages of the audit log still take their room");
                    LONG_PAUSE
                }
            };
            self.deletion = Instant::now() + pause;
        }
    }

    /// Whoever can write to the store says what is old there: nothing is removed before it is proven.
    async fn remove_old(&mut self) -> Result<Retention, StoreError> {
        let store = self.shelf.open().await.map_err(StoreError::unavailable)?;
        let read = match self.proof {
            Some(proof) => self.read_on(&*store, proof).await?,
            None => {
                if let Some(anchor) = store.anchor().await?
                    && let Some(renewed) = anchor.renewed(&self.keys)
                {
                    store.remove(renewed).await?;
                }
                self.read_old(&*store).await?
            }
        };
        self.proof = None;
        let proof = match read {
            Ok(Some(proof)) => proof,
            Ok(None) => return Ok(Retention::Nothing),
            Err((page, broken)) => {
                // What another node removed meanwhile is not broken.
                let anchor = store.anchor().await?;
                let gone = anchor.is_some_and(|anchor| anchor.link.number >= page);
                return Ok(match gone {
                    true => Retention::Nothing,
                    false => Retention::Broken(broken),
                });
            }
        };
        let Some(anchor) = proof.anchor(&self.keys) else {
            self.proof = Some(proof);
            return Ok(Retention::Reading);
        };
        store.remove(anchor).await?;
        Ok(Retention::Removed)
    }

    /// Looks at the newest page that is too old, if there is one.
    async fn read_old(&self, store: &dyn AuditStore) -> Result<Read, StoreError> {
        let end = self.log.clock.now().minus(self.keep);
        let Some(link) = store.last_before(end).await? else {
            return Ok(Ok(None));
        };
        let pages = store.pages(link.number.saturating_sub(1), 1).await?;
        // Its own word for its age, as the proof is of that; gone if it was removed meanwhile.
        let page = pages.first();
        let page = page.filter(|page| page.link == link && page.draft.written_at < end);
        let proof = page.map(|page| Proof::of(page, &self.keys)).transpose();
        Ok(proof.map_err(|broken| (link.number, broken)))
    }

    /// Goes on with a page whose key has left.
    async fn read_on(&self, store: &dyn AuditStore, mut proof: Proof) -> Result<Read, StoreError> {
        let pages = store.pages(proof.last(), READ).await?;
        let done = proof.go_on(&pages, &self.keys);
        let done = done.map(|()| Some(proof));
        Ok(done.map_err(|broken| (proof.page(), broken)))
    }

    async fn prune(&mut self) -> Result<bool, StoreError> {
        let store = self.shelf.open().await.map_err(StoreError::unavailable)?;
        store.prune().await
    }
}

#[cfg(test)]
pub(crate) mod tests;
