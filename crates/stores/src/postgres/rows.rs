//! Between the values of the core and those of PostgreSQL.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::{
    AppId, Channel, CodeDigest, Delivery, Fallback, Purpose, Quota, RecipientIndex, SendTerms,
    Status, Timestamp, Verification, VerificationId,
};

use super::error::PostgresError;

/// The columns of a verification that a function answers as `r.v`, in the order in which
/// [`verification`] reads them, and last the server's time ([`present`]).
macro_rules! verification_columns {
    () => {
        "(r.v).id, (r.v).recipient, (r.v).addressed, (r.v).app, (r.v).purpose, (r.v).channel, \
         (r.v).status, (r.v).key_id, (r.v).digest, (r.v).attempts_left, (r.v).created_at, \
         (r.v).sent_at, (r.v).expires_at, (r.v).ended_at, (r.v).details, (r.v).deliveries::text, \
         (r.v).outdated, (r.v).fallback_next, (r.v).fallback_due, clock_timestamp() AS present"
    };
}
pub(super) use verification_columns;

/// The server's time, where a statement asked for it last.
pub(super) fn present(row: &Row) -> Option<Timestamp> {
    let last = row.columns().len().checked_sub(1)?;
    let asked = row.columns()[last].name() == "present";
    let said: SystemTime = asked.then(|| row.try_get(last).ok())??;
    let since = said.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(since.as_millis().try_into().ok()?))
}

const STATUSES: [Status; 7] = [
    Status::Pending,
    Status::Approved,
    Status::Canceled,
    Status::Expired,
    Status::Exhausted,
    Status::Superseded,
    Status::Failed,
];

/// A span in milliseconds, at most as long as there are moments.
pub(crate) fn millis(span: Duration) -> i64 {
    let end = Timestamp::default().plus(span);
    end.as_millis().cast_signed()
}

pub(super) fn moment(at: Timestamp) -> i64 {
    at.as_millis().cast_signed()
}

pub(super) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis.max(0).unsigned_abs())
}

pub(super) fn span(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}

pub(crate) fn key_id(id: KeyId) -> i32 {
    i32::from_be_bytes(id.to_bytes())
}

pub(super) fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// The first 16 bits, by which tables can be spread.
pub(crate) fn tag(bytes: &[u8; 16]) -> i32 {
    i32::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Quotas, side by side.
pub(crate) fn quotas(quotas: &[Quota]) -> (Vec<i64>, Vec<i64>) {
    let each = quotas.iter();
    each.map(|quota| (i64::from(quota.max), millis(quota.window)))
        .unzip()
}

/// How long the newest verification of a purpose is remembered as that: as long as itself and any
/// cooldown.
pub(crate) fn slot_memory(terms: &SendTerms, ttl: Duration) -> i64 {
    millis(terms.memory(ttl).slot)
}

/// Reads one column.
pub(super) fn read<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, PostgresError> {
    row.try_get(at).map_err(PostgresError::from)
}

/// The verification whose columns begin at `at`; nothing if it is null.
pub(super) fn verification(row: &Row, at: usize) -> Result<Option<Verification>, PostgresError> {
    let Some(id) = read::<Option<Uuid>>(row, at)? else {
        return Ok(None);
    };
    let app: &str = read(row, at + 3)?;
    let purpose: &str = read(row, at + 4)?;
    let digest: &[u8] = read(row, at + 8)?;
    let digest = digest
        .try_into()
        .map_err(|_| PostgresError::Unreadable("digest"))?;
    let key = KeyId::from_bytes(read::<i32>(row, at + 7)?.to_be_bytes());
    let next: Option<i32> = read(row, at + 17)?;
    let due: Option<i64> = read(row, at + 18)?;
    Ok(Some(Verification {
        id: VerificationId::from_bytes(id.into_bytes()),
        recipient: RecipientIndex::from_bytes(read::<Uuid>(row, at + 1)?.into_bytes()),
        addressed: read(row, at + 2)?,
        app: AppId::parse(app).map_err(|_| PostgresError::Unreadable("app"))?,
        purpose: Purpose::parse(purpose).map_err(|_| PostgresError::Unreadable("purpose"))?,
        channel: channel(read(row, at + 5)?)?,
        status: status(read(row, at + 6)?)?,
        digest: CodeDigest::from_parts(key, digest),
        attempts_left: count(read(row, at + 9)?),
        created_at: timestamp(read(row, at + 10)?),
        sent_at: timestamp(read(row, at + 11)?),
        expires_at: timestamp(read(row, at + 12)?),
        ended_at: read::<Option<i64>>(row, at + 13)?.map(timestamp),
        details: Sealed::from_bytes(read(row, at + 14)?),
        deliveries: deliveries(read(row, at + 15)?)?,
        outdated: u16::try_from(read::<i32>(row, at + 16)?)
            .map_err(|_| PostgresError::Unreadable("outdated"))?,
        fallback: next
            .map(|next| {
                let next =
                    u8::try_from(next).map_err(|_| PostgresError::Unreadable("fallback_next"))?;
                Ok::<_, PostgresError>(Fallback {
                    next,
                    due: due.map(timestamp),
                })
            })
            .transpose()?,
    }))
}

fn channel(name: &str) -> Result<Channel, PostgresError> {
    let mut all = Channel::ALL.into_iter();
    all.find(|channel| channel.as_str() == name)
        .ok_or(PostgresError::Unreadable("channel"))
}

pub(super) fn status(name: &str) -> Result<Status, PostgresError> {
    let mut all = STATUSES.into_iter();
    all.find(|status| status.as_str() == name)
        .ok_or(PostgresError::Unreadable("status"))
}

fn deliveries(json: &str) -> Result<Vec<Delivery>, PostgresError> {
    if json == "[]" {
        return Ok(Vec::new());
    }
    serde_json::from_str(json).map_err(|_| PostgresError::Unreadable("deliveries"))
}

/// As JSON. PostgreSQL keeps no NUL in a text, and no provider has a reason to send one.
pub(crate) fn deliveries_json(all: &[Delivery]) -> String {
    let mut all = all.to_vec();
    all.iter_mut().for_each(Delivery::drop_nul);
    // Names, numbers and texts always have a form in JSON.
    serde_json::to_string(&all).unwrap_or_else(|_| "[]".to_owned())
}
