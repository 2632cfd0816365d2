//! Nodes whose clocks are wrong, over a store that they share: its clock counts, in what they do and
//! in what they show.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "servers/postgres.rs"]
mod postgres;
#[path = "servers/redis.rs"]
mod redis;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use watchword_core::fakes::{self, Pigeon, SeededEntropy};
use watchword_core::{
    About, AppId, BindingDigest, Channel, CheckError, CheckRequest, Clock, Code, DeliveryStatus,
    Dispatch, Envelope, Messenger, NumberRules, Parts, Policy, Purpose, Receipt, Recipient,
    SendError, Sent, StartRequest, Status, Terms, Timestamp, Verdict, VerificationId, Verifier,
    Whose,
};
use watchword_stores::{OpenOptions, Opened, StorageUrl};

const MINUTE: i64 = 60_000;
/// How long anything may take to come round, and less than clocks are off.
const PATIENCE: Duration = Duration::from_mins(5);
/// All clocks tell whole milliseconds; so what is left of two of them may be two less.
const ROUNDED: Duration = Duration::from_millis(2);

/// The time of the machine, off by so many milliseconds.
struct Wrong(AtomicI64);

impl Wrong {
    fn by(millis: i64) -> Self {
        Self(AtomicI64::new(millis))
    }
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let millis = i64::try_from(since.as_millis()).unwrap() + self.0.load(Ordering::Relaxed);
        Timestamp::from_millis(millis.unsigned_abs())
    }
}

fn true_time() -> Timestamp {
    Wrong::by(0).now()
}

/// Takes nothing that there is no time for, as providers do.
#[derive(Default)]
struct Carrier {
    pigeon: Pigeon,
    /// Whether it takes that, too.
    heedless: AtomicBool,
    /// What it answers instead of taking anything.
    refuses: Mutex<Option<Verdict>>,
}

#[async_trait]
impl Messenger for Carrier {
    fn serves(&self, channel: Channel) -> bool {
        self.pigeon.serves(channel)
    }

    fn tracks(&self, provider: &str) -> bool {
        self.pigeon.tracks(provider)
    }

    async fn dispatch(&self, envelope: Envelope, deadline: Duration) -> Dispatch {
        let late = deadline < Duration::from_millis(1) && !self.heedless.load(Ordering::Relaxed);
        let refuses = *self.refuses.lock().unwrap();
        self.pigeon
            .answer(refuses.or(late.then_some(Verdict::Unavailable)));
        self.pigeon.dispatch(envelope, deadline).await
    }
}

/// One node. Its clock is off by `wrong` milliseconds.
struct Node {
    verifier: Verifier,
    carrier: Arc<Carrier>,
    clock: Arc<Wrong>,
    storage: Opened,
    /// How long it took to open. It has heard the time meanwhile, so that it is behind the store by
    /// no more than that.
    opening: Duration,
}

impl Node {
    async fn over(url: &str, wrong: i64) -> Self {
        Self::with_stand_in(url, wrong, None).await
    }

    async fn with_stand_in(url: &str, wrong: i64, stand_in: Option<PathBuf>) -> Self {
        let (keys, clock) = (Arc::new(fakes::keys(1)), Arc::new(Wrong::by(wrong)));
        let mut options = OpenOptions::new(Arc::clone(&keys), Arc::clone(&clock) as Arc<_>);
        options.fallback = stand_in;
        let url = StorageUrl::parse(url).unwrap();
        let began = Instant::now();
        let storage = watchword_stores::open(&url, options).await.unwrap();
        let opening = began.elapsed();
        let carrier = Arc::new(Carrier::default());
        let verifier = Verifier::new(Parts {
            store: Arc::clone(&storage.store),
            messenger: Arc::clone(&carrier) as Arc<_>,
            keys,
            clock: Arc::clone(&storage.clock),
            entropy: Arc::new(SeededEntropy::new(
                wrong.unsigned_abs() + u64::from(wrong > 0),
            )),
            events: Arc::new(()),
            issuer: "https://otp.example.com".to_owned(),
            deadline: Duration::from_secs(10),
            fallback_after: BTreeMap::from([(Channel::Whatsapp, Duration::from_mins(4))]),
            horizon: Duration::from_mins(10),
        });
        Self {
            verifier,
            carrier,
            clock,
            storage,
            opening,
        }
    }

