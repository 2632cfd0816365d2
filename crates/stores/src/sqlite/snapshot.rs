//! Snapshots: what keeps the journal short.
//!
//! A snapshot is written part by part while steps go on. Each part is a set of row images that
//! is at least as new as `base`, the group that was durable when the snapshot began; replaying
//! the journal from `base` on over it yields the newest image of every row. A snapshot counts
//! from the transaction that names it in `snapshot_head`, not before; what it makes superfluous
//! is deleted afterwards, in small portions. So a crash at any moment leaves either the old
//! snapshot with its journal or the new one with its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use watchword_core::Clock;
use watchword_core::memory::{Journal, MemoryStore, SHARDS};

use super::journal::{Shared, SqliteJournal};
use super::portion::{Numbered, PORTION, prune};
use crate::worker::{Pulse, Worker};

/// How much of an image goes into one transaction, beside the group that happens to be in it and waits for it:
/// half a millisecond where 256 KiB took two.
pub(super) const CHUNK: usize = 64 << 10;
/// Beyond so many bytes, a last snapshot takes longer to make than it saves.
const LONGEST_LAST: u64 = 256 << 20;
/// How often it looks whether a snapshot is due.
const LOOK: Duration = Duration::from_millis(250);
/// So many times as long as a step of it took, a snapshot leaves the file to others afterwards: each
/// step makes a group of theirs longer.
const REST: u32 = 3;
/// So many times, once the journal has become as long as a snapshot meanwhile: a start would notice.
const SHORT_REST: u32 = 1;
const LONGEST_REST: Duration = Duration::from_millis(100);
/// After a snapshot failed, usually as the disk is full.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// The snapshot that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) generation: u32,
    pub(super) chunks: u32,
    pub(super) bytes: u64,
    /// The journal up to this group is superfluous.
    pub(super) base: u64,
}

impl Head {
    /// The snapshot that counts; the default if there is none yet.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let head = connection
            .query_row(
                "SELECT generation, chunks, bytes, base FROM snapshot_head",
                [],
                |row| {
                    Ok(Self {
                        generation: row.get(0)?,
                        chunks: row.get(1)?,
                        bytes: row.get::<_, i64>(2)?.unsigned_abs(),
                        base: row.get::<_, i64>(3)?.unsigned_abs(),
                    })
                },
            )
            .optional()?;
        Ok(head.unwrap_or_default())
    }
}

/// The checksum of a chunk. Its place is in it, so that no chunk passes for another.
pub(super) fn chunk_crc(generation: u32, chunk: u32, last: bool, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&u64::from(generation).to_le_bytes());
    crc.update(&u64::from(chunk).to_le_bytes());
    crc.update(&[u8::from(last)]);
    crc.update(body);
    crc.finalize()
}

/// Why a snapshot came to nothing. The one before still counts.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error("the journal cannot be written, or the storage is being closed")]
    Refused,
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    #[error("the snapshot holds changes that are not durable")]
    NotDurable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Clean,
    Dump,
    Publish,
    PruneJournal,
    PruneSnapshots,
    Done,
}

/// A snapshot in the making: a walk of small steps, each at most one transaction.
pub(super) struct Compaction {
    store: Arc<MemoryStore<SqliteJournal>>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    head: Head,
    bytes_at_base: u64,
    phase: Phase,
    next_part: usize,
    image: Vec<u8>,
    sent: usize,
    /// The journal's position up to which the images are current.
    through: u64,
}

impl Compaction {
    /// Begins the snapshot that follows `before`.
    pub(super) fn begin(
        store: Arc<MemoryStore<SqliteJournal>>,
        clock: Arc<dyn Clock>,
        before: Head,
    ) -> Self {
        let shared = Arc::clone(store.journal().shared());
        // In this order: the bytes may only be too many, so that the next one comes too early.
        let bytes_at_base = shared.counts.bytes.load(Ordering::Acquire);
        let base = shared.counts.seq.load(Ordering::Acquire);
        Self {
            store,
            shared,
            clock,
            head: Head {
                generation: before.generation + 1,
                chunks: 0,
                bytes: 0,
                base,
            },
            bytes_at_base,
            phase: Phase::Clean,
            next_part: 0,
            image: Vec::new(),
            sent: 0,
            through: 0,
        }
    }

