//! Whole storages are copied, by their URLs and by the time of this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use watchword_core::account::{AccountId, AccountRecord, EmailStatus, Identifier, IdentifierKind};
use watchword_core::fakes::{self, SeededEntropy};
use watchword_core::keys::{KeyId, KeyRing, Sealed};
use watchword_core::memory::{NamedMessage, ReplayEntry};
use watchword_core::moving::{Class, RecipientRow, Row, SourceRow, Tally, count};
use watchword_core::{
    ApiKey, ApiKeyRecord, AppId, Clock, DeliveryId, Fallback, MessageKey, RecipientIndex,
    RecipientLedger, ReplayKey, Scope, SlidingLog, Slot, SourceIndex, Timestamp, Verification,
    VerificationId,
};
use watchword_stores::{
    Move, MoveAccounts, MoveError, Moved, Neighbour, OpenError, OpenOptions, Opened, StorageUrl,
    copy, open, open_accounts, open_api_keys,
};

use crate::ALONE;
use crate::fixture::{Database, shared};

/// The machine's clock, as a server has it.
pub(crate) struct Real;

impl Clock for Real {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap())
    }
}

fn keys() -> Arc<KeyRing> {
    Arc::new(fakes::keys(1))
}

pub(crate) fn options() -> OpenOptions {
    OpenOptions::new(keys(), Arc::new(Real))
}

pub(crate) async fn serve(url: &StorageUrl) -> Opened {
    open(url, options()).await.unwrap()
}

pub(crate) fn file(folder: &TempDir, name: &str) -> StorageUrl {
    StorageUrl::Sqlite(folder.path().join(name))
}

/// A database of a server that all tests share.
fn database() -> Option<(Arc<Database>, StorageUrl)> {
    shared()?;
    let database = Arc::new(Database::empty());
    let url = StorageUrl::Postgres(Box::new(database.url()));
    Some((database, url))
}

pub(crate) fn wanted(from: &StorageUrl, to: &StorageUrl) -> Move {
    Move {
        from: from.clone(),
        to: to.clone(),
        accounts: MoveAccounts::Move {
            from: from.clone(),
            to: to.clone(),
        },
        keys: keys(),
        clock: Arc::new(Real),
    }
}

async fn copied(from: &StorageUrl, to: &StorageUrl) -> Moved {
    let moved = copy(&wanted(from, to), &|_| {}).await.unwrap();
    assert!(moved.is_good(), "{moved:?}");
    moved
}

/// How many people there are: more than fit on one page.
pub(crate) const PEOPLE: u16 = 1500;

fn index(number: u16) -> RecipientIndex {
    let mut bytes = [0xA5; 16];
    bytes[..2].copy_from_slice(&number.wrapping_mul(40_503).to_be_bytes());
    bytes[14..].copy_from_slice(&number.to_be_bytes());
    RecipientIndex::from_bytes(bytes)
}

fn verification(number: u16, at: Timestamp) -> Verification {
    let mut row = fakes::pending(at);
    row.recipient = index(number);
    let entropy = SeededEntropy::new(u64::from(number));
    row.id = VerificationId::generate(&row.recipient, &entropy).unwrap();
    row.attempts_left = u32::from(number % 5) + 1;
    row.expires_at = at.plus(Duration::from_mins(30));
    if number.is_multiple_of(7) {
        row.fallback = Some(Fallback {
            next: 1,
            due: number
                .is_multiple_of(14)
                .then(|| at.plus(Duration::from_secs(30))),
        });
        row.outdated = 1;
    }
    if number.is_multiple_of(11) {
        row.deliveries[0].error = Some("a \"quoted\"\\ word\0".to_owned());
    }
    row
}

fn ledger(number: u16, row: &Verification, at: Timestamp) -> RecipientLedger {
    let before = |seconds: u64| at.minus(Duration::from_secs(seconds));
    RecipientLedger {
        sends: SlidingLog::from_moments(vec![before(60), before(20), row.sent_at]),
        failures: SlidingLog::from_moments(vec![before(90); usize::from(number % 4)]),
        row: u32::from(number % 4),
        locked: number.is_multiple_of(100),
        slots: vec![Slot {
            purpose: row.purpose.clone(),
            id: row.id,
            sent_at: (!number.is_multiple_of(9)).then_some(row.sent_at),
            until: row.expires_at.plus(Duration::from_mins(5)),
        }],
    }
}

