//! Puts a store back from its file: the snapshot that counts, then the journal after it.
//!
//! Everything is read and checked before anything is served. What does not fit is named, and
//! then nothing of it is used.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use watchword_core::Timestamp;
use watchword_core::memory::{Lane, MemoryStore};

use super::file::DatabaseFile;
use super::journal::SqliteJournal;
use super::snapshot::{Head, chunk_crc};
use super::writer::group_crc;
use crate::error::OpenError;

/// So many bytes travel from the reading thread to the others at a time. Of a row that changed several
/// times meanwhile, only the newest image is put back.
const BATCH: usize = 2 << 20;
/// So many batches wait for each of them.
const WAITING: usize = 3;

/// Where a file stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    /// The newest group.
    pub(super) seq: u64,
    /// Bytes in the journal after the snapshot.
    pub(super) journal_bytes: u64,
    /// The snapshot that counts.
    pub(super) head: Head,
}

/// A record, and the row that an operator finds it in.
struct Record {
    row: i64,
    body: Vec<u8>,
}

impl AsRef<[u8]> for Record {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

type Batch = Arc<Vec<Record>>;

/// Puts everything back that has not expired by `now`.
pub(super) fn replay(
    file: &DatabaseFile,
    connection: &Connection,
    store: &MemoryStore<SqliteJournal>,
    now: Timestamp,
) -> Result<Replayed, OpenError> {
    let head = Head::load(connection).map_err(|error| fault(file, "snapshot_head", 1, error))?;
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    // The parts of a snapshot have no row in common: each goes to whoever is free.
    let apart = |_: usize| Lane::ALL;
    spread(file, store, now, "snapshot", threads, apart, |sink| {
        read_snapshot(file, connection, head, &mut |record| sink.take(record))
    })?;
    // Groups of the journal have: each goes to everybody, who takes the rows of his lane.
    let lane = |number: usize| Lane {
        number,
        of: threads,
    };
    let (seq, journal_bytes) = spread(file, store, now, "journal", threads, lane, |sink| {
        sink.to_all = true;
        read_journal(file, connection, head.base, &mut |record| sink.take(record))
    })?;
    Ok(Replayed {
        seq,
        journal_bytes,
        head,
    })
}

/// Lets `threads` put back what `read` finds.
fn spread<T>(
    file: &DatabaseFile,
    store: &MemoryStore<SqliteJournal>,
    now: Timestamp,
    table: &'static str,
    threads: usize,
    lane: impl Fn(usize) -> Lane,
    read: impl FnOnce(&mut Sink) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let damage: Mutex<Option<OpenError>> = Mutex::new(None);
    let read = thread::scope(|scope| {
        let mut sink = Sink::default();
        for number in 0..threads {
            let (sender, receiver) = sync_channel(WAITING);
            sink.channels.push(sender);
            let (lane, damage) = (lane(number), &damage);
            scope.spawn(move || {
                if let Err((row, reason)) = put_back(store, lane, now, &receiver) {
                    // Dropping the receiver stops the reading.
                    damage.lock().get_or_insert_with(|| OpenError::Corrupt {
                        file: file.path().to_owned(),
                        table,
                        row,
                        reason,
                    });
                }
            });
        }
        let read = read(&mut sink);
        sink.flush();
        read
    });
    match damage.into_inner() {
        Some(damage) => Err(damage),
        None => read,
    }
}

fn put_back(
    store: &MemoryStore<SqliteJournal>,
    lane: Lane,
    now: Timestamp,
    batches: &Receiver<Batch>,
) -> Result<(), (i64, String)> {
    for batch in batches {
        let put_back = store.restore_all(&batch, lane, now);
        put_back.map_err(|(place, corrupt)| (batch[place].row, corrupt.to_string()))?;
    }
    Ok(())
}

/// Hands records to the threads, in batches.
#[derive(Default)]
struct Sink {
    channels: Vec<SyncSender<Batch>>,
    batch: Vec<Record>,
    bytes: usize,
    next: usize,
    to_all: bool,
}

impl Sink {
    /// Whether anybody still wants more.
    fn take(&mut self, record: Record) -> bool {
        self.bytes += record.body.len();
        self.batch.push(record);
        self.bytes < BATCH || self.flush()
    }

