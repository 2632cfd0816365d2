//! Ordinary tables of a file whose verifications are served: what changes there goes along with groups.

use std::ops::Deref;
use std::sync::atomic::AtomicBool;

use futures_util::poll;
use watchword_core::StoreError;
use watchword_core::audit::conformance;

use super::*;

/// Accounts in the file of a store.
struct Served {
    accounts: SqliteAccounts,
    _fixture: Fixture,
}

impl Served {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let path = fixture.path();
        let accounts = SqliteAccounts::open(&path, &fixture.embedded.neighbour(&path)).unwrap();
        Self {
            accounts,
            _fixture: fixture,
        }
    }
}

impl Deref for Served {
    type Target = SqliteAccounts;

    fn deref(&self) -> &SqliteAccounts {
        &self.accounts
    }
}

watchword_core::account_conformance!(Served::new());

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_audit_log_beside_verifications_keeps_the_promises_of_a_store() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let audit = SqliteAudit::open(&path, &fixture.embedded.neighbour(&path)).unwrap();
    conformance::keeps_its_promises(Arc::new(audit)).await;
}

/// The transactions in the write-ahead log: frames that name the size of the database end one
/// (<https://www.sqlite.org/fileformat2.html#walformat>).
fn commits(fixture: &Fixture) -> usize {
    let mut wal = fixture.path().into_os_string();
    wal.push("-wal");
    let wal = fs::read(wal).unwrap();
    let page = u32::from_be_bytes(wal[8..12].try_into().unwrap()) as usize;
    let salt = &wal[16..24];
    let frames = wal[32..].chunks_exact(24 + page);
    frames
        .take_while(|frame| &frame[8..16] == salt)
        .filter(|frame| frame[4..8] != [0; 4])
        .count()
}

/// Makes a table to put numbers into.
fn with_numbers() -> Fixture {
    let fixture = Fixture::new();
    let table = "CREATE TABLE number (n UNIQUE)";
    fixture.connection().execute_batch(table).unwrap();
    fixture
}

fn put(number: i64) -> impl FnOnce(&Connection) -> rusqlite::Result<()> + Send {
    move |connection| {
        let inserted = connection.execute("INSERT INTO number VALUES (?1)", [number]);
        inserted.map(drop)
    }
}

fn numbers(fixture: &Fixture) -> Vec<i64> {
    let connection = fixture.connection();
    let mut select = connection
        .prepare("SELECT n FROM number ORDER BY n")
        .unwrap();
    let numbers = select.query_map([], |row| row.get(0)).unwrap();
    numbers.collect::<rusqlite::Result<_>>().unwrap()
}

#[tokio::test]
async fn a_change_and_the_group_beside_it_are_one_transaction() {
    let fixture = with_numbers();
    let journal = fixture.embedded.store.journal().clone();
    let held = fixture.hold_writer();
    let mut change = Box::pin(journal.change(put(1)));
    let mut start = Box::pin(fixture.start(1));
    assert!(poll!(&mut change).is_pending());
    assert!(poll!(&mut start).is_pending());
    let before = commits(&fixture);
    drop(held);
    change.await.unwrap();
    start.await.unwrap();
    assert_eq!(commits(&fixture), before + 1);
    assert_eq!(numbers(&fixture), [1]);
}

/// Has the journal do it in the transaction of a group.
async fn beside_a_start(
    fixture: &Fixture,
    number: u64,
    change: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
) -> Result<(), StoreError> {
    let journal = fixture.embedded.store.journal().clone();
    let held = fixture.hold_writer();
    let mut change = Box::pin(journal.change(change));
    let mut start = Box::pin(fixture.start(number));
    assert!(poll!(&mut change).is_pending());
    assert!(poll!(&mut start).is_pending());
    drop(held);
    start.await.unwrap();
    change.await
}

#[tokio::test]
async fn a_change_that_fails_or_panics_is_taken_back_and_hinders_nobody() {
    let fixture = with_numbers();
    beside_a_start(&fixture, 1, put(1)).await.unwrap();
    let twice = |connection: &Connection| {
        put(2)(connection)?;
        put(1)(connection)
    };
    let panics = |connection: &Connection| -> rusqlite::Result<()> {
        put(3)(connection)?;
        panic!("on purpose");
    };
    let orphan = |connection: &Connection| {
        let insert = "INSERT INTO account_identifier VALUES ('email', '00000009', x'01', x'02')";
        put(4)(connection)?;
        connection.execute(insert, []).map(drop)
    };
    for refused in [
        beside_a_start(&fixture, 2, twice).await,
        beside_a_start(&fixture, 3, panics).await,
        beside_a_start(&fixture, 4, orphan).await,
    ] {
        assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    }
    beside_a_start(&fixture, 5, put(5)).await.unwrap();
    assert_eq!(numbers(&fixture), [1, 5]);
    let (_folder, path, clock) = fixture.abandon();
    assert_eq!(open(&path, &clock).unwrap().store.len(), 5);
}

/// Which SQLite does where it fails to, as when it has no memory.
#[tokio::test]
async fn a_transaction_that_was_left_open_swallows_no_group() {
    let fixture = with_numbers();
    let left = fixture
        .shared()
        .outside(|writer| writer.execute_batch("BEGIN; INSERT INTO number VALUES (1)"));
    assert!(left.is_ok());
    fixture.start(1).await.unwrap();
    assert!(numbers(&fixture).is_empty());
    let after_power_loss = fixture.crash();
    assert_eq!(after_power_loss.embedded.store.len(), 1);
}

#[tokio::test]
async fn who_goes_away_while_in_line_has_nothing_changed() {
    let fixture = with_numbers();
    let journal = fixture.embedded.store.journal().clone();
    let begun = Arc::new(AtomicBool::new(false));
    let held = fixture.hold_writer();
    let noted = Arc::clone(&begun);
    let mut gone = Box::pin(journal.change(move |_| {
        noted.store(true, Ordering::SeqCst);
        Ok(())
    }));
    assert!(poll!(&mut gone).is_pending());
    drop(gone);
    drop(held);
    journal.change(put(1)).await.unwrap();
    assert!(!begun.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_closed_store_changes_nothing_and_says_so() {
    let fixture = with_numbers();
    let journal = fixture.embedded.store.journal().clone();
    let (_folder, _, _) = fixture.abandon();
    let Err(StoreError::Unavailable(why)) = journal.change(put(1)).await else {
        panic!("there is nobody who could");
    };
    assert!(format!("{why:?}").contains("closed"), "{why:?}");
}
