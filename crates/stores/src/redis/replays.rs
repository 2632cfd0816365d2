//! Idempotency keys, each a key of its own.

use async_trait::async_trait;
use watchword_core::keys::Sealed;
use watchword_core::{Replay, ReplayKey, ReplayStore, StoreError, Timestamp};

use super::call::{Call, Time};
use super::reply::{Parts, bytes};
use super::script;
use super::servers::Unreadable;
use super::store::RedisStore;

#[async_trait]
impl ReplayStore for RedisStore {
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError> {
        let call = self
            .calls
            .call(&script::CLAIM, self.calls.names.replay(key.0), now);
        let call = call.text(fingerprint).moment(running_until);
        let answer = self.servers.call(&call).await?;
        let mut parts = Parts::of(answer).ok_or_else(Unreadable::error)?;
        Ok(match parts.text().unwrap_or_default().as_str() {
            "fresh" => Replay::Fresh,
            "running" => Replay::Running,
            "different" => Replay::Different,
            "done" => {
                let answer = parts.value().as_ref().and_then(bytes);
                Replay::Done(Sealed::from_bytes(&answer.ok_or_else(Unreadable::error)?))
            }
            _ => return Err(Unreadable::error()),
        })
    }

    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError> {
        // The server's clock and the node's may differ, so it hears how long rather than until
        // when.
        let span = match self.calls.time {
            Time::Server => Some(keep_until.since(self.clock.now())),
            Time::Caller => None,
        };
        let span = span.and_then(|span| u64::try_from(span.as_millis()).ok());
        let call = Call::new(&script::FINISH, self.calls.names.replay(key.0))
            .at(Time::Caller, Timestamp::default())
            .text(answer.as_bytes())
            .moment(keep_until)
            .maybe_number(span);
        self.servers.call(&call).await.map(drop)
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        let key = self.calls.names.replay(key.0);
        let mut command = redis::cmd("DEL");
        command.arg(&key);
        self.servers.run(&key, &command).await.map(drop)
    }
}
