//! Everything that is counted, for Prometheus.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use watchword_http::{Gate, PoolFill, Reception};
use watchword_stores::StatsReader;

use crate::audit::AuditLog;

/// The metrics of one server.
pub(crate) struct Metrics {
    registry: Registry,
    /// What is called the same in every program.
    process: Registry,
}

impl Metrics {
    /// With what is known of the build and the process.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("watchword");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        let started: Gauge = Gauge::default();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        started.set(since.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        }));
        registry.register(
            "start_time_seconds",
            "When the server started, in seconds since 1970",
            started,
        );
        let mut process = Registry::default();
        #[cfg(target_os = "linux")]
        process.register_collector(Box::new(super::process::ProcessFigures));
        Self { registry, process }
    }

    /// Where more is added.
    pub(crate) const fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Adds the figures of the store.
    pub(crate) fn watch_store(&mut self, stats: StatsReader) {
        self.registry
            .register_collector(Box::new(StoreFigures(stats)));
    }

    /// Adds how full the pool is that hashes passwords.
    pub(crate) fn watch_passwords(&mut self, fill: PoolFill) {
        let read = move || {
            [
                (
                    "password_hashes_in_progress",
                    "Passwords that wait to be hashed or are being hashed",
                    fill.held(),
                ),
                (
                    "password_hashes_max",
                    "How many passwords may wait or be hashed before more are refused",
                    fill.most(),
                ),
            ]
        };
        self.registry.register_collector(Box::new(Gauges(read)));
    }

    /// Adds who is let in and who is not.
    pub(crate) fn watch_gate(&mut self, gate: Arc<Gate>) {
        let counts = Arc::clone(&gate);
        let read = move || {
            let figures = gate.figures();
            [
                (
                    "http_sends_in_flight",
                    "Requests that send a code and are not answered",
                    figures.sends_in_flight,
                ),
                (
                    "http_sends_in_line",
                    "Those of them that wait for a thread, behind everything else, or for the store",
                    figures.sends_in_line,
                ),
            ]
        };
        self.registry.register_collector(Box::new(Gauges(read)));
        self.registry
            .register_collector(Box::new(TurnedAway(counts)));
    }

    /// Adds what waits in the runtime that this is called in.
    pub(crate) fn watch_runtime(&mut self) {
        let runtime = tokio::runtime::Handle::current().metrics();
        let read = move || {
            [
                (
                    "runtime_workers",
                    "Threads that work on requests",
                    runtime.num_workers(),
                ),
                (
                    "runtime_tasks",
                    "Tasks that have not ended, those of open connections among them",
                    runtime.num_alive_tasks(),
                ),
                (
                    "runtime_queue_depth",
                    "Tasks that wait for a thread, of those that no thread has taken on",
                    runtime.global_queue_depth(),
                ),
            ]
        };
        self.registry.register_collector(Box::new(Gauges(read)));
    }

    /// Adds what waits beside the requests: callbacks that are being worked on, and entries for the audit log.
    pub(crate) fn watch_queues(&mut self, reception: Reception, audit_log: Arc<AuditLog>) {
        let read = move || {
            [
                (
                    "callbacks_in_progress",
                    "Callbacks of providers whose receipts are on their way to the store",
                    reception.in_progress(),
                ),
                (
                    "audit_waiting_bytes",
                    "Entries that wait to be written to the audit log",
                    audit_log.waiting_bytes(),
                ),
            ]
        };
        self.registry.register_collector(Box::new(Gauges(read)));
    }

    /// All of it in the text format of OpenMetrics.
    pub(crate) fn encode(&self) -> String {
        let mut page = String::with_capacity(16 * 1024);
        // Writing to a String does not fail.
        let _ = text::encode_registry(&mut page, &self.process)
            .and_then(|()| text::encode(&mut page, &self.registry));
        page
    }
}

/// Gauges that are read when somebody asks for them.
struct Gauges<F>(F);

impl<F> fmt::Debug for Gauges<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl<F, const N: usize> Collector for Gauges<F>
where
    F: Fn() -> [(&'static str, &'static str, usize); N] + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, value) in (self.0)() {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

/// Requests that were refused because there was too much to do.
#[derive(Debug)]
struct TurnedAway(Arc<Gate>);

impl Collector for TurnedAway {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (name, help) = (
            "http_requests_refused",
            "Requests refused before anything was done for them",
        );
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let figures = self.0.figures();
        for (kind, refused) in [
            ("send", figures.sends_refused),
            ("check", figures.checks_refused),
        ] {
            let labels = [("kind", kind), ("reason", "overload")];
            let one = metric.encode_family(&labels)?;
            ConstCounter::new(refused).encode(one)?;
        }
        Ok(())
    }
}

struct StoreFigures(StatsReader);

impl fmt::Debug for StoreFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreFigures")
    }
}

impl Collector for StoreFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.0.read();
        let gauges = [
            (
                "store_verifications",
                "Verifications held",
                stats.live as u64,
            ),
            (
                "store_verifications_max",
                "Verifications that may be held",
                stats.max_live as u64,
            ),
            (
                "store_refusing",
                "1 while steps are refused because writing failed",
                u64::from(stats.refusing),
            ),
            (
                "storage_degraded",
                "1 while a local store stands in for the configured one",
                u64::from(stats.degraded),
            ),
            (
                "store_journal_waiting_bytes",
                "Bytes that wait to be written",
                stats.journal_waiting_bytes,
            ),
            (
                "store_journal_bytes",
                "Bytes that a start would replay",
                stats.journal_bytes,
            ),
            (
                "store_snapshot_bytes",
                "Bytes of the newest snapshot",
                stats.snapshot_bytes,
            ),
            (
                "store_wal_bytes",
                "Bytes of the write-ahead log",
                stats.wal_bytes,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let counters = [
            (
                "store_journal_records",
                "Changes made durable",
                stats.journal_records,
            ),
            (
                "store_journal_groups",
                "Transactions that made them so",
                stats.journal_groups,
            ),
            (
                "store_write_failures",
                "Writes that failed",
                stats.write_failures,
            ),
            ("store_snapshots", "Snapshots made", stats.snapshots),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}
