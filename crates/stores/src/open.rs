//! The door: from a URL to a running storage.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use watchword_core::account::{AccountStore, MemoryAccounts};
use watchword_core::audit::{AuditStore, MemoryAudit};
use watchword_core::keys::KeyRing;
use watchword_core::memory::{MemoryStore, NoJournal};
use watchword_core::moving::Rows;
use watchword_core::{ApiKeyStore, Clock, ReplayStore, Store, StoreError};

use crate::api_keys::MemoryApiKeys;
use crate::error::OpenError;
use crate::fallback::{Alone, CopiedKeys, Late, LocalFallback, Watch, reach};
use crate::moving::{Part, admit};
use crate::postgres::{Postgres, PostgresAccounts, PostgresApiKeys, PostgresAudit};
use crate::redis::{NoAccounts, RedisApiKeys, RedisStorage};
use crate::sqlite::{Embedded, Neighbour, Settings, SqliteAccounts, SqliteApiKeys, SqliteAudit};
use crate::stats::{Stats, StatsReader};
use crate::store_clock::StoreClock;
use crate::sweeper;
use crate::url::StorageUrl;
use crate::worker::Worker;

/// How a storage is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// How many verifications may be held at a time (`storage.max_live`).
    pub max_live: usize,
    /// A snapshot is made when the journal has grown by so many bytes, or by half as many as the
    /// last snapshot has, whichever is more. The default is 64 MiB.
    pub snapshot_after: u64,
    /// The keys of the server: a file that was made under others is refused.
    pub keys: Arc<KeyRing>,
    /// The time, for what expires.
    pub clock: Arc<dyn Clock>,
    /// A SQLite file for a store that stands in while PostgreSQL or Redis is away
    /// (`storage.fallback`); without one, nothing does.
    pub fallback: Option<PathBuf>,
}

impl OpenOptions {
    /// The defaults: ten million verifications, a snapshot every 64 MiB.
    #[must_use]
    pub fn new(keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self {
            max_live: 10_000_000,
            snapshot_after: 64 << 20,
            keys,
            clock,
            fallback: None,
        }
    }
}

/// A running storage: the ports, and the threads behind them.
///
/// [`Opened::close`] ends it well. Dropping it ends it too, at the cost of a slower next start;
/// either way nothing that was acknowledged is lost, and the ports refuse everything afterwards.
pub struct Opened {
    /// Verifications and the counters of their recipients and sources.
    pub store: Arc<dyn Store>,
    /// Idempotency keys.
    pub replays: Arc<dyn ReplayStore>,
    /// API keys.
    pub api_keys: Arc<dyn ApiKeyStore>,
    /// Accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// What the store and the idempotency keys hold, row by row, for moving it elsewhere; nothing
    /// where a local store may stand in.
    pub rows: Option<Arc<dyn Rows>>,
    /// The time by which the ports count: that of the server where several nodes share one, so that
    /// what a node shows agrees with what its store does. Callers take `now` from it.
    pub clock: Arc<dyn Clock>,
    /// Figures for metrics.
    pub stats: StatsReader,
    /// What accounts and an audit log in the same file have to know, if they are opened by themselves; they are to be
    /// done with writing before [`Opened::close`].
    pub neighbour: Neighbour,
    background: Background,
}

enum Background {
    Memory(Worker),
    Embedded(Box<Embedded>),
    Postgres(Postgres),
    Redis(RedisStorage),
    Fallback(Box<StandIn>),
}

/// A storage that a local one stands in for.
struct StandIn {
    /// Those who ask the primary whether it is there.
    watches: Vec<Watch>,
    primary: Arc<Late<Opened>>,
    local: Embedded,
}

/// Opens the storage that `url` names, and puts back what it kept. Another process that serves
/// from the same file, a foreign key and any damage are refused.
///
/// # Errors
/// [`OpenError`], whose text says what to do.
pub async fn open(url: &StorageUrl, options: OpenOptions) -> Result<Opened, OpenError> {
    let shared = matches!(url, StorageUrl::Postgres(_) | StorageUrl::Redis(_));
    match options.fallback.clone().filter(|_| shared) {
        Some(path) => open_with_fallback(url, path, options).await,
        None => {
            let heard = StoreClock::over(Arc::clone(&options.clock));
            open_plain(url, options, heard).await
        }
    }
}

