//! The database file: making it, opening it, locking it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;

/// The oldest SQLite that is let near a file, as `sqlite3_libversion_number` counts: before
/// 3.51.3, a restart of the write-ahead log could race with a checkpoint and corrupt the database
/// (<https://www.sqlite.org/releaselog/3_51_3.html>).
pub const OLDEST_SQLITE: i32 = 3_051_003;

/// How often a connection looks whether another one has finished writing. SQLite's own pauses
/// grow to 100 ms, and a journal under load leaves only short gaps.
const BUSY_PAUSE: Duration = Duration::from_micros(500);
/// So often: some ten seconds.
const BUSY_TRIES: i32 = 20_000;
/// So often for the writer, whom callers wait for: some one second.
const WRITER_BUSY_TRIES: i32 = 2_000;

/// A database file of which the folder and the file itself exist, by its absolute path.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile(PathBuf);

impl DatabaseFile {
    /// Finds the file, or makes an empty one that only its owner can read.
    pub(super) fn find_or_create(path: &Path) -> Result<Self, OpenError> {
        check_version(rusqlite::version_number())?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(OpenError::NoFolder {
                file: path.to_owned(),
            });
        }
        make_where_there_is_none(path)
            .and_then(|()| path.canonicalize())
            .map(Self)
            .map_err(|source| OpenError::Io {
                file: path.to_owned(),
                source,
            })
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Its path with something behind it, such as `-wal`.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.0);
        name.push(suffix);
        PathBuf::from(name)
    }

    /// Opens it, in WAL mode and with commits that survive a loss of power. Checkpoints are left
    /// to the thread that makes them.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.0, flags)?;
        if connection.is_readonly("main")? {
            // SQLite takes what it gets.
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY),
                Some("it cannot be written; give it to the user of this program".to_owned()),
            ));
        }
        wait_for_others(&mut connection, BUSY_TRIES)?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            // Nothing is lost by that, but those who read wait for those who write.
            tracing::warn!(file = %self.0.display(), mode, "the database is not in WAL mode");
        }
        // In WAL mode no more than FULL; in the other it flushes what ends a commit there, too.
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        // On macOS a flush ends in the disk's cache unless it is asked to go further; no other system knows of it.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", WAL_KEPT)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    }

    /// Says that SQLite refused something on this file.
    pub(super) fn refused(&self, source: rusqlite::Error) -> OpenError {
        OpenError::Sqlite {
            file: self.0.clone(),
            source,
        }
    }

    /// Says that the system refused something on this file.
    pub(super) fn failed(&self, source: io::Error) -> OpenError {
        OpenError::Io {
            file: self.0.clone(),
            source,
        }
    }

    /// Makes this process the only one that serves from the file, or migrates it. Others may
    /// still open its ordinary tables. The system lifts the lock with the process, however it
    /// ends.
    pub(super) fn lock(&self) -> Result<FileLock, OpenError> {
        let file = private()
            .open(self.beside(".lock"))
            .map_err(|source| self.failed(source))?;
        match file.try_lock() {
            Ok(()) => Ok(FileLock(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
                file: self.0.clone(),
            }),
            Err(TryLockError::Error(source)) => Err(self.failed(source)),
        }
    }
}

/// A file that is there is left to SQLite. Whoever closes a file takes every lock from it that the process holds, those
/// of other connections too; the next program that reads it would believe to be the only one, and clear the log away
/// (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
fn make_where_there_is_none(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => private().open(path).map(drop),
        found => found.map(drop),
    }
}

fn wait_for_others(connection: &mut Connection, tries: i32) -> rusqlite::Result<()> {
    connection.busy_handler(Some(move |tried| {
        thread::sleep(BUSY_PAUSE);
        tried < tries
    }))
}

/// Has a connection wait less long for others who write: whoever waits for it gets an answer in
/// time, and it tries again anyway.
pub(super) fn hurry(connection: &mut Connection) -> rusqlite::Result<()> {
    wait_for_others(connection, WRITER_BUSY_TRIES)
}

/// What a write-ahead log is cut back to when it starts anew.
const WAL_KEPT: i64 = 64 << 20;

/// Held as long as this process is the only one that serves from a file.
#[derive(Debug)]
pub(super) struct FileLock(#[expect(dead_code, reason = "held, never read")] File);

/// What makes files that only their owner can read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn check_version(linked: i32) -> Result<(), OpenError> {
    if linked >= OLDEST_SQLITE {
        return Ok(());
    }
    let (major, minor, patch) = (linked / 1_000_000, linked / 1000 % 1000, linked % 1000);
    Err(OpenError::SqliteTooOld {
        found: format!("{major}.{minor}.{patch}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_that_can_corrupt_a_log_is_refused_by_its_version() {
        let refused = check_version(3_051_002).unwrap_err();
        assert!(refused.to_string().contains("3.51.2 is too old"));
        assert!(check_version(OLDEST_SQLITE).is_ok());
        assert!(check_version(rusqlite::version_number()).is_ok());
    }

    /// Nothing that SQLite tells of itself shows it, and other code asks for `fdatasync` as well.
    #[test]
    fn a_commit_flushes_data_and_not_the_times_of_the_file() {
        let flags = option_env!("LIBSQLITE3_FLAGS").unwrap_or_default();
        assert!(
            flags.contains("-DHAVE_FDATASYNC=1"),
            "built without the flag in .cargo/config.toml, SQLite commits with fsync"
        );
    }

    #[test]
    fn a_missing_folder_is_named_instead_of_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere/watchword.db");
        let refused = DatabaseFile::find_or_create(&path).unwrap_err();
        assert!(matches!(refused, OpenError::NoFolder { .. }), "{refused}");
        assert!(!path.parent().unwrap().exists());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_but_the_owner_can_read_what_is_created() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchword.db");
        let file = DatabaseFile::find_or_create(&path).unwrap();
        let _lock = file.lock().unwrap();
        let connection = file.connect().unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mode = file.beside(suffix).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{suffix}");
        }
    }

    #[test]
    fn only_one_holds_the_lock_and_by_any_name_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchword.db");
        let lock = DatabaseFile::find_or_create(&path).unwrap().lock().unwrap();
        let other_name = folder.path().join(".").join("watchword.db");
        let second = DatabaseFile::find_or_create(&other_name).unwrap();
        assert!(matches!(second.lock(), Err(OpenError::InUse { .. })));
        drop(lock);
        assert!(second.lock().is_ok());
    }
}
