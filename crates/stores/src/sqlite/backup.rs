//! A copy of the file, made beside the server that uses it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use rusqlite::{Connection, OpenFlags};
use watchword_core::Timestamp;
use watchword_core::memory::MemoryStore;
use watchword_core::moving::{Class, Tally, count};

use super::audit::REMOVED;
use super::file::{DatabaseFile, private};
use super::journal::SqliteJournal;
use super::{guard, replay, schema};
use crate::error::OpenError;

/// A finished backup.
#[derive(Clone, Debug)]
pub struct Backup {
    /// How large the file is, in bytes.
    pub bytes: u64,
    /// What a server that starts from it would find, by kind.
    pub rows: Vec<(&'static str, u64)>,
}

/// Why there is no backup. Nothing is left where it was to be.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("{} does not exist; name the file that the server uses (storage.url)", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// It has no tables yet.
    #[error("{} is empty: no server has used it yet", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// Something is in the way.
    #[error("{} exists already and is left as it is; name another file", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The place of a backup under way is taken.
    #[error(
        "{} exists: another backup is being made there, or one was interrupted; remove it if none \
         is", file.display()
    )]
    Unfinished {
        /// The file.
        file: PathBuf,
    },
    /// The copy does not hold together.
    #[error("the copy is not good, and was removed: {reason}")]
    Bad {
        /// What SQLite says of it.
        reason: String,
    },
    /// One of the two files cannot be used.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// The copy cannot be written.
    #[error("{} cannot be written", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Copies the database at `from` as it is at one moment to the new file `to`, which only its owner
/// can read, and looks whether a server could start from it at `now`. A server may use `from`
/// meanwhile, and is not held up: whatever it answered before this was called is in the copy.
///
/// Under its name the copy appears when it is complete, checked and on the disk.
///
/// # Errors
/// [`BackupError`], whose text says what to do.
pub fn backup(from: &Path, to: &Path, now: Timestamp) -> Result<Backup, BackupError> {
    if !from.is_file() {
        return Err(BackupError::Missing {
            file: from.to_owned(),
        });
    }
    let file = DatabaseFile::find_or_create(from)?;
    let source = schema::connect(&file)?;
    // An older schema is fine: before an upgrade is when a backup is wanted.
    schema::is_current(&file, &source)?;
    if schema::is_empty(&source).map_err(|source| file.refused(source))? {
        return Err(BackupError::Empty {
            file: from.to_owned(),
        });
    }
    let exists = || BackupError::Exists {
        file: to.to_owned(),
    };
    if fs::symlink_metadata(to).is_ok() {
        return Err(exists());
    }
    let part = Part::make(to)?;
    part.fill(&file, &source)?;
    drop(source);
    let made = part.look(now)?;
    part.rename(to)?;
    Ok(made)
}

/// The copy while it is made. What is not renamed is removed.
struct Part {
    path: PathBuf,
    open: File,
}

impl Part {
    /// Makes it with the rights that it shall keep: SQLite would take those of the umask.
    fn make(to: &Path) -> Result<Self, BackupError> {
        let mut name = to.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        match private().create_new(true).open(&path) {
            Ok(open) => Ok(Self { path, open }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BackupError::Unfinished { file: path })
            }
            Err(source) => Err(BackupError::Io { file: path, source }),
        }
    }

    fn failed(&self, source: io::Error) -> BackupError {
        BackupError::Io {
            file: self.path.clone(),
            source,
        }
    }

    fn refused(&self, source: rusqlite::Error) -> OpenError {
        OpenError::Sqlite {
            file: self.path.clone(),
            source,
        }
    }

    /// One reading transaction, so one moment; in WAL mode it keeps nobody from writing.
    fn fill(&self, file: &DatabaseFile, source: &Connection) -> Result<(), BackupError> {
        let Some(path) = self.path.to_str() else {
            let plain = io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8");
            return Err(self.failed(plain));
        };
        let copied = source.execute("VACUUM INTO ?1", [path]);
        copied.map_err(|source| file.refused(source))?;
        self.open.sync_all().map_err(|source| self.failed(source))
    }

    /// Reads all of it as a start would.
    fn look(&self, now: Timestamp) -> Result<Backup, BackupError> {
        let refused = |source| self.refused(source);
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(refused)?;
        let said: String = connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(refused)?;
        if said != "ok" {
            return Err(BackupError::Bad { reason: said });
        }
        let file = DatabaseFile::find_or_create(&self.path)?;
        guard::check_form(&file, &connection)?;
        let store = MemoryStore::new(SqliteJournal::default(), usize::MAX);
        replay::replay(&file, &connection, &store, now)?;
        // Counting rows in memory waits for nothing.
        let counted = count(&store, now).now_or_never();
        let tally: Tally = counted.and_then(Result::ok).ok_or(BackupError::Bad {
            reason: "its journal cannot be read".to_owned(),
        })?;
        let table = |name: &str, which: &str| -> rusqlite::Result<u32> {
            // An older schema has fewer.
            if !connection.table_exists(None, name)? {
                return Ok(0);
            }
            let sql = format!("SELECT count(*) FROM {name} {which}");
            connection.query_row(&sql, [], |row| row.get(0))
        };
        let mut rows = Vec::new();
        for class in Class::ALL {
            let found = match class {
                Class::ApiKeys => u64::from(table("api_key", "").map_err(refused)?),
                Class::Accounts => u64::from(table("account", "").map_err(refused)?),
                class => tally.rows(class),
            };
            rows.push((class.as_str(), found));
        }
        let pages = table("audit_page", &format!("WHERE number > {REMOVED}"));
        rows.push(("audit pages", u64::from(pages.map_err(refused)?)));
        let bytes = self.open.metadata().map_err(|source| self.failed(source))?;
        Ok(Backup {
            bytes: bytes.len(),
            rows,
        })
    }

    /// Gives it its name, unless somebody else took that meanwhile.
    fn rename(self, to: &Path) -> Result<(), BackupError> {
        fs::hard_link(&self.path, to).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists {
                file: to.to_owned(),
            },
            _ => self.failed(source),
        })?;
        let folder = match to.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| self.failed(source))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "what is left of a backup stays");
        }
    }
}
