//! The store dies or hangs, and comes back, under nodes that go on.
//!
//! `WATCHWORD_TEST_OUTAGES` says how often in a row (once unless set). What they take is told, for
//! `docs/reliability.md`; how long anything may take is not tested, for test machines are busy.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::{Fleet, POLICY, Storage, kind, tally, until};
use crate::postgres::{Installed, Server as Postgres};
use crate::redis::{self, RedisServer};
use crate::server::Caller;

/// What happens to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// `kill -9`, and a start with what it had kept.
    Killed,
    /// It takes connections and answers nothing, and then goes on.
    Hanging,
}

/// A store that outages happen to.
pub(super) trait Store {
    fn down(&mut self, outage: Outage);
    fn up(&mut self, outage: Outage);
}

impl Store for Postgres {
    fn down(&mut self, outage: Outage) {
        match outage {
            Outage::Killed => self.kill(),
            Outage::Hanging => self.hang(),
        }
    }

    fn up(&mut self, outage: Outage) {
        match outage {
            Outage::Killed => assert!(self.run(), "{}", self.log()),
            Outage::Hanging => self.go_on(),
        }
    }
}

impl Store for RedisServer {
    fn down(&mut self, outage: Outage) {
        match outage {
            Outage::Killed => self.kill(),
            Outage::Hanging => self.hang(),
        }
    }

    fn up(&mut self, outage: Outage) {
        match outage {
            Outage::Killed => self.start_again(),
            Outage::Hanging => self.go_on(),
        }
    }
}

/// What callers that start one verification after the other were told, and when.
#[derive(Default)]
struct Told {
    numbers: AtomicUsize,
    answers: Mutex<Vec<(usize, Instant, Duration, String)>>,
    stop: AtomicBool,
}

impl Told {
    fn number(&self) -> String {
        let next = self.numbers.fetch_add(1, Ordering::Relaxed);
        format!("+1{}555{:04}", 201 + next / 10_000, next % 10_000)
    }

    async fn go_on(self: Arc<Self>, place: usize, caller: Caller) {
        while !self.stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let answer = caller.start(&self.number()).await;
            let told = (place, began, began.elapsed(), kind(&answer));
            self.answers.lock().unwrap().push(told);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The callers that were told so of what they began after that moment.
    fn callers(&self, kind: &str, since: Instant) -> BTreeSet<usize> {
        let answers = self.answers.lock().unwrap();
        let theirs = answers.iter();
        let theirs = theirs.filter(|(_, began, _, told)| *began >= since && told == kind);
        theirs.map(|(place, ..)| *place).collect()
    }

    /// Waits until all callers were. Then nothing is under way that they began before.
    async fn wait_for(&self, kind: &str, since: Instant) {
        let waiting = async {
            while self.callers(kind, since).len() < CALLERS {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(Duration::from_mins(1), waiting).await;
        assert!(waited.is_ok(), "callers were not told {kind}");
    }
}

const AWAY: &str = "503 storage-unavailable";
const CALLERS: usize = 6;

/// Under load: while the store is away everything is refused and nothing is sent; when it is back,
/// all nodes serve again; and what was pending before is approved once.
async fn outages(store: &mut dyn Store, url: String, outage: Outage) {
    let storage = Storage::at(url);
    let fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 2).await;
    let told = Arc::new(Told::default());
    let callers: Vec<_> = (0..CALLERS)
        .map(|place| {
            let caller = fleet.callers[place % fleet.callers.len()].clone();
            tokio::spawn(Arc::clone(&told).go_on(place, caller))
        })
        .collect();
    let rounds = std::env::var("WATCHWORD_TEST_OUTAGES").ok();
    let rounds: u32 = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let mut longest_away = Duration::ZERO;
    for _ in 0..rounds {
        told.wait_for("201", Instant::now()).await;
        let (id, code) = fleet.begin(&told.number()).await;
        tokio::task::block_in_place(|| store.down(outage));
        let away = Instant::now();
        told.wait_for(AWAY, away).await;
        let sent = fleet.twilio.messages().len();
        let checks = fleet.at_once(4, |_, caller| {
            let (id, code) = (id.clone(), code.clone());
            async move { caller.check(&id, &code).await }
        });
        assert!(tally(&checks.await).keys().eq([AWAY]));
        for node in &fleet.nodes {
            let ready = format!("{}/readyz", node.admin);
            assert_eq!(fleet.callers[0].get(&ready).await.status, 503);
        }
        assert!(
            told.callers("201", away).is_empty(),
            "something was started"
        );
        assert_eq!(fleet.twilio.messages().len(), sent, "something was sent");

        tokio::task::block_in_place(|| store.up(outage));
        let back = Instant::now();
        for caller in &fleet.callers {
            until(201, || async { caller.start(&told.number()).await }).await;
        }
        longest_away = longest_away.max(back.elapsed());
        let checks = fleet.at_once(6, |_, caller| {
            let (id, code) = (id.clone(), code.clone());
            async move { caller.check(&id, &code).await }
        });
        let checks = tally(&checks.await);
        let approved = checks.get("200").copied().unwrap_or(0);
        match outage {
            Outage::Killed => assert_eq!(approved, 1, "{checks:?}"),
            // A check that came to no answer may have been made all the same.
            Outage::Hanging => assert!(approved <= 1, "{checks:?}"),
        }
    }
    told.stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let answers = told.answers.lock().unwrap();
    let (mut refused, mut longest) = (0, Duration::ZERO);
    for (_, _, took, kind) in answers.iter() {
        match kind.as_str() {
            "201" => {}
            AWAY => {
                refused += 1;
                longest = longest.max(*took);
            }
            other => panic!("told {other}"),
        }
    }
    eprintln!(
        "{outage:?} {rounds} times: {refused} errors, the slowest after {longest:.2?}; served \
         again by all nodes after at most {longest_away:.2?}"
    );
}

async fn postgres(outage: Outage) {
    let Some(installed) = Installed::find() else {
        return;
    };
    let mut server = Postgres::start_with(installed, &[]);
    let url = server.url("postgres");
    outages(&mut server, url, outage).await;
}

async fn redis(outage: Outage) {
    if !redis::is_there() {
        return;
    }
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let url = server.url("");
    outages(&mut server, url, outage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_was_killed_costs_nothing_that_was_answered() {
    postgres(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_hangs_is_said_to_be_away() {
    postgres(Outage::Hanging).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_killed_costs_nothing_that_was_answered() {
    redis(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_is_said_to_be_away() {
    redis(Outage::Hanging).await;
}