    /// Where it stands.
    #[cfg(test)]
    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it counts already, though the pruning may not be through.
    pub(super) fn published(&self) -> Option<Head> {
        matches!(
            self.phase,
            Phase::PruneJournal | Phase::PruneSnapshots | Phase::Done
        )
        .then_some(self.head)
    }

    /// Does the next bit; whether there is more to do.
    pub(super) fn step(&mut self) -> Result<bool, SnapshotError> {
        match self.phase {
            Phase::Clean => {
                // What an earlier one left that never counted, or was not pruned to its end.
                let counting = self.head.generation - 1;
                if self.prune_snapshots(counting)? {
                    self.phase = Phase::Dump;
                }
            }
            Phase::Dump => self.dump()?,
            Phase::Publish => {
                self.publish()?;
                self.phase = Phase::PruneJournal;
            }
            Phase::PruneJournal => {
                let base = self.head.base.cast_signed();
                if !self.inside(move |connection| prune(connection, Numbered::JOURNAL, base))? {
                    self.phase = Phase::PruneSnapshots;
                }
            }
            Phase::PruneSnapshots => {
                if self.prune_snapshots(self.head.generation)? {
                    self.phase = Phase::Done;
                }
            }
            Phase::Done => {}
        }
        Ok(self.phase != Phase::Done)
    }

    /// Writes the next chunk, of the parts at hand or of the next ones.
    fn dump(&mut self) -> Result<(), SnapshotError> {
        while self.sent == 0 && self.image.len() < CHUNK && self.next_part < SHARDS {
            self.store.sweep(self.next_part, self.clock.now());
            let through = self.store.snapshot(self.next_part, &mut self.image);
            self.through = self.through.max(through);
            self.next_part += 1;
        }
        if self.image.is_empty() {
            self.phase = Phase::Publish;
            return Ok(());
        }
        let end = self.image.len().min(self.sent + CHUNK);
        let body = self.image[self.sent..end].to_vec();
        let last = end == self.image.len();
        let (generation, chunk) = (self.head.generation, self.head.chunks);
        let crc = chunk_crc(generation, chunk, last, &body);
        let size = body.len() as u64;
        self.inside(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO snapshot (generation, chunk, last, crc, body)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![generation, chunk, last, crc, body])
        })?;
        self.shared
            .counts
            .written
            .fetch_add(size, Ordering::Relaxed);
        self.head.chunks += 1;
        self.head.bytes += size;
        self.sent = if last { 0 } else { end };
        if last {
            self.image.clear();
            self.image.shrink_to(4 * CHUNK);
        }
        Ok(())
    }

    /// Makes it the snapshot that counts, once everything in it is durable in the journal too:
    /// an image may hold a step whose group failed, and nobody may meet such a step after a
    /// crash before the rest of its group.
    fn publish(&mut self) -> Result<(), SnapshotError> {
        self.inside(|_| Ok(()))?;
        if !self.shared.is_durable(self.through) {
            return Err(SnapshotError::NotDurable);
        }
        let Head {
            generation,
            chunks,
            bytes,
            base,
        } = self.head;
        self.inside(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO snapshot_head
                     (only_row, generation, chunks, bytes, base) VALUES (1, ?1, ?2, ?3, ?4)",
                params![generation, chunks, bytes.cast_signed(), base.cast_signed()],
            )
        })?;
        let counts = &self.shared.counts;
        counts.snapshot_bytes.store(bytes, Ordering::Relaxed);
        counts.snapshots.fetch_add(1, Ordering::Relaxed);
        let at_base = &counts.bytes_at_base;
        at_base.store(self.bytes_at_base, Ordering::Relaxed);
        Ok(())
    }

    /// Deletes a portion of all snapshots but one; whether nothing of them is left.
    fn prune_snapshots(&self, but: u32) -> Result<bool, SnapshotError> {
        let rows = PORTION.unsigned_abs() / CHUNK as u64;
        let deleted = self.inside(move |connection| {
            connection
                .prepare_cached(
                    "DELETE FROM snapshot WHERE rowid IN
                     (SELECT rowid FROM snapshot WHERE generation <> ?1 LIMIT ?2)",
                )?
                .execute(params![but, rows.cast_signed()])
        })?;
        Ok(deleted == 0)
    }

    /// Has the writer do something in the transaction of its next group.
    fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let outcome = self.shared.inside(work);
        outcome.map_err(|error| error.map_or(SnapshotError::Refused, SnapshotError::Sqlite))
    }
}

