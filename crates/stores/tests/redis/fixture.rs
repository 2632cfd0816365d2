//! Stores on servers that the tests share, each in a namespace of its own.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use watchword_core::fakes::{self, SetClock};
use watchword_core::memory::MemoryStore;
use watchword_core::{ReplayStore, Store};
use watchword_stores::{RedisRefused, RedisStorage, RedisStore, RedisTime, RedisUrl};

use super::servers::{RedisCluster, RedisServer, SharedServer, is_there};

static SERVER: SharedServer<RedisServer> = SharedServer::new();
static CLUSTER: SharedServer<RedisCluster> = SharedServer::new();
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// A test that takes so long hangs.
pub(crate) const HANGS: Duration = Duration::from_secs(60);

/// Where no promise is about slowness, a machine that has much else to do is no failure.
const PATIENT: &str = "step_timeout=30000";

/// An open store, and what it runs on.
pub(crate) struct Fixture<S> {
    pub(crate) storage: RedisStorage,
    pub(crate) store: Arc<RedisStore>,
    pub(crate) server: Arc<S>,
    pub(crate) url: String,
}

impl<S> Deref for Fixture<S> {
    type Target = RedisStore;

    fn deref(&self) -> &RedisStore {
        &self.store
    }
}

impl<S> Fixture<S> {
    /// Another node's view of the same storage.
    pub(crate) async fn beside(&self) -> RedisStorage {
        open(&self.url, RedisTime::Caller).await.unwrap()
    }

    /// For a verifier.
    pub(crate) fn port(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
}

pub(crate) async fn open(url: &str, time: RedisTime) -> Result<RedisStorage, RedisRefused> {
    let url: RedisUrl = url.parse().unwrap();
    let clock = Arc::new(SetClock::default());
    RedisStorage::open(&url, &fakes::keys(1), clock, time).await
}

/// A namespace that nobody has.
pub(crate) fn namespace() -> String {
    format!("t{}", NAMESPACES.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn on<S>(server: Arc<S>, url: String) -> Fixture<S> {
    let storage = open(&url, RedisTime::Caller).await.unwrap();
    Fixture {
        store: storage.both(),
        storage,
        server,
        url,
    }
}

/// Holds the servers that all tests share for as long as a test needs them again and again.
pub(crate) fn hold_server() -> Option<Arc<RedisServer>> {
    is_there().then(|| SERVER.get(|| RedisServer::start(&[])))
}

/// The same of the cluster.
pub(crate) fn hold_cluster() -> Option<Arc<RedisCluster>> {
    is_there().then(|| CLUSTER.get(RedisCluster::start))
}

/// A store in a namespace of its own, on the server that all tests share; nothing where there is
/// no `redis-server`.
pub(crate) async fn on_a_server() -> Option<Fixture<RedisServer>> {
    let server = hold_server()?;
    let url = server.url(&format!("?{PATIENT}&namespace={}", namespace()));
    Some(on(server, url).await)
}

/// A store on a server of its own, which nobody else uses.
pub(crate) async fn on_its_own(options: &[&str]) -> Option<Fixture<RedisServer>> {
    let server = is_there().then(|| Arc::new(RedisServer::start(options)))?;
    let url = server.url("");
    Some(on(server, url).await)
}

/// A store in a namespace of its own, on the cluster that all tests share.
pub(crate) async fn on_a_cluster() -> Option<Fixture<RedisCluster>> {
    let cluster = hold_cluster()?;
    let url = cluster.url(&format!("?{PATIENT}&namespace={}", namespace()));
    Some(on(cluster, url).await)
}

/// What the promises of every store ask for.
pub(crate) trait Both: Store + ReplayStore {}

impl<S: Store + ReplayStore> Both for S {}

/// A store that the promises of every store are asked of. Where there is no `redis-server`, and
/// that was said, it is the one in memory.
pub(crate) struct Asked {
    store: Arc<dyn Both>,
    _kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Deref for Asked {
    type Target = dyn Both;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

pub(crate) async fn asked<S: Send + Sync + 'static>(
    fresh: impl Future<Output = Option<Fixture<S>>>,
) -> Asked {
    match fresh.await {
        Some(fixture) => Asked {
            store: Arc::clone(&fixture.store) as Arc<dyn Both>,
            _kept: Some(Box::new(fixture)),
        },
        None => Asked {
            store: Arc::new(MemoryStore::default()),
            _kept: None,
        },
    }
}
