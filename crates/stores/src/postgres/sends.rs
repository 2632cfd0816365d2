//! The steps that send, and what they charge.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;
use watchword_core::{
    Charged, Locked, Quota, Refusal, ResendOutcome, ResendStep, SendTerms, Standing, StartOutcome,
    StartStep, Timestamp, WhenPending,
};

use super::error::PostgresError;
use super::rows::{
    count, key_id, millis, quotas, read, slot_memory, span, tag, timestamp, verification_columns,
};
use super::store::{PostgresStore, present};

pub(crate) const START: &str =
    "SELECT r.outcome, r.wait, r.made_at, r.at, r.source_at, r.standing_quota,
    r.standing_remaining, r.standing_until, clock_timestamp() AS present
    FROM watchword.start_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
        $17, $18, $19, $20, $21, $22, $23, $24) r";
pub(super) const RESEND: &str = concat!(
    "SELECT r.outcome, r.wait, r.made_at, r.at, r.source_at, r.standing_quota,
    r.standing_remaining, r.standing_until, ",
    verification_columns!(),
    " FROM watchword.resend_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
        $16, $17, $18, $19, $20, $21) r"
);
/// What a send has to pay, as values of statements.
struct Terms {
    cooldown: i64,
    recipient: (Vec<i64>, Vec<i64>),
    per_hour: Option<i64>,
    per_day: Option<i64>,
    horizon: i64,
    slot_memory: i64,
    source_tag: Option<i32>,
    source: Option<Uuid>,
    source_quotas: (Vec<i64>, Vec<i64>),
}

impl Terms {
    fn of(terms: &SendTerms, ttl: Duration) -> Self {
        let failures = terms.failures;
        let source = terms.source.as_ref();
        Self {
            cooldown: millis(terms.cooldown),
            recipient: quotas(&terms.recipient),
            per_hour: failures.map(|budget| budget.per_hour.into()),
            per_day: failures.map(|budget| budget.per_day.into()),
            horizon: millis(terms.horizon()),
            slot_memory: slot_memory(terms, ttl),
            source_tag: source.map(|source| tag(source.index.as_bytes())),
            source: source.map(|source| Uuid::from_bytes(*source.index.as_bytes())),
            source_quotas: source.map_or_else(Default::default, |source| quotas(&source.quotas)),
        }
    }
}

/// What a send came to.
enum Sent {
    Charged(Charged),
    Refused(Refusal),
    Exhausted,
    NotFound,
}

impl Sent {
    fn read(row: &Row, terms: &SendTerms) -> Result<Self, PostgresError> {
        let wait = read::<Option<i64>>(row, 1)?.map(span);
        let retry_after = wait.unwrap_or_default();
        Ok(match read(row, 0)? {
            "sent" => Self::Charged(Charged {
                made_at: timestamp(read(row, 2)?),
                at: timestamp(read(row, 3)?),
                source_at: read::<Option<i64>>(row, 4)?.map(timestamp),
                source_standing: standing(row, terms)?,
            }),
            "source_limit" => Self::Refused(Refusal::SourceLimit { retry_after }),
            "recipient_limit" => Self::Refused(Refusal::RecipientLimit { retry_after }),
            "cooldown" => Self::Refused(Refusal::Cooldown { retry_after }),
            "locked" => Self::Refused(Refusal::Locked(Locked { retry_after: wait })),
            "live" => Self::Refused(Refusal::Live),
            "exhausted" => Self::Exhausted,
            "not_found" => Self::NotFound,
            _ => return Err(PostgresError::Unreadable("outcome of a send")),
        })
    }
}

fn standing(row: &Row, terms: &SendTerms) -> Result<Option<Standing>, PostgresError> {
    let place: Option<i32> = read(row, 5)?;
    let quota = || -> Option<Quota> {
        let place = usize::try_from(place?.checked_sub(1)?).ok()?;
        terms.source.as_ref()?.quotas.get(place).copied()
    };
    let Some(quota) = quota() else {
        return Ok(None);
    };
    Ok(Some(Standing {
        quota,
        remaining: count(read(row, 6)?),
        until_more: span(read(row, 7)?),
    }))
}

