//! Accounts as rows of the database.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;
use watchword_core::account::{
    AccountId, AccountRecord, AccountStore, CreateOutcome, EmailStatus, Identifier, IdentifierKind,
};
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::{AppId, StoreError};

use super::error::PostgresError;
use super::pool::Pool;
use super::rows::{key_id, moment, read, timestamp};
use super::schema;
use super::url::PostgresUrl;
use crate::error::OpenError;

/// Keeps accounts in a PostgreSQL database, for all nodes.
pub struct PostgresAccounts {
    pub(super) pool: Arc<Pool>,
}

pub(super) const COLUMNS: &str = "a.id, a.app, a.email_status, a.created_at, a.key_id, a.sealed, a.kinds, a.key_ids, a.positions";

/// Identifiers, side by side.
struct Identifiers<'a> {
    kinds: Vec<&'a str>,
    keys: Vec<i32>,
    positions: Vec<Uuid>,
}

impl Identifiers<'_> {
    fn of(all: &[Identifier]) -> Self {
        Self {
            kinds: all.iter().map(|one| one.kind.as_str()).collect(),
            keys: all.iter().map(|one| key_id(one.key)).collect(),
            positions: all.iter().map(|one| Uuid::from_bytes(one.index)).collect(),
        }
    }
}

impl PostgresAccounts {
    /// Opens the accounts in a database, and brings its schema up where that is missing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(url: &PostgresUrl) -> Result<Self, OpenError> {
        let opened = async {
            let pool = Pool::new(url)?;
            schema::bring_up(&pool).await?;
            Ok(Self::over(pool))
        };
        opened.await.map_err(|error: PostgresError| error.at(url))
    }

    pub(super) const fn over(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl AccountStore for PostgresAccounts {
    async fn create(&self, record: AccountRecord) -> Result<CreateOutcome, StoreError> {
        let identifiers = Identifiers::of(&record.identifiers);
        let row = self
            .pool
            .row(
                "SELECT watchword.create_account_1($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &[
                    (&Uuid::from_bytes(*record.id.as_bytes()), Type::UUID),
                    (&record.app.as_str(), Type::TEXT),
                    (&record.email_status.as_str(), Type::TEXT),
                    (&moment(record.created_at), Type::INT8),
                    (&key_id(record.key), Type::INT4),
                    (&record.sealed.as_bytes(), Type::BYTEA),
                    (&identifiers.kinds, Type::TEXT_ARRAY),
                    (&identifiers.keys, Type::INT4_ARRAY),
                    (&identifiers.positions, Type::UUID_ARRAY),
                ],
            )
            .await?;
        Ok(if read(&row, 0)? {
            CreateOutcome::Created
        } else {
            CreateOutcome::Taken
        })
    }

    async fn find(&self, any_of: &[Identifier]) -> Result<Option<AccountRecord>, StoreError> {
        let identifiers = Identifiers::of(any_of);
        let rows = self
            .pool
            .rows(
                &format!("SELECT {COLUMNS} FROM watchword.find_account_1($1, $2, $3) a"),
                &[
                    (&identifiers.kinds, Type::TEXT_ARRAY),
                    (&identifiers.keys, Type::INT4_ARRAY),
                    (&identifiers.positions, Type::UUID_ARRAY),
                ],
            )
            .await?;
        Ok(rows.first().map(record).transpose()?)
    }

    async fn outdated(
        &self,
        newest: KeyId,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        let after = after.map(|after| Uuid::from_bytes(*after.as_bytes()));
        let rows = self
            .pool
            .rows(
                &format!(
                    "SELECT {COLUMNS} FROM watchword.account_1 a
                        WHERE a.key_id <> $1 AND ($2::uuid IS NULL OR a.id > $2)
                        ORDER BY a.id LIMIT $3"
                ),
                &[
                    (&key_id(newest), Type::INT4),
                    (&after, Type::UUID),
                    (&i64::from(limit), Type::INT8),
                ],
            )
            .await?;
        let records: Result<_, PostgresError> = rows.iter().map(record).collect();
        Ok(records?)
    }

    async fn renew(&self, record: AccountRecord) -> Result<bool, StoreError> {
        let identifiers = Identifiers::of(&record.identifiers);
        let row = self
            .pool
            .row(
                "SELECT watchword.renew_account_1($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&Uuid::from_bytes(*record.id.as_bytes()), Type::UUID),
                    (&record.email_status.as_str(), Type::TEXT),
                    (&key_id(record.key), Type::INT4),
                    (&record.sealed.as_bytes(), Type::BYTEA),
                    (&identifiers.kinds, Type::TEXT_ARRAY),
                    (&identifiers.keys, Type::INT4_ARRAY),
                    (&identifiers.positions, Type::UUID_ARRAY),
                ],
            )
            .await?;
        Ok(read(&row, 0)?)
    }

    async fn remove(&self, id: AccountId) -> Result<bool, StoreError> {
        // What it was found by goes with it.
        let removed = self
            .pool
            .rows(
                "DELETE FROM watchword.account WHERE id = $1 RETURNING id",
                &[(&Uuid::from_bytes(*id.as_bytes()), Type::UUID)],
            )
            .await?;
        Ok(!removed.is_empty())
    }
}

pub(super) fn record(row: &Row) -> Result<AccountRecord, PostgresError> {
    let key = |number: i32| KeyId::from_bytes(number.to_be_bytes());
    let (kinds, keys, positions): (Vec<&str>, Vec<i32>, Vec<Uuid>) =
        (read(row, 6)?, read(row, 7)?, read(row, 8)?);
    let mut identifiers = Vec::with_capacity(kinds.len());
    for ((kind, number), position) in kinds.into_iter().zip(keys).zip(positions) {
        let kind = [IdentifierKind::Email, IdentifierKind::Mobile]
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or(PostgresError::Unreadable("kind of an identifier"))?;
        identifiers.push(Identifier {
            kind,
            key: key(number),
            index: position.into_bytes(),
        });
    }
    Ok(AccountRecord {
        id: AccountId::from_bytes(read::<Uuid>(row, 0)?.into_bytes()),
        app: AppId::parse(read(row, 1)?)
            .map_err(|_| PostgresError::Unreadable("app of an account"))?,
        email_status: EmailStatus::parse(read(row, 2)?),
        created_at: timestamp(read(row, 3)?),
        key: key(read(row, 4)?),
        sealed: Sealed::from_bytes(read(row, 5)?),
        identifiers,
    })
}
