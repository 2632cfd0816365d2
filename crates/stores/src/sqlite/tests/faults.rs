//! A disk that is full: refuse, keep what was promised, and go on by itself.

use watchword_core::StoreError;

use super::*;

/// Fills the file with something that is not ours, and lets it grow no further.
fn fill_disk(fixture: &Fixture) {
    let other = fixture.connection();
    other
        .execute_batch("CREATE TABLE filler (a); INSERT INTO filler VALUES (zeroblob(4000000));")
        .unwrap();
    let limited = fixture.shared().outside(|writer| {
        let pages: i64 = writer.pragma_query_value(None, "page_count", |row| row.get(0))?;
        // The setting answers with a row, so this is a query.
        writer.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
    });
    assert!(limited.is_ok());
}

/// Somebody deletes what filled it.
fn free_disk(fixture: &Fixture) {
    fixture
        .connection()
        .execute_batch("PRAGMA busy_timeout = 10000; DROP TABLE filler;")
        .unwrap();
}

/// Starts verifications until one is refused; its number.
async fn start_until_refused(fixture: &Fixture) -> u64 {
    for number in 0.. {
        match fixture.start(number).await {
            Ok(()) => {}
            Err(StoreError::Unavailable(_)) => return number,
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("no disk is endless");
}

/// The writer tries again by itself; nobody nudges it.
async fn until_ready(fixture: &Fixture) {
    while fixture.embedded.store.ready().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_steps_until_there_is_room_again() {
    let fixture = Fixture::new();
    fill_disk(&fixture);
    let refused = start_until_refused(&fixture).await;
    assert!(fixture.embedded.store.ready().await.is_err());
    assert!(fixture.embedded.stats()().refusing);
    let before = fixture.rows();
    let step = fixture
        .embedded
        .store
        .check(wrong_check(0), fixture.clock.now());
    assert!(matches!(step.await, Err(StoreError::Unavailable(_))));
    assert_eq!(fixture.rows(), before, "a refused step changed something");
    let after_power_loss = fixture.crash();
    assert_eq!(after_power_loss.embedded.store.len() as u64, refused);

    free_disk(&fixture);
    until_ready(&fixture).await;
    fixture.start(refused + 1).await.unwrap();
    assert!(!fixture.embedded.stats()().refusing);
    // The refused one was tried again with the rest, and nothing came twice or half.
    assert_eq!(fixture.embedded.store.len() as u64, refused + 2);
    assert_eq!(fixture.crash().rows(), fixture.rows());
}

#[tokio::test]
async fn somebody_who_holds_the_file_for_long_delays_steps_but_stops_none_for_ever() {
    let fixture = Fixture::new();
    let other = fixture.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(fixture.start(1).await.is_err());
    assert!(fixture.embedded.store.ready().await.is_err());
    other.execute_batch("ROLLBACK").unwrap();
    until_ready(&fixture).await;
    fixture.start(2).await.unwrap();
    assert_eq!(fixture.crash().embedded.store.len(), 2);
}

/// They wait for their turn as long as without it, and not once more.
#[tokio::test]
async fn a_change_beside_a_group_does_not_double_the_wait_for_a_file_that_is_held() {
    let fixture = Fixture::new();
    let journal = fixture.embedded.store.journal().clone();
    let other = fixture.connection();
    let held = fixture.hold_writer();
    let mut change = Box::pin(journal.change(|_| Ok(())));
    let mut start = Box::pin(fixture.start(1));
    assert!(futures_util::poll!(&mut change).is_pending());
    assert!(futures_util::poll!(&mut start).is_pending());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    drop(held);
    assert!(change.await.is_err());
    // Freed at once: a second wait would end well.
    other.execute_batch("ROLLBACK").unwrap();
    assert!(start.await.is_err());
    until_ready(&fixture).await;
    fixture.start(2).await.unwrap();
    assert_eq!(fixture.crash().embedded.store.len(), 2);
}

#[tokio::test]
async fn a_snapshot_in_the_making_gives_way_to_the_steps_when_the_disk_is_full() {
    let fixture = Fixture::new();
    // Large enough that an image needs more room than a step.
    fixture.start_all(0..2000).await;
    fill_disk(&fixture);
    let clock = Arc::clone(&fixture.embedded.clock);
    let store = Arc::clone(&fixture.embedded.store);
    let head = Mutex::new(Head::default());
    let shared = Arc::clone(fixture.shared());
    let made = tokio::task::spawn_blocking(move || {
        let made = snapshot::make(&store, &clock, &head, |_| true);
        (made.is_err(), *head.lock())
    });
    assert_eq!(made.await.unwrap(), (true, Head::default()));
    assert!(!shared.is_refusing(), "the steps suffer for the snapshot");
    assert_eq!(fixture.crash().rows(), fixture.rows());
}

#[tokio::test]
async fn a_snapshot_rests_after_each_of_its_steps_and_ends_when_it_is_told_to() {
    let fixture = Fixture::new();
    fixture.start_all(0..2000).await;
    let make = |steps: usize| {
        let clock = Arc::clone(&fixture.embedded.clock);
        let store = Arc::clone(&fixture.embedded.store);
        tokio::task::spawn_blocking(move || {
            let (head, rests) = (Mutex::new(Head::default()), Mutex::new(0));
            let rest = |_| {
                let mut rests = rests.lock();
                *rests += 1;
                *rests < steps
            };
            let made = snapshot::make(&store, &clock, &head, rest).is_ok();
            (made, *head.lock() == Head::default(), rests.into_inner())
        })
    };
    assert_eq!(make(2).await.unwrap(), (false, true, 2));
    let (made, is_old, rests) = make(usize::MAX).await.unwrap();
    assert!(made && !is_old);
    // What there was to clean up, an image in chunks, the head, and the journal before it.
    assert!(rests > 4, "{rests}");
}

#[test]
fn a_snapshot_rests_less_once_the_journal_is_longer_than_it() {
    let shared = journal::Shared::default();
    let rest = |took| snapshot::rest(&shared, 1 << 20, Duration::from_millis(took));
    let usual = rest(2);
    let journal = |bytes| shared.counts.bytes.store(bytes, Ordering::Relaxed);
    journal(1 << 20);
    assert_eq!(rest(2), usual);
    journal((1 << 20) + 1);
    assert!(rest(2) < usual);
    let snapshot = &shared.counts.snapshot_bytes;
    snapshot.store(4 << 20, Ordering::Relaxed);
    assert_eq!(rest(2), usual);
    journal((4 << 20) + 1);
    assert!(rest(2) < usual);
    assert!(rest(60_000) <= Duration::from_millis(100));
}

#[tokio::test]
async fn no_snapshot_counts_while_what_it_holds_is_not_in_the_journal() {
    let fixture = Fixture::new();
    fixture.start_all(0..10).await;
    let mut making = Compaction::begin(
        Arc::clone(&fixture.embedded.store),
        Arc::clone(&fixture.embedded.clock),
        Head::default(),
    );
    while making.phase() != snapshot::Phase::Publish {
        assert!(making.step().unwrap());
    }
    fill_disk(&fixture);
    start_until_refused(&fixture).await;
    assert!(making.step().is_err());
    assert_eq!(Head::load(&fixture.connection()).unwrap(), Head::default());
}

#[tokio::test]
async fn a_storage_that_ends_while_the_disk_is_full_ends_and_loses_nothing_acknowledged() {
    let fixture = Fixture::new();
    fill_disk(&fixture);
    let refused = start_until_refused(&fixture).await;
    let (_folder, path, clock) = fixture.abandon();
    let again = open(&path, &clock).unwrap();
    assert_eq!(again.store.len() as u64, refused);
}

#[tokio::test]
async fn what_other_tables_change_is_refused_while_the_disk_is_full_and_nothing_of_it_stays() {
    let fixture = Fixture::new();
    let table = "CREATE TABLE number (n)";
    fixture.connection().execute_batch(table).unwrap();
    let journal = fixture.embedded.store.journal().clone();
    let put = || {
        journal.change(|connection: &Connection| {
            connection.execute("INSERT INTO number VALUES (zeroblob(100000))", [])
        })
    };
    fill_disk(&fixture);
    assert!(matches!(put().await, Err(StoreError::Unavailable(_))));
    // With the journal itself at a stand, it is refused before it is tried.
    start_until_refused(&fixture).await;
    let refused = format!("{:?}", put().await.unwrap_err());
    assert!(refused.contains("Refusing"), "{refused}");
    free_disk(&fixture);
    while put().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let count = fixture
        .connection()
        .query_row("SELECT count(*) FROM number", [], |row| row.get(0));
    assert_eq!(count, Ok(1));
}
