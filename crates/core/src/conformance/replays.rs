//! Promises about idempotency keys.

use std::ops::Deref;
use std::sync::Arc;

use super::desk::{CROWD, MILLI, MINUTE, T0, count, crowd};
use crate::keys::Sealed;
use crate::store::{Replay, ReplayKey, ReplayStore};

/// A store of idempotency keys that is open, with whatever keeps it open.
pub trait Opened: Deref<Target: ReplayStore> + Send + Sync + 'static {}

impl<S: Deref<Target: ReplayStore> + Send + Sync + 'static> Opened for S {}

const KEY: ReplayKey = ReplayKey([7; 16]);
const REQUEST: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

/// One caller of a crowd holds the key; the others hear that the request is running.
pub async fn an_idempotency_key_is_claimed_once(store: impl Opened) {
    let store = Arc::new(store);
    let until = T0.plus(MINUTE);
    let outcomes = crowd(CROWD, |_| {
        let store = Arc::clone(&store);
        async move {
            let claim = store.claim(KEY, REQUEST, until, T0).await;
            claim.expect("the store works")
        }
    })
    .await;
    let fresh = count(&outcomes, |outcome| *outcome == Replay::Fresh);
    assert_eq!(fresh, 1, "holders of the key");
    let running = count(&outcomes, |outcome| *outcome == Replay::Running);
    assert_eq!(running, CROWD - 1);
    let other = store.claim(ReplayKey([8; 16]), REQUEST, until, T0).await;
    assert_eq!(other.expect("the store works"), Replay::Fresh);
}

/// The answer is kept for as long as it was asked to be, and then the key is free.
pub async fn a_finished_key_repeats_its_answer(store: impl Opened) {
    let (until, keep) = (T0.plus(MINUTE), T0.plus(MINUTE * 5));
    let claim = store.claim(KEY, REQUEST, until, T0).await;
    assert_eq!(claim.expect("the store works"), Replay::Fresh);
    let answer = Sealed::from_bytes(b"a sealed answer");
    let finished = store.finish(KEY, answer.clone(), keep).await;
    finished.expect("the store works");
    for now in [T0, until, keep.minus(MILLI)] {
        let claim = store.claim(KEY, REQUEST, now.plus(MINUTE), now).await;
        let claim = claim.expect("the store works");
        assert_eq!(claim, Replay::Done(answer.clone()));
    }
    let claim = store.claim(KEY, REQUEST, keep.plus(MINUTE), keep).await;
    assert_eq!(claim.expect("the store works"), Replay::Fresh);
}

/// A request that came to nothing frees its key, and so does one that never ends.
pub async fn an_abandoned_or_forgotten_key_is_free_again(store: impl Opened) {
    let until = T0.plus(MINUTE);
    for _ in 0..2 {
        let claim = store.claim(KEY, REQUEST, until, T0).await;
        assert_eq!(claim.expect("the store works"), Replay::Fresh);
        store.abandon(KEY).await.expect("the store works");
    }
    let claim = store.claim(KEY, OTHER, until, T0).await;
    assert_eq!(claim.expect("the store works"), Replay::Fresh);
    let last = until.minus(MILLI);
    let claim = store.claim(KEY, OTHER, until.plus(MINUTE), last).await;
    assert_eq!(claim.expect("the store works"), Replay::Running);
    let claim = store.claim(KEY, REQUEST, until.plus(MINUTE), until).await;
    assert_eq!(claim.expect("the store works"), Replay::Fresh);
    let claim = store.claim(KEY, REQUEST, until.plus(MINUTE), until).await;
    assert_eq!(claim.expect("the store works"), Replay::Running);
}

/// A key names one request, while it runs and after it was answered.
pub async fn a_key_with_another_request_is_refused(store: impl Opened) {
    let until = T0.plus(MINUTE);
    let claim = store.claim(KEY, REQUEST, until, T0).await;
    assert_eq!(claim.expect("the store works"), Replay::Fresh);
    let claim = store.claim(KEY, OTHER, until, T0).await;
    assert_eq!(claim.expect("the store works"), Replay::Different);
    let answer = Sealed::from_bytes(b"a sealed answer");
    let finished = store.finish(KEY, answer, until).await;
    finished.expect("the store works");
    let claim = store.claim(KEY, OTHER, until, T0).await;
    assert_eq!(claim.expect("the store works"), Replay::Different);
}
