//! The PostgreSQL store: every step one function call, in one transaction, in one round trip.

mod account_rows;
mod accounts;
mod api_keys;
mod audit;
mod error;
mod link;
mod marks;
mod moving;
mod partitions;
mod pool;
mod recipients;
mod replays;
mod rows;
mod schema;
mod sends;
#[cfg(test)]
#[path = "../../tests/servers/postgres.rs"]
mod server;
mod store;
mod sweeper;
mod tls;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::AbortHandle;
use watchword_core::Clock;
use watchword_core::keys::KeyRing;

pub use self::accounts::PostgresAccounts;
pub use self::api_keys::PostgresApiKeys;
pub use self::audit::PostgresAudit;
pub use self::error::PostgresError;
pub(crate) use self::marks::{clear, mark, put_mark};
pub use self::partitions::{Partitioned, partition_postgres};
use self::pool::Pool;
pub use self::store::{PostgresStore, PostgresTime};
pub use self::url::{InvalidPostgresUrl, PostgresUrl};
use crate::error::OpenError;
use crate::sqlite::Migrated;
use crate::stats::Stats;
use crate::store_clock::StoreClock;

/// A store in a database, with the tasks that look after it.
pub(crate) struct Postgres {
    store: Arc<PostgresStore>,
    api_keys: Arc<PostgresApiKeys>,
    sweeper: AbortHandle,
    live: Arc<AtomicUsize>,
}

impl Postgres {
    /// Connects, brings the schema up and begins to sweep, all by the server's clock.
    pub(crate) async fn open(
        url: &PostgresUrl,
        keys: &KeyRing,
        clock: &Arc<StoreClock>,
    ) -> Result<Self, OpenError> {
        let time = PostgresTime::Server;
        let own = Arc::clone(clock) as Arc<dyn Clock>;
        let mut store = PostgresStore::open(url, keys, own, time).await?;
        store.heard = Some(Arc::clone(clock));
        // So that the first request knows the server's time.
        let told = store.row("SELECT clock_timestamp() AS present", &[]).await;
        told.map_err(|error| error.at(url))?;
        let pool = Arc::clone(&store.pool);
        let api_keys = PostgresApiKeys::over(Arc::clone(&pool)).await;
        let live = Arc::new(AtomicUsize::new(0));
        Ok(Self {
            store: Arc::new(store),
            api_keys: Arc::new(api_keys.map_err(|error| error.at(url))?),
            sweeper: tokio::spawn(sweeper::run(pool, Arc::clone(&live))).abort_handle(),
            live,
        })
    }

    /// About how many verifications are held; what only other stores count stays zero.
    pub(crate) fn stats(&self) -> impl Fn() -> Stats + Send + Sync + use<> {
        let live = Arc::clone(&self.live);
        move || Stats {
            live: live.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }

    pub(crate) fn store(&self) -> Arc<PostgresStore> {
        Arc::clone(&self.store)
    }

    pub(crate) fn accounts(&self) -> Arc<PostgresAccounts> {
        Arc::new(PostgresAccounts::over(Arc::clone(&self.store.pool)))
    }

    pub(crate) fn api_keys(&self) -> Arc<PostgresApiKeys> {
        Arc::clone(&self.api_keys)
    }
}

/// Ends the tasks and the connections; the ports refuse everything afterwards.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.sweeper.abort();
        self.store.pool.close();
    }
}

impl PostgresStore {
    /// Connects to a database and brings its schema to that of this release. Nothing is swept
    /// but by [`Self::sweep`].
    ///
    /// # Errors
    /// [`OpenError`], above all when there is no server, when the schema is a later release's, or
    /// when the database was used with another secret.
    pub async fn open(
        url: &PostgresUrl,
        keys: &KeyRing,
        clock: Arc<dyn Clock>,
        time: PostgresTime,
    ) -> Result<Self, OpenError> {
        let opened = async {
            let pool = Pool::new(url)?;
            schema::bring_up(&pool).await?;
            schema::check_keys(&pool, keys).await?;
            Ok(Self {
                pool,
                time,
                clock,
                heard: None,
            })
        };
        opened.await.map_err(|error: PostgresError| error.at(url))
    }
}

impl PostgresError {
    /// Names the database that it is about.
    fn at(self, url: &PostgresUrl) -> OpenError {
        OpenError::Postgres {
            database: url.to_string(),
            source: Box::new(self),
        }
    }
}

/// Brings the schema of a database to that of this release; makes it where there is none.
///
/// Starting a server does the same. Doing it twice, or on two nodes at once, is harmless.
///
/// # Errors
/// [`OpenError`], above all when a later release made the schema, or the role may not.
pub async fn migrate_postgres(url: &PostgresUrl) -> Result<Migrated, OpenError> {
    let migrated = async {
        let pool = Pool::new(url)?;
        schema::bring_up(&pool).await
    };
    migrated.await.map_err(|error| error.at(url))
}

/// What a database says of itself, for a person. Changes nothing.
pub(crate) async fn look(url: &PostgresUrl) -> Result<String, OpenError> {
    let looked = async { schema::look(&*Pool::new(url)?).await };
    let (found, newest) = looked.await.map_err(|error| error.at(url))?;
    Ok(match found {
        0 => format!("{url} answers and has no schema yet; the first start makes it"),
        _ if found < newest => format!(
            "{url} answers and has schema version {found}; the next start brings it to {newest}"
        ),
        _ => format!("{url} answers and has schema version {found}"),
    })
}

/// What [`crate::bare`] calls.
#[cfg(feature = "bare")]
pub(crate) mod bare {
    pub(crate) use super::rows::{deliveries_json, key_id, millis, quotas, slot_memory, tag};
    pub(crate) use super::sends::START;
    pub(crate) use super::store::{CHECK, NOTE};
}
