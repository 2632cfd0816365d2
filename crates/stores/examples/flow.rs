//! What one start and one check cost in the rules and the store, without HTTP and providers.
//!
//! `cargo run --release -p watchword-stores --example flow -- [STORE] [FLOWS] [TASKS] [LIVE] [FOLDER]`
//!
//! `STORE` is `memory` or `sqlite`. First `LIVE` verifications are started and left alive, and the
//! resident memory of each is printed; then `TASKS` tasks run `FLOWS` flows: read a number, start,
//! check the right code. With one task everything but the journal runs in one thread, so that
//! `valgrind --tool=callgrind` counts the same instructions each time: the cost of a flow is the
//! difference of two runs with different `FLOWS`, divided by the difference of those.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use watchword_core::{
    AppId, BindingDigest, Channel, CheckRequest, Clock, Delivery, DeliveryId, DeliveryStatus,
    Dispatch, Entropy, EntropyError, Envelope, Event, Events, Messenger, NumberRules, Parts,
    Policy, Purpose, Recipient, Sent, Source, StartRequest, Subject, Terms, Timestamp, Verdict,
    Verifier, Whose, fakes,
};
use watchword_stores::{OpenOptions, StorageUrl, open};

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let since = since.expect("after 1970");
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, dest: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(dest).map_err(|_| EntropyError)
    }
}

/// Takes every message.
struct Taker;

#[async_trait]
impl Messenger for Taker {
    fn serves(&self, _channel: Channel) -> bool {
        true
    }

    fn tracks(&self, _provider: &str) -> bool {
        false
    }

    async fn dispatch(&self, envelope: Envelope, _deadline: Duration) -> Dispatch {
        let delivery = Delivery {
            id: DeliveryId::generate(&SystemEntropy).expect("the system has randomness"),
            channel: Channel::Sms,
            provider: "inbox".to_owned(),
            status: DeliveryStatus::Accepted,
            at: envelope.expires_at,
            message_id: None,
            error: None,
        };
        Dispatch {
            deliveries: vec![delivery],
            verdict: Verdict::Taken(Channel::Sms),
        }
    }
}

struct Nobody;

impl Events for Nobody {
    fn note(&self, _event: Event, _subject: &Subject<'_>) {}
}

struct Arguments {
    store: String,
    flows: u64,
    tasks: u64,
    live: u64,
    folder: Option<String>,
}

impl Arguments {
    fn read() -> Self {
        let mut given = std::env::args().skip(1);
        let store = given.next().unwrap_or_else(|| "memory".to_owned());
        let mut number = |default| {
            given
                .next()
                .map_or(default, |text| text.parse().expect("a number"))
        };
        let (flows, tasks, live) = (number(100_000), number(1), number(0));
        Self {
            store,
            flows,
            tasks,
            live,
            folder: given.next(),
        }
    }
}

fn main() {
    let arguments = Arguments::read();
    let runtime = if arguments.tasks == 1 {
        tokio::runtime::Builder::new_current_thread().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().build()
    };
    runtime.expect("a runtime").block_on(run(arguments));
}

async fn run(arguments: Arguments) {
    let folder = match &arguments.folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let url = match arguments.store.as_str() {
        "sqlite" => format!("sqlite:{}", folder.path().join("flow.db").display()),
        _ => "memory:".to_owned(),
    };
    let url = StorageUrl::parse(&url).expect("valid");
    let keys = Arc::new(fakes::keys(1));
    let options = OpenOptions::new(Arc::clone(&keys), Arc::new(SystemClock));
    let opened = open(&url, options).await.expect("opens");
    let verifier = Arc::new(Verifier::new(Parts {
        store: Arc::clone(&opened.store),
        messenger: Arc::new(Taker),
        keys,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        events: Arc::new(Nobody),
        issuer: "https://otp.example.com".to_owned(),
        deadline: Duration::from_secs(10),
        fallback_after: BTreeMap::new(),
        horizon: Duration::from_mins(10),
    }));
    // The tables of numbers are made on first use, and are not what is asked for.
    recipient(0);
    let before = resident();
    each(
        &arguments,
        arguments.live,
        &verifier,
        |verifier, n| async move {
            start(&verifier, n).await;
        },
    )
    .await;
    if let Some(bytes) = resident()
        .saturating_sub(before)
        .checked_div(arguments.live)
    {
        println!("{} live: {bytes} resident bytes each", arguments.live);
    }
    let began = Instant::now();
    each(
        &arguments,
        arguments.flows,
        &verifier,
        |verifier, n| async move {
            let sent = start(&verifier, (1 << 25) + n).await;
            let request = CheckRequest {
                app: AppId::default(),
                whose: Whose::Handle(sent.overview.verification.id),
                code: sent.code,
                binding: BindingDigest::none(),
                failures: None,
            };
            let approved = verifier.check(request).await.expect("the right code");
            drop(verifier.vouch(&approved));
        },
    )
    .await;
    let took = began.elapsed();
    println!(
        "{} flows in {took:?}: {:?} each; {:?}",
        arguments.flows,
        took / u32::try_from(arguments.flows.max(1)).unwrap_or(u32::MAX),
        opened.stats.read(),
    );
    opened.close().await;
}

/// Runs `work` for every number below `count`, spread over the tasks.
async fn each<F: Future<Output = ()> + Send + 'static>(
    arguments: &Arguments,
    count: u64,
    verifier: &Arc<Verifier>,
    work: impl Fn(Arc<Verifier>, u64) -> F + Clone + Send + 'static,
) {
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..arguments.tasks)
        .map(|_| {
            let (next, work) = (Arc::clone(&next), work.clone());
            let verifier = Arc::clone(verifier);
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    work(Arc::clone(&verifier), n).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("runs");
    }
}

async fn start(verifier: &Verifier, n: u64) -> Sent {
    let [_, a, b, c] = u32::try_from(n % (1 << 24)).unwrap_or(0).to_be_bytes();
    let request = StartRequest {
        app: AppId::default(),
        to: Some(recipient(n)),
        channels: vec![Channel::Sms],
        purpose: Purpose::default(),
        locale: None,
        binding: BindingDigest::none(),
        metadata: None,
        remember_me: false,
        terms: Terms {
            policy: Arc::new(Policy::default()),
            source: Some(Source {
                surface: "native",
                address: format!("10.{a}.{b}.{c}"),
            }),
        },
    };
    verifier.start(request).await.expect("starts")
}

/// A number that can exist in the United States, another one for each of 64 million `n`.
fn recipient(n: u64) -> Recipient {
    const AREAS: [u16; 8] = [212, 213, 312, 415, 503, 617, 702, 808];
    let area = AREAS[usize::try_from(n / 7_900_000).unwrap_or(0) % AREAS.len()];
    let rules = NumberRules {
        default_region: "US".parse().ok(),
        strict: true,
    };
    let typed = format!("+1{area}{}", 2_000_000 + n % 7_900_000);
    Recipient::parse(&typed, &rules).expect("a number")
}

/// Resident memory of this process, in bytes (Linux).
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4096
}
