//! The clock of a store that several nodes share, as a node knows it.
//!
//! Such a store counts by its own clock, and a node's may be off. What a node shows and plans by
//! its own would then contradict the store: a live code shown as expired, a message not sent
//! because its code seems dead. So a node goes by this clock instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use watchword_core::{Clock, Timestamp};

/// The node's clock, moved by what the store's answers said of theirs.
pub(crate) struct StoreClock {
    node: Arc<dyn Clock>,
    /// By how many milliseconds the store's clock is ahead of the node's.
    ahead: AtomicI64,
}

/// The moment that the store was asked at, by the node's own clock.
#[derive(Clone, Copy)]
pub(crate) struct Asked(i64);

impl StoreClock {
    pub(crate) fn over(node: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            node,
            ahead: AtomicI64::new(0),
        })
    }

    fn node_now(&self) -> i64 {
        self.node.now().as_millis().cast_signed()
    }

    pub(crate) fn asking(&self) -> Asked {
        Asked(self.node_now())
    }

    /// Hears what the store's clock said at some moment between the question and now. That bounds
    /// the difference of the two clocks from both sides; only what is outside is moved, and to the
    /// lower bound. So this clock is never behind what the store said last, nor ahead of what it
    /// would say; a slow answer does not move it, and it follows when either clock is set anew.
    pub(crate) fn hear(&self, asked: Asked, said: Timestamp) {
        let said = said.as_millis().cast_signed();
        let (least, most) = (said - self.node_now(), said - asked.0);
        let order = Ordering::Relaxed;
        let _ = self.ahead.fetch_update(order, order, |ahead| {
            (!(least..=most).contains(&ahead)).then_some(least)
        });
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let now = self.node_now() + self.ahead.load(Ordering::Relaxed);
        Timestamp::from_millis(now.max(0).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use watchword_core::fakes::SetClock;

    use super::*;

    const MINUTES: Duration = Duration::from_mins(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn clocks(node: Timestamp) -> (Arc<SetClock>, Arc<StoreClock>) {
        let node = Arc::new(SetClock::new(node));
        let clock = StoreClock::over(Arc::clone(&node) as Arc<dyn Clock>);
        (node, clock)
    }

    #[test]
    fn it_says_what_the_store_says_however_wrong_the_node_is() {
        let store = SetClock::default();
        for wrong in [store.now().plus(MINUTES), store.now().minus(MINUTES)] {
            let (node, clock) = clocks(wrong);
            clock.hear(clock.asking(), store.now());
            assert_eq!(clock.now(), store.now());
            node.advance(MINUTES);
            assert_eq!(clock.now(), store.now().plus(MINUTES), "and goes on");
            // Somebody sets the node's clock right.
            node.set(store.now());
            clock.hear(clock.asking(), store.now());
            assert_eq!(clock.now(), store.now());
        }
    }

    #[test]
    fn a_slow_answer_moves_it_only_as_far_as_it_must() {
        let store = SetClock::default();
        let (node, clock) = clocks(store.now());
        let asked = clock.asking();
        // The store answered at once, and the answer took its time.
        let said = store.now();
        node.advance(SECOND);
        store.advance(SECOND);
        clock.hear(asked, said);
        assert_eq!(clock.now(), store.now());
        // It never falls behind what was said.
        let asked = clock.asking();
        clock.hear(asked, store.now().plus(SECOND));
        assert_eq!(clock.now(), store.now().plus(SECOND));
    }
}
