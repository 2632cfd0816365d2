//! API keys as rows of the database file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, Row, TransactionBehavior, params};
use tokio::task::spawn_blocking;
use watchword_core::{ApiKeyId, ApiKeyRecord, ApiKeyStore, AppId, Scope, StoreError, Timestamp};

use super::file::DatabaseFile;
use super::schema;
use crate::api_keys::sort;
use crate::error::OpenError;
use crate::worker::{Pulse, Worker};

/// How often it looks whether another process changed a key.
const LOOK: Duration = Duration::from_millis(250);
/// Keys that could not be read again for so long are not believed any more: one of them may have
/// been revoked meanwhile.
const BELIEVED: Duration = Duration::from_secs(10);

const COLUMNS: &str = "id, name, app, scopes, hash, created_at, expires_at, revoked_at";

/// Keeps API keys in the database file, beside a server that may be running on it.
///
/// [`ApiKeyStore::find`] reads from memory. What another process adds or revokes is known here
/// within half a second.
pub struct SqliteApiKeys {
    inner: Arc<Inner>,
    _watch: Worker,
}

struct Inner {
    connection: Mutex<Connection>,
    cache: RwLock<Cache>,
}

struct Cache {
    keys: Arc<HashMap<ApiKeyId, ApiKeyRecord>>,
    /// What `PRAGMA data_version` said: changes when another connection wrote anything.
    data_version: i64,
    /// What table meta said: changes when anybody wrote a key.
    generation: String,
    read_at: Instant,
}

impl SqliteApiKeys {
    /// Opens the keys in the file at `path`, and makes the file where there is none. Works
    /// whether or not a server is running on it; one of another release has to be stopped first.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = DatabaseFile::find_or_create(path)?;
        let mut connection = schema::connect(&file)?;
        if !schema::is_current(&file, &connection)? {
            let _lock = file.lock()?;
            schema::bring_up(&file, &mut connection)?;
        }
        Self::over(connection).map_err(|source| file.refused(source))
    }

    fn over(connection: Connection) -> rusqlite::Result<Self> {
        let cache = read(&connection)?;
        let inner = Arc::new(Inner {
            connection: Mutex::new(connection),
            cache: RwLock::new(cache),
        });
        let own = Arc::clone(&inner);
        let watch = Worker::spawn("watchword-api-keys", move |pulse: &Pulse| {
            while pulse.wait(LOOK) {
                if let Err(error) = own.refresh() {
                    tracing::warn!(%error, "the API keys cannot be read");
                }
            }
        });
        let watch = watch.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(Self {
            inner,
            _watch: watch,
        })
    }

    /// Changes the table in a transaction of its own, off the runtime's threads, and knows the
    /// change at once.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let changed = spawn_blocking(move || -> rusqlite::Result<T> {
            let mut connection = inner.connection.lock();
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = change(&transaction)?;
            transaction.commit()?;
            let cache = read(&connection)?;
            *inner.cache.write() = cache;
            Ok(answer)
        });
        let answer = changed.await.map_err(StoreError::unavailable)?;
        answer.map_err(StoreError::unavailable)
    }

    fn keys(&self) -> Result<Arc<HashMap<ApiKeyId, ApiKeyRecord>>, StoreError> {
        let cache = self.inner.cache.read();
        if cache.read_at.elapsed() > BELIEVED {
            return Err(StoreError::unavailable("the API keys cannot be read"));
        }
        Ok(Arc::clone(&cache.keys))
    }
}

impl Inner {
    /// Reads the keys again if somebody changed them.
    fn refresh(&self) -> rusqlite::Result<()> {
        let connection = self.connection.lock();
        let (known_version, known_generation) = {
            let cache = self.cache.read();
            (cache.data_version, cache.generation.clone())
        };
        let data_version = data_version(&connection)?;
        if data_version != known_version && generation(&connection)? != known_generation {
            let cache = read(&connection)?;
            *self.cache.write() = cache;
            return Ok(());
        }
        let mut cache = self.cache.write();
        cache.data_version = data_version;
        cache.read_at = Instant::now();
        Ok(())
    }
}

