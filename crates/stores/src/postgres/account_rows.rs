//! Accounts as rows, for moving them from one store to another.

use async_trait::async_trait;
use serde_json::json;
use tokio_postgres::types::Type;
use uuid::Uuid;
use watchword_core::account::AccountRecord;
use watchword_core::moving::{Class, Pages, Row, Rows};
use watchword_core::{StoreError, Timestamp};

use super::accounts::{COLUMNS, PostgresAccounts, record};
use super::error::PostgresError;
use super::moving::hex;
use super::pool::Parameter;
use super::rows::{key_id, moment};

/// So many accounts are read, or put in, by one statement.
const PAGE: i64 = 1000;

/// Behind which account somebody is.
struct Place<'a> {
    accounts: &'a PostgresAccounts,
    after: Option<Uuid>,
}

#[async_trait]
impl Pages for Place<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM watchword.account_1 a WHERE $1::uuid IS NULL OR a.id > $1
                ORDER BY a.id LIMIT $2"
        );
        let from: [Parameter<'_>; 2] = [(&self.after, Type::UUID), (&PAGE, Type::INT8)];
        let lines = self.accounts.pool.rows(&statement, &from).await?;
        let records: Result<Vec<AccountRecord>, PostgresError> = lines.iter().map(record).collect();
        let records = records?;
        let Some(last) = records.last() else {
            return Ok(None);
        };
        self.after = Some(Uuid::from_bytes(*last.id.as_bytes()));
        let rows = records
            .into_iter()
            .map(|record| Row::Account(Box::new(record)));
        Ok(Some(rows.collect()))
    }
}

const PUT: &str =
    "INSERT INTO watchword.account (id, app, email_status, created_at, key_id, sealed)
    SELECT x.id, x.app, x.email_status, x.created_at, x.key_id, decode(x.sealed, 'hex')
    FROM json_to_recordset($1::json) AS x (
        id uuid, app text, email_status text, created_at bigint, key_id integer, sealed text)
    ON CONFLICT (id) DO UPDATE SET
        app = excluded.app, email_status = excluded.email_status,
        created_at = excluded.created_at, key_id = excluded.key_id, sealed = excluded.sealed";

const CLEAR_IDENTIFIERS: &str = "DELETE FROM watchword.account_identifier i
    USING json_to_recordset($1::json) AS x (account uuid) WHERE i.account = x.account";

const PUT_IDENTIFIERS: &str = "INSERT INTO watchword.account_identifier
        (kind, key_id, position, account)
    SELECT x.kind, x.key_id, x.position, x.account
    FROM json_to_recordset($1::json) AS x (
        kind text, key_id integer, position uuid, account uuid)";

#[async_trait]
impl Rows for PostgresAccounts {
    fn classes(&self) -> &[Class] {
        &[Class::Accounts]
    }

    fn pages(&self) -> Box<dyn Pages + '_> {
        Box::new(Place {
            accounts: self,
            after: None,
        })
    }

    async fn put(&self, rows: Vec<Row>, _: Timestamp) -> Result<(), StoreError> {
        let (mut accounts, mut identifiers) = (Vec::new(), Vec::new());
        for row in &rows {
            let Row::Account(record) = row else { continue };
            let id = Uuid::from_bytes(*record.id.as_bytes());
            accounts.push(json!({
                "id": id,
                "app": record.app.as_str(),
                "email_status": record.email_status.as_str(),
                "created_at": moment(record.created_at),
                "key_id": key_id(record.key),
                "sealed": hex(record.sealed.as_bytes()),
            }));
            identifiers.extend(record.identifiers.iter().map(|one| {
                json!({
                    "kind": one.kind.as_str(),
                    "key_id": key_id(one.key),
                    "position": Uuid::from_bytes(one.index),
                    "account": id,
                })
            }));
        }
        for (statement, documents) in [
            (PUT, accounts),
            (CLEAR_IDENTIFIERS, identifiers.clone()),
            (PUT_IDENTIFIERS, identifiers),
        ] {
            let text = serde_json::to_string(&documents).map_err(StoreError::unavailable)?;
            let parameters: [Parameter<'_>; 1] = [(&text, Type::TEXT)];
            self.pool.rows(statement, &parameters).await?;
        }
        Ok(())
    }
}
