//! A loss of power between any two transactions of a snapshot.

use watchword_core::{Replay, ReplayKey, ReplayStore};

use super::*;

fn begin(fixture: &Fixture) -> Compaction {
    Compaction::begin(
        Arc::clone(&fixture.embedded.store),
        Arc::clone(&fixture.embedded.clock),
        *fixture.embedded.head.lock(),
    )
}

#[tokio::test]
async fn a_crash_between_any_two_steps_of_a_snapshot_loses_nothing() {
    let fixture = Fixture::new();
    fixture.start_all(0..3000).await;
    let mut phases = Vec::new();
    for round in 0..2_u64 {
        let mut making = begin(&fixture);
        let mut number = 0;
        loop {
            phases.push(making.phase());
            let more = making.step().unwrap();
            // Steps go on meanwhile, on old recipients and on new ones.
            number += 1;
            let step = fixture
                .embedded
                .store
                .check(wrong_check(number), fixture.clock.now());
            step.await.unwrap();
            fixture.start(10_000 * (round + 1) + number).await.unwrap();
            assert_eq!(
                fixture.crash().rows(),
                fixture.rows(),
                "after {:?}",
                phases.last()
            );
            if !more {
                break;
            }
        }
        *fixture.embedded.head.lock() = making.published().unwrap();
    }
    phases.dedup();
    assert_eq!(
        phases.len(),
        10,
        "every phase came in both rounds: {phases:?}"
    );
    assert!(fixture.embedded.stats()().journal_bytes < 1 << 20);
}

#[tokio::test]
async fn a_snapshot_that_was_cut_off_is_cleared_away_by_the_next() {
    let fixture = Fixture::new();
    fixture.start_all(0..3000).await;
    let mut cut_off = begin(&fixture);
    for _ in 0..4 {
        assert!(cut_off.step().unwrap());
    }
    let after = fixture.crash();
    let mut making = begin(&after);
    while making.step().unwrap() {}
    let head = making.published().unwrap();
    let chunks: u32 = after
        .connection()
        .query_row("SELECT count(*) FROM snapshot", [], |row| row.get(0))
        .unwrap();
    assert_eq!(chunks, head.chunks);
    assert_eq!(after.crash().rows(), fixture.rows());
}

#[tokio::test]
async fn a_part_that_is_larger_than_a_chunk_is_put_together_again() {
    let fixture = Fixture::new();
    // All of one recipient's part: about 600 KiB.
    let recipient = recipient(1);
    let one = |number| {
        let mut step = start_step(1);
        step.id = VerificationId::generate(&recipient, &SeededEntropy::new(number)).unwrap();
        fixture.embedded.store.start(step, fixture.clock.now())
    };
    let all = join_all((0..1500).map(one)).await;
    assert!(all.iter().all(Result::is_ok));
    let mut making = begin(&fixture);
    while making.step().unwrap() {}
    assert!(making.published().unwrap().chunks > 1);
    let after = fixture.crash();
    assert_eq!(after.embedded.stats()().journal_bytes, 0);
    assert_eq!(after.rows(), fixture.rows());
}

#[tokio::test]
async fn idempotency_keys_survive_with_their_answers() {
    let fixture = Fixture::new();
    let (done, gone) = (ReplayKey([1; 16]), ReplayKey([2; 16]));
    let now = fixture.clock.now();
    let until = now.plus(Duration::from_mins(5));
    let store = &fixture.embedded.store;
    for key in [done, gone] {
        store.claim(key, [3; 32], until, now).await.unwrap();
    }
    let answer = Sealed::from_bytes(b"sealed answer");
    store.finish(done, answer.clone(), until).await.unwrap();
    store.abandon(gone).await.unwrap();
    for snapshot in [false, true] {
        if snapshot {
            let mut making = begin(&fixture);
            while making.step().unwrap() {}
        }
        let after = fixture.crash().embedded;
        let replay = after.store.claim(done, [3; 32], until, now).await.unwrap();
        assert_eq!(replay, Replay::Done(answer.clone()));
        let replay = after.store.claim(gone, [4; 32], until, now).await.unwrap();
        assert_eq!(replay, Replay::Fresh);
    }
}

#[tokio::test]
async fn the_journal_goes_on_where_it_stood_after_every_start() {
    let fixture = Fixture::new();
    let (_folder, path, clock) = {
        fixture.start_all(0..5).await;
        fixture.abandon()
    };
    for round in 1..4 {
        let embedded = open(&path, &clock).unwrap();
        assert_eq!(embedded.store.len(), 5 * round);
        for number in 0..5 {
            let step = start_step(1000 * round as u64 + number);
            embedded.store.start(step, clock.now()).await.unwrap();
        }
        if round == 2 {
            embedded.close();
        }
    }
}