/// Whether the journal has grown so long that a start would notice.
fn is_due(shared: &Shared, after: u64) -> bool {
    let snapshot = shared.counts.snapshot_bytes.load(Ordering::Relaxed);
    shared.counts.journal_bytes() > after.max(snapshot / 2)
}

/// How long a snapshot rests after a step that took so long.
pub(super) fn rest(shared: &Shared, after: u64, took: Duration) -> Duration {
    let snapshot = shared.counts.snapshot_bytes.load(Ordering::Relaxed);
    let is_long = shared.counts.journal_bytes() > after.max(snapshot);
    (took * if is_long { SHORT_REST } else { REST }).min(LONGEST_REST)
}

/// Whether a snapshot before the end makes the next start quicker by something, and the end not
/// slower by much.
pub(super) fn is_worth_it(shared: &Shared) -> bool {
    let snapshot = shared.counts.snapshot_bytes.load(Ordering::Relaxed);
    let journal = shared.counts.journal_bytes();
    journal > (snapshot / 4).max(1 << 20) && snapshot + journal < LONGEST_LAST
}

/// Starts the thread that makes snapshots when they are due.
pub(super) fn start(
    store: Arc<MemoryStore<SqliteJournal>>,
    clock: Arc<dyn Clock>,
    head: Arc<Mutex<Head>>,
    after: u64,
) -> std::io::Result<Worker> {
    Worker::spawn("watchword-snapshot", move |pulse: &Pulse| {
        let shared = Arc::clone(store.journal().shared());
        let mut pause = LOOK;
        while pulse.wait(pause) {
            pause = LOOK;
            if !is_due(&shared, after) || store.journal().ready().is_err() {
                continue;
            }
            let rest = |took| pulse.wait(rest(&shared, after, took));
            if let Err(error) = make(&store, &clock, &head, rest)
                && !pulse.is_stopped()
            {
                tracing::warn!(%error, "a snapshot of the journal failed; trying again later");
                pause = AFTER_FAILURE;
            }
        }
    })
}

/// Makes a snapshot and remembers it as soon as it counts, even if the pruning fails. `rest` hears after
/// each step how long that took, and says whether to go on.
pub(super) fn make(
    store: &Arc<MemoryStore<SqliteJournal>>,
    clock: &Arc<dyn Clock>,
    head: &Mutex<Head>,
    rest: impl Fn(Duration) -> bool,
) -> Result<(), SnapshotError> {
    let before = *head.lock();
    let mut compaction = Compaction::begin(Arc::clone(store), Arc::clone(clock), before);
    loop {
        let began = Instant::now();
        let more = compaction.step();
        if let Some(published) = compaction.published() {
            *head.lock() = published;
        }
        if !more? {
            return Ok(());
        }
        if !rest(began.elapsed()) {
            return Err(SnapshotError::Refused);
        }
    }
}
