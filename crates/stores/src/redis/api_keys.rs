//! API keys, shared by all nodes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::RwLock;
use redis::Value;
use tokio::task::JoinHandle;
use watchword_core::{ApiKeyId, ApiKeyRecord, ApiKeyStore, AppId, Scope, StoreError, Timestamp};

use super::call::{Call, Names, Time};
use super::refused::RedisRefused;
use super::reply::{Parts, bytes, integer, list, text};
use super::script;
use super::servers::{Servers, Unreadable};
use super::url::RedisUrl;
use crate::api_keys::sort;

/// How often a node looks whether another one changed a key.
const LOOK: Duration = Duration::from_millis(400);
/// Keys that could not be read again for so long are not believed any more: one of them may have
/// been revoked meanwhile.
const BELIEVED: Duration = Duration::from_secs(10);

/// Keeps API keys in Redis.
///
/// [`ApiKeyStore::find`] reads from memory. What another node adds or revokes is known here within
/// half a second.
pub struct RedisApiKeys {
    inner: Arc<Inner>,
    watch: JoinHandle<()>,
}

struct Inner {
    servers: Arc<Servers>,
    names: Names,
    time: Time,
    cache: RwLock<Cache>,
}

#[derive(Clone)]
struct Cache {
    version: String,
    keys: Arc<HashMap<ApiKeyId, ApiKeyRecord>>,
    read_at: Instant,
}

impl RedisApiKeys {
    /// The keys by themselves, beside running nodes or without any.
    ///
    /// # Errors
    /// [`RedisRefused`], whose text says what to do.
    pub async fn open(url: &RedisUrl) -> Result<Self, RedisRefused> {
        let servers = Arc::new(Servers::found(url).await?);
        let opened = Self::over(servers, Names::new(url.namespace()), Time::Server).await;
        opened.map_err(|source| RedisRefused::Unwritable {
            url: url.to_string(),
            source,
        })
    }

    pub(super) async fn over(
        servers: Arc<Servers>,
        names: Names,
        time: Time,
    ) -> Result<Self, StoreError> {
        let cache = Cache {
            version: String::new(),
            keys: Arc::default(),
            read_at: Instant::now(),
        };
        let inner = Arc::new(Inner {
            servers,
            names,
            time,
            cache: RwLock::new(cache),
        });
        inner.refresh().await?;
        let own = Arc::clone(&inner);
        let watch = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if let Err(error) = own.refresh().await {
                    tracing::debug!(%error, "the API keys cannot be read");
                }
            }
        });
        Ok(Self { inner, watch })
    }

    fn keys(&self) -> Result<Arc<HashMap<ApiKeyId, ApiKeyRecord>>, StoreError> {
        let cache = self.inner.cache.read();
        if cache.read_at.elapsed() > BELIEVED {
            return Err(StoreError::unavailable("the API keys cannot be read"));
        }
        Ok(Arc::clone(&cache.keys))
    }
}

impl Drop for RedisApiKeys {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Inner {
    fn call(&self, script: &'static script::Script) -> Call {
        Call::new(script, self.names.api_keys()).key(self.names.api_keys_version())
    }

    /// Reads the keys again if somebody changed them.
    async fn refresh(&self) -> Result<(), StoreError> {
        let version = self.cache.read().version.clone();
        // Before they are read: should one change meanwhile, they are only read twice.
        let read_at = Instant::now();
        let call = self.call(&script::API_KEYS).text(&version);
        let answer = self.servers.call(&call).await?;
        let mut parts = Parts::of(answer).ok_or_else(Unreadable::error)?;
        let version = parts.text().ok_or_else(Unreadable::error)?;
        let mut cache = self.cache.write();
        cache.read_at = cache.read_at.max(read_at);
        if let Some(records) = parts.value().and_then(list) {
            let mut keys = HashMap::new();
            for value in records {
                match record(value) {
                    Some(record) => {
                        keys.insert(record.id.clone(), record);
                    }
                    // One bad record admits nobody; the others still work.
                    None => tracing::error!("a record of an API key cannot be read"),
                }
            }
            (cache.keys, cache.version) = (Arc::new(keys), version);
        }
        Ok(())
    }
}

fn record(value: Value) -> Option<ApiKeyRecord> {
    let mut parts = Parts::of(value)?;
    Some(ApiKeyRecord {
        id: ApiKeyId::parse(&parts.text()?)?,
        name: parts.text()?,
        app: AppId::parse(&parts.text()?).ok()?,
        // A scope that a later release knows grants nothing here.
        scopes: text(&parts.value()?)?
            .split_ascii_whitespace()
            .filter_map(|name| name.parse::<Scope>().ok())
            .collect(),
        hash: bytes(&parts.value()?)?.try_into().ok()?,
        created_at: parts.moment()?,
        expires_at: parts.maybe_moment()?,
        revoked_at: parts.maybe_moment()?,
    })
}

#[async_trait]
impl ApiKeyStore for RedisApiKeys {
    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
        Ok(self.keys()?.get(id).cloned())
    }

    async fn add(&self, record: ApiKeyRecord) -> Result<(), StoreError> {
        let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
        let call = self
            .inner
            .call(&script::ADD_API_KEY)
            .text(record.id.as_str())
            .text(&record.name)
            .text(record.app.as_str())
            .text(scopes.join(" "))
            .text(record.hash)
            .moment(record.created_at)
            .maybe_number(record.expires_at.map(Timestamp::as_millis))
            .maybe_number(record.revoked_at.map(Timestamp::as_millis));
        let added = self.inner.servers.call(&call).await?;
        self.inner.refresh().await?;
        if integer(&added) != Some(1) {
            return Err(StoreError::unavailable("there is an API key of this id"));
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let mut all: Vec<_> = self.keys()?.values().cloned().collect();
        sort(&mut all);
        Ok(all)
    }

    async fn revoke(&self, id: &ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        let call = self.inner.call(&script::REVOKE_API_KEY);
        let call = call.at(self.inner.time, now).text(id.as_str());
        let working = self.inner.servers.call(&call).await?;
        self.inner.refresh().await?;
        Ok(integer(&working) == Some(1))
    }
}
