//! The embedded store: the memory store over a journal in a SQLite file.

mod account_rows;
mod accounts;
mod api_keys;
mod audit;
mod backup;
mod checkpoint;
mod chore;
mod desk;
mod file;
mod gate;
mod guard;
mod journal;
mod marks;
mod neighbour;
mod portion;
mod replay;
mod schema;
mod snapshot;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use rusqlite::Connection;
use watchword_core::keys::KeyRing;
use watchword_core::memory::{Journal, MemoryStore};
use watchword_core::{Clock, ReplayStore, Store};

pub use self::accounts::SqliteAccounts;
pub use self::api_keys::SqliteApiKeys;
pub use self::audit::SqliteAudit;
pub use self::backup::{Backup, BackupError, backup};
use self::checkpoint::Checkpointer;
pub use self::file::OLDEST_SQLITE;
use self::file::{DatabaseFile, FileLock};
use self::journal::SqliteJournal;
pub(crate) use self::marks::{clear, mark, put_mark};
pub use self::neighbour::Neighbour;
pub use self::schema::{Migrated, migrate};
use self::snapshot::Head;
use crate::error::OpenError;
use crate::stats::Stats;
use crate::sweeper;
use crate::worker::Worker;

/// A store over a file, with the threads that look after it.
pub(crate) struct Embedded {
    store: Arc<MemoryStore<SqliteJournal>>,
    max_live: usize,
    clock: Arc<dyn Clock>,
    head: Arc<Mutex<Head>>,
    housekeeping: Vec<Worker>,
    writer: Option<JoinHandle<Connection>>,
    /// Last, so that nobody else gets the file before the threads have ended.
    _lock: FileLock,
}

/// What an embedded store is opened with.
pub(crate) struct Settings<'a> {
    pub(crate) max_live: usize,
    pub(crate) snapshot_after: u64,
    pub(crate) keys: &'a KeyRing,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Embedded {
    /// Opens the file, makes it where there is none, and puts everything back. Blocks meanwhile.
    pub(crate) fn open(path: &Path, settings: Settings<'_>) -> Result<Self, OpenError> {
        let file = DatabaseFile::find_or_create(path)?;
        let lock = file.lock()?;
        let mut connection = schema::connect(&file)?;
        schema::bring_up(&file, &mut connection)?;
        guard::check_form(&file, &connection)?;
        guard::check_keys(&file, &connection, settings.keys)?;
        let clock = settings.clock;
        let began = Instant::now();
        let journal = SqliteJournal::default();
        let store = Arc::new(MemoryStore::new(journal.clone(), settings.max_live));
        let replayed = replay::replay(&file, &connection, &store, clock.now())?;
        tracing::info!(
            verifications = store.len(),
            snapshot_bytes = replayed.head.bytes,
            journal_bytes = replayed.journal_bytes,
            took = ?began.elapsed(),
            "the journal was replayed"
        );
        let shared = journal.shared();
        shared.counts.resume(&replayed);
        let refused = |source| file.refused(source);
        guard::remember(&connection, settings.keys).map_err(refused)?;
        file::hurry(&mut connection).map_err(refused)?;
        connection
            .pragma_update(None, "foreign_keys", true)
            .map_err(refused)?;
        let failed = |source| file.failed(source);
        let checkpointer = Checkpointer::open(&file, shared)?;
        let head = Arc::new(Mutex::new(replayed.head));
        // From here on nothing fails that would not be cleaned up by dropping what is there.
        let writer = writer::start(Arc::clone(shared), connection).map_err(failed)?;
        let mut embedded = Self {
            store: Arc::clone(&store),
            max_live: settings.max_live,
            clock: Arc::clone(&clock),
            head: Arc::clone(&head),
            housekeeping: Vec::new(),
            writer: Some(writer),
            _lock: lock,
        };
        let after = settings.snapshot_after;
        let snapshots = snapshot::start(Arc::clone(&store), Arc::clone(&clock), head, after);
        embedded.housekeeping.push(snapshots.map_err(failed)?);
        embedded
            .housekeeping
            .push(checkpointer.start().map_err(failed)?);
        let sweeper = sweeper::start(store, clock);
        embedded.housekeeping.push(sweeper.map_err(failed)?);
        Ok(embedded)
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// The store itself, for one that stands in for another.
    pub(crate) fn memory(&self) -> Arc<MemoryStore<impl Journal + use<>>> {
        Arc::clone(&self.store)
    }

    /// What others that keep tables in the file have to know.
    pub(crate) fn neighbour(&self, path: &Path) -> Neighbour {
        Neighbour::here(path, self.store.journal())
    }

    pub(crate) fn replays(&self) -> Arc<dyn ReplayStore> {
        Arc::clone(&self.store) as Arc<dyn ReplayStore>
    }

    pub(crate) fn stats(&self) -> impl Fn() -> Stats + Send + Sync + use<> {
        let (store, max_live) = (Arc::clone(&self.store), self.max_live);
        move || {
            let shared = store.journal().shared();
            let counts = &shared.counts;
            Stats {
                live: store.len(),
                max_live,
                refusing: shared.is_refusing(),
                journal_records: counts.records.load(Ordering::Relaxed),
                journal_groups: counts.groups.load(Ordering::Relaxed),
                journal_bytes: counts.journal_bytes(),
                journal_waiting_bytes: shared.waiting_bytes(),
                write_failures: counts.failures.load(Ordering::Relaxed),
                snapshot_bytes: counts.snapshot_bytes.load(Ordering::Relaxed),
                snapshots: counts.snapshots.load(Ordering::Relaxed),
                wal_bytes: counts.wal_bytes.load(Ordering::Relaxed),
                degraded: false,
            }
        }
    }

    /// Writes what is left, makes a snapshot where that makes the next start quicker, and lets
    /// go of the file. Blocks meanwhile.
    pub(crate) fn close(mut self) {
        for worker in &mut self.housekeeping {
            worker.stop();
        }
        let shared = self.store.journal().shared();
        if snapshot::is_worth_it(shared)
            && let Err(error) = snapshot::make(&self.store, &self.clock, &self.head, |_| true)
        {
            tracing::warn!(%error, "the last snapshot failed; the next start replays the journal");
        }
        match self.end_writer().map(|writer| checkpoint::finish(&writer)) {
            Some(Ok(false)) => tracing::warn!(
                "another program reads the database; until it is done, the -wal beside it is a part of it"
            ),
            Some(Err(error)) => {
                tracing::warn!(%error, "the last checkpoint failed; the next start makes up for it");
            }
            Some(Ok(true)) | None => {}
        }
    }

    fn end_writer(&mut self) -> Option<Connection> {
        self.store.journal().shared().stop();
        let ended = self.writer.take()?.join();
        if ended.is_err() {
            tracing::error!("the thread of the journal had panicked");
        }
        ended.ok()
    }
}

/// Without [`Embedded::close`]: everything acknowledged is durable all the same.
impl Drop for Embedded {
    fn drop(&mut self) {
        self.end_writer();
        for worker in &mut self.housekeeping {
            worker.stop();
        }
    }
}