impl PostgresStore {
    /// Charges the limits and puts a new verification in place.
    pub(super) async fn start_now(
        &self,
        step: &StartStep,
        now: Timestamp,
    ) -> Result<StartOutcome, PostgresError> {
        let terms = Terms::of(&step.terms, step.ttl);
        let (key, digest) = step.digest.parts();
        let refuse_live = step.when_pending == WhenPending::Refuse;
        let row = self
            .row(
                START,
                &[
                    (&self.moment(now), Type::INT8),
                    (&i32::from(step.recipient.tag()), Type::INT4),
                    (&step.id.as_uuid(), Type::UUID),
                    (&step.app.as_str(), Type::TEXT),
                    (&Uuid::from_bytes(*step.recipient.as_bytes()), Type::UUID),
                    (&step.purpose.as_str(), Type::TEXT),
                    (&step.channel.as_str(), Type::TEXT),
                    (&key_id(key), Type::INT4),
                    (&digest.as_slice(), Type::BYTEA),
                    (&i64::from(step.max_attempts), Type::INT8),
                    (&millis(step.ttl), Type::INT8),
                    (&step.details.as_bytes(), Type::BYTEA),
                    (&refuse_live, Type::BOOL),
                    (&terms.cooldown, Type::INT8),
                    (&terms.recipient.0, Type::INT8_ARRAY),
                    (&terms.recipient.1, Type::INT8_ARRAY),
                    (&terms.per_hour, Type::INT8),
                    (&terms.per_day, Type::INT8),
                    (&terms.horizon, Type::INT8),
                    (&terms.slot_memory, Type::INT8),
                    (&terms.source_tag, Type::INT4),
                    (&terms.source, Type::UUID),
                    (&terms.source_quotas.0, Type::INT8_ARRAY),
                    (&terms.source_quotas.1, Type::INT8_ARRAY),
                ],
            )
            .await;
        Ok(match Sent::read(&row?, &step.terms)? {
            Sent::Charged(charged) => StartOutcome::Started(charged),
            Sent::Refused(refusal) => StartOutcome::Refused(refusal),
            Sent::Exhausted | Sent::NotFound => {
                return Err(PostgresError::Unreadable("outcome of a start"));
            }
        })
    }

    /// Charges the limits and puts a fresh code in place of the old one.
    pub(super) async fn resend_now(
        &self,
        step: &ResendStep,
        now: Timestamp,
    ) -> Result<ResendOutcome, PostgresError> {
        let terms = Terms::of(&step.terms, step.ttl);
        let (key, digest) = step.digest.parts();
        let row = self
            .row(
                RESEND,
                &[
                    (&self.moment(now), Type::INT8),
                    (&i32::from(step.id.tag()), Type::INT4),
                    (&step.id.as_uuid(), Type::UUID),
                    (&step.app.as_str(), Type::TEXT),
                    (&step.channel.as_str(), Type::TEXT),
                    (&key_id(key), Type::INT4),
                    (&digest.as_slice(), Type::BYTEA),
                    (&i64::from(step.max_attempts), Type::INT8),
                    (&millis(step.ttl), Type::INT8),
                    (&step.details.as_bytes(), Type::BYTEA),
                    (&terms.cooldown, Type::INT8),
                    (&terms.recipient.0, Type::INT8_ARRAY),
                    (&terms.recipient.1, Type::INT8_ARRAY),
                    (&terms.per_hour, Type::INT8),
                    (&terms.per_day, Type::INT8),
                    (&terms.horizon, Type::INT8),
                    (&terms.slot_memory, Type::INT8),
                    (&terms.source_tag, Type::INT4),
                    (&terms.source, Type::UUID),
                    (&terms.source_quotas.0, Type::INT8_ARRAY),
                    (&terms.source_quotas.1, Type::INT8_ARRAY),
                ],
            )
            .await;
        let row = row?;
        Ok(match Sent::read(&row, &step.terms)? {
            Sent::Charged(charged) => ResendOutcome::Renewed(charged, Box::new(present(&row, 8)?)),
            Sent::Refused(refusal) => ResendOutcome::Refused(refusal),
            Sent::Exhausted => ResendOutcome::Exhausted,
            Sent::NotFound => ResendOutcome::NotFound,
        })
    }
}
