//! What one connection, or all of them, saw in one phase.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Failure;
use crate::wire::Answer;

/// Latencies in microseconds, and what was not as expected.
#[derive(Default)]
pub(crate) struct Tally {
    /// Whole turns, from when they were due.
    pub(crate) turns: Latencies,
    /// Single requests; the first of a turn from when that was due.
    pub(crate) requests: Latencies,
    /// Answers 429 and 503, from when the request was sent.
    pub(crate) refusals: Latencies,
    /// Other answers than expected, refusals among them.
    pub(crate) astray: u64,
    /// One of those.
    pub(crate) example: Option<String>,
    /// Messages that had fallen out of the inbox before they were read. It holds the newest 500, so some do with
    /// many connections; such a turn ends there.
    pub(crate) unread: u64,
    /// Turns that were due and never begun; `turns` holds how long they waited.
    pub(crate) unserved: u64,
    /// Each of `requests`, where they are asked for one by one.
    pub(crate) each: Option<Vec<Seen>>,
}

/// A request, from when it was due, or sent where it was never due.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) due: Instant,
    pub(crate) took: Duration,
}

impl Tally {
    pub(crate) fn turn(&mut self, due: Instant) {
        self.turns.record(due.elapsed());
    }

    pub(crate) fn request(&mut self, since: Instant) {
        let took = since.elapsed();
        self.requests.record(took);
        if let Some(each) = &mut self.each {
            each.push(Seen { due: since, took });
        }
    }

    /// An answer with another status than expected.
    pub(crate) fn refusal(&mut self, sent: Instant, answer: &Answer<'_>) {
        if answer.status == 429 || answer.status == 503 {
            self.refusals.record(sent.elapsed());
        }
        self.stray(|| format!("{}: {}", answer.status, excerpt(answer.body)));
    }

    /// An answer without a part that was looked for.
    pub(crate) fn missing(&mut self, key: &str, answer: &Answer<'_>) {
        if answer.body == b"[]" {
            self.unread += 1;
            return;
        }
        self.stray(|| format!("no {key} in {}", excerpt(answer.body)));
    }

    pub(crate) fn stray(&mut self, example: impl FnOnce() -> String) {
        self.astray += 1;
        if self.example.is_none() {
            self.example = Some(example());
        }
    }

    pub(crate) fn unserved(&mut self, waited: Duration) {
        self.unserved += 1;
        self.turns.record(waited);
    }

    /// Everything that was answered.
    pub(crate) fn answered(&self) -> u64 {
        self.requests.count() + self.astray
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<(), Failure> {
        self.turns.0.add(&other.turns.0)?;
        self.requests.0.add(&other.requests.0)?;
        self.refusals.0.add(&other.refusals.0)?;
        self.astray += other.astray;
        self.unread += other.unread;
        self.unserved += other.unserved;
        if let Some(each) = &other.each {
            self.each.get_or_insert_default().extend(each);
        }
        if self.example.is_none() {
            self.example.clone_from(&other.example);
        }
        Ok(())
    }

    /// Fails where more than one answer in a thousand was not what was asked for: such figures say nothing.
    pub(crate) fn sound(self) -> Result<Self, Failure> {
        if self.astray * 1000 > self.answered() {
            let (astray, all) = (self.astray, self.answered());
            let example = self.example.unwrap_or_default();
            return Err(
                format!("{astray} of {all} answers were not as expected: {example}").into(),
            );
        }
        Ok(self)
    }
}

/// A tally that the connections of one thread keep together. Its histograms take some hundred kilobytes: one for
/// each of two thousand connections would cost the load more than the requests, amid what it measures.
#[derive(Clone, Default)]
pub(crate) struct SharedTally(Arc<Mutex<Tally>>);

impl SharedTally {
    /// To write down what was seen. Never held across a wait.
    pub(crate) fn open(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen so far; a new one begins.
    pub(crate) fn take(&self) -> Tally {
        let mut tally = self.open();
        let next = Tally {
            each: tally.each.is_some().then(Vec::new),
            ..Tally::default()
        };
        std::mem::replace(&mut *tally, next)
    }

    /// Remembers requests one by one from now on.
    pub(crate) fn remember_each(&self) {
        self.open().each.get_or_insert_default();
    }

    /// Remembers none from now on.
    pub(crate) fn forget_each(&self) {
        self.open().each = None;
    }
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}

/// A histogram of microseconds, up to ten minutes.
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // Bounds that are constants and valid.
        #[allow(clippy::expect_used)]
        Self(Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds"))
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn millis_at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub(crate) fn slowest_millis(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}