/// Everything, as of one moment. The versions are read first: should a key change meanwhile, it
/// is only read twice.
fn read(connection: &Connection) -> rusqlite::Result<Cache> {
    let data_version = data_version(connection)?;
    let generation = generation(connection)?;
    let mut rows = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM api_key"))?;
    let mut keys = HashMap::new();
    for record in rows.query_map([], |row| Ok(record(row)))? {
        match record? {
            Ok(record) => {
                keys.insert(record.id.clone(), record);
            }
            // One bad row admits nobody; the others still work.
            Err(error) => tracing::error!(%error, "a row of table api_key cannot be read"),
        }
    }
    Ok(Cache {
        keys: Arc::new(keys),
        data_version,
        generation,
        read_at: Instant::now(),
    })
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

fn generation(connection: &Connection) -> rusqlite::Result<String> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'api_keys'")?
        .query_row([], |row| row.get(0))
}

/// A row that is no API key.
#[derive(Debug, thiserror::Error)]
enum BadRow {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("its {0} is not valid")]
    Column(&'static str),
}

fn record(row: &Row<'_>) -> Result<ApiKeyRecord, BadRow> {
    let moment = |at: i64| Timestamp::from_millis(at.unsigned_abs());
    let (id, app): (String, String) = (row.get(0)?, row.get(2)?);
    let scopes: String = row.get(3)?;
    // A scope that a later release knows grants nothing here.
    let scopes: Vec<Scope> = scopes
        .split_ascii_whitespace()
        .filter_map(|name| name.parse().ok())
        .collect();
    let hash = row.get_ref(4)?.as_blob().ok();
    Ok(ApiKeyRecord {
        id: ApiKeyId::parse(&id).ok_or(BadRow::Column("id"))?,
        name: row.get(1)?,
        app: AppId::parse(&app).map_err(|_| BadRow::Column("app"))?,
        scopes,
        hash: hash
            .and_then(|hash| hash.try_into().ok())
            .ok_or(BadRow::Column("hash"))?,
        created_at: moment(row.get(5)?),
        expires_at: row.get::<_, Option<i64>>(6)?.map(moment),
        revoked_at: row.get::<_, Option<i64>>(7)?.map(moment),
    })
}

fn millis(at: Timestamp) -> i64 {
    at.as_millis().cast_signed()
}

