//! Deleting much in small portions, so that no step waits long for the file.

use rusqlite::Connection;

/// How much is deleted in one transaction, in bytes: of what was just read a millisecond, where four times as much
/// took two.
pub(super) const PORTION: i64 = 256 << 10;

/// A table of numbered rows whose size is that of their `body`.
#[derive(Clone, Copy)]
pub(super) struct Numbered {
    table: &'static str,
    number: &'static str,
}

impl Numbered {
    pub(super) const JOURNAL: Self = Self {
        table: "journal",
        number: "seq",
    };
    pub(super) const AUDIT_PAGES: Self = Self {
        table: "audit_page",
        number: "number",
    };
}

/// Deletes a portion of the rows up to a number, the oldest of them; whether there may be more.
pub(super) fn prune(
    connection: &Connection,
    Numbered { table, number }: Numbered,
    through: i64,
) -> rusqlite::Result<bool> {
    let mut last = None;
    let mut size = 0;
    {
        let mut rows = connection.prepare_cached(&format!(
            "SELECT {number}, length(body) FROM {table} WHERE {number} <= ?1
                ORDER BY {number} LIMIT 512"
        ))?;
        let mut rows = rows.query([through])?;
        while size < PORTION
            && let Some(row) = rows.next()?
        {
            last = Some(row.get::<_, i64>(0)?);
            size += row.get::<_, i64>(1)?;
        }
    }
    let Some(last) = last else {
        return Ok(false);
    };
    connection
        .prepare_cached(&format!("DELETE FROM {table} WHERE {number} <= ?1"))?
        .execute([last])?;
    Ok(true)
}
