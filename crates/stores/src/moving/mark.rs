//! What a storage says of a copy into it.

use tokio::task::spawn_blocking;

use crate::error::OpenError;
use crate::postgres;
use crate::redis;
use crate::sqlite;
use crate::url::StorageUrl;

/// What is copied at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but accounts.
    Store,
    /// Accounts.
    Accounts,
}

/// How far a copy came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Begun, and not found good.
    UnderWay,
    /// Found good, and no server has used it since.
    Done,
}

impl Part {
    /// The name of its mark.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Store => "copy_of_store",
            Self::Accounts => "copy_of_accounts",
        }
    }
}

impl Mark {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UnderWay => "under way",
            Self::Done => "done",
        }
    }

    /// What is no mark of this release is one of an unfinished copy.
    pub(crate) fn parse(text: &str) -> Self {
        if text == Self::Done.as_str() {
            Self::Done
        } else {
            Self::UnderWay
        }
    }
}

/// Runs what blocks, on a file.
async fn on_file<T: Send + 'static>(
    path: &std::path::Path,
    work: impl FnOnce(&std::path::Path) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let own = path.to_owned();
    let done = spawn_blocking(move || work(&own)).await;
    done.map_err(|error| OpenError::Io {
        file: path.to_owned(),
        source: error.into(),
    })?
}

/// The mark of a storage, if it has one.
pub(crate) async fn look(part: Part, url: &StorageUrl) -> Result<Option<Mark>, OpenError> {
    match url {
        StorageUrl::Memory => Ok(None),
        StorageUrl::Sqlite(path) => on_file(path, move |path| sqlite::mark(path, part)).await,
        StorageUrl::Postgres(url) => postgres::mark(url, part).await,
        StorageUrl::Redis(url) => redis::mark(url).await,
    }
}

/// Marks a storage, or takes its mark away.
pub(crate) async fn put(part: Part, url: &StorageUrl, mark: Option<Mark>) -> Result<(), OpenError> {
    match url {
        StorageUrl::Memory => Ok(()),
        StorageUrl::Sqlite(path) => {
            on_file(path, move |path| sqlite::put_mark(path, part, mark)).await
        }
        StorageUrl::Postgres(url) => postgres::put_mark(url, part, mark).await,
        StorageUrl::Redis(url) => redis::put_mark(url, mark).await,
    }
}

/// Removes everything that a copy puts in.
pub(crate) async fn clear(part: Part, url: &StorageUrl) -> Result<(), OpenError> {
    match url {
        StorageUrl::Memory => Ok(()),
        StorageUrl::Sqlite(path) => on_file(path, move |path| sqlite::clear(path, part)).await,
        StorageUrl::Postgres(url) => postgres::clear(url, part).await,
        StorageUrl::Redis(url) => redis::clear(url).await,
    }
}

/// Lets a server, or a command that changes something, at a storage: not at one that a copy left
/// half-way. What it changes from now on is no copy any more.
pub(crate) async fn admit(part: Part, url: &StorageUrl) -> Result<(), OpenError> {
    match look(part, url).await? {
        None => Ok(()),
        Some(Mark::UnderWay) => Err(OpenError::HalfCopied {
            storage: url.to_string(),
        }),
        Some(Mark::Done) => put(part, url, None).await,
    }
}
