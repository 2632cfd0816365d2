//! Threads that do housekeeping until they are told to stop.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Tells a thread to stop.
#[derive(Default)]
pub(crate) struct Pulse {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Pulse {
    /// Waits until the time is over; whether to go on.
    pub(crate) fn wait(&self, span: Duration) -> bool {
        let until = Instant::now() + span;
        let mut stopped = self.stopped.lock();
        while !*stopped {
            if self.changed.wait_until(&mut stopped, until).timed_out() {
                break;
            }
        }
        !*stopped
    }

    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }
}

/// A thread that ends with its owner.
pub(crate) struct Worker {
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts `work`, which has to return soon after its pulse stopped.
    pub(crate) fn spawn(
        name: &str,
        work: impl FnOnce(&Pulse) + Send + 'static,
    ) -> std::io::Result<Self> {
        let pulse = Arc::new(Pulse::default());
        let own = Arc::clone(&pulse);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&own))?;
        Ok(Self {
            pulse,
            thread: Some(thread),
        })
    }

    /// Stops the thread and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.pulse.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a housekeeping thread of the storage had panicked");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}
