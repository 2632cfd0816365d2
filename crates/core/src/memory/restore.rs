//! Putting back what a file kept.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::bundles::Loose;
use super::journal::Journal;
use super::record::{Change, Class, CorruptRecord, Lane, changes, images};
use super::store::{MemoryStore, part_of, source_part_of};

use crate::clock::Timestamp;
use crate::digest::RecipientIndex;
use crate::id::tag;
use crate::ledger::RecipientLedger;
use crate::verification::Verification;

/// Where rows lie. Those of one part are put there together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    Recipients(usize),
    Sources(usize),
    Others,
}

fn home(class: Class, key: &[u8; 16]) -> Home {
    match class {
        Class::Verification | Class::Ledger => Home::Recipients(part_of(tag(key))),
        Class::Source => Home::Sources(source_part_of(key)),
        Class::Replay | Class::Name => Home::Others,
    }
}

/// What is to be put into one part.
#[derive(Default)]
struct Rows {
    verifications: Vec<Verification>,
    ledgers: HashMap<RecipientIndex, RecipientLedger>,
    /// Sources; room for recipients.
    loose: Loose,
}

impl<J: Journal> MemoryStore<J> {
    /// Puts back what a journal kept: the changes of one record, in the order in which they were
    /// appended. What has expired by `now` is left out. Applying a record twice is harmless.
    ///
    /// # Errors
    /// When the record cannot be read; none of its changes is applied then.
    pub fn restore(&self, record: &[u8], now: Timestamp) -> Result<(), CorruptRecord> {
        for change in changes(record, Lane::ALL) {
            change?;
        }
        self.restore_all(&[record], Lane::ALL, now)
            .map_err(|(_, corrupt)| corrupt)
    }

    /// Puts back the rows of one lane from many records, in the order in which they were appended.
    /// Of several images of a row, the last counts, and the others are not even read: so many
    /// records at a time cost less than one after the other.
    ///
    /// Several threads may each put back a lane of the same records, as long as each goes through
    /// the records in order.
    ///
    /// # Errors
    /// When a record cannot be read: its place in `records`, and why. Other rows may be there then.
    pub fn restore_all<R: AsRef<[u8]>>(
        &self,
        records: &[R],
        lane: Lane,
        now: Timestamp,
    ) -> Result<(), (usize, CorruptRecord)> {
        let (mut found, mut order) = (Vec::new(), Vec::new());
        for (record, bytes) in records.iter().enumerate() {
            for image in images(bytes.as_ref(), lane) {
                let image = image.map_err(|corrupt| (record, corrupt))?;
                let (class, key) = image.row();
                // Those of a part are neighbours then, and those of a row stay in order.
                order.push((
                    home(class, &key),
                    class,
                    u128::from_be_bytes(key),
                    found.len(),
                ));
                found.push((record, image));
            }
        }
        order.sort_unstable();
        let mut rows = Rows::default();
        for neighbours in order.chunk_by(|one, other| one.0 == other.0) {
            rows.loose.clear();
            for images in neighbours.chunk_by(|one, other| (one.1, one.2) == (other.1, other.2)) {
                let newest = images.last().and_then(|newest| found.get(newest.3));
                if let Some((record, image)) = newest {
                    let change = image.open().map_err(|corrupt| (*record, corrupt))?;
                    self.put_back(change, now, &mut rows);
                }
            }
            if let Some((home, ..)) = neighbours.first() {
                self.put_all(*home, &mut rows);
            }
        }
        Ok(())
    }

    /// Puts a row back, or among those of its part.
    fn put_back(&self, change: Change, now: Timestamp, rows: &mut Rows) {
        match change {
            Change::Verification(row) if row.is_forgettable(now) => {
                if self.shard(row.id.tag()).remove(row.id) {
                    self.live.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Change::Verification(row) => {
                self.fallbacks.expect(&row);
                rows.verifications.push(*row);
            }
            Change::Ledger(index, ledger) => {
                let is_idle = ledger.is_idle(self.horizon(), now);
                let ledger = if is_idle {
                    RecipientLedger::default()
                } else {
                    ledger
                };
                rows.ledgers.insert(index, ledger);
            }
            Change::Source(index, log) => {
                let mut sources = self.source(index);
                sources.put_among(&mut rows.loose, index, log);
            }
            Change::Replay(key, entry) => self.replays.restore(key, entry, now),
            Change::Name(key, named) => self.names.restore(key, named, now),
        }
    }

    fn put_all(&self, home: Home, rows: &mut Rows) {
        match home {
            Home::Recipients(part) => {
                let verifications = std::mem::take(&mut rows.verifications);
                let ledgers = std::mem::take(&mut rows.ledgers);
                let mut shard = self.part(part);
                let new = shard.put_all(verifications, ledgers, &mut rows.loose);
                self.live.fetch_add(new, Ordering::Relaxed);
            }
            Home::Sources(part) => {
                if let Some(mut sources) = self.source_part(part) {
                    sources.put_all(&rows.loose);
                }
            }
            Home::Others => {}
        }
    }
}