    fn flush(&mut self) -> bool {
        self.bytes = 0;
        let batch: Batch = Arc::new(std::mem::take(&mut self.batch));
        if self.to_all {
            return self
                .channels
                .iter()
                .all(|channel| channel.send(Arc::clone(&batch)).is_ok());
        }
        self.next = (self.next + 1) % self.channels.len().max(1);
        let channel = self.channels.get(self.next);
        channel.is_some_and(|channel| channel.send(batch).is_ok())
    }
}

fn read_snapshot(
    file: &DatabaseFile,
    connection: &Connection,
    head: Head,
    take: &mut dyn FnMut(Record) -> bool,
) -> Result<(), OpenError> {
    let mut expected = 0;
    let mut image = Vec::new();
    let mut whole = true;
    let mut read = |expected: &mut u32| -> Result<Option<String>, rusqlite::Error> {
        let mut rows = connection.prepare(
            "SELECT chunk, last, crc, body FROM snapshot WHERE generation = ?1 ORDER BY chunk",
        )?;
        let mut rows = rows.query([head.generation])?;
        while let Some(row) = rows.next()? {
            let (chunk, last): (i64, bool) = (row.get(0)?, row.get(1)?);
            if chunk != i64::from(*expected) {
                return Ok(Some("the chunk is missing".to_owned()));
            }
            let body = row.get_ref(3)?.as_blob()?;
            if row.get::<_, i64>(2)? != i64::from(chunk_crc(head.generation, *expected, last, body))
            {
                return Ok(Some("the checksum does not match".to_owned()));
            }
            image.extend_from_slice(body);
            *expected += 1;
            whole = last;
            if last {
                let body = std::mem::take(&mut image);
                if !take(Record { row: chunk, body }) {
                    return Ok(None);
                }
            }
        }
        Ok((*expected != head.chunks || !whole).then(|| "the chunk is missing".to_owned()))
    };
    let outcome = read(&mut expected);
    name_row(file, "snapshot", outcome, i64::from(expected))
}

/// The newest group, and the bytes read.
fn read_journal(
    file: &DatabaseFile,
    connection: &Connection,
    base: u64,
    take: &mut dyn FnMut(Record) -> bool,
) -> Result<(u64, u64), OpenError> {
    let (mut newest, mut bytes) = (base, 0);
    let mut read = |newest: &mut u64| -> Result<Option<String>, rusqlite::Error> {
        let mut rows =
            connection.prepare("SELECT seq, crc, body FROM journal WHERE seq > ?1 ORDER BY seq")?;
        let mut rows = rows.query([base.cast_signed()])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            let expected = *newest + 1;
            if seq.unsigned_abs() != expected {
                return Ok(Some("the group is missing".to_owned()));
            }
            let body = row.get_ref(2)?.as_blob()?;
            if row.get::<_, i64>(1)? != i64::from(group_crc(expected, body)) {
                return Ok(Some("the checksum does not match".to_owned()));
            }
            *newest = expected;
            bytes += body.len() as u64;
            let body = body.to_vec();
            if !take(Record { row: seq, body }) {
                return Ok(None);
            }
        }
        Ok(None)
    };
    let outcome = read(&mut newest);
    let next = newest.cast_signed().saturating_add(1);
    name_row(file, "journal", outcome, next)?;
    Ok((newest, bytes))
}

/// Names the row that could not be read.
fn name_row(
    file: &DatabaseFile,
    table: &'static str,
    outcome: Result<Option<String>, rusqlite::Error>,
    row: i64,
) -> Result<(), OpenError> {
    match outcome {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => Err(OpenError::Corrupt {
            file: file.path().to_owned(),
            table,
            row,
            reason,
        }),
        Err(error) => Err(fault(file, table, row, error)),
    }
}

fn fault(file: &DatabaseFile, table: &'static str, row: i64, error: rusqlite::Error) -> OpenError {
    let damaged = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
        ),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => true,
        _ => false,
    };
    if !damaged {
        return file.refused(error);
    }
    OpenError::Corrupt {
        file: file.path().to_owned(),
        table,
        row,
        reason: error.to_string(),
    }
}
