//! What else is served from a file.

use std::path::{Path, PathBuf};

use super::journal::SqliteJournal;
use crate::url::StorageUrl;

/// The verifications that this process or another one serves, for those who keep ordinary tables: perhaps in the
/// same file, which has one transaction at a time. A second writer would keep a journal's groups waiting while it
/// flushes the disk, so that it writes along with them where it can.
#[derive(Clone)]
pub struct Neighbour(Option<(PathBuf, Option<SqliteJournal>)>);

/// Who writes ordinary tables of a file.
pub(super) enum Writes {
    /// A connection of their own that also cuts the file's write-ahead log back.
    Alone,
    /// A connection of their own, beside a process that serves from the file and cuts the log back.
    Beside,
    /// The journal of what this process serves from the file.
    Through(SqliteJournal),
}

impl Neighbour {
    /// A storage that another process may serve.
    #[must_use]
    pub fn elsewhere(storage: &StorageUrl) -> Self {
        Self(match storage {
            StorageUrl::Sqlite(path) => Some((path.clone(), None)),
            _ => None,
        })
    }

    /// What this process serves from a file.
    pub(super) fn here(file: &Path, journal: &SqliteJournal) -> Self {
        Self(Some((file.to_owned(), Some(journal.clone()))))
    }

    /// None that has a file.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Who is to write tables of a file. Another name of the same file is as another file, and slower.
    pub(super) fn writes(&self, path: &Path) -> Writes {
        match &self.0 {
            Some((file, journal)) if file == path => {
                journal.clone().map_or(Writes::Beside, Writes::Through)
            }
            _ => Writes::Alone,
        }
    }
}
