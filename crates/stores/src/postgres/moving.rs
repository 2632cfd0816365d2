//! The store as rows, for moving them from one store to another.
//!
//! Rows go in as one JSON document a statement, which the server takes apart.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_postgres::Row as Line;
use tokio_postgres::types::Type;
use uuid::Uuid;
use watchword_core::keys::Sealed;
use watchword_core::memory::{NamedMessage, ReplayEntry};
use watchword_core::moving::{Class, Pages, RecipientRow, Row, Rows, SourceRow};
use watchword_core::{
    DeliveryId, MessageKey, Purpose, RecipientIndex, RecipientLedger, ReplayKey, SlidingLog, Slot,
    SourceIndex, StoreError, Timestamp, Verification, VerificationId,
};

use super::error::PostgresError;
use super::pool::Parameter;
use super::rows::{
    count, deliveries_json, key_id, moment, read, tag, timestamp, verification_columns,
};
use super::store::{PostgresStore, present};

/// So many rows are read, or put in, by one statement.
const PAGE: i64 = 1000;

const HOUR: u64 = 3_600_000;

const VERIFICATIONS: &str = concat!(
    "SELECT ",
    verification_columns!(),
    " FROM (SELECT k AS v FROM watchword.verification k WHERE (k.tag, k.id) > ($1, $2)
        ORDER BY k.tag, k.id LIMIT $3) r"
);
/// What [`recipient`] reads.
pub(super) const RECIPIENT_COLUMNS: &str = "recipient, sends, failures, failed_in_row, locked, \
     slot_purpose, slot_id, slot_sent_at, slot_until, sends_until";
const RECIPIENTS: &str = "SELECT recipient, sends, failures, failed_in_row, locked, slot_purpose,
        slot_id, slot_sent_at, slot_until, sends_until
    FROM watchword.recipient WHERE (tag, recipient) > ($1, $2) ORDER BY tag, recipient LIMIT $3";
const SOURCES: &str = "SELECT source, sends, idle_from
    FROM watchword.source WHERE (tag, source) > ($1, $2) ORDER BY tag, source LIMIT $3";
const NAMES: &str = "SELECT name, verification, delivery, until
    FROM watchword.message_name WHERE $1 < 0 OR name > $2 ORDER BY name LIMIT $3";
const ANSWERS: &str = "SELECT key, fingerprint, answer, until
    FROM watchword.replay WHERE $1 < 0 OR key > $2 ORDER BY key LIMIT $3";

const CLASSES: [Class; 5] = [
    Class::Verifications,
    Class::Recipients,
    Class::Sources,
    Class::MessageNames,
    Class::IdempotencyKeys,
];

/// Where somebody is: the kind of rows, and behind which place of it. Before the first, the tag
/// is none.
struct Place<'a> {
    store: &'a PostgresStore,
    class: usize,
    tag: i32,
    id: Uuid,
}

impl Place<'_> {
    fn begin(&mut self, class: usize) {
        (self.class, self.tag, self.id) = (class, -1, Uuid::nil());
    }

    fn pass(&mut self, id: &[u8; 16]) {
        (self.tag, self.id) = (tag(id), Uuid::from_bytes(*id));
    }
}

#[async_trait]
impl Pages for Place<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        let Some(class) = CLASSES.get(self.class) else {
            return Ok(None);
        };
        let statement = match class {
            Class::Verifications => VERIFICATIONS,
            Class::Recipients => RECIPIENTS,
            Class::Sources => SOURCES,
            Class::MessageNames => NAMES,
            _ => ANSWERS,
        };
        let from: [Parameter<'_>; 3] = [
            (&self.tag, Type::INT4),
            (&self.id, Type::UUID),
            (&PAGE, Type::INT8),
        ];
        let lines = self.store.pool.rows(statement, &from).await?;
        let Some(last) = lines.last() else {
            self.begin(self.class + 1);
            return Ok(Some(Vec::new()));
        };
        let last: Uuid = read(last, 0)?;
        let rows = lines.iter().map(|line| row(*class, line));
        let rows = rows.collect::<Result<_, PostgresError>>()?;
        self.pass(last.as_bytes());
        Ok(Some(rows))
    }
}

fn row(class: Class, line: &Line) -> Result<Row, PostgresError> {
    let key = read::<Uuid>(line, 0)?.into_bytes();
    Ok(match class {
        Class::Verifications => Row::Verification(Box::new(present(line, 0)?)),
        Class::Recipients => Row::Recipient(Box::new(recipient(key, line)?)),
        Class::Sources => {
            let sends = log(read(line, 1)?);
            let until = timestamp(read(line, 2)?);
            Row::Source(SourceRow {
                index: SourceIndex::from_bytes(key),
                horizon: rest(&sends, until),
                sends,
            })
        }
        Class::MessageNames => Row::Name(
            MessageKey(key),
            NamedMessage {
                verification: VerificationId::from_bytes(read::<Uuid>(line, 1)?.into_bytes()),
                delivery: DeliveryId(read(line, 2)?),
                until: timestamp(read(line, 3)?),
            },
        ),
        _ => Row::Answer(
            ReplayKey(key),
            ReplayEntry {
                fingerprint: read::<&[u8]>(line, 1)?
                    .try_into()
                    .map_err(|_| PostgresError::Unreadable("fingerprint"))?,
                answer: read::<Option<&[u8]>>(line, 2)?.map(Sealed::from_bytes),
                until: timestamp(read(line, 3)?),
            },
        ),
    })
}

