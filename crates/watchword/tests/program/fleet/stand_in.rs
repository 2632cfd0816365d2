//! A local store stands in for PostgreSQL or Redis: what callers of the surface `whatsapp`, and an
//! operator, see of an outage, of a node that dies in it, and of the way back.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;
use watchword_stand_ins::{Family, Mode, Options, StandIn};

use super::PATIENCE;
use super::failures::{Outage, Store};
use crate::postgres::{Installed, Server as Postgres};
use crate::redis::{self, RedisServer};
use crate::server::{Answer, Caller, Server, another, folder, keygen, make_key, program, run};

const GOES: &str = "the primary storage is away; the local one stands in for it";
const COMES: &str = "the primary storage is back, and has what was counted meanwhile";

/// One node with a local store beside the primary, and the provider that it sends to.
struct Site {
    folder: TempDir,
    gupshup: StandIn,
    key: String,
    logs: AtomicUsize,
}

impl Site {
    async fn of(storage: &str) -> Self {
        let mut site = Self::of_nobody(storage).await;
        let scopes = ["verifications:write", "recipients:unlock"];
        let scopes = scopes.map(|scope| ["--scope", scope]).concat();
        site.key = make_key(site.folder.path(), &scopes);
        site
    }

    /// The same without an API key.
    async fn of_nobody(storage: &str) -> Self {
        let gupshup = StandIn::start(Family::Gupshup, Options::default());
        let gupshup = gupshup.await.unwrap();
        gupshup.set_mode(Mode::AcceptWithoutReceipts);
        let folder = folder();
        let text = format!(
            "secret_key = \"{}\"\n[policy]\nmax_attempts = 10\nresend_cooldown = \"0s\"\n\
             limits = [{{ per = \"recipient\", max = 3, window = \"10m\" }}]\n\
             [channels]\nwhatsapp = [\"gupshup\"]\n[providers.gupshup]\n{}\
             [storage]\nurl = \"{storage}\"\nfallback = \"local\"\n\
             [[listeners]]\nbind = \"127.0.0.1:0\"\nsurfaces = [\"native\", \"whatsapp\"]\n\
             [admin]\nbind = \"127.0.0.1:0\"\n",
            keygen(folder.path()),
            gupshup.settings("gupshup-whatsapp").unwrap(),
        );
        std::fs::write(folder.path().join("watchword.toml"), text).unwrap();
        Self {
            folder,
            gupshup,
            key: String::new(),
            logs: AtomicUsize::new(0),
        }
    }

    /// One more process, with a log of its own.
    fn serve(&self, variables: &[(&str, &str)]) -> Node<'_> {
        let mut command = program(self.folder.path());
        command.args(["serve", "--config", "watchword.toml"]);
        command.envs(variables.iter().copied());
        let log = self.logs.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("{log}.log"));
        let server = Server::start_logging(command, &log);
        Node {
            site: self,
            public: Caller::new(&server, None),
            caller: Caller::new(
                &server,
                Some(&self.key)
                    .filter(|key| !key.is_empty())
                    .map(String::as_str),
            ),
            server,
        }
    }

    /// What the file that stands in knows of API keys.
    fn copied_keys(&self) -> String {
        let mut list = program(self.folder.path());
        list.args(["apikey", "list", "--config", "watchword.toml"])
            .env("WATCHWORD__STORAGE__URL", "sqlite:watchword-fallback.db")
            .env("WATCHWORD__STORAGE__FALLBACK", "none");
        run(&mut list).out
    }

    /// The newest code that was sent to a number.
    fn code(&self, to: &str) -> String {
        let messages = self.gupshup.messages();
        let mut theirs = messages.iter().rev().filter(|message| message.to == to);
        theirs.next().unwrap().code.clone().unwrap()
    }
}

struct Node<'a> {
    site: &'a Site,
    server: Server,
    /// Without a key, as the callers of `whatsapp`.
    public: Caller,
    caller: Caller,
}

