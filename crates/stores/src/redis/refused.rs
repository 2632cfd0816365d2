//! Why a Redis is not used.

use std::path::PathBuf;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use watchword_core::StoreError;

use super::servers::NoAnswer;
use crate::error::is_of_the_network;

/// The Redis is not used, and nothing was served from it. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RedisRefused {
    /// Nobody answers, or not as a Redis would.
    #[error("{url} cannot be used (storage.url)")]
    Unreachable {
        /// Where it was expected.
        url: String,
        /// What happened.
        #[source]
        source: redis::RedisError,
    },
    /// It answers, but does not do what it is told.
    #[error("{url} cannot be written to (storage.url)")]
    Unwritable {
        /// Which storage.
        url: String,
        /// What happened.
        #[source]
        source: watchword_core::StoreError,
    },
    /// The server is older than what the steps need.
    #[error("{server} is Redis {found}, and this release needs 6.2 or later, or any Valkey")]
    TooOld {
        /// Which server.
        server: String,
        /// Its version.
        found: String,
    },
    /// The server throws keys away when its memory is full: limits, locks and counters too.
    #[error(
        "{server} has maxmemory-policy {policy} and would throw limits, locks and attempts away \
         when its memory is full; set maxmemory-policy noeviction"
    )]
    Evicts {
        /// Which server.
        server: String,
        /// Its policy.
        policy: String,
    },
    /// A server of a cluster, without the cluster.
    #[error("{server} is part of a Redis Cluster; write redis-cluster:// (storage.url)")]
    IsCluster {
        /// Which server.
        server: String,
    },
    /// No cluster, where one was named.
    #[error("{server} is not part of a Redis Cluster; write redis:// (storage.url)")]
    NoCluster {
        /// Which server.
        server: String,
    },
    /// The secret is another than the data was made with.
    #[error(
        "secret_key is not the one that the data in {url} was made with, so that no code and no \
         recipient in it could be recognised; use that key, list it last in secret_keys to replace \
         it, or choose another namespace (storage.url)"
    )]
    WrongKey {
        /// Which storage.
        url: String,
    },
    /// The certificate authority cannot be read.
    #[error("{} cannot be read (ca of storage.url)", file.display())]
    Ca {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl RedisRefused {
    /// Whether no server is there at present, or none that serves yet.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => is_away(source),
            Self::Unwritable { source, .. } => match source {
                StoreError::Unavailable(reason) | StoreError::NotReached(reason) => {
                    reason.is::<NoAnswer>()
                        || reason.downcast_ref::<RedisError>().is_some_and(is_away)
                }
                StoreError::Full { .. } => false,
            },
            _ => false,
        }
    }
}

fn is_away(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain) => true,
        ErrorKind::Io => is_of_the_network(error),
        _ => false,
    }
}
