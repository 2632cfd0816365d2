//! The steps, each one call of a function of the schema.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, CheckTarget, Clock, DeliveryId, Locked,
    MessageKey, Note, Purpose, RecipientIndex, Remembered, ResendOutcome, ResendStep, StartOutcome,
    StartStep, Store, StoreError, Timestamp, Turn, Verification, VerificationId, Withdrawal,
};

use super::error::PostgresError;
use super::pool::{Parameter, Pool};
use super::rows;
use super::rows::{
    count, deliveries_json, key_id, moment, read, span, status, tag, verification,
    verification_columns,
};
use super::sends::{RESEND, START};
use crate::store_clock::{Asked, StoreClock};

/// Whose clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresTime {
    /// The database server's, so that nodes whose clocks differ gain nothing. For every server.
    Server,
    /// The callers', for tests.
    Caller,
}

/// Verifications, counters and idempotency keys in a PostgreSQL database.
///
/// Every step is one statement, which is one transaction: durable before it is answered, as long
/// as the server's `synchronous_commit` and `fsync` are what they are by default. With
/// [`PostgresTime::Server`], the moments that callers bring along are taken for spans from the
/// server's present.
pub struct PostgresStore {
    pub(super) pool: Arc<Pool>,
    pub(super) time: PostgresTime,
    pub(super) clock: Arc<dyn Clock>,
    /// Who wants to hear the server's time.
    pub(super) heard: Option<Arc<StoreClock>>,
}

pub(crate) const CHECK: &str = concat!(
    "SELECT r.outcome, r.wait, r.attempts_left, r.locks, ",
    verification_columns!(),
    " FROM watchword.check_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) r"
);
const GET: &str = concat!(
    "SELECT ",
    verification_columns!(),
    " FROM (SELECT v FROM watchword.get_1($1, $2, $3, $4) v) r"
);
const NEWEST: &str = concat!(
    "SELECT ",
    verification_columns!(),
    " FROM (SELECT v FROM watchword.newest_1($1, $2, $3, $4, $5) v) r"
);
const CANCEL: &str = concat!(
    "SELECT r.outcome, ",
    verification_columns!(),
    " FROM watchword.cancel_1($1, $2, $3, $4) r"
);
pub(crate) const NOTE: &str = concat!(
    "SELECT r.turn, ",
    verification_columns!(),
    " FROM watchword.note_2($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8, $9, $10, $11) r"
);
const FALL_BACK: &str = concat!(
    "SELECT r.turn, ",
    verification_columns!(),
    " FROM watchword.fall_back_1($1, $2, $3) r"
);

/// The statements of most requests.
pub(super) const OFTEN: [&str; 5] = [START, RESEND, CHECK, GET, NOTE];

fn turn(row: &Row) -> Result<Option<Turn>, PostgresError> {
    let Some(next) = read::<Option<i32>>(row, 0)? else {
        return Ok(None);
    };
    let next = u8::try_from(next).map_err(|_| PostgresError::Unreadable("turn"))?;
    let verification = Box::new(present(row, 1)?);
    Ok(Some(Turn { verification, next }))
}

/// The verification that has to be there.
pub(super) fn present(row: &Row, at: usize) -> Result<Verification, PostgresError> {
    verification(row, at)?.ok_or(PostgresError::Unreadable("verification"))
}

fn uuid(id: VerificationId) -> Uuid {
    id.as_uuid()
}

impl PostgresStore {
    /// The moment to count from; nothing leaves that to the server.
    pub(super) fn moment(&self, now: Timestamp) -> Option<i64> {
        match self.time {
            PostgresTime::Server => None,
            PostgresTime::Caller => Some(moment(now)),
        }
    }

    /// Removes up to `most` rows of each kind that no longer matter at `now`; how many there were.
    ///
    /// # Errors
    /// When the server does not do it.
    pub async fn sweep(&self, most: u32, now: Timestamp) -> Result<u64, StoreError> {
        let gone = super::sweeper::sweep(&self.pool, self.moment(now), most).await;
        gone.map_err(StoreError::from)
    }