    /// What it takes for the present. That is never ahead of the true time.
    fn tells_the_time(&self) -> bool {
        let before = true_time();
        let told = self.verifier.now();
        before.minus(self.opening + ROUNDED) <= told && told <= true_time()
    }

    async fn start(&self, to: &str, ttl: Duration) -> (VerificationId, Sent) {
        let sent = self.try_start(to, ttl).await.unwrap();
        (sent.overview.verification.id, sent)
    }

    async fn try_start(&self, to: &str, ttl: Duration) -> Result<Sent, SendError> {
        let policy = Policy {
            ttl,
            resend_cooldown: Duration::ZERO,
            limits: Vec::new(),
            ..Policy::default()
        };
        let request = StartRequest {
            app: AppId::default(),
            to: Some(Recipient::parse(to, &NumberRules::default()).unwrap()),
            channels: vec![Channel::Whatsapp, Channel::Sms],
            purpose: Purpose::default(),
            locale: None,
            binding: BindingDigest::default(),
            metadata: None,
            remember_me: false,
            terms: Terms {
                policy: Arc::new(policy),
                source: None,
            },
        };
        self.verifier.start(request).await
    }

    /// What became of the newest start, which need not have an answer that says so.
    async fn newest(&self, to: &str) -> Option<Status> {
        let (app, now) = (AppId::default(), self.verifier.now());
        let to = Recipient::parse(to, &NumberRules::default()).unwrap();
        let index = fakes::keys(1).recipient_index(&app, &to);
        let store = &self.storage.store;
        let newest = store.newest(&app, index, &Purpose::default(), now).await;
        newest.unwrap().map(|newest| newest.status_at(now))
    }

    async fn status(&self, id: VerificationId) -> Status {
        let found = self.verifier.get(&AppId::default(), id).await.unwrap();
        found.unwrap().status
    }

    async fn check(&self, id: VerificationId, code: &Code) -> Result<Timestamp, CheckError> {
        let request = CheckRequest {
            app: AppId::default(),
            whose: Whose::Handle(id),
            code: code.clone(),
            binding: BindingDigest::default(),
            failures: None,
        };
        self.verifier
            .check(request)
            .await
            .map(|approved| approved.at)
    }
}

/// What happens at once happens between these moments of the store, which has the true time.
struct Meanwhile(Timestamp);

impl Meanwhile {
    fn from_now() -> Self {
        Self(true_time())
    }

    fn has(&self, at: Timestamp) -> bool {
        (self.0..=true_time()).contains(&at)
    }
}

/// Nodes of which one is ten minutes ahead and one ten minutes behind, both more than a code lives.
/// One of them has a local store that could stand in.
async fn nodes_agree_with_their_store(url: &str) {
    let ahead = Node::over(url, 10 * MINUTE).await;
    let folder = tempfile::tempdir().unwrap();
    let stand_in = Some(folder.path().join("stand-in.db"));
    let behind = Node::with_stand_in(url, -10 * MINUTE, stand_in).await;
    let nodes = [&ahead, &behind];
    for (number, node) in nodes.into_iter().enumerate() {
        assert!(node.tells_the_time(), "known from the beginning");
        let to = format!("+1201555010{number}");
        let before = node.carrier.pigeon.count();
        let starting = Meanwhile::from_now();
        let (id, sent) = node.start(&to, Duration::from_mins(5)).await;
        assert_eq!(sent.overview.status, Status::Pending);
        let expires_at = sent.overview.verification.expires_at;
        assert!(starting.has(expires_at.minus(Duration::from_mins(5))));
        assert_eq!(node.carrier.pigeon.count(), before + 1, "its code was sent");
        // Not due for minutes, by whichever clock.
        for other in nodes {
            assert_eq!(other.status(id).await, Status::Pending);
            assert!(other.verifier.overdue().await.unwrap().is_empty());
        }
        // The next channel has its turn at the other node, whose clock is off by twice as much.
        let other = nodes[1 - number];
        let failed = Receipt {
            about: About::Delivery {
                verification: id,
                delivery: Pigeon::delivery(id, 1),
            },
            channel: Channel::Whatsapp,
            status: DeliveryStatus::Failed,
            message_id: None,
            error: None,
        };
        let received = other.verifier.receive("pigeon", failed).await.unwrap();
        let before = other.carrier.pigeon.count();
        other
            .verifier
            .fall_back(received.turn.unwrap())
            .await
            .unwrap();
        assert_eq!(
            other.carrier.pigeon.count(),
            before + 1,
            "the turn is not lost"
        );
        let checking = Meanwhile::from_now();
        let at = other.check(id, &sent.code).await.unwrap();
        assert!(checking.has(at), "{at}");
        assert_eq!(node.status(id).await, Status::Approved);
        let again = node.check(id, &sent.code).await;
        assert!(matches!(again, Err(CheckError::NotFound)), "{again:?}");
        // What reaches nobody ends, whichever clock it was sent by.
        for verdict in [Verdict::Unavailable, Verdict::Refused] {
            *node.carrier.refuses.lock().unwrap() = Some(verdict);
            let refused = node.try_start(&to, Duration::from_mins(5)).await;
            assert!(refused.is_err());
            assert_eq!(node.newest(&to).await, Some(Status::Failed), "{verdict:?}");
        }
        *node.carrier.refuses.lock().unwrap() = None;
    }
}

