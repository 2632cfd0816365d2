//! How many steps per second the embedded store makes durable, and how long each waits.
//!
//! `cargo run --release -p watchword-stores --example steps -- [TASKS] [SECONDS] [FOLDER]`
//!
//! Each task starts a verification of a recipient of its own and checks a wrong code, over and
//! over. The folder decides which disk is measured.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use watchword_core::fakes::{self, SeededEntropy};
use watchword_core::keys::Sealed;
use watchword_core::{
    AppId, BindingDigest, Channel, CheckStep, CheckTarget, Clock, Code, CodeContext, CodeDigest,
    Entropy, Purpose, RecipientIndex, SendTerms, StartStep, Timestamp, VerificationId, WhenPending,
};
use watchword_stores::{OpenOptions, StorageUrl, open};

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .expect("after 1970");
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

fn argument(number: usize, default: u64) -> u64 {
    let given = std::env::args().nth(number);
    given.map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::main]
async fn main() {
    let (tasks, seconds) = (argument(1, 64), argument(2, 5));
    let folder = match std::env::args().nth(3) {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("steps.db").display());
    let url = StorageUrl::parse(&url).expect("valid");
    let keys = Arc::new(fakes::keys(1));
    let opened = open(&url, OpenOptions::new(keys, Arc::new(SystemClock)));
    let opened = opened.await.expect("opens");
    let over = Arc::new(AtomicBool::new(false));
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (store, over) = (Arc::clone(&opened.store), Arc::clone(&over));
            tokio::spawn(async move {
                let (entropy, keys) = (SeededEntropy::new(task), fakes::keys(1));
                let mut waits = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let start = start_step(&entropy, &keys);
                    let check = check_step(start.id, &keys);
                    let began = Instant::now();
                    store.start(start, SystemClock.now()).await.expect("starts");
                    waits.push(began.elapsed());
                    let began = Instant::now();
                    store.check(check, SystemClock.now()).await.expect("checks");
                    waits.push(began.elapsed());
                }
                waits
            })
        })
        .collect();
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        println!("{:?}", opened.stats.read());
    }
    over.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for task in running {
        waits.extend(task.await.expect("runs"));
    }
    waits.sort_unstable();
    let at = |share: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let index = (waits.len() as f64 * share) as usize;
        waits[index.min(waits.len() - 1)]
    };
    let stats = opened.stats.read();
    println!(
        "{tasks} tasks: {} steps/s, {} steps per group, {} groups/s; p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        waits.len() as u64 / seconds,
        stats.journal_records / stats.journal_groups.max(1),
        stats.journal_groups / seconds,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    );
    let began = Instant::now();
    opened.close().await;
    println!("closed in {:?}", began.elapsed());
}

fn start_step(entropy: &dyn Entropy, keys: &watchword_core::keys::KeyRing) -> StartStep {
    let mut index = [0; 16];
    entropy.fill(&mut index).expect("seeded");
    let recipient = RecipientIndex::from_bytes(index);
    let id = VerificationId::generate(&recipient, entropy).expect("seeded");
    let code = Code::parse("123456").expect("six digits");
    let purpose = Purpose::default();
    let candidate = keys.candidate(&AppId::default(), &BindingDigest::default(), &code);
    let place = CodeContext {
        id,
        recipient,
        channel: Channel::Sms,
        purpose: &purpose,
    };
    StartStep {
        id,
        app: AppId::default(),
        recipient,
        channel: Channel::Sms,
        digest: CodeDigest::bind(&candidate, place),
        candidate,
        purpose,
        max_attempts: 5,
        ttl: Duration::from_secs(300),
        details: Sealed::from_bytes(&[9; 200]),
        when_pending: WhenPending::Replace,
        terms: SendTerms {
            cooldown: Duration::ZERO,
            recipient: Vec::new(),
            source: None,
            failures: None,
            horizon: Duration::from_secs(600),
        },
    }
}

fn check_step(id: VerificationId, keys: &watchword_core::keys::KeyRing) -> CheckStep {
    let code = Code::parse("000000").expect("six digits");
    CheckStep {
        app: AppId::default(),
        target: CheckTarget::Id(id),
        candidates: keys.candidates(&AppId::default(), &BindingDigest::default(), &code),
        failures: None,
    }
}
