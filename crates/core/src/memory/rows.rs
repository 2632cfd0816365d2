//! The store as rows, for moving them from one store to another.

use async_trait::async_trait;

use super::journal::Journal;
use super::record::{Change, Lane, changes};
use super::store::{MemoryStore, SHARDS};
use crate::clock::Timestamp;
use crate::moving::{Class, Pages, RecipientRow, Row, Rows, SourceRow};
use crate::policy::LONGEST_WINDOW;
use crate::store::StoreError;

/// So many rows make a page, or as many as one part holds.
const PAGE: usize = 2000;

/// Appends a row in the form of a record. API keys and accounts have none.
pub(crate) fn write(out: &mut Vec<u8>, row: &Row) {
    match row {
        Row::Verification(row) => Change::put(out, row),
        Row::Recipient(row) => Change::put_ledger(out, row.index, &row.ledger),
        Row::Source(row) => Change::put_source(out, row.index, &row.sends),
        Row::Name(key, named) => Change::put_name(out, *key, named),
        Row::Answer(key, entry) => Change::put_replay(out, *key, entry),
        Row::ApiKey(_) | Row::Account(_) => {}
    }
}

impl From<Change> for Row {
    fn from(change: Change) -> Self {
        match change {
            Change::Verification(row) => Self::Verification(row),
            // How far back limits look is not kept, so sends are taken to matter for as long as
            // they may.
            Change::Ledger(index, ledger) => Self::Recipient(Box::new(RecipientRow {
                index,
                ledger,
                horizon: LONGEST_WINDOW,
            })),
            Change::Source(index, sends) => Self::Source(SourceRow {
                index,
                sends,
                horizon: LONGEST_WINDOW,
            }),
            Change::Replay(key, entry) => Self::Answer(key, entry),
            Change::Name(key, named) => Self::Name(key, named),
        }
    }
}

struct Parts<'a, J: Journal> {
    store: &'a MemoryStore<J>,
    next: usize,
}

#[async_trait]
impl<J: Journal> Pages for Parts<'_, J> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        let mut rows = Vec::new();
        let mut image = Vec::new();
        while rows.len() < PAGE && self.next < SHARDS {
            image.clear();
            self.store.snapshot(self.next, &mut image);
            for change in changes(&image, Lane::ALL) {
                rows.push(change.map_err(StoreError::unavailable)?.into());
            }
            self.next += 1;
        }
        Ok((!rows.is_empty()).then_some(rows))
    }
}

#[async_trait]
impl<J: Journal> Rows for MemoryStore<J> {
    fn classes(&self) -> &[Class] {
        &[
            Class::Verifications,
            Class::Recipients,
            Class::Sources,
            Class::MessageNames,
            Class::IdempotencyKeys,
        ]
    }

    fn pages(&self) -> Box<dyn Pages + '_> {
        Box::new(Parts {
            store: self,
            next: 0,
        })
    }

    async fn put(&self, rows: Vec<Row>, at: Timestamp) -> Result<(), StoreError> {
        self.journal.ready()?;
        let mut record = Vec::with_capacity(rows.len() * 256);
        rows.iter().for_each(|row| write(&mut record, row));
        self.restore(&record, at).map_err(StoreError::unavailable)?;
        let position = self.append(|out| out.append(&mut record));
        self.settle(position).await
    }
}
