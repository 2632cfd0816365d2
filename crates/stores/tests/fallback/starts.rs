//! Through the door that the program takes: starts while the primary is away, and what it has to be
//! before it is used.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use watchword_core::fakes::{self, SeededEntropy, SetClock};
use watchword_core::{
    ApiKey, ApiKeyRecord, ApiKeyStore as _, AppId, Readiness, Scope, Timestamp, VerificationId,
};
use watchword_stores::{
    OpenError, OpenOptions, Opened, RedisRefused, SqliteApiKeys, StorageUrl, open,
};

use super::server::{Server, is_limited, is_unavailable};
use crate::postgres::{Installed, Server as Postgres};
use crate::redis::{self, RedisServer};

const TO: &str = "+14155550100";
/// How long anything may take to come round. Test machines are busy.
const PATIENCE: Duration = Duration::from_mins(1);

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::default().plus(since.unwrap())
}

/// A node, and the file that stands in for its primary.
async fn node(url: &str, file: Option<&Path>) -> Result<(Opened, Server), OpenError> {
    let clock = Arc::new(SetClock::new(now()));
    let mut options = OpenOptions::new(Arc::new(fakes::keys(1)), Arc::clone(&clock) as Arc<_>);
    options.fallback = file.map(Path::to_owned);
    let opened = open(&StorageUrl::parse(url).unwrap(), options).await?;
    // Ids and codes differ from process to process.
    static SEEDS: AtomicU64 = AtomicU64::new(1);
    let seed = SEEDS.fetch_add(1, Ordering::Relaxed);
    let server = Server::over(Arc::clone(&opened.store), clock, seed);
    Ok((opened, server))
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server that a start may miss.
trait Absent {
    fn kill(&mut self);
    fn start_again(&mut self);
}

impl Absent for RedisServer {
    fn kill(&mut self) {
        Self::kill(self);
    }

    fn start_again(&mut self) {
        Self::start_again(self);
    }
}

impl Absent for Postgres {
    fn kill(&mut self) {
        Self::kill(self);
    }

    fn start_again(&mut self) {
        assert!(self.run(), "{}", self.log());
    }
}

const KEPT: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

async fn a_start_in_an_outage(server: &mut dyn Absent, url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("local.db");
    // Two of three before, by a process that ended.
    let (opened, before) = node(url, Some(&file)).await.unwrap();
    assert_eq!(opened.store.readiness().await.unwrap(), Readiness::Ready);
    let old = before.started(TO).await;
    before.started(TO).await;
    opened.close().await;
    server.kill();
    assert!(node(url, None).await.is_err(), "nothing stands in for it");

    let (opened, server_here) = node(url, Some(&file)).await.unwrap();
    assert!(opened.stats.read().degraded);
    assert_eq!(opened.store.readiness().await.unwrap(), Readiness::Degraded);
    let id: VerificationId = server_here.started(TO).await;
    assert!(is_limited(&server_here.start(TO).await), "the fourth");
    let gone = server_here.check(old, &before.code(old)).await;
    assert!(is_unavailable(&gone));
    assert!(server_here.check(id, &server_here.code(id)).await.is_ok());
    let to = "+14155550101";
    for _ in 0..3 {
        server_here.started(to).await;
    }

    server.start_again();
    until("it goes over to the primary", async || {
        !opened.stats.read().degraded
    })
    .await;
    let (other, beside) = node(url, None).await.unwrap();
    for to in [TO, to] {
        assert!(
            is_limited(&beside.start(to).await),
            "counted at the primary"
        );
        assert!(is_limited(&server_here.start(to).await));
    }
    assert!(
        server_here.check(id, &server_here.code(id)).await.is_err(),
        "once"
    );
    let id = server_here.started("+14155550102").await;
    assert!(
        beside.check(id, &server_here.code(id)).await.is_ok(),
        "it is shared again"
    );
    other.close().await;
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_without_its_redis_and_goes_over_to_it_by_itself() {
    if redis::is_there() {
        let mut server = RedisServer::start(&KEPT);
        let url = server.url("");
        a_start_in_an_outage(&mut server, &url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_without_its_postgres_and_goes_over_to_it_by_itself() {
    if let Some(installed) = Installed::find() {
        let mut server = Postgres::start(installed);
        let url = server.url("postgres");
        a_start_in_an_outage(&mut server, &url).await;
    }
}

/// The first start of all: the schema is made when the server is first there.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_was_never_there_gets_its_schema_when_it_comes() {
    let Some(installed) = Installed::find() else {
        return;
    };
    let mut server = Postgres::start(installed);
    let (folder, url) = (tempfile::tempdir().unwrap(), server.url("postgres"));
    server.kill();
    let file = folder.path().join("local.db");
    let (opened, node) = node(&url, Some(&file)).await.unwrap();
    let id = node.started(TO).await;
    server.start_again();
    until("it goes over to the primary", async || {
        !opened.stats.read().degraded
    })
    .await;
    assert!(node.check(id, &node.code(id)).await.is_ok());
    let sends = "SELECT count(*) FROM watchword.recipient";
    assert_eq!(server.sql("postgres", sends), "1\n");
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_throws_keys_away_is_not_used_when_it_comes_until_that_is_mended() {
    if !redis::is_there() {
        return;
    }
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let (folder, url) = (tempfile::tempdir().unwrap(), server.url(""));
    let file = folder.path().join("local.db");
    let refused = node(&url, Some(&file)).await.map(|_| ()).unwrap_err();
    assert!(
        matches!(refused, OpenError::Redis(RedisRefused::Evicts { .. })),
        "one that is there has to be right: {refused}"
    );
    server.kill();
    let (opened, node) = node(&url, Some(&file)).await.unwrap();
    let id = node.started(TO).await;
    server.start_again();
    let mut raw = server.connect();
    until("it is looked at, more than once", async || {
        let told = raw.ask(&["INFO", "commandstats"]).text();
        let looks = told
            .lines()
            .find(|line| line.starts_with("cmdstat_config|get:"));
        looks.is_some_and(|line| !line.contains("calls=1,"))
    })
    .await;
    assert!(opened.stats.read().degraded);
    assert_eq!(raw.ask(&["DBSIZE"]).number(), 0, "nothing was kept there");
    assert!(node.start(TO).await.is_ok());
    raw.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    until("it goes over to the primary", async || {
        !opened.stats.read().degraded
    })
    .await;
    assert!(raw.ask(&["DBSIZE"]).number() > 0);
    assert!(
        node.check(id, &node.code(id)).await.is_err(),
        "a newer one took its place"
    );
    opened.close().await;
}

fn api_key(number: u64) -> ApiKeyRecord {
    let key = ApiKey::generate(&SeededEntropy::new(number)).unwrap();
    ApiKeyRecord {
        id: key.id().clone(),
        name: format!("key {number}"),
        app: AppId::default(),
        scopes: [Scope::UnlockRecipients].into_iter().collect(),
        hash: key.hash(),
        created_at: now(),
        expires_at: None,
        revoked_at: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_that_were_good_stay_good_in_an_outage_and_no_others() {
    if !redis::is_there() {
        return;
    }
    let server = RedisServer::start(&KEPT);
    let (folder, url) = (tempfile::tempdir().unwrap(), server.url(""));
    let file = folder.path().join("local.db");
    let (opened, _) = node(&url, Some(&file)).await.unwrap();
    let (good, revoked) = (api_key(1), api_key(2));
    for key in [&good, &revoked] {
        opened.api_keys.add(key.clone()).await.unwrap();
    }
    assert!(opened.api_keys.revoke(&revoked.id, now()).await.unwrap());
    // Of another primary, which the file stood in for before.
    let copy = SqliteApiKeys::open(&file).unwrap();
    let foreign = api_key(3);
    copy.add(foreign.clone()).await.unwrap();
    until("they are copied", async || {
        let copied = copy.list().await.unwrap();
        let all = copied.len() == 3;
        all && copied
            .iter()
            .all(|key| key.revoked_at.is_none() == (key.id == good.id))
    })
    .await;
    opened.close().await;
    server.kill();
    let (opened, _) = node(&url, Some(&file)).await.unwrap();
    let found = async |key: &ApiKeyRecord| opened.api_keys.find(&key.id).await.unwrap();
    assert_eq!(found(&good).await.unwrap().hash, good.hash);
    for key in [&revoked, &foreign] {
        assert!(found(key).await.unwrap().revoked_at.is_some());
    }
    assert!(found(&api_key(4)).await.is_none());
    assert!(
        opened.api_keys.add(api_key(5)).await.is_err(),
        "the primary's"
    );
    opened.close().await;
}
