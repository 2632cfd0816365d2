//! The one thread that writes the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::chore::{Chore, Job};
use super::journal::{Group, Round, Shared};

/// Between two tries to write the same group.
const RETRY: Duration = Duration::from_millis(250);
/// A buffer that a burst made larger than this is not kept.
const SPARE: usize = 4 << 20;

const INSERT: &str = "INSERT INTO journal (seq, crc, body) VALUES (?1, ?2, ?3)";
/// Should a failed try have got through after all, this puts the same row in its place.
const INSERT_AGAIN: &str = "INSERT OR REPLACE INTO journal (seq, crc, body) VALUES (?1, ?2, ?3)";

/// The checksum of a group. The number is in it, so that no group passes for another.
pub(super) fn group_crc(seq: u64, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&seq.to_le_bytes());
    crc.update(body);
    crc.finalize()
}

/// Starts the thread. It ends when the journal is stopped.
pub(super) fn start(
    shared: Arc<Shared>,
    connection: Connection,
) -> std::io::Result<JoinHandle<Connection>> {
    thread::Builder::new()
        .name("watchword-journal".to_owned())
        .spawn(move || {
            let end = End(shared);
            let mut spare = Vec::new();
            while let Some(round) = end.0.next(&mut spare) {
                let Some(group) = write(&end.0, &connection, round) else {
                    break;
                };
                spare = group;
            }
            connection
        })
}

/// Refuses everything from the moment the thread ends, however it does.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.refuse("the storage is closed");
    }
}

/// Writes one round. Returns a buffer to use again, or nothing when the journal was stopped
/// before it could write.
fn write(shared: &Shared, connection: &Connection, round: Round) -> Option<Vec<u8>> {
    let Round { group, chore } = round;
    let seq = shared.counts.seq.load(Ordering::Acquire) + 1;
    let numbered = group.as_ref().map(|group| (seq, group));
    let mut outside = None;
    let mut written = group.is_none();
    let mut busy = false;
    match chore {
        Some(Chore::Inside(mut job)) => {
            let outcome = together(connection, numbered, &mut *job);
            // Whatever was wrong with the chore, the group does not suffer for it.
            written |= outcome.is_ok();
            busy = outcome.as_ref().is_err_and(is_busy);
            if let (true, Some((seq, group))) = (outcome.is_ok(), numbered) {
                shared.wrote(group, seq);
            }
            job.end(outcome);
        }
        Some(Chore::Outside(job)) => outside = Some(job),
        None => {}
    }
    if let (false, Some((seq, group))) = (written, numbered) {
        // Who holds the file has been waited for; the steps of the group are told before it is tried again.
        let inserted = if busy {
            Err(busy_again())
        } else {
            alone(connection, seq, group, INSERT)
        };
        if let Err(error) = inserted {
            outside = None;
            if !persist(shared, connection, seq, group, error) {
                return None;
            }
        }
        shared.wrote(group, seq);
    }
    if let Some(mut job) = outside {
        let outcome = job.run(connection);
        job.end(outcome);
    }
    let mut body = group.map(|group| group.body).unwrap_or_default();
    body.clear();
    Some(if body.capacity() > SPARE {
        Vec::new()
    } else {
        body
    })
}

/// Tries to write a group until it succeeds or the journal is stopped; whether it succeeded.
fn persist(
    shared: &Shared,
    connection: &Connection,
    seq: u64,
    group: &Group,
    mut error: rusqlite::Error,
) -> bool {
    tracing::error!(%error, "the journal cannot be written; steps are refused until it can");
    loop {
        shared.counts.failures.fetch_add(1, Ordering::Relaxed);
        shared.refuse(&error.to_string());
        if shared.is_stopping() {
            tracing::error!("the storage closes with steps unwritten; all of them were refused");
            return false;
        }
        thread::sleep(RETRY);
        match alone(connection, seq, group, INSERT_AGAIN) {
            Ok(()) => break,
            Err(again) => error = again,
        }
    }
    tracing::info!("the journal can be written again");
    true
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// What a second wait would have said.
fn busy_again() -> rusqlite::Error {
    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(busy, None)
}

/// Writes a group in a transaction of its own.
fn alone(connection: &Connection, seq: u64, group: &Group, sql: &str) -> rusqlite::Result<()> {
    if !connection.is_autocommit() {
        // Of one before, which could not be taken back then. Inside it, nothing would be durable.
        connection.execute_batch("ROLLBACK")?;
    }
    insert(connection, seq, group, sql)
}

fn insert(connection: &Connection, seq: u64, group: &Group, sql: &str) -> rusqlite::Result<()> {
    let crc = group_crc(seq, &group.body);
    connection
        .prepare_cached(sql)?
        .execute(params![seq.cast_signed(), crc, group.body])
        .map(drop)
}

/// Writes a group and does a chore in one transaction.
fn together(
    connection: &Connection,
    group: Option<(u64, &Group)>,
    job: &mut dyn Job,
) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if let Some((seq, group)) = group {
        insert(&transaction, seq, group, INSERT)?;
    }
    job.run(&transaction)?;
    transaction.commit()
}
