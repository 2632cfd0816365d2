//! Idempotency keys.

use async_trait::async_trait;
use tokio_postgres::types::Type;
use uuid::Uuid;
use watchword_core::keys::Sealed;
use watchword_core::{Replay, ReplayKey, ReplayStore, StoreError, Timestamp};

use super::error::PostgresError;
use super::rows::{millis, moment, read};
use super::store::{PostgresStore, PostgresTime};

#[async_trait]
impl ReplayStore for PostgresStore {
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError> {
        let row = self
            .pool
            .row(
                "SELECT r.outcome, r.answer FROM watchword.claim_1($1, $2, $3, $4) r",
                &[
                    (&self.moment(now), Type::INT8),
                    (&millis(running_until.since(now)), Type::INT8),
                    (&Uuid::from_bytes(key.0), Type::UUID),
                    (&fingerprint.as_slice(), Type::BYTEA),
                ],
            )
            .await;
        let row = row?;
        Ok(match read(&row, 0).map_err(StoreError::from)? {
            "fresh" => Replay::Fresh,
            "running" => Replay::Running,
            "different" => Replay::Different,
            "done" => Replay::Done(Sealed::from_bytes(read(&row, 1)?)),
            _ => return Err(PostgresError::Unreadable("outcome of a claim").into()),
        })
    }

    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError> {
        // The caller means a moment of its own clock.
        let (from, span) = match self.time {
            PostgresTime::Server => (None, millis(keep_until.since(self.clock.now()))),
            PostgresTime::Caller => (Some(0_i64), moment(keep_until)),
        };
        let row = self
            .pool
            .row(
                "SELECT watchword.finish_1($1, $2, $3, $4)",
                &[
                    (&from, Type::INT8),
                    (&span, Type::INT8),
                    (&Uuid::from_bytes(key.0), Type::UUID),
                    (&answer.as_bytes(), Type::BYTEA),
                ],
            )
            .await;
        row.map(drop).map_err(StoreError::from)
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        let row = self
            .pool
            .row(
                "SELECT watchword.abandon_1($1)",
                &[(&Uuid::from_bytes(key.0), Type::UUID)],
            )
            .await;
        row.map(drop).map_err(StoreError::from)
    }
}
