//! Moves the write-ahead log into the database, beside the writer instead of in its way.
//!
//! A passive checkpoint holds nobody up, but while steps keep coming it never sees the end of
//! the log, and a log that is never at its end grows for ever. So once it is long and nearly
//! moved, the writer moves the small rest between two groups; its next write starts the log
//! anew.
//!
//! SQLite flushes the database only when it has moved the last page of the log. So what is moved is flushed here,
//! in small portions: the writer would be left with all of it, every step would wait for that, and for a large
//! portion on the same disk as well.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::file::{DatabaseFile, private};
use super::journal::Shared;
use crate::error::OpenError;
use crate::worker::{Pulse, Worker};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// The same while something is written.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// So many bytes written are worth a checkpoint at once; fewer wait a second, none ten. While sixteen times as
/// much is flushed, a group takes 5 to 10 ms.
const WORTH: u64 = 1 << 20;
/// A log of so many pages is to start anew.
const LONG: i64 = 4096;
/// So many pages may be left for the writer to move and to flush.
const REST: i64 = 64;
/// Where in the index of the log the number of pages stands that were moved (`nBackfill`):
/// <https://www.sqlite.org/walformat.html#the_wal_index_file_format>
const MOVED: u64 = 96;
/// How often the rest is made smaller first.
const TRIES: usize = 6;

/// A connection of its own, and what flushes the database behind it.
pub(super) struct Checkpointer {
    connection: Connection,
    shared: Arc<Shared>,
    /// Never closed: that would take the locks of every connection to the file. A server has one.
    database: ManuallyDrop<File>,
    /// Where those who have the file open share what they know of its log.
    index: PathBuf,
}

/// Why a checkpoint came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The system may have dropped what was moved, and says so once. SQLite counts those pages as moved, and would
    /// overwrite them in the log, where they are good: until somebody starts anew from it, as PostgreSQL does then
    /// (`data_sync_retry`).
    #[error("the database cannot be flushed: {0}")]
    Unflushed(#[source] io::Error),
}

/// How a log stands after a checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Log {
    pub(super) pages: i64,
    moved: i64,
}

impl Checkpointer {
    pub(super) fn open(file: &DatabaseFile, shared: &Arc<Shared>) -> Result<Self, OpenError> {
        let connection = file.connect().map_err(|source| file.refused(source))?;
        let database = private().open(file.path());
        let mut index = file.path().as_os_str().to_owned();
        index.push("-shm");
        Ok(Self {
            index: index.into(),
            connection,
            shared: Arc::clone(shared),
            database: ManuallyDrop::new(database.map_err(|source| file.failed(source))?),
        })
    }

    /// Starts the thread.
    pub(super) fn start(self) -> io::Result<Worker> {
        Worker::spawn("watchword-checkpoint", move |pulse: &Pulse| {
            let page: i64 = self
                .connection
                .pragma_query_value(None, "page_size", |row| row.get(0))
                .unwrap_or(4096);
            let counts = &self.shared.counts;
            let mut last = Instant::now();
            let (mut seen, mut written) = (0, 0);
            let mut look = LOOK;
            while pulse.wait(look) {
                let before = written;
                written = counts.written.load(Ordering::Relaxed);
                look = if written == before { LOOK } else { LOOK_AGAIN };
                let idle = match written - seen {
                    0 => Duration::from_secs(10),
                    1..WORTH => Duration::from_secs(1),
                    _ => Duration::ZERO,
                };
                if last.elapsed() < idle {
                    continue;
                }
                (seen, last) = (written, Instant::now());
                match self.checkpoint() {
                    Ok(log) => {
                        let bytes = (log.pages * page).unsigned_abs();
                        counts.wal_bytes.store(bytes, Ordering::Relaxed);
                    }
                    // What it did not get done is done again.
                    Err(CheckpointError::Sqlite(error)) => {
                        tracing::warn!(%error, "a checkpoint failed");
                    }
                    Err(CheckpointError::Unflushed(error)) => {
                        tracing::error!(
                            %error,
                            "the database cannot be flushed; ending at once, as its log has everything and the \
                             next start moves all of that again: look after the disk first"
                        );
                        if let Err(error) = self.take_back() {
                            tracing::error!(
                                %error,
                                "that start has to be the only program that has the file open: end all others first"
                            );
                        }
                        std::process::abort();
                    }
                }
            }
        })
    }

    /// Moves what there is, and lets a long log start anew.
    pub(super) fn checkpoint(&self) -> Result<Log, CheckpointError> {
        let mut log = Log::default();
        for _ in 0..TRIES {
            let before = log.moved;
            log = self.advance()?;
            // Or somebody who reads holds the rest back, and may let go when it is the writer's turn.
            if log.pages < LONG || log.pages - log.moved > REST {
                return Ok(log);
            }
            if log.moved - before <= REST {
                break;
            }
        }
        let moved = self.shared.outside(passive);
        // It may have stopped short, where SQLite does not flush.
        log = self.advance()?;
        match moved {
            Ok(_) | Err(None) => Ok(log),
            Err(Some(error)) => Err(error.into()),
        }
    }

    /// Moves what there is and flushes it, if it came to an end or not: as long as the database is behind, the
    /// log does not start anew.
    fn advance(&self) -> Result<Log, CheckpointError> {
        let log = passive(&self.connection);
        self.flush().map_err(CheckpointError::Unflushed)?;
        Ok(log?)
    }

    /// Has nothing of the log count as moved. How much does stands in what all who have the file open share, and is
    /// looked through anew only by the first of them: should somebody read beside this server, its next start
    /// would not be that.
    pub(super) fn take_back(&self) -> io::Result<()> {
        let index = ManuallyDrop::new(private().open(&self.index)?);
        index.write_all_at(&[0; 4], MOVED)
    }

    #[cfg(test)]
    pub(super) fn flush_instead(&mut self, other: File) {
        self.database = ManuallyDrop::new(other);
    }

    /// Elsewhere than on Linux it is left to SQLite, which knows what to ask of which file system.
    fn flush(&self) -> io::Result<()> {
        if cfg!(target_os = "linux") {
            self.database.sync_data()?;
        }
        Ok(())
    }
}

/// <https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>
fn passive(connection: &Connection) -> rusqlite::Result<Log> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?
        .query_row([], |row| {
            Ok(Log {
                pages: row.get(1)?,
                moved: row.get(2)?,
            })
        })
}

/// Moves all of the log and leaves an empty one, when nobody writes any more.
/// Whether that is so: somebody who reads beside the server keeps the log until they are done.
pub(super) fn finish(connection: &Connection) -> rusqlite::Result<bool> {
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    busy.map(|busy: bool| !busy)
}