    /// [`Pool::row`], and hears the time that the answer brings along.
    pub(super) async fn row(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Row, PostgresError> {
        let asked = self.heard.as_ref().map(|clock| clock.asking());
        let row = self.pool.row(statement, parameters).await?;
        self.hear(asked, &row);
        Ok(row)
    }

    fn hear(&self, asked: Option<Asked>, row: &Row) {
        if let (Some(clock), Some(asked)) = (&self.heard, asked)
            && let Some(said) = rows::present(row)
        {
            clock.hear(asked, said);
        }
    }

    async fn look(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Verification>, StoreError> {
        let asked = self.heard.as_ref().map(|clock| clock.asking());
        let rows = self.pool.rows(statement, parameters).await?;
        if let Some(row) = rows.first() {
            self.hear(asked, row);
        }
        let found = rows.first().map(|row| verification(row, 0)).transpose()?;
        Ok(found.flatten())
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        Ok(self.start_now(&step, now).await?)
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        Ok(self.resend_now(&step, now).await?)
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        let (place, id, recipient, purpose) = match &step.target {
            CheckTarget::Id(id) => (id.tag(), Some(uuid(*id)), None, None),
            CheckTarget::Recipient(recipient, purpose) => {
                let index = Uuid::from_bytes(*recipient.as_bytes());
                (recipient.tag(), None, Some(index), Some(purpose.as_str()))
            }
        };
        let candidates = step.candidates.iter();
        let (keys, macs): (Vec<i32>, Vec<&[u8]>) = candidates
            .map(|candidate| (key_id(candidate.key), candidate.mac().as_slice()))
            .unzip();
        let budget = step.failures.unwrap_or_default();
        let row = self
            .row(
                CHECK,
                &[
                    (&self.moment(now), Type::INT8),
                    (&i32::from(place), Type::INT4),
                    (&id, Type::UUID),
                    (&recipient, Type::UUID),
                    (&purpose, Type::TEXT),
                    (&step.app.as_str(), Type::TEXT),
                    (&keys, Type::INT4_ARRAY),
                    (&macs, Type::BYTEA_ARRAY),
                    (&i64::from(budget.per_hour), Type::INT8),
                    (&i64::from(budget.per_day), Type::INT8),
                    (&i64::from(budget.in_a_row), Type::INT8),
                ],
            )
            .await;
        let row = row?;
        Ok(match read(&row, 0).map_err(StoreError::from)? {
            "approved" => CheckOutcome::Approved(Box::new(present(&row, 4)?)),
            "incorrect" => CheckOutcome::Incorrect {
                attempts_left: count(read(&row, 2)?),
                locks: read(&row, 3).map_err(StoreError::from)?,
            },
            "exhausted" => CheckOutcome::Exhausted,
            "locked" => CheckOutcome::Locked(Locked {
                retry_after: read::<Option<i64>>(&row, 1)?.map(span),
            }),
            "not_found" => CheckOutcome::NotFound,
            _ => return Err(PostgresError::Unreadable("outcome of a check").into()),
        })
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.look(
            GET,
            &[
                (&self.moment(now), Type::INT8),
                (&i32::from(id.tag()), Type::INT4),
                (&uuid(id), Type::UUID),
                (&app.as_str(), Type::TEXT),
            ],
        )
        .await
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.look(
            NEWEST,
            &[
                (&self.moment(now), Type::INT8),
                (&i32::from(recipient.tag()), Type::INT4),
                (&Uuid::from_bytes(*recipient.as_bytes()), Type::UUID),
                (&purpose.as_str(), Type::TEXT),
                (&app.as_str(), Type::TEXT),
            ],
        )
        .await
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let row = self
            .row(
                CANCEL,
                &[
                    (&self.moment(now), Type::INT8),
                    (&i32::from(id.tag()), Type::INT4),
                    (&uuid(id), Type::UUID),
                    (&app.as_str(), Type::TEXT),
                ],
            )
            .await;
        let row = row?;
        Ok(match read(&row, 0).map_err(StoreError::from)? {
            "canceled" => CancelOutcome::Canceled(Box::new(present(&row, 1)?)),
            "not_found" => CancelOutcome::NotFound,
            other => CancelOutcome::Ended(status(other)?),
        })
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        let source = step.source.zip(step.charged.source_at);
        let row = self
            .pool
            .row(
                "SELECT watchword.withdraw_2($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &[
                    (&self.moment(now), Type::INT8),
                    (&i32::from(step.id.tag()), Type::INT4),
                    (&uuid(step.id), Type::UUID),
                    (&moment(step.charged.at), Type::INT8),
                    (&moment(step.charged.made_at), Type::INT8),
                    (&source.map(|(index, _)| tag(index.as_bytes())), Type::INT4),
                    (
                        &source.map(|(index, _)| Uuid::from_bytes(*index.as_bytes())),
                        Type::UUID,
                    ),
                    (&source.map(|(_, at)| moment(at)), Type::INT8),
                    (&step.ends, Type::BOOL),
                ],
            )
            .await;
        row.map(drop).map_err(StoreError::from)
    }

    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let row = self
            .pool
            .row(
                "SELECT watchword.fail_2($1, $2, $3, $4)",
                &[
                    (&self.moment(now), Type::INT8),
                    (&i32::from(id.tag()), Type::INT4),
                    (&uuid(id), Type::UUID),
                    (&moment(sent_at), Type::INT8),
                ],
            )
            .await;
        row.map(drop).map_err(StoreError::from)
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let end = note.dispatched;
        let fallback = end.and_then(|end| end.fallback);
        let due = fallback.and_then(|fallback| fallback.due);
        let names = note.names.iter();
        let (names, named): (Vec<Uuid>, Vec<Uuid>) = names
            .map(|(name, delivery)| (Uuid::from_bytes(name.0), delivery.0))
            .unzip();
        let row = self
            .row(
                NOTE,
                &[
                    (&self.moment(now), Type::INT8),
                    (&moment(now), Type::INT8),
                    (&i32::from(id.tag()), Type::INT4),
                    (&uuid(id), Type::UUID),
                    (&deliveries_json(&note.deliveries), Type::TEXT),
                    (&end.is_some(), Type::BOOL),
                    (&end.map(|end| moment(end.sent_at)), Type::INT8),
                    (
                        &fallback.map(|fallback| i32::from(fallback.next)),
                        Type::INT4,
                    ),
                    (&due.map(moment), Type::INT8),
                    (&names, Type::UUID_ARRAY),
                    (&named, Type::UUID_ARRAY),
                ],
            )
            .await;
        Ok(turn(&row?)?)
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        let rows = self
            .pool
            .rows(
                "SELECT r.verification, r.delivery FROM watchword.locate_1($1, $2) r",
                &[
                    (&self.moment(now), Type::INT8),
                    (&Uuid::from_bytes(name.0), Type::UUID),
                ],
            )
            .await;
        let rows = rows?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let id: Uuid = read(row, 0)?;
        let delivery = DeliveryId(read(row, 1)?);
        Ok(Some((
            VerificationId::from_bytes(id.into_bytes()),
            delivery,
        )))
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self
            .pool
            .rows(
                "SELECT * FROM watchword.overdue_1($1, $2)",
                &[(&self.moment(now), Type::INT8), (&most, Type::INT8)],
            )
            .await;
        let mut due = Vec::new();
        for row in &rows? {
            let id: Uuid = read(row, 0)?;
            due.push(VerificationId::from_bytes(id.into_bytes()));
        }
        Ok(due)
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let row = self
            .row(
                FALL_BACK,
                &[
                    (&self.moment(now), Type::INT8),
                    (&i32::from(id.tag()), Type::INT4),
                    (&uuid(id), Type::UUID),
                ],
            )
            .await;
        Ok(turn(&row?)?)
    }

    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        let row = self
            .pool
            .row(
                "SELECT watchword.unlock_1($1, $2, $3)",
                &[
                    (&self.moment(now), Type::INT8),
                    (&i32::from(recipient.tag()), Type::INT4),
                    (&Uuid::from_bytes(*recipient.as_bytes()), Type::UUID),
                ],
            )
            .await;
        Ok(read(&row?, 0)?)
    }

    /// Asks the server, and whether it takes writes.
    async fn remembered(
        &self,
        of: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError> {
        self.remembered_of(of, now).await
    }

    async fn erase(&self, of: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        self.erase_all_of(of, now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let asked = "SELECT current_setting('transaction_read_only'), clock_timestamp() AS present";
        let row = self.row(asked, &[]).await;
        match read::<&str>(&row?, 0)? {
            "off" => Ok(()),
            _ => Err(StoreError::unavailable("the server takes no writes")),
        }
    }
}