/// Opens a storage and a local store that stands in for it while it is away: at once, if it cannot
/// be reached now. It is looked at and opened when it can be, and not used before. What only a
/// person can mend is an error all the same, and so is a local store that does not open.
async fn open_with_fallback(
    url: &StorageUrl,
    path: PathBuf,
    options: OpenOptions,
) -> Result<Opened, OpenError> {
    let clock = StoreClock::over(Arc::clone(&options.clock));
    let (to, with, heard) = (url.clone(), options.clone(), Arc::clone(&clock));
    let reached = reach(move || {
        let (to, with, heard) = (to.clone(), with.clone(), Arc::clone(&heard));
        async move { open_plain(&to, with, heard).await }
    });
    let reached = reached.await?;
    let primary = reached.storage;
    let clock = clock as Arc<dyn Clock>;
    let own_clock = Arc::clone(&clock);
    let own = path.clone();
    let opened = spawn_blocking(move || {
        let settings = Settings {
            max_live: options.max_live,
            snapshot_after: options.snapshot_after,
            keys: &options.keys,
            clock: own_clock,
        };
        let embedded = Embedded::open(&own, settings)?;
        Ok::<_, OpenError>((embedded, SqliteApiKeys::open(&own)?))
    });
    let failed = |source| OpenError::Io {
        file: path.clone(),
        source,
    };
    let (embedded, copy) = match opened.await {
        Ok(opened) => opened?,
        Err(error) => return Err(failed(error.into())),
    };
    let store = Arc::clone(&primary) as Arc<dyn Store>;
    let replays = Arc::clone(&primary) as Arc<dyn ReplayStore>;
    let fallback = LocalFallback::over(store, replays, embedded.memory(), Arc::clone(&clock)).await;
    let cannot = |error| failed(io::Error::other(error));
    let fallback = Arc::new(fallback.map_err(cannot)?);
    let mut watches = Vec::new();
    if let Some((why, watch)) = reached.missed {
        let begun = fallback.begin_without(StoreError::not_reached(why)).await;
        begun.map_err(cannot)?;
        watches.push(watch);
    }
    watches.push(fallback.watch());
    let keys = Arc::clone(&primary) as Arc<dyn ApiKeyStore>;
    let keys = Arc::new(CopiedKeys::of(&fallback, keys, Arc::new(copy)));
    watches.push(keys.watch());
    let (local, watched) = (embedded.stats(), Arc::clone(&fallback));
    Ok(Opened {
        store: Arc::clone(&fallback) as Arc<dyn Store>,
        replays: Arc::clone(&fallback) as Arc<dyn ReplayStore>,
        api_keys: keys,
        accounts: Arc::clone(&primary) as Arc<dyn AccountStore>,
        rows: None,
        clock,
        stats: StatsReader::new(move || Stats {
            degraded: watched.is_away(),
            ..local()
        }),
        neighbour: embedded.neighbour(&path),
        background: Background::Fallback(Box::new(StandIn {
            watches,
            primary,
            local: embedded,
        })),
    })
}

/// `heard` is the clock that a shared storage sets.
async fn open_plain(
    url: &StorageUrl,
    options: OpenOptions,
    heard: Arc<StoreClock>,
) -> Result<Opened, OpenError> {
    let opened = open_as_it_is(url, options, heard).await?;
    // Only now, so that nobody else is there. What is wrong with the storage itself comes first.
    admit(Part::Store, url).await?;
    admit_to_accounts(url).await?;
    Ok(opened)
}

async fn admit_to_accounts(url: &StorageUrl) -> Result<(), OpenError> {
    match url {
        StorageUrl::Sqlite(_) | StorageUrl::Postgres(_) => admit(Part::Accounts, url).await,
        StorageUrl::Memory | StorageUrl::Redis(_) => Ok(()),
    }
}

