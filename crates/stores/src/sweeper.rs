//! Drops what has expired, a little at a time.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::Clock;
use watchword_core::memory::{Journal, MemoryStore, SHARDS};

use crate::worker::{Pulse, Worker};

/// How many parts are swept at a time, one after the other.
const PARTS: usize = 8;
/// Between two times, so that a whole round takes about 15 seconds.
const PAUSE: Duration = Duration::from_millis(120);

/// Sweeps `store` round after round, in a thread of its own. Only one part is held up at a time.
pub(crate) fn start<J: Journal>(
    store: Arc<MemoryStore<J>>,
    clock: Arc<dyn Clock>,
) -> std::io::Result<Worker> {
    start_with(store, clock, PAUSE)
}

fn start_with<J: Journal>(
    store: Arc<MemoryStore<J>>,
    clock: Arc<dyn Clock>,
    pause: Duration,
) -> std::io::Result<Worker> {
    Worker::spawn("watchword-sweep", move |pulse: &Pulse| {
        let mut parts = (0..SHARDS).cycle();
        while pulse.wait(pause) {
            for part in parts.by_ref().take(PARTS) {
                store.sweep(part, clock.now());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use watchword_core::fakes::{self, SetClock};
    use watchword_core::{Candidate, SendTerms, StartStep, Store, WhenPending};

    use super::*;

    #[tokio::test]
    async fn what_expires_is_dropped_without_being_asked_for() {
        let (store, clock) = (
            Arc::new(MemoryStore::default()),
            Arc::new(SetClock::default()),
        );
        let draft = fakes::pending(clock.now());
        let step = StartStep {
            id: draft.id,
            app: draft.app,
            recipient: draft.recipient,
            purpose: draft.purpose,
            channel: draft.channel,
            digest: draft.digest,
            candidate: Candidate::of_nobody(),
            max_attempts: 5,
            ttl: Duration::from_mins(5),
            details: draft.details,
            when_pending: WhenPending::Replace,
            terms: SendTerms {
                cooldown: Duration::ZERO,
                recipient: Vec::new(),
                source: None,
                failures: None,
                horizon: Duration::from_mins(10),
            },
        };
        store.start(step, clock.now()).await.unwrap();
        assert_eq!(store.len(), 1);
        let same_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let pause = Duration::from_micros(10);
        let _sweeper = start_with(Arc::clone(&store), same_clock, pause).unwrap();
        clock.advance(Duration::from_mins(11));
        while !store.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