#[async_trait]
impl ApiKeyStore for SqliteApiKeys {
    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
        Ok(self.keys()?.get(id).cloned())
    }

    async fn add(&self, record: ApiKeyRecord) -> Result<(), StoreError> {
        let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
        let scopes = scopes.join(" ");
        self.change(move |connection| {
            connection.execute(
                &format!("INSERT INTO api_key ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
                params![
                    record.id.as_str(),
                    record.name,
                    record.app.as_str(),
                    scopes,
                    record.hash,
                    millis(record.created_at),
                    record.expires_at.map(millis),
                    record.revoked_at.map(millis),
                ],
            )
        })
        .await
        .map(drop)
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let mut all: Vec<_> = self.keys()?.values().cloned().collect();
        sort(&mut all);
        Ok(all)
    }

    async fn revoke(&self, id: &ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.as_str().to_owned();
        let now = millis(now);
        self.change(move |connection| {
            let mut working = connection.prepare(
                "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL
                 RETURNING expires_at IS NULL OR expires_at > ?2",
            )?;
            let mut rows = working.query(params![id, now])?;
            rows.next()?.map_or(Ok(false), |row| row.get(0))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use watchword_core::ApiKey;
    use watchword_core::fakes::SeededEntropy;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn key(seed: u64) -> (ApiKey, ApiKeyRecord) {
        let key = ApiKey::generate(&SeededEntropy::new(seed)).unwrap();
        let record = ApiKeyRecord::of(
            &key,
            format!("key {seed}"),
            AppId::default(),
            Scope::USUAL.to_vec(),
            Timestamp::from_millis(NOW.as_millis() + seed),
            None,
        );
        (key, record)
    }

    fn open() -> (tempfile::TempDir, SqliteApiKeys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = SqliteApiKeys::open(&folder.path().join("watchword.db")).unwrap();
        (folder, keys)
    }

    fn beside(folder: &tempfile::TempDir) -> SqliteApiKeys {
        SqliteApiKeys::open(&folder.path().join("watchword.db")).unwrap()
    }

    #[tokio::test]
    async fn a_key_is_read_back_as_it_was_added_oldest_first() {
        let (folder, keys) = open();
        let (_, second) = key(2);
        let (_, mut first) = key(1);
        first.expires_at = Some(NOW.plus(Duration::from_mins(5)));
        first.scopes = Scope::ALL.to_vec();
        keys.add(second.clone()).await.unwrap();
        keys.add(first.clone()).await.unwrap();
        for keys in [keys, beside(&folder)] {
            assert_eq!(keys.find(&first.id).await.unwrap(), Some(first.clone()));
            assert_eq!(keys.list().await.unwrap(), [first.clone(), second.clone()]);
        }
    }

    #[tokio::test]
    async fn a_key_is_revoked_once_and_found_revoked() {
        let (_folder, keys) = open();
        let (key, record) = key(1);
        keys.add(record.clone()).await.unwrap();
        assert!(keys.revoke(&record.id, NOW).await.unwrap());
        assert!(!keys.revoke(&record.id, NOW).await.unwrap());
        let found = keys.find(&record.id).await.unwrap().unwrap();
        assert_eq!(found.revoked_at, Some(NOW));
        assert!(!found.admits(&key, NOW));
    }

    #[tokio::test]
    async fn what_another_process_adds_or_revokes_is_noticed() {
        let (folder, server) = open();
        let (_, record) = key(1);
        let command = beside(&folder);
        command.add(record.clone()).await.unwrap();
        server.inner.refresh().unwrap();
        assert!(server.find(&record.id).await.unwrap().is_some());
        command.revoke(&record.id, NOW).await.unwrap();
        server.inner.refresh().unwrap();
        let found = server.find(&record.id).await.unwrap().unwrap();
        assert_eq!(found.revoked_at, Some(NOW));
    }

    #[tokio::test]
    async fn changes_are_noticed_by_themselves() {
        let (folder, server) = open();
        let (_, record) = key(1);
        beside(&folder).add(record.clone()).await.unwrap();
        while server.find(&record.id).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_same_id_is_added_once() {
        let (_folder, keys) = open();
        let (_, record) = key(1);
        keys.add(record.clone()).await.unwrap();
        assert!(keys.add(record).await.is_err());
    }

    #[tokio::test]
    async fn a_row_that_is_no_key_admits_nobody_and_harms_no_other() {
        let (folder, keys) = open();
        let (_, record) = key(1);
        keys.add(record.clone()).await.unwrap();
        let other = Connection::open(folder.path().join("watchword.db")).unwrap();
        other
            .execute_batch("INSERT INTO api_key VALUES ('x', 'n', 'a', '', x'00', 1, NULL, NULL)")
            .unwrap();
        keys.inner.refresh().unwrap();
        assert_eq!(keys.list().await.unwrap(), [record]);
    }

    #[tokio::test]
    async fn keys_that_cannot_be_read_for_long_admit_nobody() {
        let (_folder, keys) = open();
        let (_, record) = key(1);
        keys.add(record.clone()).await.unwrap();
        // A connection that others use blocks the thread that refreshes.
        let _held = keys.inner.connection.lock();
        let long_ago = Instant::now().checked_sub(BELIEVED * 2).unwrap();
        keys.inner.cache.write().read_at = long_ago;
        assert!(keys.keys().is_err());
    }
}