fn log(moments: Vec<i64>) -> SlidingLog {
    SlidingLog::from_moments(moments.into_iter().map(timestamp).collect())
}

/// How long after its newest entry a log matters.
fn rest(sends: &SlidingLog, until: Timestamp) -> Duration {
    let newest = sends.moments().last();
    newest.map_or(Duration::ZERO, |newest| until.since(*newest))
}

pub(super) fn recipient(key: [u8; 16], line: &Line) -> Result<RecipientRow, PostgresError> {
    let purposes: Vec<&str> = read(line, 5)?;
    let ids: Vec<Uuid> = read(line, 6)?;
    let sent: Vec<Option<i64>> = read(line, 7)?;
    let until: Vec<i64> = read(line, 8)?;
    let slots = purposes.into_iter().zip(ids).zip(sent).zip(until);
    let slots = slots.map(|(((purpose, id), sent_at), until)| {
        Ok(Slot {
            purpose: Purpose::parse(purpose).map_err(|_| PostgresError::Unreadable("purpose"))?,
            id: VerificationId::from_bytes(id.into_bytes()),
            sent_at: sent_at.map(timestamp),
            until: timestamp(until),
        })
    });
    let ledger = RecipientLedger {
        sends: log(read(line, 1)?),
        failures: log(read(line, 2)?),
        row: count(read(line, 3)?),
        locked: read(line, 4)?,
        slots: slots.collect::<Result<_, PostgresError>>()?,
    };
    let until = timestamp(read(line, 9)?);
    Ok(RecipientRow {
        index: RecipientIndex::from_bytes(key),
        horizon: rest(&ledger.sends, until),
        ledger,
    })
}

#[async_trait]
impl Rows for PostgresStore {
    fn classes(&self) -> &[Class] {
        &CLASSES
    }

