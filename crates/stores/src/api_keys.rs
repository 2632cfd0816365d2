//! API keys of a server that keeps nothing.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use watchword_core::moving::{Class, Pages, Row, Rows};
use watchword_core::{ApiKeyId, ApiKeyRecord, ApiKeyStore, StoreError, Timestamp};

/// Keeps API keys in this process.
#[derive(Default)]
pub struct MemoryApiKeys(RwLock<HashMap<ApiKeyId, ApiKeyRecord>>);

#[async_trait]
impl ApiKeyStore for MemoryApiKeys {
    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
        Ok(self.0.read().get(id).cloned())
    }

    async fn add(&self, record: ApiKeyRecord) -> Result<(), StoreError> {
        self.0.write().insert(record.id.clone(), record);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let mut all: Vec<_> = self.0.read().values().cloned().collect();
        sort(&mut all);
        Ok(all)
    }

    async fn revoke(&self, id: &ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        let mut keys = self.0.write();
        let Some(key) = keys.get_mut(id).filter(|key| key.revoked_at.is_none()) else {
            return Ok(false);
        };
        key.revoked_at = Some(now);
        Ok(key.expires_at.is_none_or(|end| now < end))
    }
}

/// Oldest first.
pub(crate) fn sort(keys: &mut [ApiKeyRecord]) {
    keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
}

/// API keys as rows, for moving them from one store to another. There are few, so one page holds
/// them all.
pub(crate) struct ApiKeyRows(pub(crate) Arc<dyn ApiKeyStore>);

struct OnePage<'a>(Option<&'a dyn ApiKeyStore>);

#[async_trait]
impl Pages for OnePage<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        let Some(keys) = self.0.take() else {
            return Ok(None);
        };
        let keys = keys.list().await?.into_iter();
        Ok(Some(keys.map(|key| Row::ApiKey(Box::new(key))).collect()))
    }
}

/// The id of a key that is there already, and is another one.
#[derive(Debug, thiserror::Error)]
#[error("there is another API key {0}")]
struct Taken(ApiKeyId);

#[async_trait]
impl Rows for ApiKeyRows {
    fn classes(&self) -> &[Class] {
        &[Class::ApiKeys]
    }

    fn pages(&self) -> Box<dyn Pages + '_> {
        Box::new(OnePage(Some(&*self.0)))
    }

    async fn put(&self, rows: Vec<Row>, _: Timestamp) -> Result<(), StoreError> {
        for row in rows {
            let Row::ApiKey(record) = row else { continue };
            match self.0.find(&record.id).await? {
                None => self.0.add(*record).await?,
                Some(known) if known.hash == record.hash => {
                    if let Some(at) = record.revoked_at {
                        self.0.revoke(&record.id, at).await?;
                    }
                }
                Some(_) => return Err(StoreError::unavailable(Taken(record.id))),
            }
        }
        Ok(())
    }
}
