//! How long a start takes over a million live verifications.
//!
//! `cargo run --release -p watchword-stores --example replay -- [VERIFICATIONS] [FOLDER] [SNAPSHOT_AFTER_MIB]`
//!
//! Makes them in a file, ends as `kill -9` would (from the journal and whatever snapshot there
//! is) and opens it again, twice: the second time after a clean end.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchword_core::fakes::{self, SetClock};
use watchword_core::{
    AppId, Candidate, Channel, Clock, Delivery, DeliveryId, DeliveryStatus, Details, Email,
    Entropy, EntropyError, Note, Purpose, Recipient, RecipientIndex, SendTerms, StartStep, Store,
    VerificationId, WhenPending,
};
use watchword_stores::{OpenOptions, Opened, StorageUrl, open};

/// Quick bytes; nothing here is secret.
struct Counter(std::sync::atomic::AtomicU64);

impl Entropy for Counter {
    fn fill(&self, dest: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in dest.chunks_mut(8) {
            let next = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mixed = next.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
            let mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let count: u64 = std::env::args()
        .nth(1)
        .map_or(1_000_000, |text| text.parse().expect("a number"));
    let folder = match std::env::args().nth(2) {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let live = folder.path().join("live.db");
    let clock = Arc::new(SetClock::default());
    let opened = reopen(&live, &clock).await;
    fill(&opened, count, &clock).await;
    println!("made {count}: {:?}", opened.stats.read());
    // What a crash would leave: the file and its log as they are.
    let crashed = folder.path().join("crashed.db");
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(&live), name(&crashed)).expect("copies");
    }
    drop(opened);
    let opened = timed("after a crash", &crashed, &clock).await;
    let began = Instant::now();
    opened.close().await;
    println!("closed in {:?}", began.elapsed());
    let opened = timed("after a clean end", &crashed, &clock).await;
    drop(opened);
}

async fn reopen(path: &Path, clock: &Arc<SetClock>) -> Opened {
    let url = StorageUrl::parse(&format!("sqlite:{}", path.display())).expect("valid");
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let mut options = OpenOptions::new(Arc::new(fakes::keys(1)), clock);
    if let Some(after) = std::env::args().nth(3) {
        options.snapshot_after = after.parse::<u64>().expect("MiB") << 20;
    }
    let opened = open(&url, options).await;
    opened.expect("opens")
}

async fn timed(when: &str, path: &Path, clock: &Arc<SetClock>) -> Opened {
    let began = Instant::now();
    let opened = reopen(path, clock).await;
    let stats = opened.stats.read();
    println!(
        "{when}: {} live in {:?} ({} MiB of snapshot, {} MiB of journal)",
        stats.live,
        began.elapsed(),
        stats.snapshot_bytes >> 20,
        stats.journal_bytes >> 20,
    );
    opened
}

/// Starts and notes the hand-over of each, as a server does.
async fn fill(opened: &Opened, count: u64, clock: &Arc<SetClock>) {
    let tasks = 64;
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let store = Arc::clone(&opened.store);
            let clock = Arc::clone(clock);
            tokio::spawn(async move {
                let entropy = Counter((task << 40).into());
                for _ in 0..count / tasks {
                    one(store.as_ref(), &entropy, clock.now()).await;
                }
            })
        })
        .collect();
    for task in running {
        task.await.expect("runs");
    }
}

async fn one(store: &dyn Store, entropy: &Counter, now: watchword_core::Timestamp) {
    let keys = keys();
    let mut index = [0; 16];
    entropy.fill(&mut index).expect("counts");
    let recipient = RecipientIndex::from_bytes(index);
    let id = VerificationId::generate(&recipient, entropy).expect("counts");
    let details = details().seal(id, keys, entropy).expect("counts");
    let draft = fakes::pending(now);
    let step = StartStep {
        id,
        app: AppId::default(),
        recipient,
        channel: Channel::Email,
        digest: draft.digest,
        candidate: Candidate::of_nobody(),
        purpose: Purpose::default(),
        max_attempts: 5,
        ttl: Duration::from_secs(300),
        details,
        when_pending: WhenPending::Replace,
        terms: SendTerms {
            cooldown: Duration::ZERO,
            recipient: Vec::new(),
            source: None,
            failures: None,
            horizon: Duration::from_secs(600),
        },
    };
    store.start(step, now).await.expect("starts");
    let delivery = Delivery {
        id: DeliveryId(id.as_uuid()),
        channel: Channel::Email,
        provider: "mail".to_owned(),
        status: DeliveryStatus::Accepted,
        at: now,
        message_id: Some(format!("<{}@example.com>", id.as_uuid())),
        error: None,
    };
    let note = Note {
        deliveries: vec![delivery],
        ..Note::default()
    };
    store.note(id, note, now).await.expect("notes");
}

fn keys() -> &'static watchword_core::keys::KeyRing {
    static KEYS: std::sync::OnceLock<watchword_core::keys::KeyRing> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| fakes::keys(1))
}

fn details() -> Details {
    let email = Email::parse("somebody@example.com").expect("an address");
    Details {
        to: Some(Recipient::Email(email)),
        channels: vec![Channel::Email],
        locale: Some("en".to_owned()),
        binding: Default::default(),
        format: Default::default(),
        ttl: Duration::from_secs(300),
        max_attempts: 5,
        metadata: None,
        remember_me: false,
        code: None,
    }
}
