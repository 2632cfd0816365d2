//! Stores that histories move between.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use watchword_core::Store;
use watchword_core::fakes::{self, SetClock};
use watchword_core::moving::Rows;
use watchword_stores::{OpenOptions, RedisStorage, RedisTime, RedisUrl, StorageUrl};

use crate::fixture::Database;
use crate::servers::{RedisCluster, RedisServer, SharedServer, is_there};

/// A store, as steps and as rows, and what keeps it open.
pub(crate) struct Home {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) rows: Arc<dyn Rows>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Home {
    /// In a file of its own.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StorageUrl::Sqlite(folder.path().join("watchword.db"));
        let options = OpenOptions::new(Arc::new(fakes::keys(1)), Arc::new(SetClock::default()));
        let opened = watchword_stores::open(&url, options).await.unwrap();
        Self {
            store: Arc::clone(&opened.store),
            rows: opened.rows.clone().unwrap(),
            _kept: Box::new((opened, folder)),
        }
    }

    /// In a database that has been used before, and is empty again.
    pub(crate) async fn postgres(database: Arc<Database>) -> Self {
        database.clear();
        let store = Arc::new(database.store().await);
        Self {
            store: Arc::clone(&store) as Arc<dyn Store>,
            rows: store,
            _kept: Box::new(database),
        }
    }

    /// In a namespace of its own.
    pub(crate) async fn redis(url: String) -> Self {
        let parsed: RedisUrl = url.parse().unwrap();
        let clock = Arc::new(SetClock::default());
        let keys = fakes::keys(1);
        let storage = RedisStorage::open(&parsed, &keys, clock, RedisTime::Caller).await;
        let storage = storage.unwrap();
        Self {
            store: storage.store(),
            rows: storage.both(),
            _kept: Box::new(storage),
        }
    }
}

static SERVER: SharedServer<RedisServer> = SharedServer::new();
static CLUSTER: SharedServer<RedisCluster> = SharedServer::new();
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// A Redis that tests share; its URL names another namespace each time.
pub(crate) struct Shared {
    url: Box<dyn Fn(&str) -> String + Send + Sync>,
}

impl Shared {
    pub(crate) fn url(&self) -> String {
        let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        (self.url)(&format!("?step_timeout=30000&namespace=t{number}"))
    }
}

/// One server, where there is one to test with.
pub(crate) fn server() -> Option<Shared> {
    let server = is_there().then(|| SERVER.get(|| RedisServer::start(&[])))?;
    let url = Box::new(move |rest: &str| server.url(rest));
    Some(Shared { url })
}

/// A cluster, where there is one to test with.
pub(crate) fn cluster() -> Option<Shared> {
    let cluster = is_there().then(|| CLUSTER.get(RedisCluster::start))?;
    let url = Box::new(move |rest: &str| cluster.url(rest));
    Some(Shared { url })
}
