//! What a file remembers of the server that uses it: the form of its records, and which keys it
//! had.

use rusqlite::{Connection, OptionalExtension, params};
use watchword_core::keys::{KeyId, KeyRing};
use watchword_core::memory::{FORMAT, READABLE};

use super::file::DatabaseFile;
use crate::error::OpenError;

const FORM: &str = "record_form";
const KEYS: &str = "key_ids";
const INDEX: &str = "index_key_id";

/// Refuses a file whose records have a foreign form.
pub(super) fn check_form(file: &DatabaseFile, connection: &Connection) -> Result<(), OpenError> {
    let found = get(connection, FORM).map_err(|source| file.refused(source))?;
    match found {
        Some(found) if READABLE.iter().all(|known| found != known.to_string()) => {
            Err(OpenError::ForeignForm {
                file: file.path().to_owned(),
                found,
                known: FORMAT,
            })
        }
        _ => Ok(()),
    }
}

/// Refuses a file that was made under another secret. Otherwise every code would be wrong and
/// every recipient a stranger, without anybody knowing why.
pub(super) fn check_keys(
    file: &DatabaseFile,
    connection: &Connection,
    keys: &KeyRing,
) -> Result<(), OpenError> {
    let look = || -> rusqlite::Result<_> { Ok((get(connection, KEYS)?, get(connection, INDEX)?)) };
    let (known, index) = look().map_err(|source| file.refused(source))?;
    let Some(known) = known else {
        return Ok(());
    };
    let ours: Vec<String> = keys.ids().into_iter().map(hex).collect();
    if !known
        .split(' ')
        .any(|known| ours.iter().any(|id| id == known))
    {
        return Err(OpenError::WrongKey {
            file: file.path().to_owned(),
        });
    }
    if index.is_some_and(|index| index != hex(keys.index_id())) {
        tracing::warn!(
            file = %file.path().display(),
            "the key that recipients were indexed under is not the last of secret_keys any more: \
             limits, failure counts and locks of recipients begin anew"
        );
    }
    Ok(())
}

/// Remembers the form and the keys, once the file is open.
pub(super) fn remember(connection: &Connection, keys: &KeyRing) -> rusqlite::Result<()> {
    let ids: Vec<String> = keys.ids().into_iter().map(hex).collect();
    let transaction = connection.unchecked_transaction()?;
    put(&transaction, FORM, &FORMAT.to_string())?;
    put(&transaction, KEYS, &ids.join(" "))?;
    put(&transaction, INDEX, &hex(keys.index_id()))?;
    transaction.commit()
}

fn hex(id: KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(id.to_bytes()))
}

pub(super) fn get(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()
}

pub(super) fn put(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",
            params![name, value],
        )
        .map(drop)
}

pub(super) fn remove(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    connection
        .execute("DELETE FROM meta WHERE name = ?1", [name])
        .map(drop)
}
