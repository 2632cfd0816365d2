//! What `storage.url` may say.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::postgres::{InvalidPostgresUrl, PostgresUrl};
use crate::redis::{InvalidRedisUrl, RedisUrl};

/// Where things are to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// In this process: gone when it ends.
    Memory,
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// In this PostgreSQL database.
    Postgres(Box<PostgresUrl>),
    /// In this Redis or Valkey, alone, under Sentinels or as a cluster.
    Redis(Box<RedisUrl>),
}

/// Redis takes many at once; at one that is 5 ms away these are 12,800 starts a second.
const REDIS_SENDS: usize = 64;

/// The text names no storage that this release has.
///
/// Never carries the text: a database URL may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStorageUrl {
    /// A PostgreSQL connection string that cannot be used.
    #[error(transparent)]
    Postgres(#[from] InvalidPostgresUrl),
    /// A Redis URL that cannot be used.
    #[error(transparent)]
    Redis(#[from] InvalidRedisUrl),
    /// Something else.
    #[error("is not memory:, sqlite:FILE, postgres://… or redis://…")]
    UnknownScheme,
    /// `sqlite:` and nothing behind it.
    #[error("names no file; write sqlite:FILE")]
    NoFile,
    /// `sqlite:///x/y` is the file x/y to some programs and /x/y to others.
    #[error(
        "can be read in two ways; write sqlite:/x for an absolute path, sqlite:./x for a relative one"
    )]
    Ambiguous,
    /// `?mode=…` and the like.
    #[error("takes no parameters; write sqlite:FILE")]
    Parameters,
}

impl StorageUrl {
    /// Reads `memory:`, `sqlite:FILE`, `postgres://…` ([`PostgresUrl::parse`]) or `redis://…`
    /// ([`RedisUrl`]). Other common spellings are taken too where they leave no doubt:
    /// `sqlite://FILE`, `sqlite:///./FILE`, `sqlite:////FILE`, `sqlite::memory:`.
    ///
    /// # Errors
    /// [`InvalidStorageUrl`].
    pub fn parse(text: &str) -> Result<Self, InvalidStorageUrl> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(InvalidStorageUrl::UnknownScheme);
        };
        let scheme = scheme.to_ascii_lowercase();
        // Of postgresql+asyncpg and the like, what is behind the plus is about another program.
        match scheme.split('+').next().unwrap_or_default() {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "sqlite" if rest == ":memory:" || rest == "//:memory:" => Ok(Self::Memory),
            "sqlite" => sqlite_path(rest).map(Self::Sqlite),
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(PostgresUrl::parse(text)?))),
            scheme if RedisUrl::has_scheme(scheme) => Ok(Self::Redis(Box::new(text.parse()?))),
            _ => Err(InvalidStorageUrl::UnknownScheme),
        }
    }

    /// The file, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory | Self::Postgres(_) | Self::Redis(_) => None,
            Self::Sqlite(path) => Some(path),
        }
    }

    /// How many sends a node should have there at a time, of a store on the network: enough to keep it busy, and few
    /// enough that a check does not wait for them for long. None where there is no network.
    #[must_use]
    pub const fn sends_at_once(&self) -> Option<usize> {
        match self {
            Self::Memory | Self::Sqlite(_) => None,
            // More would wait for a connection, and a check behind them.
            Self::Postgres(url) => Some(url.pool_size),
            Self::Redis(_) => Some(REDIS_SENDS),
        }
    }
}

fn sqlite_path(rest: &str) -> Result<PathBuf, InvalidStorageUrl> {
    if rest.contains('?') {
        return Err(InvalidStorageUrl::Parameters);
    }
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(behind) => match behind.strip_prefix('/') {
            None => behind,
            Some(path) if path.starts_with(['/', '.']) => path,
            Some("") => "",
            Some(_) => return Err(InvalidStorageUrl::Ambiguous),
        },
    };
    if path.is_empty() || path.ends_with('/') {
        return Err(InvalidStorageUrl::NoFile);
    }
    Ok(PathBuf::from(path))
}

impl FromStr for StorageUrl {
    type Err = InvalidStorageUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Result<StorageUrl, InvalidStorageUrl> {
        Ok(StorageUrl::Sqlite(PathBuf::from(path)))
    }

    #[test]
    fn every_usual_spelling_of_a_file_means_that_file() {
        for (text, expected) in [
            ("sqlite:watchword.db", "watchword.db"),
            ("SQLITE:./a/b.db", "./a/b.db"),
            ("sqlite:/var/lib/b.db", "/var/lib/b.db"),
            ("sqlite://b.db", "b.db"),
            ("sqlite:///./great_world.db", "./great_world.db"),
            ("sqlite:////var/b.db", "/var/b.db"),
        ] {
            assert_eq!(StorageUrl::parse(text), file(expected), "{text}");
        }
    }

    #[test]
    fn a_store_on_the_network_has_as_many_sends_as_it_takes_at_once() {
        let sends = |text| StorageUrl::parse(text).unwrap().sends_at_once();
        assert_eq!(sends("memory:"), None);
        assert_eq!(sends("sqlite:watchword.db"), None);
        assert_eq!(sends("postgres://u@h/db?pool_size=4"), Some(4));
        assert_eq!(sends("redis://h"), Some(64));
    }

    #[test]
    fn nothing_is_kept_on_disk_by_the_memory_spellings() {
        for text in ["memory:", "sqlite::memory:", "sqlite://:memory:"] {
            assert_eq!(StorageUrl::parse(text), Ok(StorageUrl::Memory), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_yet_or_in_doubt_is_refused() {
        for (text, expected) in [
            ("mysql://h", InvalidStorageUrl::UnknownScheme),
            ("watchword.db", InvalidStorageUrl::UnknownScheme),
            ("sqlite:", InvalidStorageUrl::NoFile),
            ("sqlite:///", InvalidStorageUrl::NoFile),
            ("sqlite:data/", InvalidStorageUrl::NoFile),
            ("sqlite:///var/x.db", InvalidStorageUrl::Ambiguous),
            ("sqlite:x.db?mode=ro", InvalidStorageUrl::Parameters),
        ] {
            let refused = StorageUrl::parse(text).unwrap_err();
            assert_eq!(refused, expected, "{text}");
            assert!(!refused.to_string().contains("u:p"));
        }
    }
}
