//! Accounts as rows of a database file.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use watchword_core::account::{
    AccountId, AccountRecord, AccountStore, CreateOutcome, EmailStatus, Identifier, IdentifierKind,
};
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::{AppId, StoreError, Timestamp};

use super::neighbour::Neighbour;
use super::tables::Tables;
use crate::error::OpenError;

pub(super) const COLUMNS: &str = "id, app, email_status, created_at, key_id, sealed";

/// Keeps accounts in a database file, of which other tables may be served at the same time.
pub struct SqliteAccounts {
    pub(super) tables: Tables,
}

impl SqliteAccounts {
    /// Opens the accounts in the file at `path`, and makes the file where there is none.
    pub(crate) fn open(path: &Path, beside: &Neighbour) -> Result<Self, OpenError> {
        let tables = Tables::open(path, beside)?;
        Ok(Self { tables })
    }
}

#[async_trait]
impl AccountStore for SqliteAccounts {
    async fn create(&self, record: AccountRecord) -> Result<CreateOutcome, StoreError> {
        self.tables
            .change(move |transaction| {
                if owner(transaction, &record.identifiers)?.is_some() {
                    return Ok(CreateOutcome::Taken);
                }
                insert(transaction, &record)?;
                Ok(CreateOutcome::Created)
            })
            .await
    }

    async fn find(&self, any_of: &[Identifier]) -> Result<Option<AccountRecord>, StoreError> {
        let any_of = any_of.to_vec();
        self.tables
            .read(move |connection| {
                // One moment for both tables.
                let moment = connection.unchecked_transaction()?;
                let Some(id) = owner(&moment, &any_of)? else {
                    return Ok(None);
                };
                let select = format!("SELECT {COLUMNS} FROM account WHERE id = ?1");
                let mut select = moment.prepare_cached(&select)?;
                let found = select.query_row([id], record).optional()?;
                found
                    .map(|found| with_identifiers(&moment, found))
                    .transpose()
            })
            .await
    }

    async fn outdated(
        &self,
        newest: KeyId,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        self.tables
            .read(move |connection| {
                let moment = connection.unchecked_transaction()?;
                // Every id is longer than none.
                let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
                let mut select = moment.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM account WHERE key_id <> ?1 AND id > ?2 ORDER BY id LIMIT ?3"
            ))?;
                let found = select.query_map(params![hex(newest), after, limit], record)?;
                found
                    .map(|found| with_identifiers(&moment, found?))
                    .collect()
            })
            .await
    }

    async fn renew(&self, record: AccountRecord) -> Result<bool, StoreError> {
        self.tables
            .change(move |transaction| {
                let there = transaction.execute(
                    "UPDATE account SET key_id = ?2, sealed = ?3, email_status = ?4 WHERE id = ?1",
                    params![
                        record.id.as_bytes(),
                        hex(record.key),
                        record.sealed.as_bytes(),
                        record.email_status.as_str(),
                    ],
                )?;
                if there == 0 {
                    return Ok(false);
                }
                transaction.execute(
                    "DELETE FROM account_identifier WHERE account = ?1",
                    [record.id.as_bytes()],
                )?;
                put_identifiers(transaction, &record)?;
                Ok(true)
            })
            .await
    }

    async fn remove(&self, id: AccountId) -> Result<bool, StoreError> {
        self.tables
            .change(move |transaction| {
                let id = id.as_bytes();
                transaction.execute("DELETE FROM account_identifier WHERE account = ?1", [id])?;
                let gone = transaction.execute("DELETE FROM account WHERE id = ?1", [id])?;
                Ok(gone > 0)
            })
            .await
    }
}

/// The account that has one of these.
fn owner(connection: &Connection, any_of: &[Identifier]) -> rusqlite::Result<Option<[u8; 16]>> {
    let mut select = connection.prepare_cached(
        "SELECT account FROM account_identifier WHERE kind = ?1 AND key_id = ?2 AND position = ?3",
    )?;
    for one in any_of {
        let params = params![one.kind.as_str(), hex(one.key), one.index];
        let found = select.query_row(params, |row| row.get(0)).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Puts an account in whose id and identifiers nobody has.
pub(super) fn insert(connection: &Connection, record: &AccountRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO account ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        ))?
        .execute(params![
            record.id.as_bytes(),
            record.app.as_str(),
            record.email_status.as_str(),
            record.created_at.as_millis().cast_signed(),
            hex(record.key),
            record.sealed.as_bytes(),
        ])?;
    put_identifiers(connection, record)
}

fn put_identifiers(connection: &Connection, record: &AccountRecord) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO account_identifier (kind, key_id, position, account) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for one in &record.identifiers {
        let id = record.id.as_bytes();
        insert.execute(params![one.kind.as_str(), hex(one.key), one.index, id])?;
    }
    Ok(())
}

