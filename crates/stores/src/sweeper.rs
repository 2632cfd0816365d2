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
    Worker::spawn("watchword-sweep", move |pulse: &Pulse| {
        let mut parts = (0..SHARDS).cycle();
        while pulse.wait(PAUSE) {
            for part in parts.by_ref().take(PARTS) {
                store.sweep(part, clock.now());
            }
        }
    })
}
