//! Nothing is answered before it is durable, and what waits together becomes durable together.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::checkpoint::CheckpointError;
use super::*;

#[tokio::test]
async fn a_step_is_not_answered_before_it_is_on_disk() {
    let fixture = Fixture::new();
    let held = fixture.hold_writer();
    let mut step = pin!(fixture.start(1));
    let mut context = Context::from_waker(Waker::noop());
    assert!(step.as_mut().poll(&mut context).is_pending());
    assert!(fixture.crash().embedded.store.is_empty());
    drop(held);
    step.await.unwrap();
    assert_eq!(fixture.crash().rows(), fixture.rows());
    assert_eq!(fixture.embedded.store.len(), 1);
}

#[tokio::test]
async fn even_a_look_waits_for_what_it_saw() {
    let fixture = Fixture::new();
    let held = fixture.hold_writer();
    let mut context = Context::from_waker(Waker::noop());
    let mut step = pin!(fixture.start(1));
    assert!(step.as_mut().poll(&mut context).is_pending());
    let app = AppId::default();
    let mut look = pin!(
        fixture
            .embedded
            .store
            .get(&app, handle(1), fixture.clock.now())
    );
    assert!(matches!(look.as_mut().poll(&mut context), Poll::Pending));
    drop(held);
    assert!(look.await.unwrap().is_some());
}

#[tokio::test]
async fn steps_that_wait_together_share_one_transaction() {
    let fixture = Fixture::new();
    let held = fixture.hold_writer();
    let steps = join_all((0..300).map(|number| fixture.start(number)));
    let mut steps = pin!(steps);
    let mut context = Context::from_waker(Waker::noop());
    assert!(steps.as_mut().poll(&mut context).is_pending());
    drop(held);
    assert!(steps.await.iter().all(Result::is_ok));
    let stats = fixture.embedded.stats()();
    assert_eq!((stats.journal_records, stats.journal_groups), (300, 1));
}

#[tokio::test]
async fn what_a_clean_end_leaves_is_a_snapshot_and_the_next_start_finds_it() {
    let fixture = Fixture::new();
    fixture.start_all(0..4000).await;
    let rows = fixture.rows();
    let (path, clock) = (fixture.path(), Arc::clone(&fixture.clock));
    let Fixture {
        folder, embedded, ..
    } = fixture;
    embedded.close();
    assert_eq!(
        fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len()),
        0
    );
    let embedded = open(&path, &clock).unwrap();
    let stats = embedded.stats()();
    assert_eq!(stats.journal_bytes, 0);
    assert!(stats.snapshot_bytes > 0);
    let again = Fixture {
        folder,
        embedded,
        clock,
    };
    assert_eq!(again.rows(), rows);
}

#[tokio::test]
async fn a_closed_store_refuses_and_never_hangs() {
    let fixture = Fixture::new();
    fixture.start(1).await.unwrap();
    let store = Arc::clone(&fixture.embedded.store);
    fixture.embedded.close();
    assert!(store.ready().await.is_err());
    let step = store.start(start_step(2), fixture.clock.now());
    assert!(step.await.is_err());
}

#[tokio::test]
async fn what_expired_meanwhile_is_left_out_at_the_start() {
    let fixture = Fixture::new();
    fixture.start_all(0..10).await;
    fixture.clock.advance(Duration::from_mins(60 * 24 * 30));
    fixture.start(10).await.unwrap();
    let after = fixture.crash();
    assert_eq!(after.embedded.store.len(), 1);
}

/// More changes than a log may hold before it is to start anew; the next free number.
async fn much(fixture: &Fixture) -> u64 {
    let heavy = |number| {
        let mut step = start_step(number);
        step.details = Sealed::from_bytes(&[7; 20_000]);
        fixture.embedded.store.start(step, fixture.clock.now())
    };
    let mut number = 0;
    while fixture.embedded.stats()().journal_bytes < 20 << 20 {
        let steps = join_all((number..number + 50).map(heavy));
        assert!(steps.await.iter().all(Result::is_ok));
        number += 50;
    }
    number
}

/// Another program that has begun to read, and does not end.
fn reader(fixture: &Fixture) -> rusqlite::Connection {
    let reader = fixture.connection();
    reader
        .execute_batch("BEGIN; SELECT * FROM journal")
        .unwrap();
    reader
}

fn checkpointer(fixture: &Fixture) -> Checkpointer {
    let file = DatabaseFile::find_or_create(&fixture.path()).unwrap();
    Checkpointer::open(&file, fixture.shared()).unwrap()
}

#[tokio::test]
async fn a_log_that_is_never_at_rest_starts_anew_all_the_same() {
    let fixture = Fixture::new();
    let beside = checkpointer(&fixture);
    let number = much(&fixture).await;
    beside.checkpoint().unwrap();
    fixture.start(number).await.unwrap();
    let log = beside.checkpoint().unwrap();
    assert!(log.pages < 4096, "the log has {} pages", log.pages);
    assert_eq!(fixture.crash().rows(), fixture.rows());
}

/// It would be left with all that the reader held back, if that one ended just then.
#[tokio::test]
async fn while_somebody_reads_the_writer_is_not_asked_to_move_the_rest() {
    let fixture = Fixture::new();
    fixture.start(1_000_000).await.unwrap();
    let reader = reader(&fixture);
    much(&fixture).await;
    let held = fixture.hold_writer();
    let beside = checkpointer(&fixture);
    let (tell, told) = channel();
    let thread = thread::spawn(move || tell.send(beside.checkpoint().map(|log| log.pages)));
    let pages = told.recv_timeout(Duration::from_secs(30));
    drop(held);
    thread.join().unwrap().unwrap();
    let pages = pages.expect("it waits for the writer").unwrap();
    assert!(pages > 4096, "the log has {pages} pages");
    drop(reader);
    assert_eq!(fixture.crash().rows(), fixture.rows());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_database_that_cannot_be_flushed_is_told_from_what_can_be_tried_again() {
    let fixture = Fixture::new();
    fixture.start(1).await.unwrap();
    let mut beside = checkpointer(&fixture);
    assert!(beside.checkpoint().is_ok());
    // A device that refuses to be flushed.
    beside.flush_instead(fs::File::open("/dev/null").unwrap());
    let failed = beside.checkpoint();
    assert!(matches!(failed, Err(CheckpointError::Unflushed(_))));
}

/// As for whoever starts while another program has the file open.
#[tokio::test]
async fn what_could_not_be_flushed_is_moved_once_more() {
    let fixture = Fixture::new();
    let reader = fixture.connection();
    let before = fs::read(fixture.path()).unwrap();
    fixture.start_all(1..50).await;
    let beside = checkpointer(&fixture);
    beside.checkpoint().unwrap();
    let moved = fs::read(fixture.path()).unwrap();
    assert_ne!(moved, before);
    // What a disk does that failed to take it.
    fs::write(fixture.path(), &before).unwrap();
    beside.take_back().unwrap();
    let again = "PRAGMA wal_checkpoint(PASSIVE)";
    reader.query_row(again, [], |_| Ok(())).unwrap();
    assert!(fs::read(fixture.path()).unwrap() == moved);
}

#[tokio::test]
async fn who_reads_at_the_end_keeps_the_log_and_that_is_told() {
    let fixture = Fixture::new();
    fixture.start(1).await.unwrap();
    let reader = reader(&fixture);
    fixture.start(2).await.unwrap();
    let beside = fixture.connection();
    assert!(!checkpoint::finish(&beside).unwrap());
    reader.execute_batch("COMMIT").unwrap();
    assert!(checkpoint::finish(&beside).unwrap());
}