impl Node<'_> {
    /// Status and message of what `whatsapp` answers.
    async fn ask(&self, path: &str, body: Value) -> (u16, String) {
        let answer = self.public.post(path, body).await;
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        (answer.status, message)
    }

    async fn send(&self, to: &str) -> u16 {
        self.ask("/send-otp", json!({ "phone_number": to })).await.0
    }

    async fn resend(&self, to: &str) -> u16 {
        self.ask("/resend-otp", json!({ "phone_number": to }))
            .await
            .0
    }

    async fn verify(&self, to: &str, code: &str) -> (u16, String) {
        self.ask("/verify-otp", json!({ "phone_number": to, "otp": code }))
            .await
    }

    /// Sends a code; what it is.
    async fn begin(&self, to: &str) -> String {
        assert_eq!(self.send(to).await, 200);
        self.site.code(to)
    }

    /// Misses so often.
    async fn miss(&self, to: &str, times: usize) {
        let wrong = another(&self.site.code(to));
        for _ in 0..times {
            assert_eq!(self.verify(to, &wrong).await, (400, "Invalid OTP".into()));
        }
    }

    async fn health(&self) -> Answer {
        let health = self.public.get("/health").await;
        assert_eq!(health.status, 200, "{}", health.text);
        health
    }

    /// Waits until it says so of its health, and looks at all else that says so.
    async fn is(&self, status: &str, gauge: u8) {
        let began = std::time::Instant::now();
        while self.health().await.json()["status"] != status {
            assert!(began.elapsed() < PATIENCE, "still not {status}");
        }
        let metrics = self
            .public
            .get(&format!("{}/metrics", self.server.admin))
            .await;
        let gauge = format!("watchword_storage_degraded {gauge}\n");
        assert!(metrics.text.contains(&gauge), "{}", metrics.text);
        let ready = self
            .public
            .get(&format!("{}/readyz", self.server.admin))
            .await;
        assert_eq!(ready.status, 200, "{}", ready.text);
    }

    /// How many lines of its log tell of a change: to the local store, and back.
    fn changes(&self) -> (usize, usize) {
        let log = self.server.log_text();
        (log.matches(GOES).count(), log.matches(COMES).count())
    }

    async fn start_once(&self, to: &str) -> Answer {
        let headers = [("idempotency-key", "\"the same request twice\"")];
        let body = json!({ "to": to, "channel": "whatsapp" });
        let answer = self
            .caller
            .try_send("POST", "/v1/verifications", Some(&body), &headers);
        answer.await.unwrap()
    }
}

