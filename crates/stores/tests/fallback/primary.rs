//! A primary storage that outages happen to.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};
use watchword_core::fakes::{self, SetClock};
use watchword_core::keys::Sealed;
use watchword_core::memory::MemoryStore;
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, DeliveryId, MessageKey, Note, Purpose,
    RecipientIndex, Replay, ReplayKey, ReplayStore, ResendOutcome, ResendStep, StartOutcome,
    StartStep, Store, StoreError, Timestamp, Turn, Verification, VerificationId, Withdrawal,
};
use watchword_stores::{PostgresStore, PostgresTime, PostgresUrl, RedisStorage, RedisTime};

use crate::postgres::{Installed, Server as PostgresServer};
use crate::redis::{self, RedisServer, SharedServer};

/// What the primary is, and what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In memory. Off, every step ends in an error that says nothing of whether it was done.
    Switched,
    /// The same, where no step was done.
    Unreached,
    /// A Redis that stays.
    Redis,
    /// `kill -9`, and a start with what it had kept.
    RedisKilled,
    /// It takes connections and answers nothing, and then goes on.
    RedisHanging,
    /// It becomes a replica, which hangs up on nobody and takes nothing that is written.
    RedisDemoted,
    /// `kill -9`, and a start with what it had kept.
    PostgresKilled,
    /// It takes connections and answers nothing, and then goes on.
    PostgresHanging,
}

impl Kind {
    /// Whether it can be had here. Where every store is to be tested, a missing one fails.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Self::Switched | Self::Unreached => true,
            Self::Redis | Self::RedisKilled | Self::RedisHanging | Self::RedisDemoted => {
                redis::is_there()
            }
            Self::PostgresKilled | Self::PostgresHanging => Installed::find().is_some(),
        }
    }

    /// The one in memory where this one cannot be had, and that was said.
    pub(crate) fn or_memory(self) -> Self {
        if self.is_there() {
            self
        } else {
            Self::Switched
        }
    }

    /// How long a step may take: as usual where nothing else ends it. Who was killed refuses at once, and who
    /// is there may be slow, as test machines are busy.
    const fn patience(self) -> &'static str {
        match self {
            Self::RedisHanging | Self::PostgresHanging => "",
            _ => "step_timeout=30000",
        }
    }

    /// How often what is left to chance is tried.
    pub(crate) fn rounds(self) -> u32 {
        match self {
            Self::Switched | Self::Unreached => 30,
            _ => 3,
        }
    }
}

/// One server for all tests that run at the same time, each of which has it for itself while it
/// runs: it dies in each of them.
static POSTGRES: SharedServer<Mutex<PostgresServer>> = SharedServer::new();
static REDIS: SharedServer<RedisServer> = SharedServer::new();
static NAMES: AtomicU32 = AtomicU32::new(0);

/// Holds the Redis that tests share for as long as a test needs it again and again.
pub(crate) fn hold_redis() -> Option<Arc<RedisServer>> {
    redis::is_there().then(|| REDIS.get(|| RedisServer::start(&[])))
}

