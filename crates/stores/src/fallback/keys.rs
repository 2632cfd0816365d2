//! API keys of the primary, and a copy of them for when it is away: a key that was good when it
//! went stays good.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use watchword_core::memory::Journal;
use watchword_core::{ApiKeyId, ApiKeyRecord, ApiKeyStore, StoreError, Timestamp};

use super::{ASK_EVERY, LocalFallback, Shared, Watch};

/// Reads the copy while the primary is away. Everything else is the primary's.
pub(crate) struct CopiedKeys<J: Journal> {
    shared: Arc<Shared<J>>,
    primary: Arc<dyn ApiKeyStore>,
    copy: Arc<dyn ApiKeyStore>,
}

impl<J: Journal> CopiedKeys<J> {
    pub(crate) fn of(
        fallback: &LocalFallback<J>,
        primary: Arc<dyn ApiKeyStore>,
        copy: Arc<dyn ApiKeyStore>,
    ) -> Self {
        let shared = Arc::clone(&fallback.shared);
        Self {
            shared,
            primary,
            copy,
        }
    }

    /// Brings the copy up to the primary every second, while that is there.
    pub(crate) fn watch(self: &Arc<Self>) -> Watch {
        let keys = Arc::clone(self);
        let watch = async move {
            let mut failing = false;
            loop {
                if !keys.shared.is_away() {
                    let copied = keys.copy().await;
                    if let (Err(error), false) = (&copied, failing) {
                        tracing::warn!(%error, "the copy of the API keys is not up to date");
                    }
                    failing = copied.is_err();
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        Watch(tokio::spawn(watch).abort_handle())
    }

    async fn copy(&self) -> Result<(), StoreError> {
        let there = self.primary.list().await?;
        let here = self.copy.list().await?;
        let here: HashMap<_, _> = here.into_iter().map(|key| (key.id.clone(), key)).collect();
        let now = self.shared.clock.now();
        let mut gone: HashMap<_, _> = here.iter().collect();
        for key in there {
            gone.remove(&key.id);
            match here.get(&key.id) {
                None => self.copy.add(key).await?,
                Some(known) if known.revoked_at.is_none() && key.revoked_at.is_some() => {
                    self.copy.revoke(&key.id, now).await?;
                }
                Some(_) => {}
            }
        }
        // Of another primary, which this file stood in for before.
        for (id, _) in gone.iter().filter(|(_, key)| key.revoked_at.is_none()) {
            self.copy.revoke(id, now).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl<J: Journal> ApiKeyStore for CopiedKeys<J> {
    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
        match self.primary.find(id).await {
            Err(_) if self.shared.is_away() => self.copy.find(id).await,
            found => found,
        }
    }

    async fn add(&self, record: ApiKeyRecord) -> Result<(), StoreError> {
        self.primary.add(record).await
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        self.primary.list().await
    }

    async fn revoke(&self, id: &ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        self.primary.revoke(id, now).await
    }
}
