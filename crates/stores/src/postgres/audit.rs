//! The audit log as rows of the database.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use watchword_core::audit::{Anchor, AuditStore, Draft, Link, Page};
use watchword_core::keys::KeyId;
use watchword_core::{StoreError, Timestamp};

use super::error::PostgresError;
use super::pool::Pool;
use super::rows::{key_id, moment, read, timestamp};
use super::schema;
use super::url::PostgresUrl;
use crate::error::OpenError;

const PAGE: &str = "number, hash, previous, written_at, writer, entries, body, key_id, mac";
/// The number of the newest page that was removed.
const REMOVED: &str = "coalesce((SELECT number FROM watchword.audit_anchor), 0)";
/// How much is deleted in one statement, in bytes: within the time that one may take.
const PORTION: i64 = 256 << 10;

/// Keeps the audit log in a PostgreSQL database, for all nodes.
pub struct PostgresAudit {
    pool: Arc<Pool>,
}

impl PostgresAudit {
    /// Opens the audit log in a database, and brings its schema up where that is missing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(url: &PostgresUrl) -> Result<Self, OpenError> {
        let opened = async {
            let pool = Pool::new(url)?;
            schema::bring_up(&pool).await?;
            Ok(Self { pool })
        };
        opened.await.map_err(|error: PostgresError| error.at(url))
    }
}

#[async_trait]
impl AuditStore for PostgresAudit {
    async fn last(&self) -> Result<Option<Link>, StoreError> {
        let select = "(SELECT number, hash FROM watchword.audit_page ORDER BY number DESC LIMIT 1)
            UNION ALL (SELECT number, hash FROM watchword.audit_anchor)
            ORDER BY number DESC LIMIT 1";
        let rows = self.pool.rows(select, &[]).await?;
        Ok(rows.first().map(link).transpose()?)
    }

    async fn append(&self, page: Page) -> Result<bool, StoreError> {
        let row = self
            .pool
            .row(
                "SELECT watchword.append_audit_page_1($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &[
                    (&page.link.number.cast_signed(), Type::INT8),
                    (&page.link.hash.as_slice(), Type::BYTEA),
                    (&page.previous.as_slice(), Type::BYTEA),
                    (&moment(page.draft.written_at), Type::INT8),
                    (&page.draft.writer, Type::TEXT),
                    (&i64::from(page.draft.entries), Type::INT8),
                    (&page.draft.body, Type::BYTEA),
                    (&key_id(page.key), Type::INT4),
                    (&page.mac.as_slice(), Type::BYTEA),
                ],
            )
            .await?;
        Ok(read(&row, 0)?)
    }

    async fn pages(&self, after: u64, limit: u32) -> Result<Vec<Page>, StoreError> {
        let select = format!(
            "SELECT {PAGE} FROM watchword.audit_page WHERE number > greatest($1, {REMOVED})
            ORDER BY number LIMIT $2"
        );
        let (after, limit) = (after.cast_signed(), i64::from(limit));
        let parameters = [(&after as _, Type::INT8), (&limit as _, Type::INT8)];
        let rows = self.pool.rows(&select, &parameters).await?;
        let pages: Result<_, PostgresError> = rows.iter().map(page).collect();
        Ok(pages?)
    }

    async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        let select = "SELECT number, hash, key_id, mac FROM watchword.audit_anchor";
        let rows = self.pool.rows(select, &[]).await?;
        let anchor = |row: &Row| -> Result<Anchor, PostgresError> {
            Ok(Anchor {
                link: link(row)?,
                key: key(read(row, 2)?),
                mac: digest(read(row, 3)?)?,
            })
        };
        Ok(rows.first().map(anchor).transpose()?)
    }

    async fn last_before(&self, at: Timestamp) -> Result<Option<Link>, StoreError> {
        let select = format!(
            "SELECT number, hash FROM watchword.audit_page WHERE written_at < $1
            AND written_at >= coalesce(
                (SELECT written_at FROM watchword.audit_page WHERE number = {REMOVED}), 0)
            AND number > {REMOVED} ORDER BY written_at DESC, number DESC LIMIT 1"
        );
        let parameters = [(&moment(at) as _, Type::INT8)];
        let rows = self.pool.rows(&select, &parameters).await?;
        Ok(rows.first().map(link).transpose()?)
    }

    async fn remove(&self, anchor: Anchor) -> Result<(), StoreError> {
        self.pool
            .rows(
                "INSERT INTO watchword.audit_anchor (number, hash, key_id, mac)
                VALUES ($1, $2, $3, $4)
                ON CONFLICT (one) DO UPDATE SET number = excluded.number, hash = excluded.hash,
                    key_id = excluded.key_id, mac = excluded.mac
                WHERE excluded.number >= audit_anchor.number",
                &[
                    (&anchor.link.number.cast_signed(), Type::INT8),
                    (&anchor.link.hash.as_slice(), Type::BYTEA),
                    (&key_id(anchor.key), Type::INT4),
                    (&anchor.mac.as_slice(), Type::BYTEA),
                ],
            )
            .await?;
        Ok(())
    }

    async fn prune(&self) -> Result<bool, StoreError> {
        let delete = format!(
            "WITH oldest AS (SELECT number, octet_length(body) AS size FROM watchword.audit_page
                WHERE number <= {REMOVED} ORDER BY number LIMIT 512),
            sized AS (SELECT number, sum(size) OVER (ORDER BY number) - size AS before FROM oldest),
            gone AS (DELETE FROM watchword.audit_page WHERE number <=
                (SELECT max(number) FROM sized WHERE before < {PORTION}) RETURNING 1)
            SELECT count(*) FROM gone"
        );
        let gone: i64 = read(&self.pool.row(&delete, &[]).await?, 0)?;
        Ok(gone > 0)
    }
}

fn key(number: i32) -> KeyId {
    KeyId::from_bytes(number.to_be_bytes())
}

fn digest(bytes: &[u8]) -> Result<[u8; 32], PostgresError> {
    let whole = <[u8; 32]>::try_from(bytes);
    whole.map_err(|_| PostgresError::Unreadable("hash of the audit log"))
}

fn link(row: &Row) -> Result<Link, PostgresError> {
    Ok(Link {
        number: read::<i64>(row, 0)?.max(0).cast_unsigned(),
        hash: digest(read(row, 1)?)?,
    })
}

fn page(row: &Row) -> Result<Page, PostgresError> {
    let entries: i64 = read(row, 5)?;
    Ok(Page {
        link: link(row)?,
        previous: digest(read(row, 2)?)?,
        draft: Draft {
            written_at: timestamp(read(row, 3)?),
            writer: read(row, 4)?,
            entries: u32::try_from(entries)
                .map_err(|_| PostgresError::Unreadable("entries of the audit log"))?,
            body: read(row, 6)?,
        },
        key: key(read(row, 7)?),
        mac: digest(read(row, 8)?)?,
    })
}