fn name() -> String {
    format!("t{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

/// Both ports of verifications.
pub(crate) trait Both: Store + ReplayStore {}

impl<S: Store + ReplayStore> Both for S {}

/// A store, and what it stands on.
pub(crate) struct Primary {
    kind: Kind,
    store: Arc<dyn Both>,
    state: AtomicU8,
    /// The how manieth step from here on fails; none any more.
    fails: AtomicUsize,
    /// Whether it is away from that step on.
    stays: AtomicBool,
    /// Whether answers come a moment after their step.
    dawdles: AtomicBool,
    /// Held while answers are kept back.
    answers: Mutex<()>,
    server: Server,
}

enum Server {
    None,
    Shared {
        _server: Arc<RedisServer>,
        _storage: RedisStorage,
    },
    Redis {
        server: RedisServer,
        _storage: RedisStorage,
    },
    Postgres {
        server: Mutex<OwnedMutexGuard<PostgresServer>>,
        _shared: Arc<Mutex<PostgresServer>>,
    },
}

const ON: u8 = 0;
const OFF: u8 = 1;

async fn redis(url: &str) -> RedisStorage {
    let clock = Arc::new(SetClock::default());
    let (url, keys) = (url.parse().unwrap(), fakes::keys(1));
    let opened = RedisStorage::open(&url, &keys, clock, RedisTime::Caller);
    opened.await.unwrap()
}

impl Primary {
    pub(crate) async fn new(kind: Kind) -> Self {
        let (store, server): (Arc<dyn Both>, _) = match kind {
            Kind::Switched | Kind::Unreached => (Arc::new(MemoryStore::default()), Server::None),
            Kind::Redis => {
                let server = REDIS.get(|| RedisServer::start(&[]));
                let own = format!("?{}&namespace={}", kind.patience(), name());
                let storage = redis(&server.url(&own)).await;
                let store = storage.both();
                let (_server, _storage) = (server, storage);
                (store, Server::Shared { _server, _storage })
            }
            Kind::RedisKilled | Kind::RedisHanging | Kind::RedisDemoted => {
                let kept = ["--appendonly", "yes", "--appendfsync", "always"];
                let server = RedisServer::start(&kept);
                let storage = redis(&server.url(&format!("?{}", kind.patience()))).await;
                let store = storage.both();
                let _storage = storage;
                (store, Server::Redis { server, _storage })
            }
            Kind::PostgresKilled | Kind::PostgresHanging => {
                let shared = POSTGRES.get(|| {
                    let installed = Installed::find().unwrap();
                    Mutex::new(PostgresServer::start(installed))
                });
                let mut server = Arc::clone(&shared).lock_owned().await;
                // The test before may have ended in an outage.
                server.go_on();
                if TcpStream::connect(("127.0.0.1", server.port)).is_err() {
                    assert!(server.run(), "{}", server.log());
                }
                let name = name();
                server.sql("postgres", &format!("CREATE DATABASE {name}"));
                let url = format!("{}?{}", server.url(&name), kind.patience());
                let url = PostgresUrl::parse(&url).unwrap();
                let (keys, clock) = (fakes::keys(1), Arc::new(SetClock::default()));
                let store = PostgresStore::open(&url, &keys, clock, PostgresTime::Caller);
                let store = store.await.unwrap();
                let server = Server::Postgres {
                    server: Mutex::new(server),
                    _shared: shared,
                };
                (Arc::new(store), server)
            }
        };
        Self {
            kind,
            store,
            state: AtomicU8::new(ON),
            fails: AtomicUsize::new(0),
            stays: AtomicBool::new(false),
            dawdles: AtomicBool::new(false),
            answers: Mutex::default(),
            server,
        }
    }

    /// It is away from now on.
    pub(crate) async fn down(&self) {
        match &self.server {
            Server::None => self.state.store(OFF, Ordering::SeqCst),
            Server::Shared { .. } => panic!("others use it"),
            Server::Redis { server, .. } if self.kind == Kind::RedisHanging => server.hang(),
            Server::Redis { server, .. } if self.kind == Kind::RedisDemoted => {
                // Of nobody, so that it keeps what it has.
                server.connect().ask(&["REPLICAOF", "127.0.0.1", "1"]);
            }
            Server::Redis { server, .. } => server.kill(),
            Server::Postgres { server, .. } => {
                let mut server = server.lock().await;
                match self.kind {
                    Kind::PostgresHanging => server.hang(),
                    _ => server.kill(),
                }
            }
        }
    }

    /// It is there again.
    pub(crate) async fn up(&self) {
        match &self.server {
            Server::None => self.state.store(ON, Ordering::SeqCst),
            Server::Shared { .. } => panic!("others use it"),
            Server::Redis { server, .. } if self.kind == Kind::RedisHanging => server.go_on(),
            Server::Redis { server, .. } if self.kind == Kind::RedisDemoted => {
                server.connect().ask(&["REPLICAOF", "NO", "ONE"]);
            }
            Server::Redis { server, .. } => server.start_again(),
            Server::Postgres { server, .. } => {
                let mut server = server.lock().await;
                match self.kind {
                    Kind::PostgresHanging => server.go_on(),
                    _ => assert!(server.run(), "{}", server.log()),
                }
            }
        }
    }

    /// Lets connections that broke be found broken, as time does.
    pub(crate) async fn lose_connections(&self) {
        self.ready().await.unwrap_err();
    }

    /// One step fails, the how manieth from here on, and is not done. The others are done a moment
    /// before they are answered.
    pub(crate) fn fail_at(&self, step: usize) {
        self.dawdles.store(true, Ordering::SeqCst);
        self.fails.store(step, Ordering::SeqCst);
    }

    /// The same, and it is away from there on.
    pub(crate) fn go_down_at(&self, step: usize) {
        self.stays.store(true, Ordering::SeqCst);
        self.fail_at(step);
    }

    /// Whether that step has not come yet.
    pub(crate) fn is_to_fail(&self) -> bool {
        self.fails.load(Ordering::SeqCst) > 0
    }

    /// Keeps the answers of steps that are done until this is dropped.
    pub(crate) async fn hold_answers(&self) -> MutexGuard<'_, ()> {
        self.answers.lock().await
    }

    async fn dawdle(&self) {
        drop(self.answers.lock().await);
        if self.dawdles.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    fn reach(&self) -> Result<&dyn Both, StoreError> {
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        let count = |left: usize| left.checked_sub(1);
        if self.fails.fetch_update(set, fetch, count) == Ok(1) {
            if self.stays.load(Ordering::SeqCst) {
                self.state.store(OFF, Ordering::SeqCst);
            }
            return Err(StoreError::unavailable("it failed this once"));
        }
        match (self.state.load(Ordering::SeqCst), self.kind) {
            (ON, _) => Ok(&*self.store),
            (_, Kind::Unreached) => Err(StoreError::not_reached("nobody is there")),
            _ => Err(StoreError::unavailable("switched off")),
        }
    }
}

macro_rules! behind_the_switch {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for Primary {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$answer, StoreError> {
                let answer = self.reach()?.$name($($argument),*).await;
                self.dawdle().await;
                answer
            })+
        }
    };
}

