//! Idempotency keys: held here and at the primary, so that an outage forgets none of this node.

use async_trait::async_trait;
use watchword_core::keys::Sealed;
use watchword_core::memory::Journal;
use watchword_core::{Replay, ReplayKey, ReplayStore, StoreError, Timestamp};

use super::{LocalFallback, Shared};

#[async_trait]
impl<J: Journal> ReplayStore for LocalFallback<J> {
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError> {
        let shared = &self.shared;
        let local = shared.local.as_ref();
        let here = local.claim(key, fingerprint, running_until, now).await?;
        if here != Replay::Fresh || shared.is_away() {
            return Ok(here);
        }
        let primary = &shared.primary_replays;
        let there = primary.claim(key, fingerprint, running_until, now).await;
        match shared.watched(there).await {
            Ok(Replay::Fresh) => Ok(Replay::Fresh),
            // The primary may hold it for this request now, for as long as requests may run.
            // Nothing but that was done, so the request can be served here.
            Err(_) if shared.is_away() => Ok(here),
            other => {
                local.abandon(key).await?;
                other
            }
        }
    }

    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError> {
        let shared = &self.shared;
        let local = shared.local.as_ref();
        local.finish(key, answer.clone(), keep_until).await?;
        if shared.is_away() {
            return Ok(());
        }
        let there = shared.primary_replays.finish(key, answer, keep_until).await;
        shared.unless_away(there).await
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.local.abandon(key).await?;
        if shared.is_away() {
            return Ok(());
        }
        let there = shared.primary_replays.abandon(key).await;
        shared.unless_away(there).await
    }
}

impl<J: Journal> Shared<J> {
    /// What was done here is enough while the primary is away: it frees the key by itself.
    async fn unless_away(&self, there: Result<(), StoreError>) -> Result<(), StoreError> {
        match self.watched(there).await {
            Err(_) if self.is_away() => Ok(()),
            other => other,
        }
    }
}
