//! Whose clock counts, and what is swept away.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;
use watchword_core::fakes::{self, SetClock};
use watchword_core::keys::Sealed;
use watchword_core::{
    AppId, BindingDigest, Candidate, Channel, CheckOutcome, CheckStep, CheckTarget, Code,
    CodeContext, CodeDigest, Delivery, DeliveryId, DeliveryStatus, Dispatched, FailureBudget,
    Fallback, Note, Purpose, Quota, RecipientIndex, Replay, ReplayKey, ReplayStore, ResendStep,
    SendTerms, SourceCharge, SourceIndex, StartOutcome, StartStep, Store, Timestamp,
    VerificationId, WhenPending,
};
use watchword_stores::{PostgresStore, PostgresTime};

use crate::fixture::{Database, Fixture, shared};

pub(crate) const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const RIGHT: &str = "402718";

fn digest(id: VerificationId, recipient: RecipientIndex) -> CodeDigest {
    let code = Code::parse(RIGHT).unwrap();
    let candidate = fakes::keys(1).candidate(&AppId::default(), &BindingDigest::default(), &code);
    let place = CodeContext {
        id,
        recipient,
        channel: Channel::Sms,
        purpose: &Purpose::default(),
    };
    CodeDigest::bind(&candidate, place)
}

fn terms(source: Option<SourceIndex>) -> SendTerms {
    let quotas = vec![Quota {
        max: 1000,
        window: Duration::from_mins(10),
    }];
    SendTerms {
        cooldown: Duration::ZERO,
        recipient: quotas.clone(),
        source: source.map(|index| SourceCharge { index, quotas }),
        failures: Some(FailureBudget::default()),
        horizon: Duration::from_mins(10),
    }
}

pub(crate) fn start_step(
    id: VerificationId,
    recipient: RecipientIndex,
    source: Option<SourceIndex>,
) -> StartStep {
    StartStep {
        id,
        app: AppId::default(),
        recipient,
        purpose: Purpose::default(),
        channel: Channel::Sms,
        digest: digest(id, recipient),
        candidate: Candidate::of_nobody(),
        max_attempts: 5,
        ttl: Duration::from_mins(5),
        details: Sealed::from_bytes(b"sealed"),
        when_pending: WhenPending::Replace,
        terms: terms(source),
    }
}

pub(crate) fn resend_step(id: VerificationId, source: Option<SourceIndex>) -> ResendStep {
    let recipient = RecipientIndex::from_bytes(*id.as_bytes());
    ResendStep {
        id,
        app: AppId::default(),
        channel: Channel::Sms,
        digest: digest(id, recipient),
        candidate: Candidate::of_nobody(),
        max_attempts: 5,
        ttl: Duration::from_mins(5),
        details: Sealed::from_bytes(b"sealed"),
        terms: terms(source),
    }
}

pub(crate) fn check_step(target: CheckTarget, code: &str) -> CheckStep {
    let code = Code::parse(code).unwrap();
    let (app, binding) = (AppId::default(), BindingDigest::default());
    CheckStep {
        candidates: fakes::keys(1).candidates(&app, &binding, &code),
        app,
        target,
        failures: None,
    }
}

/// The end of a dispatch that began at `now`, whose next channel is due in a second.
pub(crate) fn note(now: Timestamp) -> Note {
    Note {
        deliveries: vec![Delivery {
            id: DeliveryId(Uuid::from_u128(1)),
            channel: Channel::Sms,
            provider: "first".to_owned(),
            status: DeliveryStatus::Accepted,
            at: now,
            // No provider has a reason to, but who knows.
            message_id: Some("a\0b".to_owned()),
            error: None,
        }],
        dispatched: Some(Dispatched {
            sent_at: now,
            fallback: Some(Fallback {
                next: 1,
                due: Some(now.plus(Duration::from_secs(1))),
            }),
        }),
        names: Vec::new(),
    }
}

fn handle(first: u8, last: u8) -> (VerificationId, RecipientIndex) {
    let mut bytes = [first; 16];
    bytes[15] = last;
    let index = RecipientIndex::from_bytes(bytes);
    (VerificationId::from_bytes(bytes), index)
}

fn real_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::default().plus(since)
}

/// A store of a node whose clock stands a day ahead or behind.
async fn node(database: &Database, at: Timestamp) -> PostgresStore {
    let (keys, clock) = (fakes::keys(1), Arc::new(SetClock::new(at)));
    let opened = PostgresStore::open(&database.url(), &keys, clock, PostgresTime::Server).await;
    opened.unwrap()
}

#[tokio::test]
async fn nodes_whose_clocks_differ_by_days_share_the_time_of_the_server() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    let day = Duration::from_hours(24);
    let (past, future) = (real_now().minus(day), real_now().plus(day));
    let (behind, ahead) = (node(&database, past).await, node(&database, future).await);
    let (id, recipient) = handle(1, 1);
    let before = real_now();
    let started = behind.start(start_step(id, recipient, None), past).await;
    let StartOutcome::Started(charged) = started.unwrap() else {
        panic!("nothing refuses it");
    };
    assert!(charged.made_at >= before.minus(Duration::from_secs(1)));
    assert!(charged.made_at <= real_now().plus(Duration::from_secs(1)));
    // The code lives for the node whose clock says that it is long dead.
    let found = ahead.get(&AppId::default(), id, future).await.unwrap();
    assert_eq!(found.unwrap().sent_at, charged.made_at);
    let step = check_step(CheckTarget::Id(id), RIGHT);
    let outcome = ahead.check(step, future).await.unwrap();
    assert!(matches!(outcome, CheckOutcome::Approved(_)), "{outcome:?}");
}