behind_the_switch! {
    start(step: StartStep, now: Timestamp) -> StartOutcome;
    resend(step: ResendStep, now: Timestamp) -> ResendOutcome;
    check(step: CheckStep, now: Timestamp) -> CheckOutcome;
    get(app: &AppId, id: VerificationId, now: Timestamp) -> Option<Verification>;
    newest(app: &AppId, recipient: RecipientIndex, purpose: &Purpose, now: Timestamp) -> Option<Verification>;
    cancel(app: &AppId, id: VerificationId, now: Timestamp) -> CancelOutcome;
    withdraw(step: Withdrawal, now: Timestamp) -> ();
    fail(id: VerificationId, sent_at: Timestamp, now: Timestamp) -> ();
    note(id: VerificationId, note: Note, now: Timestamp) -> Option<Turn>;
    locate(name: MessageKey, now: Timestamp) -> Option<(VerificationId, DeliveryId)>;
    overdue(most: usize, now: Timestamp) -> Vec<VerificationId>;
    fall_back(id: VerificationId, now: Timestamp) -> Option<Turn>;
    unlock(recipient: RecipientIndex, now: Timestamp) -> bool;
    remembered(recipient: RecipientIndex, now: Timestamp) -> watchword_core::Remembered;
    erase(recipient: RecipientIndex, now: Timestamp) -> u64;
    ready() -> ();
}

#[async_trait]
impl ReplayStore for Primary {
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError> {
        let store = self.reach()?;
        store.claim(key, fingerprint, running_until, now).await
    }

    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError> {
        self.reach()?.finish(key, answer, keep_until).await
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        self.reach()?.abandon(key).await
    }
}
