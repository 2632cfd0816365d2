//! Accounts as rows, for moving them from one store to another.

use async_trait::async_trait;
use rusqlite::params;
use watchword_core::moving::{Class, Pages, Row, Rows};
use watchword_core::{StoreError, Timestamp};

use super::accounts::{COLUMNS, SqliteAccounts, insert, record, with_identifiers};

/// So many accounts are read at a time.
const PAGE: u32 = 1000;

/// Behind which account somebody is. Every id is longer than none.
struct Place<'a> {
    accounts: &'a SqliteAccounts,
    after: Vec<u8>,
}

#[async_trait]
impl Pages for Place<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        let after = self.after.clone();
        let records = self.accounts.tables.read(move |connection| {
            let moment = connection.unchecked_transaction()?;
            let mut select = moment.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM account WHERE id > ?1 ORDER BY id LIMIT ?2"
            ))?;
            let found = select.query_map(params![after, PAGE], record)?;
            found
                .map(|found| with_identifiers(&moment, found?))
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        let records = records.await?;
        let Some(last) = records.last() else {
            return Ok(None);
        };
        self.after = last.id.as_bytes().to_vec();
        let rows = records
            .into_iter()
            .map(|record| Row::Account(Box::new(record)));
        Ok(Some(rows.collect()))
    }
}

#[async_trait]
impl Rows for SqliteAccounts {
    fn classes(&self) -> &[Class] {
        &[Class::Accounts]
    }

    fn pages(&self) -> Box<dyn Pages + '_> {
        Box::new(Place {
            accounts: self,
            after: Vec::new(),
        })
    }

    async fn put(&self, rows: Vec<Row>, _: Timestamp) -> Result<(), StoreError> {
        self.tables
            .change(move |transaction| {
                for row in &rows {
                    let Row::Account(record) = row else { continue };
                    // Its identifiers go along.
                    transaction
                        .execute("DELETE FROM account WHERE id = ?1", [record.id.as_bytes()])?;
                    insert(transaction, record)?;
                }
                Ok(())
            })
            .await
    }
}
