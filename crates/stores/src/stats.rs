//! What an operator wants to know of a storage.

use std::fmt;
use std::sync::Arc;

/// Figures of a storage, for metrics. Those of the journal are zero for `memory:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Verifications held, ended ones that are still remembered included.
    pub live: usize,
    /// How many may be held (`storage.max_live`).
    pub max_live: usize,
    /// Whether steps are refused because the last write failed.
    pub refusing: bool,
    /// Changes made durable since the start.
    pub journal_records: u64,
    /// Transactions that made them durable.
    pub journal_groups: u64,
    /// Bytes of changes that the next start would have to replay beside the snapshot.
    pub journal_bytes: u64,
    /// Bytes of changes that wait to be written.
    pub journal_waiting_bytes: u64,
    /// Writes that failed since the start.
    pub write_failures: u64,
    /// Bytes of the newest snapshot.
    pub snapshot_bytes: u64,
    /// Snapshots made since the start.
    pub snapshots: u64,
    /// Bytes that the write-ahead log holds.
    pub wal_bytes: u64,
    /// Whether a local store stands in for the configured one. The other figures are the local
    /// store's where there is one.
    pub degraded: bool,
}

/// Reads [`Stats`] at any time. Cheap, and good after the storage was closed.
#[derive(Clone)]
pub struct StatsReader(Arc<dyn Fn() -> Stats + Send + Sync>);

impl StatsReader {
    pub(crate) fn new(read: impl Fn() -> Stats + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The figures now.
    #[must_use]
    pub fn read(&self) -> Stats {
        (self.0)()
    }
}

impl fmt::Debug for StatsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}
