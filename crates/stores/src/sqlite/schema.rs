//! The tables, and how an older file gets them.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::file::DatabaseFile;
use crate::error::OpenError;

/// `PRAGMA application_id` of our files (<https://www.sqlite.org/pragma.html#pragma_application_id>).
const APPLICATION: i32 = 0x7761_7764;

/// Numbered scripts; each becomes one transaction. Never changed once released.
pub(super) const SCRIPTS: [(u32, &str); 3] = [
    (1, include_str!("../../migrations/sqlite/001_start.sql")),
    (2, include_str!("../../migrations/sqlite/002_accounts.sql")),
    (3, include_str!("../../migrations/sqlite/003_audit.sql")),
];

const NEWEST: u32 = SCRIPTS[SCRIPTS.len() - 1].0;

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before; 0 for a new file.
    pub from: u32,
    /// The schema's version now.
    pub to: u32,
}

/// Brings the database at `path` to the schema of this release; makes it where there is none.
///
/// Starting a server does the same. Doing it twice is harmless.
///
/// # Errors
/// [`OpenError`], above all when a server is running on the file, or a later release made it.
pub fn migrate(path: &Path) -> Result<Migrated, OpenError> {
    let file = DatabaseFile::find_or_create(path)?;
    let _lock = file.lock()?;
    let mut connection = connect(&file)?;
    bring_up(&file, &mut connection)
}

/// Opens a file, unless it is another program's.
pub(super) fn connect(file: &DatabaseFile) -> Result<Connection, OpenError> {
    check_owner(file)?;
    file.connect().map_err(|source| file.refused(source))
}

/// Looks before anything is written: not even the journal mode of a foreign file is changed.
fn check_owner(file: &DatabaseFile) -> Result<(), OpenError> {
    let look = || -> rusqlite::Result<bool> {
        let connection =
            Connection::open_with_flags(file.path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let application: i32 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let tables: u32 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok(application == APPLICATION || (application == 0 && tables == 0))
    };
    match look() {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Foreign {
            file: file.path().to_owned(),
        }),
        Err(source) => Err(file.refused(source)),
    }
}

/// Checks that the schema is this release's, without changing it; whether it is.
pub(super) fn is_current(file: &DatabaseFile, connection: &Connection) -> Result<bool, OpenError> {
    let found = version(connection).map_err(|source| file.refused(source))?;
    if found > NEWEST {
        return Err(OpenError::Newer {
            file: file.path().to_owned(),
            found,
            known: NEWEST,
        });
    }
    Ok(found == NEWEST)
}

/// Applies the scripts that are missing. The caller holds the lock of the file.
pub(super) fn bring_up(
    file: &DatabaseFile,
    connection: &mut Connection,
) -> Result<Migrated, OpenError> {
    bring_up_with(file, connection, &SCRIPTS)
}

fn bring_up_with(
    file: &DatabaseFile,
    connection: &mut Connection,
    scripts: &[(u32, &str)],
) -> Result<Migrated, OpenError> {
    is_current(file, connection)?;
    let mut run = || -> rusqlite::Result<Migrated> {
        let from = version(connection)?;
        let mut to = from;
        for (number, script) in scripts.iter().filter(|(number, _)| *number > from) {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(script)?;
            transaction.execute(
                "INSERT INTO schema_version (version, applied_at) VALUES (?1, datetime('now'))",
                [number],
            )?;
            transaction.commit()?;
            to = *number;
        }
        Ok(Migrated { from, to })
    };
    run().map_err(|source| file.refused(source))
}

/// Whether it has no tables yet.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(version(connection)? == 0)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    let has_table: Option<i64> = connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    if has_table.is_none() {
        return Ok(0);
    }
    connection.query_row(
        "SELECT coalesce(max(version), 0) FROM schema_version",
        [],
        |row| row.get(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, DatabaseFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = DatabaseFile::find_or_create(&folder.path().join("watchword.db")).unwrap();
        (folder, file)
    }

    #[test]
    fn a_new_file_gets_every_script_and_a_second_run_does_nothing() {
        let (_folder, file) = fresh();
        let first = migrate(file.path()).unwrap();
        assert_eq!(
            first,
            Migrated {
                from: 0,
                to: NEWEST
            }
        );
        let second = migrate(file.path()).unwrap();
        assert_eq!(second.from, NEWEST);
    }

    #[test]
    fn a_failing_script_leaves_nothing_of_itself_and_all_of_those_before() {
        let (_folder, file) = fresh();
        let mut connection = connect(&file).unwrap();
        let scripts = [
            SCRIPTS[0],
            (2, "CREATE TABLE half (a); SELECT nothing FROM nowhere;"),
        ];
        assert!(bring_up_with(&file, &mut connection, &scripts).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        assert!(connection.prepare("SELECT a FROM half").is_err());
    }

    #[test]
    fn the_file_of_a_later_release_is_refused_unchanged() {
        let (_folder, file) = fresh();
        migrate(file.path()).unwrap();
        let connection = connect(&file).unwrap();
        connection
            .execute("INSERT INTO schema_version VALUES (99, 'later')", [])
            .unwrap();
        let refused = migrate(file.path()).unwrap_err();
        assert!(
            matches!(refused, OpenError::Newer { found: 99, .. }),
            "{refused}"
        );
    }

    #[test]
    fn the_database_of_another_program_is_refused_unchanged() {
        let (_folder, file) = fresh();
        let other = Connection::open(file.path()).unwrap();
        other.execute_batch("CREATE TABLE users (id)").unwrap();
        drop(other);
        let before = std::fs::read(file.path()).unwrap();
        let refused = migrate(file.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_unchanged() {
        let (_folder, file) = fresh();
        let text = "these are my holiday notes, and no database at all\n".repeat(100);
        std::fs::write(file.path(), &text).unwrap();
        assert!(migrate(file.path()).is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), text.as_bytes());
    }
}