pub(super) fn with_identifiers(
    connection: &Connection,
    mut record: AccountRecord,
) -> rusqlite::Result<AccountRecord> {
    let mut select = connection.prepare_cached(
        "SELECT kind, key_id, position FROM account_identifier WHERE account = ?1",
    )?;
    let identifier = |row: &Row<'_>| -> rusqlite::Result<Identifier> {
        let kind: String = row.get(0)?;
        let kind = [IdentifierKind::Email, IdentifierKind::Mobile]
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| bad(0, "kind"))?;
        let key = unhex(row, 1)?;
        let index = row.get(2)?;
        Ok(Identifier { kind, key, index })
    };
    let found = select.query_map([record.id.as_bytes()], identifier)?;
    record.identifiers = found.collect::<rusqlite::Result<_>>()?;
    Ok(record)
}

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<AccountRecord> {
    let (app, email_status): (String, String) = (row.get(1)?, row.get(2)?);
    let created_at: i64 = row.get(3)?;
    let sealed = row.get_ref(5)?.as_blob().map_err(|_| bad(5, "sealed"))?;
    Ok(AccountRecord {
        id: AccountId::from_bytes(row.get(0)?),
        app: AppId::parse(&app).map_err(|_| bad(1, "app"))?,
        email_status: EmailStatus::parse(&email_status),
        created_at: Timestamp::from_millis(created_at.unsigned_abs()),
        key: unhex(row, 4)?,
        sealed: Sealed::from_bytes(sealed),
        identifiers: Vec::new(),
    })
}

fn hex(key: KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(key.to_bytes()))
}

fn unhex(row: &Row<'_>, column: usize) -> rusqlite::Result<KeyId> {
    let text: String = row.get(column)?;
    let number = u32::from_str_radix(&text, 16).map_err(|_| bad(column, "key_id"))?;
    Ok(KeyId::from_bytes(number.to_be_bytes()))
}

/// A row that nobody here wrote.
fn bad(column: usize, name: &str) -> rusqlite::Error {
    let why = format!("{name} is not as this program writes it");
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, why.into())
}

#[cfg(test)]
mod tests {
    use std::ops::Deref;

    use super::*;

    /// Accounts and the folder that they are in.
    struct Fixture {
        accounts: SqliteAccounts,
        folder: tempfile::TempDir,
    }

    impl Fixture {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let accounts = open(&folder);
            Self { accounts, folder }
        }
    }

    impl Deref for Fixture {
        type Target = SqliteAccounts;

        fn deref(&self) -> &SqliteAccounts {
            &self.accounts
        }
    }

    fn open(folder: &tempfile::TempDir) -> SqliteAccounts {
        let path = folder.path().join("watchword.db");
        SqliteAccounts::open(&path, &Neighbour::none()).unwrap()
    }

    watchword_core::account_conformance!(Fixture::new());

    mod by_two_processes {
        use std::sync::atomic::{AtomicUsize, Ordering};

        use super::*;

        /// One file, opened twice; each call goes to the other one.
        struct Pair {
            both: [SqliteAccounts; 2],
            calls: AtomicUsize,
            _folder: tempfile::TempDir,
        }

        impl Pair {
            async fn new() -> Self {
                let folder = tempfile::tempdir().unwrap();
                let both = [open(&folder), open(&folder)];
                Self {
                    both,
                    calls: AtomicUsize::new(0),
                    _folder: folder,
                }
            }
        }

        impl Deref for Pair {
            type Target = SqliteAccounts;

            fn deref(&self) -> &SqliteAccounts {
                let call = self.calls.fetch_add(1, Ordering::Relaxed);
                &self.both[call % 2]
            }
        }

        watchword_core::account_conformance!(Pair::new());
    }

    fn one() -> AccountRecord {
        let key = KeyId::from_bytes([0, 0, 0, 9]);
        let identifier = |kind, byte| Identifier {
            kind,
            key,
            index: [byte; 16],
        };
        AccountRecord {
            id: AccountId::from_bytes([1; 16]),
            app: AppId::default(),
            email_status: EmailStatus::Unverified,
            created_at: Timestamp::from_millis(5),
            key,
            sealed: Sealed::from_bytes(b"sealed"),
            identifiers: vec![
                identifier(IdentifierKind::Email, 1),
                identifier(IdentifierKind::Mobile, 2),
            ],
        }
    }

    #[tokio::test]
    async fn an_account_is_there_after_a_restart() {
        let fixture = Fixture::new().await;
        fixture.create(one()).await.unwrap();
        let Fixture { accounts, folder } = fixture;
        drop(accounts);
        let found = open(&folder).find(&one().identifiers[1..]).await.unwrap();
        assert_eq!(found, Some(one()));
    }

    #[tokio::test]
    async fn a_row_that_nobody_here_wrote_is_an_error_and_no_account() {
        let fixture = Fixture::new().await;
        fixture.create(one()).await.unwrap();
        let other = Connection::open(fixture.folder.path().join("watchword.db")).unwrap();
        other
            .execute("UPDATE account SET key_id = 'x'", [])
            .unwrap();
        assert!(fixture.find(&one().identifiers).await.is_err());
        assert_eq!(fixture.create(one()).await.unwrap(), CreateOutcome::Taken);
    }
}
