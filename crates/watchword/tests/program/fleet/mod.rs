//! Several nodes of the program over one store: what one of them did, all of them know.
//!
//! The stores are private processes. One that is not installed is a failure where
//! `WATCHWORD_TEST_ALL_STORES` is 1, else a skip that says so.

mod failover;
mod failures;
mod isolation;
mod kept;
mod moving;
mod partition;
mod restart;
mod restoring;
mod rotation;
mod sharing;
mod stand_in;
mod standby;

use std::future::Future;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Value, json};
use watchword_stand_ins::{Family, Mode, Options, StandIn};

use crate::postgres;
use crate::redis::{self, RedisCluster, RedisServer, SharedServer};
use crate::server::{Answer, Caller, Server, folder, keygen, make_key, program};

static POSTGRES: LazyLock<Option<&'static postgres::Server>> =
    LazyLock::new(|| Some(postgres::Server::start(postgres::Installed::find()?).keep()));
static REDIS: SharedServer<RedisServer> = SharedServer::new();
static CLUSTER: SharedServer<RedisCluster> = SharedServer::new();
/// So that tests that share a server do not share what is in it.
static NAMES: AtomicU32 = AtomicU32::new(0);

/// A storage for one fleet, and what has to live as long.
struct Storage {
    url: String,
    /// Where accounts are, if the surface auth is served.
    accounts: Option<String>,
    _held: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

impl Storage {
    fn at(url: String) -> Self {
        Self {
            url,
            accounts: None,
            _held: None,
        }
    }

    /// Whose nodes wait for it as long as they usually do.
    fn with_usual_patience(mut self) -> Self {
        self.url = self.url.replace("step_timeout=20000&", "");
        self
    }

    /// With the surface auth, whose accounts are in PostgreSQL. Nothing where that is missing.
    fn with_accounts(mut self) -> Option<Self> {
        let beside = self.url.starts_with("postgres:");
        self.accounts = Some(if beside {
            self.url.clone()
        } else {
            Self::postgres()?.url
        });
        Some(self)
    }

    fn postgres() -> Option<Self> {
        let server = (*POSTGRES)?;
        let name = format!("t{}", NAMES.fetch_add(1, Ordering::Relaxed));
        server.sql("postgres", &format!("CREATE DATABASE {name}"));
        // A machine that tests is busy, and has one server for many fleets.
        let url = format!("{}?step_timeout=20000&pool_size=6", server.url(&name));
        Some(Self::at(url))
    }

    fn redis() -> Option<Self> {
        let server = redis::is_there().then(|| REDIS.get(|| RedisServer::start(&[])))?;
        Some(Self {
            _held: Some(Arc::clone(&server) as _),
            ..Self::at(server.url(&Self::namespace()))
        })
    }

    fn redis_cluster() -> Option<Self> {
        let cluster = redis::is_there().then(|| CLUSTER.get(RedisCluster::start))?;
        Some(Self {
            _held: Some(Arc::clone(&cluster) as _),
            ..Self::at(cluster.url(&Self::namespace()))
        })
    }

    fn namespace() -> String {
        format!("?namespace=t{}", NAMES.fetch_add(1, Ordering::Relaxed))
    }
}

/// Makes each of these functions a test on every store that nodes can share.
macro_rules! on_every_store {
    ($($test:ident)*) => {
        on_every_store!(@ postgres $($test)*);
        on_every_store!(@ redis $($test)*);
        on_every_store!(@ redis_cluster $($test)*);
    };
    (@ $store:ident $($test:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let storage = tokio::task::spawn_blocking($crate::fleet::Storage::$store);
                    if let Some(storage) = storage.await.unwrap() {
                        super::$test(storage).await;
                    }
                }
            )*
        }
    };
}
use on_every_store;

/// The usual policy, where only the recipient's limits matter.
const POLICY: &str = "resend_cooldown = \"0s\"\n\
    limits = [{ per = \"recipient\", max = 3, window = \"10m\" }]\n";

/// Nodes over one store, and the provider that all of them send to.
struct Fleet {
    nodes: Vec<Server>,
    callers: Vec<Caller>,
    folder: tempfile::TempDir,
    twilio: StandIn,
    storage: Storage,
}

impl Fleet {
    /// Three nodes with the usual policy.
    async fn of(storage: Storage) -> Self {
        Self::with(storage, POLICY, "sms = [\"twilio\"]", 3).await
    }

