//! What a file says of a copy into it.

use std::path::Path;

use rusqlite::Connection;

use super::file::DatabaseFile;
use super::{guard, schema};
use crate::error::OpenError;
use crate::moving::{Mark, Part};

/// The mark, if there is one. A file that is not there, or has no tables yet, has none.
pub(crate) fn mark(path: &Path, part: Part) -> Result<Option<Mark>, OpenError> {
    if !path.is_file() {
        return Ok(None);
    }
    let file = DatabaseFile::find_or_create(path)?;
    let connection = schema::connect(&file)?;
    if schema::is_empty(&connection).map_err(|source| file.refused(source))? {
        return Ok(None);
    }
    let found = guard::get(&connection, part.mark()).map_err(|source| file.refused(source))?;
    Ok(found.as_deref().map(Mark::parse))
}

pub(crate) fn put_mark(path: &Path, part: Part, mark: Option<Mark>) -> Result<(), OpenError> {
    change(path, |connection| match mark {
        Some(mark) => guard::put(connection, part.mark(), mark.as_str()),
        None => guard::remove(connection, part.mark()),
    })
}

/// Removes everything that a copy puts in. No server may be running on the file.
pub(crate) fn clear(path: &Path, part: Part) -> Result<(), OpenError> {
    let tables: &[&str] = match part {
        Part::Store => &["journal", "snapshot", "snapshot_head", "api_key"],
        Part::Accounts => &["account_identifier", "account"],
    };
    let file = DatabaseFile::find_or_create(path)?;
    let _lock = match part {
        Part::Store => Some(file.lock()?),
        Part::Accounts => None,
    };
    change(path, |connection| {
        let transaction = connection.unchecked_transaction()?;
        for table in tables {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
        transaction.commit()
    })
}

fn change(
    path: &Path,
    change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<(), OpenError> {
    let file = DatabaseFile::find_or_create(path)?;
    let connection = schema::connect(&file)?;
    change(&connection).map_err(|source| file.refused(source))
}
