//! The memory store and the journal under it, its bound, and what it forgets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use watchword_core::memory::{Journal, MemoryStore, NoJournal, SHARDS};
use watchword_core::{
    AppId, BindingDigest, Channel, CheckOutcome, CheckStep, CheckTarget, Code, CodeContext,
    CodeDigest, FailureBudget, Purpose, Quota, RETENTION, RecipientIndex, Replay, ReplayKey,
    ReplayStore, SendTerms, SourceCharge, SourceIndex, StartOutcome, StartStep, Store, StoreError,
    Timestamp, VerificationId, WhenPending, fakes, keys::Sealed,
};

/// A journal that keeps its records, and can be told to fail.
#[derive(Default)]
pub(crate) struct Tape {
    records: Mutex<Vec<Vec<u8>>>,
    broken: AtomicBool,
}

impl Tape {
    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        self.records.lock().clone()
    }

    fn works(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("the tape is torn"));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for Tape {
    const KEEPS: bool = true;

    fn append(&self, record: &[u8]) -> u64 {
        let mut records = self.records.lock();
        records.push(record.to_vec());
        records.len() as u64
    }
    fn position(&self) -> u64 {
        self.records.lock().len() as u64
    }
    async fn settle(&self, _position: u64) -> Result<(), StoreError> {
        self.works()
    }
    fn ready(&self) -> Result<(), StoreError> {
        self.works()
    }
}

const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const MINUTE: Duration = Duration::from_mins(1);

fn step(recipient: [u8; 16], addressed: bool) -> StartStep {
    let recipient = RecipientIndex::from_bytes(recipient);
    let mut bytes = *recipient.as_bytes();
    bytes[8..].fill(9);
    let id = VerificationId::from_bytes(bytes);
    let (app, purpose) = (AppId::default(), Purpose::default());
    let code = Code::parse("402718").expect("six digits");
    let candidate = fakes::keys(1).candidate(&app, &BindingDigest::none(), &code);
    let place = CodeContext {
        id,
        recipient,
        channel: Channel::Sms,
        purpose: &purpose,
    };
    StartStep {
        id,
        digest: CodeDigest::bind(&candidate, place),
        candidate,
        app,
        recipient,
        channel: Channel::Sms,
        max_attempts: 5,
        ttl: MINUTE,
        details: Sealed::from_bytes(b"sealed elsewhere"),
        when_pending: WhenPending::Replace,
        terms: SendTerms {
            cooldown: Duration::ZERO,
            recipient: Vec::new(),
            source: None,
            failures: addressed.then(FailureBudget::default),
            horizon: MINUTE * 10,
        },
        purpose,
    }
}

fn nth(number: usize) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(number as u64).reverse_bits().to_be_bytes());
    bytes
}

/// Everything that a store would write into a snapshot.
fn image<J: Journal>(store: &MemoryStore<J>) -> Vec<u8> {
    let mut image = Vec::new();
    for part in 0..SHARDS {
        store.snapshot(part, &mut image);
    }
    image
}

/// A journal in whose `position` somebody else gets a word in, as another thread may.
#[derive(Default)]
struct Interrupted {
    tape: Tape,
    store: OnceLock<Weak<MemoryStore<Self>>>,
    due: AtomicBool,
}

#[async_trait]
impl Journal for Interrupted {
    const KEEPS: bool = true;

