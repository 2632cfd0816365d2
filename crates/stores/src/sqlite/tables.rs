//! Ordinary tables of a database file, beside those of the journal.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use watchword_core::StoreError;

use super::desk::Desk;
use super::file::DatabaseFile;
use super::schema;
use crate::error::OpenError;

/// Two connections to a file, of which other tables may be served at the same time.
pub(super) struct Tables {
    /// Those who read never wait for those who write.
    reader: Desk,
    writer: Desk,
}

/// Who cuts the file's write-ahead log back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checkpoints {
    /// The store of verifications, which serves from the same file.
    Others,
    /// The connection that writes.
    Own,
}

impl Tables {
    /// Opens the file at `path`, and makes it where there is none.
    pub(super) fn open(path: &Path, checkpoints: Checkpoints) -> Result<Self, OpenError> {
        let file = DatabaseFile::find_or_create(path)?;
        let mut writer = schema::connect(&file)?;
        if !schema::is_current(&file, &writer)? {
            let _lock = file.lock()?;
            schema::bring_up(&file, &mut writer)?;
        }
        let refused = |source| file.refused(source);
        writer
            .pragma_update(None, "foreign_keys", true)
            .map_err(refused)?;
        if checkpoints == Checkpoints::Own {
            writer
                .pragma_update(None, "wal_autocheckpoint", 1000)
                .map_err(refused)?;
        }
        let reader = file.connect().map_err(refused)?;
        let failed = |source| file.failed(source);
        Ok(Self {
            reader: Desk::open(reader).map_err(failed)?,
            writer: Desk::open(writer).map_err(failed)?,
        })
    }

    /// Reads off the runtime's threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.reader.ask(|connection| read(connection)).await?;
        answer.map_err(StoreError::unavailable)
    }

    /// Changes tables in a transaction of its own, off the runtime's threads. It is durable when
    /// this returns.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let changed = |connection: &mut Connection| -> rusqlite::Result<T> {
            // One writer at a time from here on, whoever else has the file open.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = change(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        };
        let answer = self.writer.ask(changed).await?;
        answer.map_err(StoreError::unavailable)
    }
}
