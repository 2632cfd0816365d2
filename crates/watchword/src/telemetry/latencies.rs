//! How long things take, counted without a lock.
//!
//! The library's histogram takes a lock for each value, and every thread that answers requests
//! would meet there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A histogram of durations with `N` buckets, and one for all that is longer.
#[derive(Clone, Debug)]
pub(super) struct Latencies<const N: usize>(Arc<Counts<N>>);

#[derive(Debug)]
struct Counts<const N: usize> {
    /// In seconds, as the page shows them.
    bounds: [f64; N],
    nanos: [u64; N],
    counts: [AtomicU64; N],
    beyond: AtomicU64,
    /// Of all values, in nanoseconds: enough for centuries of answering.
    sum: AtomicU64,
}

impl<const N: usize> Latencies<N> {
    /// Buckets that end at so many seconds each, in rising order.
    pub(super) fn new(bounds: [f64; N]) -> Self {
        Self(Arc::new(Counts {
            nanos: bounds.map(|bound| nanos(Duration::from_secs_f64(bound))),
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            bounds,
        }))
    }

    /// Counts one.
    pub(super) fn observe(&self, took: Duration) {
        let (counts, took) = (&*self.0, nanos(took));
        let bucket = counts.nanos.iter().position(|bound| took <= *bound);
        let bucket = bucket.map_or(&counts.beyond, |index| &counts.counts[index]);
        bucket.fetch_add(1, Relaxed);
        counts.sum.fetch_add(took, Relaxed);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl<const N: usize> TypedMetric for Latencies<N> {
    const TYPE: MetricType = MetricType::Histogram;
}

impl<const N: usize> EncodeMetric for Latencies<N> {
    /// A page that is read while values come in may hold the sum of one whose bucket it does not
    /// count yet. The count is that of the buckets.
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = &*self.0;
        let mut buckets: Vec<_> = counts
            .bounds
            .iter()
            .zip(&counts.counts)
            .map(|(bound, count)| (*bound, count.load(Relaxed)))
            .collect();
        buckets.push((f64::INFINITY, counts.beyond.load(Relaxed)));
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(counts.sum.load(Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn the_page_reads_as_that_of_the_librarys_histogram() {
        const BOUNDS: [f64; 3] = [0.0005, 0.01, 2.5];
        let (ours, theirs) = (Latencies::new(BOUNDS), Histogram::new(BOUNDS));
        for millis in [0.0, 0.5, 0.25, 10.0, 10.25, 2500.0, 2500.5, 60_000.0] {
            ours.observe(Duration::from_secs_f64(millis / 1000.0));
            theirs.observe(millis / 1000.0);
        }
        let page = |metric: &dyn Fn(&mut Registry)| {
            let (mut registry, mut page) = (Registry::default(), String::new());
            metric(&mut registry);
            encode(&mut page, &registry).unwrap();
            page
        };
        let ours = page(&|registry| registry.register("took", "How long", ours.clone()));
        let theirs = page(&|registry| registry.register("took", "How long", theirs.clone()));
        // Theirs is added up in seconds, and rounded each time.
        let but_the_sum = |page: &str| -> Vec<String> {
            let lines = page.lines().filter(|line| !line.starts_with("took_sum"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(but_the_sum(&ours), but_the_sum(&theirs));
        assert!(ours.contains("took_sum 65.0215\n"), "{ours}");
        assert!(ours.contains("took_bucket{le=\"+Inf\"} 8\n"), "{ours}");
    }
}
