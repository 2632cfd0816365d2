//! Why a storage does not open.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::postgres::PostgresError;
use crate::redis::RedisRefused;

/// The storage does not open, and nothing was served from it. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The SQLite that was linked has a known fault.
    #[error(
        "SQLite {found} is too old: versions before 3.51.3 can corrupt a database in WAL mode; \
         build with the bundled one"
    )]
    SqliteTooOld {
        /// Its version.
        found: String,
    },
    /// The folder of the file is missing.
    #[error("the folder of {} does not exist; create it first", file.display())]
    NoFolder {
        /// The file.
        file: PathBuf,
    },
    /// Another process serves from the file.
    #[error(
        "another process is using {}; stop it first, or give this one a file of its own \
         (storage.url)", file.display()
    )]
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// The file is a database, but not one of ours.
    #[error("{} is the database of another program; choose another file (storage.url)", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The file was written by a later release.
    #[error(
        "{} has schema version {found}, and this release knows up to {known}; use the release \
         that last opened it, or a later one", file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this release knows.
        known: u32,
    },
    /// The journal is in a form that this release does not read.
    #[error(
        "{} keeps its journal in form {found}, and this release reads form {known}; use the \
         release that last opened it", file.display()
    )]
    ForeignForm {
        /// The file.
        file: PathBuf,
        /// What it says.
        found: String,
        /// What this release reads.
        known: u32,
    },
    /// The secret is another than the file was made with.
    #[error(
        "secret_key is not the one {} was made with, so that no code and no recipient in it \
         could be recognised; use that key, list it last in secret_keys to replace it, or \
         choose another file (storage.url)", file.display()
    )]
    WrongKey {
        /// The file.
        file: PathBuf,
    },
    /// Something in the file cannot be read.
    #[error(
        "{} is damaged: table {table}, row {row}: {reason}; nothing of it was used. Restore the \
         file (with its -wal) from a backup, or move it away to start empty: then pending codes, \
         limits, locks and API keys are gone", file.display()
    )]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        table: &'static str,
        /// Where in the table.
        row: i64,
        /// What is wrong there.
        reason: String,
    },
    /// SQLite says no.
    #[error("{} cannot be used", file.display())]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The system says no.
    #[error("{} cannot be used", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A copy into it was begun and not finished.
    #[error(
        "a copy into {storage} was not finished, and it holds a part only; run `watchword store \
         copy` again"
    )]
    HalfCopied {
        /// The storage.
        storage: String,
    },
    /// The PostgreSQL database cannot be used.
    #[error("{database} cannot be used: {source}")]
    Postgres {
        /// Which one, without its password.
        database: String,
        /// Why, and what to do.
        #[source]
        source: Box<PostgresError>,
    },
    /// The Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisRefused),
}

impl OpenError {
    /// Whether nobody is there at present, or nobody who serves yet. Everything else is for a
    /// person to mend.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Postgres { source, .. } => source.is_away(),
            Self::Redis(refused) => refused.is_away(),
            _ => false,
        }
    }
}

/// Whether an error of the network is behind this one. Certificates that are not to be believed
/// come as such, too, and are not.
pub(crate) fn is_of_the_network(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = match error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
            Some(shared) => shared.downcast_ref::<io::Error>(),
            None => error.downcast_ref::<io::Error>(),
        };
        if let Some(io) = io {
            let is_of_tls = match io.get_ref() {
                Some(inner) => inner.is::<rustls::Error>(),
                None => false,
            };
            return !is_of_tls;
        }
        cause = error.source();
    }
    false
}