    fn append(&self, record: &[u8]) -> u64 {
        self.tape.append(record)
    }
    fn position(&self) -> u64 {
        let store = self.store.get().and_then(Weak::upgrade);
        if let Some(store) = store
            && self.due.swap(false, Ordering::SeqCst)
        {
            let start = store.start(step(nth(0), true), T0);
            futures_util::FutureExt::now_or_never(start)
                .expect("memory does not wait")
                .expect("the store works");
        }
        self.tape.position()
    }
    async fn settle(&self, _position: u64) -> Result<(), StoreError> {
        Ok(())
    }
    fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_snapshot_holds_all_up_to_the_position_that_it_says() {
    let store = Arc::new(MemoryStore::new(Interrupted::default(), 10));
    let journal = store.journal();
    let _ = journal.store.set(Arc::downgrade(&store));
    let (mut image, mut after) = (Vec::new(), u64::MAX);
    for part in 0..SHARDS {
        // In each part anew: somebody starts a verification just as the position is read.
        journal.due.store(part == 0, Ordering::SeqCst);
        after = after.min(store.snapshot(part, &mut image));
    }
    let again = MemoryStore::new(NoJournal, 10);
    again.restore(&image, T0).unwrap();
    let records = journal.tape.records();
    for record in &records[usize::try_from(after).unwrap()..] {
        again.restore(record, T0).unwrap();
    }
    assert_eq!((records.len(), again.len()), (1, 1));
}

/// From the beginning, and from a snapshot of before or after.
#[tokio::test]
async fn what_was_erased_stays_erased_when_the_journal_is_replayed() {
    let store = MemoryStore::new(Tape::default(), 10);
    let step = step(nth(1), true);
    let (app, id, whose) = (step.app.clone(), step.id, step.recipient);
    let details = step.details.as_bytes().to_vec();
    store.start(step, T0).await.unwrap();
    let before = image(&store);
    let holds = |bytes: &[u8]| bytes.windows(details.len()).any(|part| part == details);
    assert!(holds(&before));
    assert_eq!(store.erase(whose, T0).await.unwrap(), 1);
    let (after, records) = (image(&store), store.journal().records());
    assert!(!holds(&after) && !holds(records.last().unwrap()));
    for snapshot in [Vec::new(), before, after] {
        let again = MemoryStore::new(NoJournal, 10);
        again.restore(&snapshot, T0).unwrap();
        for record in &records {
            again.restore(record, T0).unwrap();
        }
        assert_eq!(again.get(&app, id, T0).await.unwrap(), None);
        let found = again.remembered(whose, T0).await.unwrap();
        assert_eq!(found.verifications, []);
        assert_eq!(found.ledger.sends.moments(), [T0], "but its counters");
    }
}

#[tokio::test]
async fn nothing_happens_while_the_journal_cannot_write() {
    let store = MemoryStore::new(Tape::default(), 10);
    let tape = store.journal();
    tape.broken.store(true, Ordering::SeqCst);
    let step = step(nth(1), true);
    let id = step.id;
    assert!(store.start(step.clone(), T0).await.is_err());
    assert!(store.get(&step.app, id, T0).await.is_err());
    assert!(store.ready().await.is_err());
    assert!(store.unlock(step.recipient, T0).await.is_err());
    let claim = store.claim(ReplayKey([1; 16]), [0; 32], T0, T0).await;
    assert!(claim.is_err());
    tape.broken.store(false, Ordering::SeqCst);
    assert!(store.is_empty());
    assert!(tape.records().is_empty());
    assert_eq!(store.get(&step.app, id, T0).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_fills_the_store_to_its_maximum_and_not_beyond() {
    let store = Arc::new(MemoryStore::new(NoJournal, 50));
    let callers = (0..200).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.start(step(nth(number), true), T0).await })
    });
    let mut started = 0;
    for caller in callers.collect::<Vec<_>>() {
        match caller.await.unwrap() {
            Ok(StartOutcome::Started(_)) => started += 1,
            Err(StoreError::Full { max: 50 }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((started, store.len()), (50, 50));
    // There is room again when they are forgotten.
    let later = T0.plus(MINUTE + RETENTION);
    (0..SHARDS).for_each(|part| store.sweep(part, later));
    assert!(store.is_empty());
    assert!(store.start(step(nth(1), true), later).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_that_its_recipient_refuses_never_takes_the_sources_slot_from_another() {
    let store = Arc::new(MemoryStore::default());
    for round in 0..300 {
        let mut index = [2; 16];
        index[..8].copy_from_slice(&nth(round)[..8]);
        let charged = |recipient, max| {
            let mut charged = step(nth(recipient), true);
            charged.terms.source = Some(SourceCharge {
                index: SourceIndex::from_bytes(index),
                quotas: vec![Quota {
                    max: 1,
                    window: MINUTE,
                }],
            });
            let window = MINUTE;
            charged.terms.recipient = vec![Quota { max, window }];
            charged
        };
        let callers = (0..8).map(|caller| {
            let store = Arc::clone(&store);
            let step = if caller == 4 {
                charged(10 + round, 1)
            } else {
                charged(1, 0)
            };
            tokio::spawn(async move { store.start(step, T0).await.unwrap() })
        });
        let mut started = 0;
        for caller in callers.collect::<Vec<_>>() {
            let outcome = caller.await.unwrap();
            started += usize::from(matches!(outcome, StartOutcome::Started(_)));
        }
        assert_eq!(started, 1, "round {round}");
    }
}

#[tokio::test]
async fn a_full_store_still_repeats_answers_but_takes_no_new_key() {
    let store = MemoryStore::new(NoJournal, 1);
    let later = T0.plus(MINUTE);
    let claim = async |key| store.claim(ReplayKey([key; 16]), [0; 32], later, T0).await;
    assert_eq!(claim(1).await.unwrap(), Replay::Fresh);
    assert_eq!(claim(1).await.unwrap(), Replay::Running);
    assert!(matches!(claim(2).await, Err(StoreError::Full { max: 1 })));
    store.abandon(ReplayKey([1; 16])).await.unwrap();
    assert_eq!(claim(2).await.unwrap(), Replay::Fresh);
}

#[tokio::test]
async fn a_refused_start_takes_no_room() {
    let store = MemoryStore::new(NoJournal, 1);
    let mut refused = step(nth(1), true);
    let window = MINUTE;
    refused.terms.recipient = vec![Quota { max: 0, window }];
    let outcome = store.start(refused, T0).await.unwrap();
    assert!(matches!(outcome, StartOutcome::Refused(_)));
    assert!(store.is_empty());
    assert!(image(&store).is_empty(), "nothing is remembered of it");
}

#[tokio::test]
async fn what_nobody_can_ask_for_any_more_is_not_kept() {
    let store = MemoryStore::default();
    let mut counted = step(nth(1), true);
    let index = SourceIndex::from_bytes([1; 16]);
    let quotas = vec![Quota {
        max: 30,
        window: MINUTE * 10,
    }];
    counted.terms.source = Some(SourceCharge { index, quotas });
    store.start(counted, T0).await.unwrap();
    store.start(step(nth(2), true), T0).await.unwrap();
    let key = ReplayKey([1; 16]);
    store
        .claim(key, [0; 32], T0.plus(MINUTE), T0)
        .await
        .unwrap();
    let sweep = |now| (0..SHARDS).for_each(|part| store.sweep(part, now));
    let end = T0.plus(MINUTE * 10);
    sweep(end.minus(Duration::from_millis(1)));
    assert!(!image(&store).is_empty(), "the limits still count them");
    sweep(end);
    assert!(image(&store).is_empty(), "the longest window is over");
}

/// Everything is swept; what a limit, a budget or a caller still asks for has to survive it.
fn sweep(store: &MemoryStore, now: Timestamp) {
    (0..SHARDS).for_each(|part| store.sweep(part, now));
}

#[tokio::test]
async fn sends_are_kept_as_long_as_the_longest_window_though_their_codes_are_gone() {
    let store = MemoryStore::default();
    let hours = Duration::from_hours(3);
    let once = || {
        let mut once = step(nth(1), true);
        once.terms.horizon = hours;
        once.terms.recipient = vec![Quota {
            max: 1,
            window: hours,
        }];
        once
    };
    store.start(once(), T0).await.unwrap();
    let last = T0.plus(hours).minus(Duration::from_millis(1));
    sweep(&store, last);
    assert!(store.is_empty());
    let outcome = store.start(once(), last).await.unwrap();
    assert!(matches!(outcome, StartOutcome::Refused(_)), "{outcome:?}");
    let outcome = store.start(once(), T0.plus(hours)).await.unwrap();
    assert!(matches!(outcome, StartOutcome::Started(_)), "{outcome:?}");
}

#[tokio::test]
async fn failures_are_kept_for_a_day_even_after_a_success() {
    let store = MemoryStore::default();
    let mut strict = step(nth(1), true);
    let budget = FailureBudget {
        per_day: 1,
        ..FailureBudget::default()
    };
    strict.terms.failures = Some(budget);
    let guess = |digits: &str, budget| CheckStep {
        app: AppId::default(),
        target: CheckTarget::Id(strict.id),
        candidates: fakes::keys(1).candidates(
            &AppId::default(),
            &BindingDigest::none(),
            &Code::parse(digits).expect("six digits"),
        ),
        failures: Some(budget),
    };
    store.start(strict.clone(), T0).await.unwrap();
    let outcome = store.check(guess("000000", budget), T0).await.unwrap();
    assert!(matches!(outcome, CheckOutcome::Incorrect { .. }));
    let lenient = FailureBudget::default();
    let outcome = store.check(guess("402718", lenient), T0).await.unwrap();
    assert!(matches!(outcome, CheckOutcome::Approved(_)));
    let day = T0.plus(Duration::from_hours(24));
    let last = day.minus(Duration::from_millis(1));
    sweep(&store, last);
    let outcome = store.start(strict.clone(), last).await.unwrap();
    assert!(matches!(outcome, StartOutcome::Refused(_)), "{outcome:?}");
    let outcome = store.start(strict, day).await.unwrap();
    assert!(matches!(outcome, StartOutcome::Started(_)), "{outcome:?}");
}

#[tokio::test]
async fn the_newest_verification_is_known_as_long_as_it_is_remembered() {
    let store = MemoryStore::default();
    let mut brief = step(nth(1), true);
    (brief.terms.horizon, brief.ttl) = (Duration::from_secs(1), MINUTE * 5);
    store.start(brief.clone(), T0).await.unwrap();
    let last = T0
        .plus(MINUTE * 5 + RETENTION)
        .minus(Duration::from_millis(1));
    sweep(&store, last);
    let newest = store.newest(&brief.app, brief.recipient, &brief.purpose, last);
    assert_eq!(newest.await.unwrap().map(|found| found.id), Some(brief.id));
}

#[tokio::test]
async fn a_verification_of_nobody_leaves_no_counters_behind() {
    let store = MemoryStore::default();
    store.start(step(nth(1), false), T0).await.unwrap();
    let later = T0.plus(MINUTE + RETENTION);
    (0..SHARDS).for_each(|part| store.sweep(part, later));
    assert!(image(&store).is_empty());
}
