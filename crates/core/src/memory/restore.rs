//! Putting back what a file kept.

use std::sync::atomic::Ordering;

use super::bundles::Loose;
use super::journal::Journal;
use super::ledgers::Ledgers;
use super::packed;
use super::record::{Change, Class, CorruptRecord, Lane, changes, images};
use super::store::{MemoryStore, SHARDS};

use crate::clock::Timestamp;

fn part(class: Class, key: &[u8; 16]) -> usize {
    match class {
        Class::Verification | Class::Ledger => {
            usize::from(u16::from_be_bytes([key[0], key[1]])) % SHARDS
        }
        Class::Source | Class::Replay | Class::Name => key[0].into(),
    }
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
                    class,
                    part(class, &key),
                    u128::from_be_bytes(key),
                    found.len(),
                ));
                found.push((record, image));
            }
        }
        order.sort_unstable();
        let mut loose = Loose::default();
        for rows in order.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
            loose.clear();
            for images in rows.chunk_by(|one, other| one.2 == other.2) {
                let newest = images.last().and_then(|newest| found.get(newest.3));
                if let Some((record, image)) = newest {
                    let change = image.open().map_err(|corrupt| (*record, corrupt))?;
                    self.put_back(change, now, &mut loose);
                }
            }
            if let Some((class, part, ..)) = rows.first() {
                self.put_all(*class, *part, &loose);
            }
        }
        Ok(())
    }

    /// Puts a row back, or among the loose ones of its class and part.
    fn put_back(&self, change: Change, now: Timestamp, loose: &mut Loose) {
        match change {
            Change::Verification(row) if row.is_forgettable(now) => {
                if self.shard(row.id.tag()).verifications.remove(row.id) {
                    self.live.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Change::Verification(row) => {
                self.fallbacks.expect(&row);
                packed::write(&row, |packed| loose.add(row.id.as_bytes(), packed));
            }
            Change::Ledger(index, ledger) if ledger.is_idle(self.horizon(), now) => {
                self.shard(index.tag()).ledgers.remove(index);
            }
            Change::Ledger(index, ledger) => {
                Ledgers::put_among(loose, index, &ledger);
            }
            Change::Source(index, log) => self.source(index).put_among(loose, index, log),
            Change::Replay(key, entry) => self.replays.restore(key, entry, now),
            Change::Name(key, named) => self.names.restore(key, named, now),
        }
    }

    fn put_all(&self, class: Class, part: usize, loose: &Loose) {
        match class {
            Class::Verification => {
                let new = self.part(part).verifications.put_all(loose);
                self.live.fetch_add(new, Ordering::Relaxed);
            }
            Class::Ledger => self.part(part).ledgers.put_all(loose),
            Class::Source => {
                if let Some(mut sources) = self.source_part(part) {
                    sources.put_all(loose);
                }
            }
            // Not in bundles.
            Class::Replay | Class::Name => {}
        }
    }
}