async fn an_outage_is_bridged(store: &mut dyn Store, url: &str) {
    let (used, before, missed, locked) = (
        "+12025550111",
        "+12025550112",
        "+12025550113",
        "+12025550114",
    );
    let (fresh, kept, survivor, late) = (
        "+12025550115",
        "+12025550116",
        "+12025550117",
        "+12025550118",
    );
    let not_found = (400, "OTP not found or expired".to_owned());
    let verified = (200, "OTP verified successfully".to_owned());

    let site = Site::of(url).await;
    let node = site.serve(&[]);
    node.is("healthy", 0).await;
    assert_eq!(node.changes(), (0, 0));
    node.begin(used).await;
    assert_eq!(node.resend(used).await, 200, "two of three");
    let code_before = node.begin(before).await;
    node.begin(missed).await;
    node.miss(missed, 5).await;
    node.begin(locked).await;
    node.miss(locked, 10).await;
    assert_eq!(node.resend(locked).await, 429);
    let began = std::time::Instant::now();
    while !site.copied_keys().contains("test") {
        assert!(began.elapsed() < PATIENCE, "the API key is not copied");
    }

    tokio::task::block_in_place(|| store.down(Outage::Killed));
    node.is("degraded", 1).await;
    assert_eq!(node.changes(), (1, 0));
    // What lives at the primary is neither right nor wrong now.
    assert_eq!(node.verify(before, &code_before).await.0, 503);
    assert_eq!(node.resend(used).await, 200, "the third");
    assert_eq!(node.resend(used).await, 429, "the fourth");
    assert_eq!(node.resend(locked).await, 429, "locked before");
    assert_eq!(node.resend(missed).await, 200);
    node.miss(missed, 5).await;
    assert_eq!(node.resend(missed).await, 429, "the tenth of an hour");
    let code = node.begin(fresh).await;
    node.miss(fresh, 1).await;
    assert_eq!(node.verify(fresh, &code).await, verified);
    assert_eq!(node.verify(fresh, &code).await, not_found, "once");
    let code_kept = node.begin(kept).await;
    let code_of_survivor = node.begin(survivor).await;
    let once = node.start_once(late).await;
    assert_eq!(once.status, 201, "{}", once.text);

    // The node dies, too, and starts while the primary is still away.
    let mut node = node;
    node.server.kill();
    let node = site.serve(&[]);
    node.is("degraded", 1).await;
    assert_eq!(node.changes(), (1, 0));
    assert_eq!(node.verify(fresh, &code).await, not_found, "still once");
    assert_eq!(node.verify(survivor, &code_of_survivor).await, verified);
    for to in [used, missed, locked] {
        assert_eq!(node.resend(to).await, 429);
    }
    assert_eq!(node.start_once(late).await.id(), once.id());
    let unlocked = node
        .caller
        .post("/v1/recipients/unlock", json!({ "to": locked }))
        .await;
    assert_eq!(
        (unlocked.status, &unlocked.json()["unlocked"]),
        (200, &json!(true))
    );
    assert_eq!(node.resend(locked).await, 200, "the second");

    tokio::task::block_in_place(|| store.up(Outage::Killed));
    node.is("healthy", 0).await;
    assert_eq!(node.changes(), (1, 1));
    assert_eq!(node.verify(before, &code_before).await, verified);
    assert_eq!(node.verify(before, &code_before).await, not_found, "once");
    assert_eq!(
        node.verify(kept, &code_kept).await,
        verified,
        "where it was made"
    );
    assert_eq!(node.verify(kept, &code_kept).await, not_found, "once");
    assert_eq!(node.start_once(late).await.id(), once.id());

    // Another node knows what was counted meanwhile.
    let other = site.serve(&[("WATCHWORD__STORAGE__FALLBACK", "none")]);
    for node in [&node, &other] {
        for to in [used, missed] {
            assert_eq!(node.resend(to).await, 429);
        }
    }
    assert_eq!(
        other.resend(locked).await,
        200,
        "lifted there, too: the third"
    );
    assert_eq!(node.resend(locked).await, 429);
    assert_eq!(node.changes(), (1, 1));
    assert!(node.server.stop().success());
    let sent: Vec<_> = site.gupshup.messages();
    let to = |number: &str| sent.iter().filter(|message| message.to == number).count();
    let numbers = [used, before, missed, locked, fresh, kept, survivor, late];
    assert_eq!(numbers.map(to), [3, 1, 2, 3, 1, 1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_postgres_is_bridged_by_the_local_store() {
    if let Some(installed) = Installed::find() {
        let mut server = Postgres::start_with(installed, &[]);
        let url = server.url("postgres");
        an_outage_is_bridged(&mut server, &url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_redis_is_bridged_by_the_local_store() {
    if redis::is_there() {
        let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let url = server.url("");
        an_outage_is_bridged(&mut server, &url).await;
    }
}

/// Who wants to go on in an outage wants it at the first start, too; and who made a mistake, or has
/// nothing that stands in, is told at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_without_its_storage_where_another_stands_in_and_nowhere_else() {
    if !redis::is_there() {
        return;
    }
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let site = Site::of_nobody(&server.url("")).await;
    let refused = |variables: &[(&str, &str)]| {
        let mut command = program(site.folder.path());
        command.args(["serve", "--config", "watchword.toml"]);
        run(command.envs(variables.iter().copied())).err
    };
    assert!(
        refused(&[]).contains("maxmemory-policy"),
        "it is there, and wrong"
    );
    server.kill();
    let none = [("WATCHWORD__STORAGE__FALLBACK", "none")];
    assert!(
        refused(&none).contains("cannot be used"),
        "{}",
        refused(&none)
    );

    let node = site.serve(&[]);
    node.is("degraded", 1).await;
    let code = node.begin("+12025550111").await;
    server.start_again();
    // It is not what it has to be, so it is not used; which is said once.
    let told = "answers, and is not used as it is";
    let began = std::time::Instant::now();
    while !node.server.log_text().contains(told) {
        assert!(began.elapsed() < PATIENCE, "nothing is said");
        node.is("degraded", 1).await;
    }
    let mut raw = server.connect();
    raw.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    node.is("healthy", 0).await;
    let log = node.server.log_text();
    assert_eq!(log.matches(told).count(), 1, "{log}");
    assert!(log.contains("allkeys-lru"), "{log}");
    assert_eq!(node.changes(), (1, 1));
    let verified = node.verify("+12025550111", &code).await;
    assert_eq!(verified.0, 200);
}
