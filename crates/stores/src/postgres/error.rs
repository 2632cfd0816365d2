//! What goes wrong with a PostgreSQL.

use std::error::Error;
use std::fmt;

use tokio_postgres::error::SqlState;
use watchword_core::StoreError;

use crate::error::is_of_the_network;

/// What went wrong, and what to do about it. Never carries a password or what a step was about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// It said no, or the connection broke.
    #[error("{}", Told(.0))]
    Server(#[source] tokio_postgres::Error),
    /// It did not answer in time.
    #[error("the server did not answer in time")]
    Slow,
    /// There was no connection for a statement, so that the server was not told of it.
    #[error("{0}")]
    NotReached(#[source] Box<PostgresError>),
    /// The storage was closed.
    #[error("the storage is closed")]
    Closed,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
    /// A row holds what no release wrote.
    #[error("a row cannot be read: {0}")]
    Unreadable(&'static str),
    /// Older than what this release needs.
    #[error("the server is PostgreSQL {found}; at least 14 is needed")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The database is in another encoding.
    #[error("the database is encoded in {found}; create one with ENCODING 'UTF8'")]
    Encoding {
        /// Its encoding.
        found: String,
    },
    /// `default_transaction_isolation` is not `read committed`.
    #[error(
        "default_transaction_isolation is {found:?}, under which steps that meet would fail; set \
         it to read committed for this role or database"
    )]
    Isolation {
        /// What it is.
        found: String,
    },
    /// The schema belongs to somebody else.
    #[error(
        "the database has a schema named watchword that is not Watchword's; rename it, or use \
         another database (storage.url)"
    )]
    Foreign,
    /// The schema was made by a later release.
    #[error(
        "schema watchword has version {found}, and this release knows up to {known}; use the \
         release that last migrated it, or a later one"
    )]
    Newer {
        /// Its version.
        found: u32,
        /// The newest version that this release knows.
        known: u32,
    },
    /// The role may not create what is missing.
    #[error(
        "schema watchword has version {found}, version {wanted} is wanted, and the role may not \
         change it ({reason}); run `watchword migrate` once as a role that may"
    )]
    MayNotMigrate {
        /// Its version; 0 where there is none.
        found: u32,
        /// The version of this release.
        wanted: u32,
        /// What the server said.
        reason: String,
    },
    /// A table has something that moving its rows to another table would lose.
    #[error(
        "table watchword.{table} has what Watchword did not make (a trigger, rule, policy, publication, \
         statistics, rights on columns, other partitions), and is left as it is; remove that first"
    )]
    NotAsMade {
        /// Its name.
        table: String,
    },
    /// Somebody uses the tables.
    #[error("the tables are in use; stop every server that uses them, and run this again")]
    InUse,
    /// The role may not make the tables anew.
    #[error("the role may not do that ({reason}); run it as the role that owns schema watchword")]
    NotOwner {
        /// What the server said.
        reason: String,
    },
    /// The secret is another than the database was made with.
    #[error(
        "secret_key is not one that this database was used with, so that no code and no recipient \
         in it could be recognised; use that key, list it last in secret_keys to replace it, or \
         use another database (storage.url)"
    )]
    WrongKey,
}

impl PostgresError {
    /// The same, where the server was not told of the statement.
    pub(super) fn untold(self) -> Self {
        Self::NotReached(Box::new(self))
    }

    /// Whether no server is there at present, or none that takes part yet or writes.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Slow => true,
            Self::NotReached(reason) => reason.is_away(),
            Self::Server(error) => match error.code().map(SqlState::code) {
                // Connection trouble, a server that starts or ends, too many connections, a
                // standby.
                Some(code) => {
                    let away = ["08", "57P", "53300", "25006"];
                    away.iter().any(|class| code.starts_with(class))
                }
                None => error.is_closed() || is_of_the_network(error),
            },
            _ => false,
        }
    }

    pub(super) fn tls(error: Box<dyn Error + Send + Sync>) -> Self {
        Self::Tls(error)
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<PostgresError> for StoreError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::NotReached(reason) => Self::not_reached(reason),
            error => Self::unavailable(error),
        }
    }
}

/// What the server said, without the detail, which may quote values.
struct Told<'a>(&'a tokio_postgres::Error);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_db_error() {
            Some(error) => write!(f, "{} ({})", error.message(), error.code().code()),
            None => {
                write!(f, "{}", self.0)?;
                let cause = self.0.source();
                cause.map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
        }
    }
}
