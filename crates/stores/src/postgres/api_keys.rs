//! API keys as rows of the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use watchword_core::{ApiKeyId, ApiKeyRecord, ApiKeyStore, AppId, Scope, StoreError, Timestamp};

use super::error::PostgresError;
use super::pool::Pool;
use super::rows::{moment, read, timestamp};
use super::schema;
use super::url::PostgresUrl;
use crate::api_keys::sort;
use crate::error::OpenError;

/// How often it looks whether another node or command changed a key.
const LOOK: Duration = Duration::from_millis(500);
/// Keys that could not be read again for so long are not believed any more: one of them may have
/// been revoked meanwhile.
const BELIEVED: Duration = Duration::from_secs(10);

/// Keeps API keys in a PostgreSQL database, for all nodes.
///
/// [`ApiKeyStore::find`] reads from memory. What another node or command adds or revokes is known
/// here within a second.
pub struct PostgresApiKeys {
    inner: Arc<Inner>,
    watch: AbortHandle,
}

struct Inner {
    pool: Arc<Pool>,
    cache: RwLock<Cache>,
}

struct Cache {
    keys: Arc<HashMap<ApiKeyId, ApiKeyRecord>>,
    /// What table meta said: changes when anybody wrote a key.
    generation: String,
    read_at: Instant,
}

impl PostgresApiKeys {
    /// Opens the keys in a database, and brings its schema up where that is missing. Works
    /// whether or not servers are running on it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(url: &PostgresUrl) -> Result<Self, OpenError> {
        let opened = async {
            let pool = Pool::new(url)?;
            schema::bring_up(&pool).await?;
            Self::over(pool).await
        };
        opened.await.map_err(|error| error.at(url))
    }

    pub(super) async fn over(pool: Arc<Pool>) -> Result<Self, PostgresError> {
        let cache = RwLock::new(read_all(&pool).await?);
        let inner = Arc::new(Inner { pool, cache });
        let own = Arc::clone(&inner);
        let watch = tokio::spawn(async move {
            let mut failing = false;
            loop {
                sleep(LOOK).await;
                let refreshed = own.refresh().await;
                if let (Err(error), false) = (&refreshed, failing) {
                    tracing::warn!(%error, "the API keys cannot be read");
                }
                failing = refreshed.is_err();
            }
        });
        Ok(Self {
            inner,
            watch: watch.abort_handle(),
        })
    }

    fn keys(&self) -> Result<Arc<HashMap<ApiKeyId, ApiKeyRecord>>, StoreError> {
        let cache = self.inner.cache.read();
        if cache.read_at.elapsed() > BELIEVED {
            return Err(StoreError::unavailable("the API keys cannot be read"));
        }
        Ok(Arc::clone(&cache.keys))
    }
}

impl Drop for PostgresApiKeys {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Inner {
    /// Reads the keys again if somebody changed them.
    async fn refresh(&self) -> Result<(), PostgresError> {
        let asked_at = Instant::now();
        let known = self.cache.read().generation.clone();
        if generation(&self.pool).await? == known {
            self.cache.write().read_at = asked_at;
            return Ok(());
        }
        self.reread().await
    }

    async fn reread(&self) -> Result<(), PostgresError> {
        let cache = read_all(&self.pool).await?;
        *self.cache.write() = cache;
        Ok(())
    }
}

async fn generation(pool: &Pool) -> Result<String, PostgresError> {
    let row = pool
        .row(
            "SELECT value FROM watchword.meta WHERE name = 'api_keys'",
            &[],
        )
        .await;
    read(&row?, 0)
}

async fn read_all(pool: &Pool) -> Result<Cache, PostgresError> {
    let read_at = Instant::now();
    // Before the keys: what changes meanwhile is read again.
    let generation = generation(pool).await?;
    let rows = pool
        .rows(
            "SELECT id, name, app, scopes, hash, created_at, expires_at, revoked_at
            FROM watchword.api_key",
            &[],
        )
        .await;
    let mut keys = HashMap::new();
    for row in &rows? {
        match record(row)? {
            Some(record) => drop(keys.insert(record.id.clone(), record)),
            None => tracing::warn!("a row of api_key is no key and admits nobody"),
        }
    }
    Ok(Cache {
        keys: Arc::new(keys),
        generation,
        read_at,
    })
}

/// The key in a row; nothing if it holds none.
fn record(row: &Row) -> Result<Option<ApiKeyRecord>, PostgresError> {
    let id = ApiKeyId::parse(read(row, 0)?);
    let app = AppId::parse(read(row, 2)?).ok();
    let scopes: &str = read(row, 3)?;
    // A scope that a later release knows gives nothing here.
    let scopes = scopes
        .split(' ')
        .filter_map(|scope| scope.parse::<Scope>().ok());
    let hash: &[u8] = read(row, 4)?;
    let (Some(id), Some(app), Ok(hash)) = (id, app, hash.try_into()) else {
        return Ok(None);
    };
    Ok(Some(ApiKeyRecord {
        id,
        name: read(row, 1)?,
        app,
        scopes: scopes.collect(),
        hash,
        created_at: timestamp(read(row, 5)?),
        expires_at: read::<Option<i64>>(row, 6)?.map(timestamp),
        revoked_at: read::<Option<i64>>(row, 7)?.map(timestamp),
    }))
}

#[async_trait]
impl ApiKeyStore for PostgresApiKeys {
    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
        Ok(self.keys()?.get(id).cloned())
    }

    async fn add(&self, record: ApiKeyRecord) -> Result<(), StoreError> {
        let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
        let rows = self
            .inner
            .pool
            .rows(
                "INSERT INTO watchword.api_key
                (id, name, app, scopes, hash, created_at, expires_at, revoked_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                &[
                    (&record.id.as_str(), Type::TEXT),
                    (&record.name, Type::TEXT),
                    (&record.app.as_str(), Type::TEXT),
                    (&scopes.join(" "), Type::TEXT),
                    (&record.hash.as_slice(), Type::BYTEA),
                    (&moment(record.created_at), Type::INT8),
                    (&record.expires_at.map(moment), Type::INT8),
                    (&record.revoked_at.map(moment), Type::INT8),
                ],
            )
            .await;
        rows?;
        Ok(self.inner.reread().await?)
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let mut all: Vec<_> = self.keys()?.values().cloned().collect();
        sort(&mut all);
        Ok(all)
    }

    async fn revoke(&self, id: &ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        let rows = self
            .inner
            .pool
            .rows(
                "UPDATE watchword.api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL
                RETURNING expires_at IS NULL OR expires_at > $2",
                &[(&id.as_str(), Type::TEXT), (&moment(now), Type::INT8)],
            )
            .await;
        let rows = rows?;
        let worked = rows.first().map(|row| read(row, 0)).transpose()?;
        self.inner.reread().await?;
        Ok(worked.unwrap_or(false))
    }
}