async fn open_as_it_is(
    url: &StorageUrl,
    options: OpenOptions,
    heard: Arc<StoreClock>,
) -> Result<Opened, OpenError> {
    match url {
        StorageUrl::Memory => open_memory(&options),
        StorageUrl::Sqlite(path) => {
            let (own, clock) = (path.clone(), Arc::clone(&options.clock));
            let opened = spawn_blocking(move || {
                let settings = Settings {
                    max_live: options.max_live,
                    snapshot_after: options.snapshot_after,
                    keys: &options.keys,
                    clock: options.clock,
                };
                let embedded = Embedded::open(&own, settings)?;
                let api_keys = SqliteApiKeys::open(&own)?;
                let neighbour = embedded.neighbour(&own);
                let accounts = SqliteAccounts::open(&own, &neighbour)?;
                Ok::<_, OpenError>((embedded, api_keys, accounts, neighbour))
            });
            let (embedded, api_keys, accounts, neighbour) =
                opened.await.map_err(|error| OpenError::Io {
                    file: path.clone(),
                    source: error.into(),
                })??;
            Ok(Opened {
                store: embedded.store(),
                replays: embedded.replays(),
                api_keys: Arc::new(api_keys),
                accounts: Arc::new(accounts),
                rows: Some(embedded.memory()),
                clock,
                stats: StatsReader::new(embedded.stats()),
                neighbour,
                background: Background::Embedded(Box::new(embedded)),
            })
        }
        StorageUrl::Postgres(url) => {
            let postgres = Postgres::open(url, &options.keys, &heard).await?;
            let store = postgres.store();
            Ok(Opened {
                store: Arc::clone(&store) as Arc<dyn Store>,
                replays: Arc::clone(&store) as Arc<dyn ReplayStore>,
                api_keys: postgres.api_keys(),
                accounts: postgres.accounts(),
                rows: Some(store),
                clock: heard,
                stats: StatsReader::new(postgres.stats()),
                neighbour: Neighbour::none(),
                background: Background::Postgres(postgres),
            })
        }
        StorageUrl::Redis(url) => {
            let redis = RedisStorage::open_heard(url, &options.keys, &heard).await?;
            Ok(Opened {
                store: redis.store(),
                replays: redis.replays(),
                api_keys: redis.api_keys(),
                accounts: Arc::new(NoAccounts),
                rows: None,
                clock: heard,
                // The server has figures of its own.
                stats: StatsReader::new(Stats::default),
                neighbour: Neighbour::none(),
                background: Background::Redis(redis),
            })
        }
    }
}

fn open_memory(options: &OpenOptions) -> Result<Opened, OpenError> {
    let store = Arc::new(MemoryStore::new(NoJournal, options.max_live));
    let sweeper = sweeper::start(Arc::clone(&store), Arc::clone(&options.clock));
    let sweeper = sweeper.map_err(|source| OpenError::Io {
        file: "memory:".into(),
        source,
    })?;
    let (counted, max_live) = (Arc::clone(&store), options.max_live);
    let stats = StatsReader::new(move || Stats {
        live: counted.len(),
        max_live,
        ..Stats::default()
    });
    Ok(Opened {
        store: Arc::clone(&store) as Arc<dyn Store>,
        replays: Arc::clone(&store) as Arc<dyn ReplayStore>,
        api_keys: Arc::new(MemoryApiKeys::default()),
        accounts: Arc::new(MemoryAccounts::default()),
        rows: Some(store),
        clock: Arc::clone(&options.clock),
        stats,
        neighbour: Neighbour::none(),
        background: Background::Memory(sweeper),
    })
}

/// Opens accounts by themselves, where they are kept apart from verifications
/// (`storage.accounts_url`). `beside` is what is served from the same file, if anything is.
///
/// # Errors
/// [`OpenError`], whose text says what to do.
pub async fn open_accounts(
    url: &StorageUrl,
    beside: &Neighbour,
) -> Result<Arc<dyn AccountStore>, OpenError> {
    admit_to_accounts(url).await?;
    let path = match url {
        StorageUrl::Memory => return Ok(Arc::new(MemoryAccounts::default())),
        StorageUrl::Sqlite(path) => path.clone(),
        StorageUrl::Postgres(url) => return Ok(Arc::new(PostgresAccounts::open(url).await?)),
        StorageUrl::Redis(_) => return Ok(Arc::new(NoAccounts)),
    };
    let (own, beside) = (path.clone(), beside.clone());
    let opened = spawn_blocking(move || SqliteAccounts::open(&own, &beside)).await;
    let opened = opened.map_err(|error| OpenError::Io {
        file: path,
        source: error.into(),
    })?;
    Ok(Arc::new(opened?))
}

