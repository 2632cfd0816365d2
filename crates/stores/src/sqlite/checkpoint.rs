//! Moves the write-ahead log into the database, beside the writer instead of in its way.
//!
//! A passive checkpoint holds nobody up, but while steps keep coming it never sees the end of
//! the log, and a log that is never at its end grows for ever. So once it is long and nearly
//! moved, the writer moves the small rest between two groups; its next write starts the log
//! anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::journal::{Shared, Work};
use crate::worker::{Pulse, Worker};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// So many bytes written are worth a checkpoint at once; fewer wait a second, none ten.
const WORTH: u64 = 4 << 20;
/// A log of so many pages is to start anew.
const LONG: i64 = 4096;
/// So many pages may be left for the writer to move.
const REST: i64 = 256;
/// How often the rest is made smaller first.
const TRIES: usize = 6;

/// How a log stands after a checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Log {
    pub(super) pages: i64,
    moved: i64,
}

/// Starts the thread, with a connection of its own.
pub(super) fn start(shared: Arc<Shared>, connection: Connection) -> std::io::Result<Worker> {
    Worker::spawn("watchword-checkpoint", move |pulse: &Pulse| {
        let page: i64 = connection
            .pragma_query_value(None, "page_size", |row| row.get(0))
            .unwrap_or(4096);
        let mut last = Instant::now();
        let mut seen = 0;
        while pulse.wait(LOOK) {
            let written = shared.counts.written.load(Ordering::Relaxed);
            let idle = match written - seen {
                0 => Duration::from_secs(10),
                1..WORTH => Duration::from_secs(1),
                _ => Duration::ZERO,
            };
            if last.elapsed() < idle {
                continue;
            }
            (seen, last) = (written, Instant::now());
            match checkpoint(&connection, &shared) {
                Ok(log) => {
                    let bytes = (log.pages * page).unsigned_abs();
                    shared.counts.wal_bytes.store(bytes, Ordering::Relaxed);
                }
                // The writer will meet the same trouble and refuse steps; this one goes on.
                Err(error) => tracing::warn!(%error, "a checkpoint failed"),
            }
        }
    })
}

/// Moves what there is, and lets a long log start anew.
pub(super) fn checkpoint(connection: &Connection, shared: &Shared) -> rusqlite::Result<Log> {
    let mut log = passive(connection)?;
    if log.pages < LONG {
        return Ok(log);
    }
    for _ in 0..TRIES {
        if log.pages - log.moved <= REST {
            break;
        }
        log = passive(connection)?;
    }
    let last = Work::Outside(Box::new(|writer| passive(writer).map(drop)));
    match shared.chore(last) {
        Ok(()) | Err(None) => passive(connection),
        Err(Some(error)) => Err(error),
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
pub(super) fn finish(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
