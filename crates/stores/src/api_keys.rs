//! API keys of a server that keeps nothing.

use std::collections::HashMap;

use async_trait::async_trait;
use parking_lot::RwLock;
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