/// Rows of every kind that have no meaning for each other.
fn rows(at: Timestamp) -> Vec<Row> {
    let later = at.plus(Duration::from_hours(1));
    let mut rows = Vec::new();
    for number in 0..PEOPLE {
        let row = verification(number, at);
        let mut key = [0; 16];
        key[..2].copy_from_slice(&number.to_be_bytes());
        rows.push(Row::Name(
            MessageKey(key),
            NamedMessage {
                verification: row.id,
                delivery: DeliveryId(row.id.as_uuid()),
                until: later,
            },
        ));
        rows.push(Row::Answer(
            ReplayKey(key),
            ReplayEntry {
                fingerprint: [3; 32],
                answer: (number % 3 > 0).then(|| Sealed::from_bytes(&key)),
                until: later,
            },
        ));
        rows.push(Row::Source(SourceRow {
            index: SourceIndex::from_bytes(key),
            sends: SlidingLog::from_moments(vec![at; usize::from(number % 3) + 1]),
            horizon: Duration::from_mins(10),
        }));
        rows.push(Row::Recipient(Box::new(RecipientRow {
            index: row.recipient,
            ledger: ledger(number, &row, at),
            horizon: Duration::from_mins(10),
        })));
        rows.push(Row::Verification(Box::new(row)));
    }
    rows
}

fn account(number: u8) -> AccountRecord {
    let identifier = |kind| Identifier {
        kind,
        key: KeyId::from_bytes([9; 4]),
        index: [number; 16],
    };
    AccountRecord {
        id: AccountId::from_bytes([number; 16]),
        app: AppId::default(),
        email_status: EmailStatus::Verified,
        created_at: Timestamp::from_millis(1_700_000_000_000),
        key: KeyId::from_bytes([9; 4]),
        sealed: Sealed::from_bytes(&[number; 40]),
        identifiers: vec![
            identifier(IdentifierKind::Mobile),
            identifier(IdentifierKind::Email),
        ],
    }
}

fn api_key(seed: u64) -> ApiKeyRecord {
    let key = ApiKey::generate(&SeededEntropy::new(seed)).unwrap();
    let made = Timestamp::from_millis(1_700_000_000_000);
    let scopes = Scope::USUAL.to_vec();
    ApiKeyRecord::of(
        &key,
        format!("shop {seed}"),
        AppId::default(),
        scopes,
        made,
        None,
    )
}

/// A storage that a server used and let go.
pub(crate) async fn fill(url: &StorageUrl) {
    let opened = serve(url).await;
    let at = Real.now();
    opened
        .rows
        .clone()
        .unwrap()
        .put(rows(at), at)
        .await
        .unwrap();
    for seed in 1..4 {
        opened.api_keys.add(api_key(seed)).await.unwrap();
    }
    opened.api_keys.revoke(&api_key(2).id, at).await.unwrap();
    for number in 1..30 {
        opened.accounts.create(account(number)).await.unwrap();
    }
    opened.close().await;
}

/// What a server finds there.
pub(crate) async fn found(url: &StorageUrl, at: Timestamp) -> Tally {
    let opened = serve(url).await;
    let tally = count(&*opened.rows.clone().unwrap(), at).await.unwrap();
    opened.close().await;
    tally
}

