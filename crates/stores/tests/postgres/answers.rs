//! How often a step asks, and what becomes of it when the answer is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use watchword_core::{
    AppId, CheckTarget, RecipientIndex, SourceIndex, StartOutcome, Store, VerificationId,
};
use watchword_stores::{PostgresStore, PostgresTime, PostgresUrl};

use crate::fixture::{Database, open, shared};
use crate::time::{T0, check_step, resend_step, start_step};

/// Stands between a store and its server.
#[derive(Clone, Default)]
struct Line {
    /// How often the store waited for an answer.
    round_trips: Arc<AtomicUsize>,
    /// Whether answers are lost, and the connection with them.
    cut: Arc<AtomicBool>,
}

impl Line {
    /// A line to a server; the port at its near end.
    async fn to(self, server: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(self.clone().carry(near, far));
            }
        });
        port
    }

    async fn carry(self, near: TcpStream, far: TcpStream) {
        let (mut from_near, mut to_near) = near.into_split();
        let (mut from_far, mut to_far) = far.into_split();
        let asking = async {
            // The first message has no type: length, then the rest.
            let mut first = true;
            while let Some((kind, message)) = message(&mut from_near, first).await {
                first = false;
                to_far.write_all(&message).await.ok()?;
                // Sync, and a simple query.
                if matches!(kind, b'S' | b'Q') {
                    self.round_trips.fetch_add(1, Ordering::SeqCst);
                }
            }
            None::<()>
        };
        let answering = async {
            let mut part = vec![0; 16 << 10];
            loop {
                let many = from_far.read(&mut part).await.ok()?;
                if many == 0 || self.cut.load(Ordering::SeqCst) {
                    return None::<()>;
                }
                to_near.write_all(&part[..many]).await.ok()?;
            }
        };
        tokio::select! {
            _ = asking => {}
            _ = answering => {}
        }
    }
}

/// The next message of the protocol
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>) and its kind.
async fn message(from: &mut (impl AsyncRead + Unpin), first: bool) -> Option<(u8, Vec<u8>)> {
    let mut message = Vec::new();
    let kind = if first { 0 } else { from.read_u8().await.ok()? };
    if !first {
        message.push(kind);
    }
    let length = from.read_u32().await.ok()?;
    message.extend(length.to_be_bytes());
    let head = message.len();
    message.resize(head + usize::try_from(length).unwrap() - 4, 0);
    from.read_exact(&mut message[head..]).await.ok()?;
    Some((kind, message))
}

async fn behind(line: &Line, database: &Database) -> PostgresStore {
    let port = line.clone().to(database.server.port).await;
    let text = format!(
        "postgres://watchword@127.0.0.1:{port}/{}?sslmode=disable&step_timeout=20000",
        database.name
    );
    open(&PostgresUrl::parse(&text).unwrap(), PostgresTime::Caller).await
}

const ID: VerificationId = VerificationId::from_bytes([7; 16]);
const RECIPIENT: RecipientIndex = RecipientIndex::from_bytes([7; 16]);
const SOURCE: SourceIndex = SourceIndex::from_bytes([9; 16]);

#[tokio::test]
async fn a_start_a_resend_and_a_check_take_one_round_trip_each() {
    if shared().is_none() {
        return;
    }
    let (line, database) = (Line::default(), Database::migrated());
    let store = behind(&line, &database).await;
    let taken = || line.round_trips.swap(0, Ordering::SeqCst);
    // Once there is a connection.
    store.ready().await.unwrap();
    taken();
    let start = start_step(ID, RECIPIENT, Some(SOURCE));
    store.start(start, T0).await.unwrap();
    assert_eq!(taken(), 1, "a start");
    store
        .resend(resend_step(ID, Some(SOURCE)), T0)
        .await
        .unwrap();
    assert_eq!(taken(), 1, "a resend");
    for target in [
        CheckTarget::Id(ID),
        CheckTarget::Recipient(RECIPIENT, watchword_core::Purpose::default()),
    ] {
        store.check(check_step(target, "000000"), T0).await.unwrap();
        assert_eq!(taken(), 1, "a check");
    }
    store.get(&AppId::default(), ID, T0).await.unwrap().unwrap();
    assert_eq!(taken(), 1, "a look");
}

#[tokio::test]
async fn a_check_whose_answer_is_lost_is_an_error_and_was_done_once() {
    if shared().is_none() {
        return;
    }
    let (line, database) = (Line::default(), Database::migrated());
    let store = behind(&line, &database).await;
    store
        .start(start_step(ID, RECIPIENT, None), T0)
        .await
        .unwrap();
    for left in [4, 3, 2] {
        line.cut.store(true, Ordering::SeqCst);
        let step = check_step(CheckTarget::Id(ID), "000000");
        assert!(store.check(step, T0).await.is_err());
        line.cut.store(false, Ordering::SeqCst);
        // The attempt is spent, and only one.
        let found = store.get(&AppId::default(), ID, T0).await.unwrap();
        assert_eq!(found.unwrap().attempts_left, left);
    }
}

/// What a hand-over is noted with.
const NOTED: &str = "array[]::uuid[], array[]::uuid[])";

#[tokio::test]
async fn only_the_first_news_of_a_hand_over_need_not_be_durable_before_it_is_answered() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    let store = open(&database.url(), PostgresTime::Caller).await;
    let start = start_step(ID, RECIPIENT, Some(SOURCE));
    store.start(start, T0).await.unwrap();
    let (now, tag, id) = (T0.as_millis(), ID.tag(), ID.as_uuid());
    let commits = |step: &str| {
        database.sql(&format!(
            "BEGIN; SELECT FROM {step}; SHOW synchronous_commit; ROLLBACK"
        ))
    };
    let note = |status: &str, next: &str| {
        let delivery = format!(
            r#"[{{"id": "{id}", "channel": "sms", "provider": "p", "status": "{status}", "at": 1}}]"#
        );
        format!(
            "watchword.note_2({now}, {now}, {tag}, '{id}', '{delivery}', true, {now}, {next}, {NOTED}"
        )
    };
    let first = note("accepted", "null, null");
    assert!(commits(&first).contains("off"));
    // What comes next is a promise; and later news may be the reason for it.
    assert!(!commits(&note("accepted", "1, null")).contains("off"));
    let later = note("failed", "null, null");
    database.sql(&format!("SELECT FROM {first}"));
    assert!(!commits(&later).contains("off"));
    let check = format!(
        "watchword.check_2({now}, {tag}, '{id}', null, null, 'default', '{{1}}', '{{x}}', 10, 20, 100)"
    );
    assert!(!commits(&check).contains("off"));
}

#[tokio::test]
async fn a_quota_that_admits_nothing_refuses_those_without_a_past_too() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    let store = open(&database.url(), PostgresTime::Caller).await;
    for nothing in 0..4 {
        let mut step = start_step(ID, RECIPIENT, Some(SOURCE));
        let terms = &mut step.terms;
        let budget = terms.failures.as_mut().unwrap();
        match nothing {
            0 => budget.per_hour = 0,
            1 => budget.per_day = 0,
            2 => terms.recipient[0].max = 0,
            _ => terms.source.as_mut().unwrap().quotas[0].max = 0,
        }
        let outcome = store.start(step, T0).await.unwrap();
        let refused = matches!(outcome, StartOutcome::Refused(_));
        assert!(refused, "{nothing}: {outcome:?}");
    }
}
