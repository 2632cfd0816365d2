//! Stores on one server that all tests of this file share, each in a database of its own.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use watchword_core::fakes::{self, SetClock};
use watchword_stores::{PostgresAccounts, PostgresStore, PostgresTime, PostgresUrl};

use crate::server::{Installed, Server};

/// A database that has the schema, for all others to be copied from.
const TEMPLATE: &str = "migrated";
/// The same, with its tables in partitions.
const PARTITIONED: &str = "partitioned";
pub(crate) const PARTITIONS: u16 = 16;

static SERVER: LazyLock<Option<&'static Server>> = LazyLock::new(|| {
    let server = Server::start(Installed::find()?).keep();
    server.sql("postgres", &format!("CREATE DATABASE {TEMPLATE}"));
    // In a runtime of its own, which takes the connection along when it ends.
    let url = url(&server.socket_url(TEMPLATE));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let migrate = move || {
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime
            .block_on(watchword_stores::migrate_postgres(&url))
            .unwrap();
    };
    std::thread::spawn(migrate).join().unwrap();
    Some(server)
});
static SPREAD: LazyLock<()> = LazyLock::new(|| {
    let server = shared().unwrap();
    let copy = format!("CREATE DATABASE {PARTITIONED} TEMPLATE {TEMPLATE}");
    server.sql("postgres", &copy);
    let url = url(&server.socket_url(PARTITIONED));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let partition = move || {
        let runtime = { runtime }.enable_all().build().unwrap();
        let done = watchword_stores::partition_postgres(&url, PARTITIONS);
        runtime.block_on(done).unwrap();
    };
    std::thread::spawn(partition).join().unwrap();
});
static DATABASES: AtomicU32 = AtomicU32::new(0);
/// Databases that nobody needs any more.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The server, if one is installed.
pub(crate) fn shared() -> Option<&'static Server> {
    *SERVER
}

/// Runs what needs a server, where one is installed.
pub(crate) fn if_installed(test: impl FnOnce()) {
    if shared().is_some() {
        test();
    }
}

/// A connection string whose steps may take their time: a machine that tests is busy.
pub(crate) fn url(text: &str) -> PostgresUrl {
    PostgresUrl::parse(&format!("{text}?step_timeout=20000")).unwrap()
}

/// The name of a fresh database with the schema, gone when it is dropped.
pub(crate) struct Database {
    pub(crate) server: &'static Server,
    pub(crate) name: String,
}

impl Database {
    /// Copied from the template.
    pub(crate) fn migrated() -> Self {
        Self::create(&format!("TEMPLATE {TEMPLATE}"))
    }

    /// With tables in [`PARTITIONS`] partitions each.
    pub(crate) fn partitioned() -> Self {
        LazyLock::force(&SPREAD);
        Self::create(&format!("TEMPLATE {PARTITIONED}"))
    }

    /// With nothing in it.
    pub(crate) fn empty() -> Self {
        Self::create("")
    }

    fn create(from: &str) -> Self {
        let server = shared().unwrap();
        for name in std::mem::take(&mut *LEFT.lock().unwrap()) {
            server.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        server.sql("postgres", &format!("CREATE DATABASE {name} {from}"));
        Self { server, name }
    }

    pub(crate) fn url(&self) -> PostgresUrl {
        url(&self.server.socket_url(&self.name))
    }

    pub(crate) fn sql(&self, text: &str) -> String {
        self.server.sql(&self.name, text)
    }

    /// Forgets everything that steps left there. Quicker than a fresh one.
    pub(crate) fn clear(&self) {
        let tables = [
            "verification",
            "recipient",
            "source",
            "message_name",
            "replay",
        ];
        let clear = tables.map(|table| format!("DELETE FROM watchword.{table}"));
        self.sql(&clear.join("; "));
    }

    /// One more store on it, by the clock of its callers.
    pub(crate) async fn store(&self) -> PostgresStore {
        open(&self.url(), PostgresTime::Caller).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        LEFT.lock().unwrap().push(std::mem::take(&mut self.name));
    }
}

pub(crate) async fn open(url: &PostgresUrl, time: PostgresTime) -> PostgresStore {
    let clock = Arc::new(SetClock::default());
    let opened = PostgresStore::open(url, &fakes::keys(1), clock, time).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// A store, and the database that it has for itself.
pub(crate) struct Fixture {
    store: PostgresStore,
    pub(crate) database: Arc<Database>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let database = Arc::new(Database::migrated());
        let store = database.store().await;
        Self { store, database }
    }

    /// With tables in partitions.
    pub(crate) async fn partitioned() -> Self {
        let database = Arc::new(Database::partitioned());
        let store = database.store().await;
        Self { store, database }
    }

    /// A database that has been used before.
    pub(crate) async fn on(database: Arc<Database>) -> Self {
        database.clear();
        let store = database.store().await;
        Self { store, database }
    }
}

impl Deref for Fixture {
    type Target = PostgresStore;

    fn deref(&self) -> &PostgresStore {
        &self.store
    }
}

/// Accounts, and the database that they have for themselves.
pub(crate) struct Accounts {
    accounts: PostgresAccounts,
    _database: Database,
}

impl Accounts {
    pub(crate) async fn new() -> Self {
        let database = Database::migrated();
        let accounts = PostgresAccounts::open(&database.url()).await.unwrap();
        Self {
            accounts,
            _database: database,
        }
    }
}

impl Deref for Accounts {
    type Target = PostgresAccounts;

    fn deref(&self) -> &PostgresAccounts {
        &self.accounts
    }
}

/// A fresh one of these, or the end of the test where no server is installed.
macro_rules! fresh {
    ($fixture:ident) => {{
        if $crate::fixture::shared().is_none() {
            return;
        }
        $fixture::new()
    }};
}
pub(crate) use fresh;
