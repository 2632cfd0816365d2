//! Ordinary tables of a database file, beside those of the journal.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use watchword_core::StoreError;

use super::file::DatabaseFile;
use super::schema;
use crate::error::OpenError;

/// Two connections to a file, of which other tables may be served at the same time.
///
/// Whoever wants one waits for it as a task does, and takes a thread only then: else a crowd would have the
/// runtime start hundreds of them, to stand in line.
pub(super) struct Tables {
    /// Those who read never wait for those who write.
    reader: Arc<Mutex<Connection>>,
    writer: Arc<Mutex<Connection>>,
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
        Ok(Self {
            reader: Arc::new(Mutex::new(reader)),
            writer: Arc::new(Mutex::new(writer)),
        })
    }

    /// Reads off the runtime's threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.reader).lock_owned().await;
        // Given back here: the next one's thread is this one's then.
        let work = spawn_blocking(move || (read(&connection), connection));
        let (answer, _connection) = work.await.map_err(StoreError::unavailable)?;
        answer.map_err(StoreError::unavailable)
    }

    /// Changes tables in a transaction of its own, off the runtime's threads. It is durable when
    /// this returns.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut connection = Arc::clone(&self.writer).lock_owned().await;
        let work = spawn_blocking(move || {
            let changed = || -> rusqlite::Result<T> {
                // One writer at a time from here on, whoever else has the file open.
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let answer = change(&transaction)?;
                transaction.commit()?;
                Ok(answer)
            };
            (changed(), connection)
        });
        let (answer, _connection) = work.await.map_err(StoreError::unavailable)?;
        answer.map_err(StoreError::unavailable)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    /// The threads of this process that have such a name.
    fn threads(name: &str) -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| {
            // It may have ended meanwhile.
            std::fs::read_to_string(task.unwrap().path().join("comm")).ok()
        });
        names.filter(|comm| comm.trim_end() == name).count()
    }

    #[test]
    fn a_crowd_stands_in_line_without_threads() {
        const NAME: &str = "crowd-of-tables";
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(NAME)
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(&folder.path().join("db"), Checkpoints::Own).unwrap();
        let tables = Arc::new(tables);
        let most = runtime.block_on(async {
            let mut crowd = JoinSet::new();
            for number in 0..200 {
                let tables = Arc::clone(&tables);
                crowd.spawn(async move {
                    let look = move |_: &Connection| Ok(threads(NAME));
                    if number % 2 == 0 {
                        tables.read(look).await
                    } else {
                        tables.change(move |transaction| look(transaction)).await
                    }
                });
            }
            let seen = crowd.join_all().await;
            seen.into_iter().map(Result::unwrap).max()
        });
        // Two workers, one who reads, one who writes, and some that the runtime did not yet know to be free.
        assert!(most.unwrap() < 50, "{most:?}");
    }
}
