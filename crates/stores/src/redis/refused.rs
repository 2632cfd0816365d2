//! Why a Redis is not used.

use std::path::PathBuf;

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
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

/// Whether the server says that it is no master, or none that serves yet. It did nothing then.
pub(super) fn is_no_master(answer: &Value) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly, ResponseError};
    let Value::ServerError(error) = answer else {
        return false;
    };
    match error.kind() {
        Some(BusyLoading | MasterDown | ReadOnly) => true,
        // Redis 6.2 says so of a script, whose first write it refused.
        Some(ResponseError) => error
            .details()
            .is_some_and(|detail| detail.contains(": -READONLY ")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_no_writes_is_no_master() {
        let says = |line: &str| {
            let answer = redis::parse_redis_value(format!("{line}\r\n").as_bytes());
            is_no_master(&answer.unwrap())
        };
        for line in [
            "-READONLY You can't write against a read only replica.",
            "-READONLY You can't write against a read only replica. script: 5f, on @user_script:1.",
            "-ERR Error running script (call to f_5f): @user_script:1: @user_script: 1: \
             -READONLY You can't write against a read only replica.",
            "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "-LOADING Redis is loading the dataset in memory",
        ] {
            assert!(says(line), "{line}");
        }
        for line in [
            "-OOM command not allowed when used memory > 'maxmemory'.",
            "-NOREPLICAS Not enough good replicas to write.",
            "-ERR Error running script (call to f_5f): @user_script:1: no such thing",
            "+OK",
        ] {
            assert!(!says(line), "{line}");
        }
    }
}
