//! Where verifications, budgets and limits are kept.
//!
//! - `memory:` keeps everything in this process ([`watchword_core::memory::MemoryStore`]).
//! - `sqlite:FILE` is the same store with a journal in a SQLite file under it: every step is
//!   durable before it is answered, steps that wait together become one transaction, and a start
//!   puts everything back. API keys and accounts are ordinary rows of the same file.
//! - `redis://…`, for one server or many, keeps everything in Redis or Valkey, one script a step.
//!   A fleet shares it.
//!
//! [`open`] is the door. What it returns does its own housekeeping in threads of its own until
//! [`Opened::close`].

#![forbid(unsafe_code)]

mod api_keys;
#[cfg(feature = "bare")]
pub mod bare;
mod error;
mod fallback;
mod moving;
mod open;
mod postgres;
mod redis;
mod sqlite;
mod stats;
mod store_clock;
mod sweeper;
mod url;
mod worker;

pub use api_keys::MemoryApiKeys;
pub use error::OpenError;
pub use fallback::{LocalFallback, Watch};
pub use moving::{Move, MoveAccounts, MoveError, Moved, copy, keeps_accounts};
pub use open::{
    OpenOptions, Opened, look, open, open_accounts, open_accounts_late, open_api_keys, open_audit,
};
pub use postgres::{
    InvalidPostgresUrl, Partitioned, PostgresAccounts, PostgresApiKeys, PostgresAudit,
    PostgresError, PostgresStore, PostgresTime, PostgresUrl, migrate_postgres, partition_postgres,
};
pub use redis::{
    InvalidRedisUrl, RedisApiKeys, RedisRefused, RedisStorage, RedisStore, RedisUrl,
    Time as RedisTime,
};
pub use sqlite::{
    Backup, BackupError, Migrated, Neighbour, OLDEST_SQLITE, SqliteAccounts, SqliteApiKeys,
    SqliteAudit, backup, migrate,
};
pub use stats::{Stats, StatsReader};
pub use url::{InvalidStorageUrl, StorageUrl};
