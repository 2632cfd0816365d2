//! What is remembered of one recipient, and forgetting it.

use tokio_postgres::types::Type;
use uuid::Uuid;
use watchword_core::{RecipientIndex, Remembered, StoreError, Timestamp};

use super::error::PostgresError;
use super::moving::{RECIPIENT_COLUMNS, recipient};
use super::pool::Parameter;
use super::rows::{read, tag, verification_columns};
use super::store::{PostgresStore, present};

const VERIFICATIONS: &str = concat!(
    "SELECT ",
    verification_columns!(),
    " FROM (SELECT k AS v FROM watchword.verification k WHERE k.tag = $1 AND k.recipient = $2) r"
);
/// A step that has read a row and changes it finds none any more.
const ERASE: &str = "DELETE FROM watchword.verification k WHERE k.tag = $1 AND k.recipient = $2
    RETURNING k.expires_at + 300000 > coalesce($3, watchword.millis_1())";

impl PostgresStore {
    pub(super) async fn remembered_of(
        &self,
        index: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError> {
        let (place, key) = (tag(index.as_bytes()), Uuid::from_bytes(*index.as_bytes()));
        let whose: [Parameter<'_>; 2] = [(&place, Type::INT4), (&key, Type::UUID)];
        let rows = self.pool.rows(VERIFICATIONS, &whose).await?;
        let rows = rows.iter().map(|row| present(row, 0));
        let rows = rows.collect::<Result<Vec<_>, PostgresError>>()?;
        let counters = format!(
            "SELECT {RECIPIENT_COLUMNS} FROM watchword.recipient
                WHERE tag = $1 AND recipient = $2"
        );
        let counters = self.pool.rows(&counters, &whose).await?;
        let counters = counters
            .first()
            .map(|row| recipient(*index.as_bytes(), row));
        let ledger = counters.transpose()?.map(|row| row.ledger);
        Ok(Remembered::of(ledger.unwrap_or_default(), rows, now))
    }

    pub(super) async fn erase_all_of(
        &self,
        index: RecipientIndex,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (place, key) = (tag(index.as_bytes()), Uuid::from_bytes(*index.as_bytes()));
        let parameters: [Parameter<'_>; 3] = [
            (&place, Type::INT4),
            (&key, Type::UUID),
            (&self.moment(now), Type::INT8),
        ];
        let mut erased = 0;
        for row in self.pool.rows(ERASE, &parameters).await? {
            erased += u64::from(read::<bool>(&row, 0)?);
        }
        Ok(erased)
    }
}
