//! The audit log as rows of a database file.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};
use watchword_core::audit::{Anchor, AuditStore, Draft, Link, Page};
use watchword_core::keys::KeyId;
use watchword_core::{StoreError, Timestamp};

use super::neighbour::Neighbour;
use super::portion::{Numbered, prune};
use super::tables::Tables;
use crate::error::OpenError;

const PAGE: &str = "number, hash, previous, written_at, writer, entries, body, key_id, mac";
/// The number of the newest page that was removed.
pub(super) const REMOVED: &str = "coalesce((SELECT number FROM audit_anchor), 0)";

/// Keeps the audit log in a database file, of which other tables may be served at the same time.
pub struct SqliteAudit {
    tables: Tables,
}

impl SqliteAudit {
    /// Opens the audit log in the file at `path`, and makes the file where there is none.
    pub(crate) fn open(path: &Path, beside: &Neighbour) -> Result<Self, OpenError> {
        let tables = Tables::open(path, beside)?;
        Ok(Self { tables })
    }
}

#[async_trait]
impl AuditStore for SqliteAudit {
    async fn last(&self) -> Result<Option<Link>, StoreError> {
        self.tables
            .read(|connection| {
                let select = "SELECT number, hash FROM audit_page
                    UNION ALL SELECT number, hash FROM audit_anchor ORDER BY number DESC LIMIT 1";
                connection
                    .prepare_cached(select)?
                    .query_row([], link)
                    .optional()
            })
            .await
    }

    async fn append(&self, page: Page) -> Result<bool, StoreError> {
        self.tables
            .change(move |transaction| {
                let mut insert = transaction.prepare_cached(&format!(
                    "INSERT INTO audit_page ({PAGE}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
                        WHERE ?1 = 1 + coalesce((SELECT max(number) FROM audit_page),
                            (SELECT number FROM audit_anchor), 0)"
                ))?;
                let rows = insert.execute(params![
                    page.link.number.cast_signed(),
                    page.link.hash,
                    page.previous,
                    page.draft.written_at.as_millis().cast_signed(),
                    page.draft.writer,
                    page.draft.entries,
                    page.draft.body,
                    page.key.to_bytes().as_slice(),
                    page.mac,
                ])?;
                Ok(rows == 1)
            })
            .await
    }

    async fn pages(&self, after: u64, limit: u32) -> Result<Vec<Page>, StoreError> {
        self.tables
            .read(move |connection| {
                let mut select = connection.prepare_cached(&format!(
                    "SELECT {PAGE} FROM audit_page WHERE number > max(?1, {REMOVED})
                        ORDER BY number LIMIT ?2"
                ))?;
                let pages = select.query_map(params![after.cast_signed(), limit], page)?;
                pages.collect()
            })
            .await
    }

    async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        self.tables
            .read(|connection| {
                let select = "SELECT number, hash, key_id, mac FROM audit_anchor";
                let anchor = |row: &Row<'_>| {
                    Ok(Anchor {
                        link: link(row)?,
                        key: KeyId::from_bytes(row.get(2)?),
                        mac: row.get(3)?,
                    })
                };
                connection
                    .prepare_cached(select)?
                    .query_row([], anchor)
                    .optional()
            })
            .await
    }

    async fn last_before(&self, moment: Timestamp) -> Result<Option<Link>, StoreError> {
        self.tables
            .read(move |connection| {
                // By the index of moments, which the plus sees to, and not through all that is yet to be
                // deleted: of that, the newest goes last.
                let select = format!(
                    "SELECT number, hash FROM audit_page WHERE written_at < ?1
                        AND written_at >= coalesce(
                            (SELECT written_at FROM audit_page WHERE number = {REMOVED}), 0)
                        AND +number > {REMOVED} ORDER BY written_at DESC, number DESC LIMIT 1"
                );
                let moment = moment.as_millis().cast_signed();
                connection
                    .prepare_cached(&select)?
                    .query_row([moment], link)
                    .optional()
            })
            .await
    }

    async fn remove(&self, anchor: Anchor) -> Result<(), StoreError> {
        self.tables
            .change(move |transaction| {
                let insert = transaction.execute(
                    "INSERT INTO audit_anchor (one, number, hash, key_id, mac)
                        VALUES (1, ?1, ?2, ?3, ?4)
                        ON CONFLICT (one) DO UPDATE SET number = excluded.number,
                            hash = excluded.hash, key_id = excluded.key_id, mac = excluded.mac
                        WHERE excluded.number >= audit_anchor.number",
                    params![
                        anchor.link.number.cast_signed(),
                        anchor.link.hash,
                        anchor.key.to_bytes().as_slice(),
                        anchor.mac
                    ],
                );
                insert.map(drop)
            })
            .await
    }

    async fn prune(&self) -> Result<bool, StoreError> {
        self.tables
            .change(|transaction| {
                let select = format!("SELECT {REMOVED}");
                let removed = transaction.query_row(&select, [], |row| row.get(0))?;
                prune(transaction, Numbered::AUDIT_PAGES, removed)
            })
            .await
    }
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        number: row.get::<_, i64>(0)?.cast_unsigned(),
        hash: row.get(1)?,
    })
}

fn page(row: &Row<'_>) -> rusqlite::Result<Page> {
    Ok(Page {
        link: link(row)?,
        previous: row.get(2)?,
        draft: Draft {
            written_at: Timestamp::from_millis(row.get::<_, i64>(3)?.max(0).cast_unsigned()),
            writer: row.get(4)?,
            entries: row.get(5)?,
            body: row.get(6)?,
        },
        key: KeyId::from_bytes(row.get(7)?),
        mac: row.get(8)?,
    })
}