#[tokio::test]
async fn what_a_node_says_by_its_own_clock_is_a_span_from_the_present() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    let past = real_now().minus(Duration::from_hours(24));
    let behind = node(&database, past).await;
    let (id, recipient) = handle(1, 1);
    behind
        .start(start_step(id, recipient, None), past)
        .await
        .unwrap();
    let found = behind.get(&AppId::default(), id, past).await.unwrap();
    let sent_at = found.unwrap().sent_at;
    // Due in an hour, by whichever clock.
    let mut end = note(past);
    end.dispatched = Some(Dispatched {
        sent_at,
        fallback: Some(Fallback {
            next: 1,
            due: Some(past.plus(Duration::from_hours(1))),
        }),
    });
    behind.note(id, end, past).await.unwrap();
    assert_eq!(behind.overdue(10, past).await.unwrap(), []);
    let found = behind.get(&AppId::default(), id, past).await.unwrap();
    let due = found.unwrap().fallback.unwrap().due.unwrap();
    assert!(due >= sent_at.plus(Duration::from_mins(59)), "{due}");
    assert!(due <= real_now().plus(Duration::from_mins(61)), "{due}");
    // Kept for a minute, by whichever clock.
    let (key, minute) = (ReplayKey([3; 16]), Duration::from_mins(1));
    let claim = behind.claim(key, [1; 32], past.plus(minute), past).await;
    assert_eq!(claim.unwrap(), Replay::Fresh);
    let claim = behind.claim(key, [1; 32], past.plus(minute), past).await;
    assert_eq!(claim.unwrap(), Replay::Running);
    let answer = Sealed::from_bytes(b"an answer");
    let finished = behind.finish(key, answer.clone(), past.plus(minute)).await;
    finished.unwrap();
    let claim = behind.claim(key, [1; 32], past.plus(minute), past).await;
    assert_eq!(claim.unwrap(), Replay::Done(answer));
}

#[tokio::test]
async fn what_no_longer_matters_is_swept_and_what_does_is_not() {
    if shared().is_none() {
        return;
    }
    let fixture = Fixture::new().await;
    let source = SourceIndex::from_bytes([9; 16]);
    for number in 0..40 {
        let (id, recipient) = handle(number * 6, number);
        let step = start_step(id, recipient, Some(source));
        fixture.start(step, T0).await.unwrap();
    }
    let (locked, failed) = (handle(0, 0).1, handle(6, 1));
    let budget = FailureBudget {
        in_a_row: 1,
        ..FailureBudget::default()
    };
    for (id, failures) in [(handle(0, 0).0, Some(budget)), (failed.0, None)] {
        let step = CheckStep {
            failures,
            ..check_step(CheckTarget::Id(id), "000000")
        };
        fixture.check(step, T0).await.unwrap();
    }
    let key = ReplayKey([3; 16]);
    let until = T0.plus(Duration::from_mins(1));
    fixture.claim(key, [1; 32], until, T0).await.unwrap();
    let count = |table: &str| {
        let count = format!("SELECT count(*) FROM watchword.{table}");
        fixture.database.sql(&count).trim().to_owned()
    };
    // While codes can be read, nothing of them goes.
    fixture
        .sweep(1000, T0.plus(Duration::from_secs(599)))
        .await
        .unwrap();
    assert_eq!(count("verification"), "40");
    assert_eq!(count("replay"), "0");
    // A few at a time.
    let gone = fixture
        .sweep(1, T0.plus(Duration::from_mins(10)))
        .await
        .unwrap();
    assert!((1..40).contains(&gone), "{gone}");
    fixture
        .sweep(1000, T0.plus(Duration::from_mins(10)))
        .await
        .unwrap();
    assert_eq!(count("verification"), "0");
    assert_eq!(count("recipient"), "40");
    // An hour later at most, only those that failed are remembered.
    fixture
        .sweep(1000, T0.plus(Duration::from_hours(2)))
        .await
        .unwrap();
    assert_eq!(
        (count("recipient"), count("source")),
        ("2".into(), "0".into())
    );
    let half_a_year = Duration::from_hours(24 * 181);
    fixture.sweep(1000, T0.plus(half_a_year)).await.unwrap();
    assert_eq!(count("recipient"), "1", "a lock is never forgotten");
    let unlocked = fixture.unlock(locked, T0.plus(half_a_year)).await;
    assert!(unlocked.unwrap());
}

#[tokio::test]
async fn rows_that_somebody_works_on_are_left_to_the_next_round() {
    if shared().is_none() {
        return;
    }
    let fixture = Fixture::new().await;
    for number in [1, 2] {
        let (id, recipient) = handle(number, number);
        fixture
            .start(start_step(id, recipient, None), T0)
            .await
            .unwrap();
    }
    let held = "BEGIN; SELECT 1 FROM watchword.verification WHERE tag = 257 FOR UPDATE;
        SELECT pg_sleep(600)";
    let mut holder = fixture.database.server.psql(&fixture.database.name);
    let holder = holder
        .args(["-c", held])
        .stdout(std::process::Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
        AND datname = current_database()";
    while fixture.database.sql(sleeping).trim() != "1" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let late = T0.plus(Duration::from_mins(10));
    assert_eq!(fixture.sweep(1000, late).await.unwrap(), 1);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let left = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE wait_event = 'PgSleep' AND datname = current_database()";
    fixture.database.sql(left);
    while fixture.sweep(1000, late).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}