/// What a code's end is, the store says: no node shows it before, and none later than the time took
/// that it was told.
async fn nodes_show_the_end_that_the_store_keeps(url: &str) {
    let life = Duration::from_secs(2);
    let ahead = Node::over(url, 10 * MINUTE).await;
    let behind = Node::over(url, -10 * MINUTE).await;
    // A machine that stands still for as long as the code lives is no failure.
    ahead.carrier.heedless.store(true, Ordering::Relaxed);
    let (id, sent) = ahead.start("+12015550110", life).await;
    for node in [&behind, &ahead] {
        loop {
            let asked = true_time();
            let found = node.verifier.get(&AppId::default(), id).await.unwrap();
            let found = found.unwrap();
            let expires_at = found.verification.expires_at;
            if found.status == Status::Expired {
                assert!(true_time() >= expires_at, "shown as expired before its end");
                break;
            }
            assert!(
                asked < expires_at.plus(node.opening + ROUNDED),
                "shown as pending after its end"
            );
            tokio::task::yield_now().await;
        }
        let checked = node.check(id, &sent.code).await;
        assert!(matches!(checked, Err(CheckError::NotFound)), "{checked:?}");
    }
}

/// Somebody sets a node's clock while it runs.
async fn a_node_whose_clock_is_set_follows_its_store(url: &str) {
    let node = Node::over(url, 0).await;
    for wrong in [10 * MINUTE, -10 * MINUTE] {
        let set = Instant::now();
        node.clock.0.store(wrong, Ordering::Relaxed);
        loop {
            node.storage.store.ready().await.unwrap();
            let (before, told) = (true_time(), node.verifier.now());
            // Whatever told it the time took no longer than all of this.
            let waited = set.elapsed() + ROUNDED;
            if before.minus(waited) <= told && told <= true_time() {
                break;
            }
            assert!(waited < PATIENCE, "it does not follow");
        }
    }
}

async fn on_redis() -> Option<(redis::RedisServer, String)> {
    if !redis::is_there() {
        return None;
    }
    let server = tokio::task::spawn_blocking(|| redis::RedisServer::start(&[]));
    let server = server.await.unwrap();
    let url = server.url("?step_timeout=30000");
    Some((server, url))
}

async fn on_postgres() -> Option<(postgres::Server, String)> {
    let installed = postgres::Installed::find()?;
    let server = tokio::task::spawn_blocking(|| postgres::Server::start(installed));
    let server = server.await.unwrap();
    let url = format!("{}?step_timeout=30000", server.url("postgres"));
    Some((server, url))
}

#[tokio::test]
async fn nodes_with_wrong_clocks_agree_with_redis() {
    if let Some((_server, url)) = on_redis().await {
        nodes_agree_with_their_store(&url).await;
        nodes_show_the_end_that_the_store_keeps(&url).await;
        a_node_whose_clock_is_set_follows_its_store(&url).await;
    }
}

#[tokio::test]
async fn nodes_with_wrong_clocks_agree_with_postgres() {
    if let Some((_server, url)) = on_postgres().await {
        nodes_agree_with_their_store(&url).await;
        nodes_show_the_end_that_the_store_keeps(&url).await;
        a_node_whose_clock_is_set_follows_its_store(&url).await;
    }
}
