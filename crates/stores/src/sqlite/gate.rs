//! Where the steps of one group wait for it.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

const WAITING: u8 = 0;
const DURABLE: u8 = 1;
const FAILED: u8 = 2;

/// Opens once for everybody who waits, and stays open. One group has one gate, so that nobody is
/// woken for the group of another.
#[derive(Default)]
pub(super) struct Gate {
    outcome: AtomicU8,
    opened: Notify,
}

impl Gate {
    /// Lets everybody through, with good or bad news.
    pub(super) fn open(&self, durable: bool) {
        let outcome = if durable { DURABLE } else { FAILED };
        // The first news counts: who was told of a failure has left.
        let _ =
            self.outcome
                .compare_exchange(WAITING, outcome, Ordering::AcqRel, Ordering::Acquire);
        self.opened.notify_waiters();
    }

    /// Waits until it opens; whether the group is durable.
    pub(super) async fn passed(&self) -> bool {
        // Created before the look, a `Notified` misses no `notify_waiters` after it.
        let opened = self.opened.notified();
        if self.outcome.load(Ordering::Acquire) == WAITING {
            opened.await;
        }
        self.outcome.load(Ordering::Acquire) == DURABLE
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn everybody_passes_an_opened_gate_before_and_after() {
        let gate = Gate::default();
        let waiting = join_all((0..100).map(|_| gate.passed()));
        let opening = async { gate.open(true) };
        let (passed, ()) = futures_util::future::join(waiting, opening).await;
        assert!(passed.into_iter().all(|durable| durable));
        assert!(gate.passed().await);
    }

    #[tokio::test]
    async fn the_first_news_stays() {
        let gate = Gate::default();
        gate.open(false);
        gate.open(true);
        assert!(!gate.passed().await);
    }
}
