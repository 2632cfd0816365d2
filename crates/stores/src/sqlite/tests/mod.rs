//! What the journal promises, seen from inside: at moments that no caller can arrange.

mod crashes;
mod damage;
mod durability;
mod faults;
mod keys;
mod neighbours;
mod upgrades;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;
use watchword_core::fakes::{self, SeededEntropy, SetClock};
use watchword_core::keys::{KeyRing, Sealed};
use watchword_core::memory::SHARDS;
use watchword_core::{
    AppId, BindingDigest, Candidate, CheckStep, CheckTarget, Code, RecipientIndex, SendTerms,
    StartStep, VerificationId, WhenPending,
};

use super::snapshot::Compaction;
use super::*;

/// A folder with a store in it.
struct Fixture {
    folder: TempDir,
    embedded: Embedded,
    clock: Arc<SetClock>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SetClock::default());
        let embedded = open(&folder.path().join(FILE), &clock).unwrap();
        Self {
            folder,
            embedded,
            clock,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    fn shared(&self) -> &Arc<journal::Shared> {
        self.embedded.store.journal().shared()
    }

    /// A connection beside those of the store, as another process may have one.
    fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    async fn start(&self, number: u64) -> Result<(), watchword_core::StoreError> {
        let outcome = self
            .embedded
            .store
            .start(start_step(number), self.clock.now());
        outcome.await.map(drop)
    }

    async fn start_all(&self, numbers: std::ops::Range<u64>) {
        let steps = numbers.map(|number| self.start(number));
        assert!(join_all(steps).await.iter().all(Result::is_ok));
    }

    /// What a start would find if the machine lost power now: the file and its log as they are.
    fn crash(&self) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (self.path(), folder.path().join(FILE));
        for suffix in ["", "-wal"] {
            let name = |path: &Path| format!("{}{suffix}", path.display());
            fs::copy(name(&from), name(&to)).unwrap();
        }
        let clock = Arc::clone(&self.clock);
        let embedded = open(&to, &clock).unwrap();
        Fixture {
            folder,
            embedded,
            clock,
        }
    }

    /// Ends the store without ceremony; its file.
    fn abandon(self) -> (TempDir, PathBuf, Arc<SetClock>) {
        let path = self.path();
        drop(self.embedded);
        (self.folder, path, self.clock)
    }

    /// Keeps the writer busy until the guard is dropped.
    fn hold_writer(&self) -> Held {
        let (entered, inside) = channel();
        let (release, released): (Sender<()>, Receiver<()>) = channel();
        let shared = Arc::clone(self.shared());
        let thread = thread::spawn(move || {
            let _ = shared.outside(move |_| {
                entered.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            });
        });
        inside.recv().unwrap();
        Held {
            release: Some(release),
            thread: Some(thread),
        }
    }

    /// Every row of the state, as it would be journaled.
    fn rows(&self) -> BTreeSet<Vec<u8>> {
        let mut image = Vec::new();
        for part in 0..SHARDS {
            self.embedded.store.snapshot(part, &mut image);
        }
        frames(&image)
    }
}

const FILE: &str = "watchword.db";

struct Held {
    release: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn keys() -> KeyRing {
    fakes::keys(1)
}

fn open(path: &Path, clock: &Arc<SetClock>) -> Result<Embedded, OpenError> {
    open_with(path, clock, &keys())
}

fn open_with(path: &Path, clock: &Arc<SetClock>, keys: &KeyRing) -> Result<Embedded, OpenError> {
    Embedded::open(
        path,
        Settings {
            max_live: 1_000_000,
            snapshot_after: u64::MAX,
            keys,
            clock: Arc::clone(clock) as Arc<dyn Clock>,
        },
    )
}

/// Splits an image into its rows: a kind, a length (4 bytes, little-endian), a body.
fn frames(mut image: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut rows = BTreeSet::new();
    while !image.is_empty() {
        let length: [u8; 4] = image[1..5].try_into().unwrap();
        let end = 5 + u32::from_le_bytes(length) as usize;
        rows.insert(image[..end].to_vec());
        image = &image[end..];
    }
    rows
}

/// The recipients are spread over all parts.
fn recipient(number: u64) -> RecipientIndex {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut index = [0; 16];
    index[..8].copy_from_slice(&spread);
    RecipientIndex::from_bytes(index)
}

fn handle(number: u64) -> VerificationId {
    VerificationId::generate(&recipient(number), &SeededEntropy::new(number)).unwrap()
}

/// A start of which nobody knows the code.
fn start_step(number: u64) -> StartStep {
    let draft = fakes::pending(SetClock::default().now());
    StartStep {
        id: handle(number),
        app: AppId::default(),
        recipient: recipient(number),
        purpose: draft.purpose,
        channel: draft.channel,
        digest: draft.digest,
        candidate: Candidate::of_nobody(),
        max_attempts: 1000,
        ttl: Duration::from_mins(5),
        details: Sealed::from_bytes(&[7; 200]),
        when_pending: WhenPending::Replace,
        terms: SendTerms {
            cooldown: Duration::ZERO,
            recipient: Vec::new(),
            source: None,
            failures: Some(watchword_core::FailureBudget {
                per_hour: 1000,
                per_day: 1000,
                in_a_row: 1000,
            }),
            horizon: Duration::from_mins(10),
        },
    }
}

fn wrong_check(number: u64) -> CheckStep {
    CheckStep {
        app: AppId::default(),
        target: CheckTarget::Id(handle(number)),
        candidates: keys().candidates(
            &AppId::default(),
            &BindingDigest::default(),
            &Code::parse("999999").unwrap(),
        ),
        failures: start_step(number).terms.failures,
    }
}
