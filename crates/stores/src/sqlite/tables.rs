//! Ordinary tables of a database file, beside those of the journal.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use watchword_core::StoreError;

use super::desk::Desk;
use super::file::DatabaseFile;
use super::journal::SqliteJournal;
use super::neighbour::{Neighbour, Writes};
use super::schema;
use crate::error::OpenError;

/// Ordinary tables of a file, of which other tables may be served at the same time.
pub(super) struct Tables {
    /// Those who read never wait for those who write.
    reader: Desk,
    writer: Writer,
}

enum Writer {
    Own(Desk),
    Journal(SqliteJournal),
}

impl Tables {
    /// Opens the file at `path`, and makes it where there is none.
    pub(super) fn open(path: &Path, beside: &Neighbour) -> Result<Self, OpenError> {
        let file = DatabaseFile::find_or_create(path)?;
        let mut own = schema::connect(&file)?;
        if !schema::is_current(&file, &own)? {
            let _lock = file.lock()?;
            schema::bring_up(&file, &mut own)?;
        }
        let refused = |source| file.refused(source);
        let failed = |source| file.failed(source);
        let desk = |connection| Desk::open(connection).map_err(failed);
        let writes = beside.writes(path);
        if let Writes::Through(journal) = writes {
            return Ok(Self {
                reader: desk(own)?,
                writer: Writer::Journal(journal),
            });
        }
        own.pragma_update(None, "foreign_keys", true)
            .map_err(refused)?;
        if matches!(writes, Writes::Alone) {
            own.pragma_update(None, "wal_autocheckpoint", 1000)
                .map_err(refused)?;
        }
        Ok(Self {
            reader: desk(file.connect().map_err(refused)?)?,
            writer: Writer::Own(desk(own)?),
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

    /// Changes tables in a transaction, off the runtime's threads. It is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was changed, as far as is known.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let desk = match &self.writer {
            Writer::Own(desk) => desk,
            Writer::Journal(journal) => return journal.change(change).await,
        };
        let changed = |connection: &mut Connection| -> rusqlite::Result<T> {
            // One writer at a time from here on, whoever else has the file open.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = change(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        };
        desk.ask(changed).await?.map_err(StoreError::unavailable)
    }
}