    async fn with(storage: Storage, policy: &str, channels: &str, nodes: usize) -> Self {
        let twilio = StandIn::start(Family::Twilio, Options::default());
        let twilio = twilio.await.unwrap();
        twilio.set_mode(Mode::AcceptWithoutReceipts);
        let folder = folder();
        let (more, surfaces) = match &storage.accounts {
            Some(url) => (
                format!("accounts_url = \"{url}\"\n"),
                "\"native\", \"auth\"",
            ),
            None => (String::new(), "\"native\""),
        };
        let text = format!(
            "secret_key = \"{}\"\ndefault_region = \"US\"\n[policy]\n{policy}[channels]\n{channels}\n\
             [providers.twilio]\n{}[storage]\nurl = \"{}\"\n{more}\
             [[listeners]]\nbind = \"127.0.0.1:0\"\nsurfaces = [{surfaces}]\n[admin]\nbind = \"127.0.0.1:0\"\n",
            keygen(folder.path()),
            twilio.settings("twilio-sms").unwrap(),
            storage.url,
        );
        std::fs::write(folder.path().join("watchword.toml"), text).unwrap();
        let mut fleet = Self {
            nodes: Vec::new(),
            callers: Vec::new(),
            folder,
            twilio,
            storage,
        };
        let key = fleet.make_key();
        for place in 0..nodes {
            let node = fleet.serve(place);
            fleet.callers.push(Caller::new(&node, Some(&key)));
            fleet.nodes.push(node);
        }
        fleet
    }

    /// Starts one more process of a node.
    fn serve(&self, place: usize) -> Server {
        self.serve_over(place, &self.storage.url)
    }

    /// The same, which reaches the storage by another URL.
    fn serve_over(&self, place: usize, storage: &str) -> Server {
        let mut command = self.command();
        command.env("WATCHWORD__STORAGE__URL", storage);
        self.start(place, command)
    }

    /// What starts a node.
    fn command(&self) -> Command {
        let mut command = program(self.folder.path());
        command.args(["serve", "--config", "watchword.toml"]);
        command
    }

    fn start(&self, place: usize, command: Command) -> Server {
        let log = self.folder.path().join(format!("node{place}.log"));
        Server::start_logging(command, &log)
    }

    /// An API key for everything that callers do.
    fn make_key(&self) -> String {
        let scopes = [
            "verifications:write",
            "verifications:read",
            "verifications:check",
            "recipients:unlock",
            "end_user_ip:assert",
        ];
        let scopes = scopes.map(|scope| ["--scope", scope]).concat();
        make_key(self.folder.path(), &scopes)
    }

    /// Does the same so many times at once, at one node after the other.
    async fn at_once<F, W>(&self, times: usize, what: F) -> Vec<Answer>
    where
        F: Fn(usize, Caller) -> W,
        W: Future<Output = Answer> + Send + 'static,
    {
        let all: Vec<_> = (0..times)
            .map(|turn| {
                let caller = self.callers[turn % self.callers.len()].clone();
                tokio::spawn(what(turn, caller))
            })
            .collect();
        let mut answers = Vec::with_capacity(times);
        for one in all {
            answers.push(one.await.unwrap());
        }
        answers
    }

    /// The codes that were sent to a number, in that order.
    fn codes(&self, to: &str) -> Vec<String> {
        let messages = self.twilio.messages().into_iter();
        let theirs = messages.filter(|message| message.to == to);
        theirs.map(|message| message.code.unwrap()).collect()
    }

    /// Starts a verification at the first node; its id and code.
    async fn begin(&self, to: &str) -> (String, String) {
        let started = self.callers[0].start(to).await;
        assert_eq!(started.status, 201, "{}", started.text);
        (started.id(), self.codes(to).pop().unwrap())
    }

    fn logs(&self) -> String {
        let logs = self.nodes.iter().map(Server::log_text);
        logs.collect()
    }
}

/// How many of the answers are of each kind: the status, and the code of a problem.
fn tally(answers: &[Answer]) -> std::collections::BTreeMap<String, usize> {
    let mut tally = std::collections::BTreeMap::new();
    for answer in answers {
        *tally.entry(kind(answer)).or_default() += 1;
    }
    tally
}

fn kind(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let kind = format!("{} {}", answer.status, body["code"].as_str().unwrap_or(""));
    kind.trim_end().to_owned()
}

/// `[("201", 3), …]` as a tally.
fn counts<const N: usize>(
    expected: [(&str, usize); N],
) -> std::collections::BTreeMap<String, usize> {
    expected
        .map(|(kind, count)| (kind.to_owned(), count))
        .into()
}

/// How long anything may take to come round. Test machines are busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks until the answer is of a kind, for as long as a test may take.
async fn until<W: Future<Output = Answer>>(expected: u16, ask: impl Fn() -> W) -> Answer {
    let began = std::time::Instant::now();
    loop {
        let answer = ask().await;
        if answer.status == expected {
            return answer;
        }
        let waited = began.elapsed();
        assert!(waited < PATIENCE, "still no {expected}: {}", answer.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn start_for(to: &str, purpose: usize) -> Value {
    json!({ "to": to, "purpose": format!("p{purpose}") })
}
