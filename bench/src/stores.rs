//! The stores behind the servers: private processes on free ports, gone with this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, ValueEnum};

use crate::Failure;
use crate::process;

// The servers that the tests of the stores use.
#[path = "../../crates/stores/tests/servers/postgres.rs"]
mod postgres;
#[path = "../../crates/stores/tests/servers/redis.rs"]
mod redis;

/// Where the product keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// Nothing outlives the process.
    Memory,
    /// The embedded default: durable before the answer.
    Sqlite,
    /// A `redis-server` beside it, without persistence.
    Redis,
    /// A PostgreSQL beside it, durable before the answer.
    Postgres,
}

/// The stores that a measurement goes through.
#[derive(Args)]
pub(crate) struct Chosen {
    /// Where the server keeps its state.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "memory,sqlite"
    )]
    pub(crate) store: Vec<StoreKind>,
}

impl StoreKind {
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The stores of one run.
#[derive(Default)]
pub(crate) struct Stores {
    postgres: Option<Arc<postgres::Server>>,
    databases: AtomicUsize,
}

/// A store for one server; empty when it is handed out.
pub(crate) enum StoreServer {
    /// The server keeps its state itself.
    None,
    Memory,
    Sqlite,
    Redis(redis::RedisServer),
    Postgres(Database),
}

/// A database of the run's PostgreSQL, dropped with this value.
pub(crate) struct Database {
    server: Arc<postgres::Server>,
    name: String,
}

impl Drop for Database {
    fn drop(&mut self) {
        // Sessions of a server that was killed may be open still.
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        self.server.sql("postgres", &drop);
    }
}

impl Stores {
    pub(crate) fn fresh(&mut self, kind: StoreKind) -> Result<StoreServer, Failure> {
        Ok(match kind {
            StoreKind::Memory => StoreServer::Memory,
            StoreKind::Sqlite => StoreServer::Sqlite,
            StoreKind::Redis => Self::redis()?,
            StoreKind::Postgres => self.postgres()?,
        })
    }

    pub(crate) fn redis() -> Result<StoreServer, Failure> {
        if !redis::is_there() {
            return Err("redis-server is not installed".into());
        }
        Ok(StoreServer::Redis(redis::RedisServer::start(&[])))
    }

    /// A database of its own in the run's one server, which commits as it does by default.
    fn postgres(&mut self) -> Result<StoreServer, Failure> {
        let server = match &self.postgres {
            Some(server) => Arc::clone(server),
            None => {
                let installed = postgres::Installed::find().ok_or("PostgreSQL is not installed")?;
                let settings = ["synchronous_commit=on", "shared_buffers=512MB"];
                let server = Arc::new(postgres::Server::start_with(installed, &settings));
                Arc::clone(self.postgres.insert(server))
            }
        };
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench{number}");
        server.sql("postgres", &format!("CREATE DATABASE {name}"));
        Ok(StoreServer::Postgres(Database { server, name }))
    }
}

impl StoreServer {
    /// What the configuration calls it, where it differs from what dev mode takes.
    pub(crate) fn url(&self) -> Option<String> {
        match self {
            Self::None | Self::Sqlite => None,
            Self::Memory => Some("memory:".to_owned()),
            Self::Redis(server) => Some(server.url("")),
            Self::Postgres(database) => Some(database.server.url(&database.name)),
        }
    }

    /// Where accounts are: in a file beside a store that has none.
    pub(crate) fn accounts_url(&self) -> String {
        match self {
            Self::Postgres(database) => database.server.url(&database.name),
            _ => "sqlite:accounts.db".to_owned(),
        }
    }

    /// Bytes that a store of its own holds, as it counts them itself.
    pub(crate) fn held_bytes(&self) -> Option<u64> {
        match self {
            Self::None | Self::Memory | Self::Sqlite => None,
            Self::Redis(server) => {
                let info = server.connect().ask(&["INFO", "memory"]).text();
                let used = info.lines().find_map(|it| it.strip_prefix("used_memory:"));
                used?.trim().parse().ok()
            }
            Self::Postgres(Database { server, name }) => {
                let size = format!("SELECT pg_database_size('{name}')");
                server.sql("postgres", &size).trim().parse().ok()
            }
        }
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        match self {
            Self::None | Self::Memory | Self::Sqlite => Vec::new(),
            Self::Redis(server) => server.pid().into_iter().collect(),
            Self::Postgres(database) => {
                let pid = database.server.pid();
                pid.map_or_else(Vec::new, process::family)
            }
        }
    }
}
