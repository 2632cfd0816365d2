//! Idempotency keys: held here and at the primary, so that an outage forgets none of this node.

use async_trait::async_trait;
use watchword_core::keys::Sealed;
use watchword_core::memory::Journal;
use watchword_core::{Replay, ReplayKey, ReplayStore, StoreError, Timestamp};

use super::LocalFallback;

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
        let there = shared.watched(there).await;
        if !matches!(there, Ok(Replay::Fresh)) {
            local.abandon(key).await?;
        }
        there
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
        shared.watched(there).await
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.local.abandon(key).await?;
        if shared.is_away() {
            return Ok(());
        }
        let there = shared.primary_replays.abandon(key).await;
        shared.watched(there).await
    }
}