async fn everything_arrives(from: &StorageUrl, to: &StorageUrl) {
    fill(from).await;
    let moved = copied(from, to).await;
    assert_eq!(moved.classes, Class::ALL);
    let people = u64::from(PEOPLE);
    for class in Class::ALL {
        let expected = match class {
            Class::ApiKeys => 3,
            Class::Accounts => 29,
            _ => people,
        };
        assert_eq!(moved.to.rows(class), expected, "{class:?}");
    }
    let at = Real.now();
    let (before, after) = (found(from, at).await, found(to, at).await);
    assert_eq!(before.differences(&after), []);
    let target = serve(to).await;
    let revoked = target.api_keys.find(&api_key(2).id).await.unwrap().unwrap();
    assert!(revoked.revoked_at.is_some() && revoked.hash == api_key(2).hash);
    let known = target.api_keys.find(&api_key(3).id).await.unwrap();
    assert_eq!(known, Some(api_key(3)));
    let by = account(7).identifiers[0];
    let known = target.accounts.find(&[by]).await.unwrap();
    assert_eq!(known.map(|known| known.id), Some(account(7).id));
    target.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_from_sqlite_in_sqlite() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    everything_arrives(&file(&folder, "a.db"), &file(&folder, "b.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_from_sqlite_in_postgresql_and_back() {
    let _alone = ALONE.lock().await;
    let Some((_database, there)) = database() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (here, back) = (file(&folder, "a.db"), file(&folder, "b.db"));
    everything_arrives(&here, &there).await;
    let moved = copied(&there, &back).await;
    let at = Real.now();
    assert_eq!(
        found(&here, at).await.differences(&found(&back, at).await),
        []
    );
    assert_eq!(moved.to.rows(Class::Accounts), 29);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_runs_again_leaves_what_the_source_holds_then() {
    let _alone = ALONE.lock().await;
    let Some((_database, there)) = database() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let here = file(&folder, "a.db");
    fill(&here).await;
    let first = copied(&here, &there).await;
    let second = copied(&here, &there).await;
    assert_eq!(first.to.differences(&second.to), []);
    // The old server goes on for a while: somebody is unlocked, a key is freed.
    let opened = serve(&here).await;
    let at = Real.now();
    assert!(opened.store.unlock(index(100), at).await.unwrap());
    let mut key = [0; 16];
    key[1] = 5;
    opened.replays.abandon(ReplayKey(key)).await.unwrap();
    opened.close().await;
    let third = copied(&here, &there).await;
    let gone = u64::from(PEOPLE) - 1;
    assert_eq!(third.to.rows(Class::IdempotencyKeys), gone);
    let changed = [Class::Recipients, Class::IdempotencyKeys];
    assert_eq!(second.to.differences(&third.to), changed);
}

/// Ends in the middle, however it ended.
async fn interrupted(from: &StorageUrl, to: &StorageUrl) {
    let wanted = wanted(from, to);
    let copying = tokio::spawn(async move {
        let told = |rows| assert!(rows < 1000, "interrupted");
        copy(&wanted, &told).await.map(drop)
    });
    assert!(copying.await.unwrap_err().is_panic());
}

async fn goes_on_after_an_interruption(to: &StorageUrl) {
    let folder = tempfile::tempdir().unwrap();
    let from = file(&folder, "a.db");
    fill(&from).await;
    interrupted(&from, to).await;
    let refused = open(to, options()).await.err().unwrap();
    assert!(matches!(refused, OpenError::HalfCopied { .. }), "{refused}");
    let refused = open_api_keys(to).await.err().unwrap();
    assert!(matches!(refused, OpenError::HalfCopied { .. }), "{refused}");
    // Nor is a part taken for the whole.
    let onward = file(&folder, "c.db");
    let refused = copy(&wanted(to, &onward), &|_| {}).await.unwrap_err();
    assert!(
        matches!(refused, MoveError::Open(OpenError::HalfCopied { .. })),
        "{refused}"
    );
    interrupted(&from, to).await;
    copied(&from, to).await;
    let at = Real.now();
    assert_eq!(found(&from, at).await.differences(&found(to, at).await), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_copy_into_sqlite_is_served_by_nobody_and_may_run_again() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    goes_on_after_an_interruption(&file(&folder, "b.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_copy_into_postgresql_is_served_by_nobody_and_may_run_again() {
    let _alone = ALONE.lock().await;
    if let Some((_database, there)) = database() {
        goes_on_after_an_interruption(&there).await;
    }
}

async fn is_left_alone_once_used(to: &StorageUrl) {
    let folder = tempfile::tempdir().unwrap();
    let from = file(&folder, "a.db");
    fill(&from).await;
    copied(&from, to).await;
    // From now on it is the truth.
    serve(to).await.close().await;
    let refused = copy(&wanted(&from, to), &|_| {}).await.unwrap_err();
    assert!(matches!(refused, MoveError::Occupied { .. }), "{refused}");
    let text = refused.to_string();
    assert!(
        text.contains("1500 verifications") && text.contains("3 API keys"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_server_has_used_is_no_target_any_more() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    is_left_alone_once_used(&file(&folder, "b.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_server_has_used_is_no_target_any_more() {
    let _alone = ALONE.lock().await;
    if let Some((_database, there)) = database() {
        is_left_alone_once_used(&there).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_somebody_made_at_the_target_are_not_overwritten() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (file(&folder, "a.db"), file(&folder, "b.db"));
    fill(&from).await;
    copied(&from, &to).await;
    let accounts = open_accounts(&to, &Neighbour::elsewhere(&to)).await;
    accounts.unwrap().create(account(99)).await.unwrap();
    let refused = copy(&wanted(&from, &to), &|_| {}).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("30 accounts"), "{text}");
}

/// Copies while somebody changes something, once the first rows were copied.
async fn disturbed(from: &StorageUrl, to: &StorageUrl, database: &Database, sql: &str) -> Moved {
    let done = AtomicBool::new(false);
    let told = |_| {
        if !done.swap(true, Ordering::Relaxed) {
            database.sql(sql);
        }
    };
    let moved = copy(&wanted(from, to), &told).await.unwrap();
    assert!(!moved.is_good());
    moved
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_in_use_is_noticed() {
    let _alone = ALONE.lock().await;
    let Some((database, there)) = database() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let to = file(&folder, "b.db");
    fill(&there).await;
    // An attempt at a code that was copied already.
    let guess = "UPDATE watchword.verification SET attempts_left = attempts_left - 1
        WHERE (tag, id) = (SELECT tag, id FROM watchword.verification ORDER BY tag, id LIMIT 1)";
    let moved = disturbed(&there, &to, &database, guess).await;
    assert_eq!(moved.changed, [Class::Verifications]);
    let refused = open(&to, options()).await.err().unwrap();
    assert!(matches!(refused, OpenError::HalfCopied { .. }), "{refused}");
    copied(&there, &to).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_in_use_is_noticed() {
    let _alone = ALONE.lock().await;
    let Some((database, there)) = database() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let from = file(&folder, "a.db");
    fill(&from).await;
    let guess = "UPDATE watchword.source SET sends = sends || sends
        WHERE source = (SELECT source FROM watchword.source LIMIT 1)";
    let moved = disturbed(&from, &there, &database, guess).await;
    assert_eq!(moved.differences(), [Class::Sources]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_server_has_open_is_refused_on_both_sides() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let (used, free) = (file(&folder, "a.db"), file(&folder, "b.db"));
    let opened = serve(&used).await;
    for wanted in [wanted(&used, &free), wanted(&free, &used)] {
        serve(&free).await.close().await;
        let refused = copy(&wanted, &|_| {}).await.unwrap_err();
        assert!(
            matches!(refused, MoveError::Open(OpenError::InUse { .. })),
            "{refused}"
        );
    }
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_key_is_refused_on_both_sides() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (file(&folder, "a.db"), file(&folder, "b.db"));
    serve(&ours).await.close().await;
    let foreign = OpenOptions::new(Arc::new(fakes::keys(2)), Arc::new(Real));
    open(&theirs, foreign).await.unwrap().close().await;
    for wanted in [wanted(&ours, &theirs), wanted(&theirs, &ours)] {
        let refused = copy(&wanted, &|_| {}).await.unwrap_err();
        assert!(
            matches!(refused, MoveError::Open(OpenError::WrongKey { .. })),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_refused_and_nothing_is_made() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (file(&folder, "a.db"), file(&folder, "b.db"));
    let refused = copy(&wanted(&one, &other), &|_| {}).await.unwrap_err();
    assert!(matches!(refused, MoveError::NoSource(_)), "{refused}");
    serve(&one).await.close().await;
    let same = StorageUrl::Sqlite(folder.path().join(".").join("a.db"));
    for (from, to) in [(&one, &one), (&one, &same)] {
        let refused = copy(&wanted(from, to), &|_| {}).await.unwrap_err();
        assert!(matches!(refused, MoveError::Same(_)), "{refused}");
    }
    let memory = StorageUrl::Memory;
    for (from, to) in [(&one, &memory), (&memory, &one)] {
        let refused = copy(&wanted(from, to), &|_| {}).await.unwrap_err();
        assert!(matches!(refused, MoveError::Memory), "{refused}");
    }
    assert!(!other.path().unwrap().exists());
}