    fn pages(&self) -> Box<dyn Pages + '_> {
        let mut place = Place {
            store: self,
            class: 0,
            tag: 0,
            id: Uuid::nil(),
        };
        place.begin(0);
        Box::new(place)
    }

    async fn put(&self, rows: Vec<Row>, _: Timestamp) -> Result<(), StoreError> {
        let mut documents: [Vec<Value>; 5] = Default::default();
        for row in &rows {
            if let Some(class) = CLASSES.iter().position(|class| *class == row.class()) {
                documents[class].push(document(row));
            }
        }
        for (class, rows) in documents.iter().enumerate() {
            for part in rows.chunks(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
                let text = serde_json::to_string(part).map_err(StoreError::unavailable)?;
                let parameters: [Parameter<'_>; 1] = [(&text, Type::TEXT)];
                self.pool.rows(PUT[class], &parameters).await?;
            }
        }
        Ok(())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A text takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn uuid(bytes: &[u8; 16]) -> Uuid {
    Uuid::from_bytes(*bytes)
}

fn moments(log: &SlidingLog) -> Vec<i64> {
    log.moments().iter().map(|at| moment(*at)).collect()
}

fn end(log: &SlidingLog, horizon: Duration) -> Timestamp {
    let newest = log.moments().last();
    newest.map_or_else(Timestamp::default, |newest| newest.plus(horizon))
}

fn document(row: &Row) -> Value {
    match row {
        Row::Verification(row) => verification(row),
        Row::Recipient(row) => {
            let (index, ledger) = (row.index.as_bytes(), &row.ledger);
            let slots = || ledger.slots.iter();
            json!({
                "tag": tag(index),
                "recipient": uuid(index),
                "sends": moments(&ledger.sends),
                "failures": moments(&ledger.failures),
                "failed_in_row": ledger.row,
                "locked": ledger.locked,
                "slot_purpose": slots().map(|slot| slot.purpose.as_str()).collect::<Vec<_>>(),
                "slot_id": slots().map(|slot| slot.id.as_uuid()).collect::<Vec<_>>(),
                "slot_sent_at": slots().map(|slot| slot.sent_at.map(moment)).collect::<Vec<_>>(),
                "slot_until": slots().map(|slot| moment(slot.until)).collect::<Vec<_>>(),
                "sends_until": moment(end(&ledger.sends, row.horizon)),
            })
        }
        Row::Source(row) => json!({
            "tag": tag(row.index.as_bytes()),
            "source": uuid(row.index.as_bytes()),
            "sends": moments(&row.sends),
            // Whole hours, as when it is charged.
            "idle_from": end(&row.sends, row.horizon).as_millis().div_ceil(HOUR) * HOUR,
        }),
        Row::Name(key, named) => json!({
            "name": uuid(&key.0),
            "verification": named.verification.as_uuid(),
            "delivery": named.delivery.0,
            "until": moment(named.until),
        }),
        Row::Answer(key, entry) => json!({
            "key": uuid(&key.0),
            "fingerprint": hex(&entry.fingerprint),
            "answer": entry.answer.as_ref().map(|answer| hex(answer.as_bytes())),
            "until": moment(entry.until),
        }),
        Row::ApiKey(_) | Row::Account(_) => Value::Null,
    }
}

fn verification(row: &Verification) -> Value {
    let (key, digest) = row.digest.parts();
    json!({
        "tag": tag(row.id.as_bytes()),
        "id": row.id.as_uuid(),
        "recipient": uuid(row.recipient.as_bytes()),
        "addressed": row.addressed,
        "app": row.app.as_str(),
        "purpose": row.purpose.as_str(),
        "channel": row.channel.as_str(),
        "status": row.status.as_str(),
        "key_id": key_id(key),
        "digest": hex(digest),
        "attempts_left": row.attempts_left,
        "created_at": moment(row.created_at),
        "sent_at": moment(row.sent_at),
        "expires_at": moment(row.expires_at),
        "ended_at": row.ended_at.map(moment),
        "details": hex(row.details.as_bytes()),
        "deliveries": deliveries_json(&row.deliveries),
        "outdated": row.outdated,
        "fallback_next": row.fallback.map(|fallback| fallback.next),
        "fallback_due": row.fallback.and_then(|fallback| fallback.due).map(moment),
    })
}

/// In the order of [`CLASSES`].
const PUT: [&str; 5] = [
    "INSERT INTO watchword.verification AS k (
        tag, id, recipient, addressed, app, purpose, channel, status, key_id, digest,
        attempts_left, created_at, sent_at, expires_at, ended_at, details, deliveries, outdated,
        fallback_next, fallback_due)
    SELECT x.tag, x.id, x.recipient, x.addressed, x.app, x.purpose, x.channel, x.status, x.key_id,
        decode(x.digest, 'hex'), x.attempts_left, x.created_at, x.sent_at, x.expires_at,
        x.ended_at, decode(x.details, 'hex'), x.deliveries::jsonb, x.outdated, x.fallback_next,
        x.fallback_due
    FROM json_to_recordset($1::json) AS x (
        tag integer, id uuid, recipient uuid, addressed boolean, app text, purpose text,
        channel text, status text, key_id integer, digest text, attempts_left bigint,
        created_at bigint, sent_at bigint, expires_at bigint, ended_at bigint, details text,
        deliveries text, outdated integer, fallback_next integer, fallback_due bigint)
    ON CONFLICT (tag, id) DO UPDATE SET (
        recipient, addressed, app, purpose, channel, status, key_id, digest, attempts_left,
        created_at, sent_at, expires_at, ended_at, details, deliveries, outdated, fallback_next,
        fallback_due
    ) = ROW (
        excluded.recipient, excluded.addressed, excluded.app, excluded.purpose, excluded.channel,
        excluded.status, excluded.key_id, excluded.digest, excluded.attempts_left,
        excluded.created_at, excluded.sent_at, excluded.expires_at, excluded.ended_at,
        excluded.details, excluded.deliveries, excluded.outdated, excluded.fallback_next,
        excluded.fallback_due)",
    // Which also knows from when on it does not matter.
    "SELECT count(kept) FROM (
        SELECT watchword.keep_1(ROW(x.tag, x.recipient, x.sends, x.failures, x.failed_in_row,
            x.locked, x.slot_purpose, x.slot_id, x.slot_sent_at, x.slot_until, x.sends_until,
            NULL)::watchword.recipient) AS kept
        FROM json_to_recordset($1::json) AS x (
            tag integer, recipient uuid, sends bigint[], failures bigint[], failed_in_row bigint,
            locked boolean, slot_purpose text[], slot_id uuid[], slot_sent_at bigint[],
            slot_until bigint[], sends_until bigint)) k",
    "INSERT INTO watchword.source (tag, source, sends, idle_from)
    SELECT x.tag, x.source, x.sends, x.idle_from
    FROM json_to_recordset($1::json) AS x (
        tag integer, source uuid, sends bigint[], idle_from bigint)
    ON CONFLICT (tag, source) DO UPDATE SET
        sends = excluded.sends, idle_from = excluded.idle_from",
    "INSERT INTO watchword.message_name (name, verification, delivery, until)
    SELECT x.name, x.verification, x.delivery, x.until
    FROM json_to_recordset($1::json) AS x (
        name uuid, verification uuid, delivery uuid, until bigint)
    ON CONFLICT (name) DO UPDATE SET
        verification = excluded.verification, delivery = excluded.delivery,
        until = excluded.until",
    "INSERT INTO watchword.replay (key, fingerprint, answer, until)
    SELECT x.key, decode(x.fingerprint, 'hex'), decode(x.answer, 'hex'), x.until
    FROM json_to_recordset($1::json) AS x (key uuid, fingerprint text, answer text, until bigint)
    ON CONFLICT (key) DO UPDATE SET
        fingerprint = excluded.fingerprint, answer = excluded.answer, until = excluded.until",
];