/// [`open_accounts`], or goes on trying if the storage is away: until it is there, everything is
/// refused. For as long as the process lives.
///
/// # Errors
/// [`OpenError`], where waiting does not help.
pub async fn open_accounts_late(
    url: &StorageUrl,
    beside: &Neighbour,
) -> Result<Arc<dyn AccountStore>, OpenError> {
    let (to, beside) = (url.clone(), beside.clone());
    let reached = reach(move || {
        let (to, beside) = (to.clone(), beside.clone());
        async move { open_accounts(&to, &beside).await.map(Alone) }
    });
    let reached = reached.await?;
    if let Some((why, watch)) = reached.missed {
        tracing::warn!(reason = %why, "the accounts are away; what needs them is refused");
        watch.forget();
    }
    Ok(reached.storage)
}

/// Opens the audit log, beside running servers or without any; in memory where there is no SQL to
/// keep it in. `beside` is what is served from the same file, if anything is.
///
/// # Errors
/// [`OpenError`], whose text says what to do.
pub async fn open_audit(
    url: &StorageUrl,
    beside: &Neighbour,
) -> Result<Arc<dyn AuditStore>, OpenError> {
    let path = match url {
        StorageUrl::Sqlite(path) => path.clone(),
        StorageUrl::Postgres(url) => return Ok(Arc::new(PostgresAudit::open(url).await?)),
        // Nothing of it outlives the process; Redis is refused by the configuration.
        StorageUrl::Memory | StorageUrl::Redis(_) => return Ok(Arc::new(MemoryAudit::default())),
    };
    let (own, beside) = (path.clone(), beside.clone());
    let opened = spawn_blocking(move || SqliteAudit::open(&own, &beside)).await;
    let opened = opened.map_err(|error| OpenError::Io {
        file: path,
        source: error.into(),
    })?;
    Ok(Arc::new(opened?))
}

/// Opens API keys by themselves, beside running servers or without any; nothing where they would
/// end with this process.
///
/// # Errors
/// [`OpenError`], whose text says what to do.
pub async fn open_api_keys(url: &StorageUrl) -> Result<Option<Arc<dyn ApiKeyStore>>, OpenError> {
    admit(Part::Store, url).await?;
    Ok(match url {
        StorageUrl::Memory => None,
        StorageUrl::Sqlite(path) => Some(Arc::new(SqliteApiKeys::open(path)?)),
        StorageUrl::Postgres(url) => Some(Arc::new(PostgresApiKeys::open(url).await?)),
        StorageUrl::Redis(url) => Some(Arc::new(RedisApiKeys::open(url).await?)),
    })
}

/// Looks whether a storage that is a server of its own answers and can be used, without changing
/// anything there. Gives what a person should know of it.
///
/// # Errors
/// [`OpenError`], whose text says what to do.
pub async fn look(url: &StorageUrl) -> Result<String, OpenError> {
    Ok(match url {
        StorageUrl::Memory | StorageUrl::Sqlite(_) => url.to_string(),
        StorageUrl::Postgres(url) => crate::postgres::look(url).await?,
        StorageUrl::Redis(url) => {
            // Which looks at the servers first.
            RedisApiKeys::open(url).await?;
            format!("{url} answers, and throws no keys away")
        }
    })
}

impl Opened {
    /// Ends the storage: writes what is left, makes a last snapshot where that makes the next
    /// start quicker, and lets go of the file. To be called when no request is in flight.
    pub async fn close(self) {
        let closed = spawn_blocking(move || match self.background {
            Background::Memory(sweeper) => drop(sweeper),
            Background::Embedded(embedded) => embedded.close(),
            Background::Postgres(postgres) => drop(postgres),
            Background::Redis(redis) => drop(redis),
            Background::Fallback(parts) => {
                drop(parts.watches);
                parts.primary.close();
                parts.local.close();
            }
        });
        if closed.await.is_err() {
            tracing::error!("closing the storage panicked");
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
