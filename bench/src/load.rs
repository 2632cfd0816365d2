//! The load: a closed loop that finds the limit, and an open one that measures under it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Mutex;

use crate::Failure;
use crate::flow::Connection;

/// Connections to one server.
pub(crate) struct Load {
    connections: Vec<Arc<Mutex<Connection>>>,
    /// The number of the next flow: each has a recipient of its own.
    next: Arc<AtomicU64>,
}

/// What one phase showed.
pub(crate) struct Phase {
    /// Flow latencies in microseconds; in an open loop from when the flow was due.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) elapsed: Duration,
}

impl Phase {
    pub(crate) fn flows_per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn millis_at(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl Load {
    pub(crate) async fn connect(address: SocketAddr, count: usize) -> Result<Self, Failure> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Arc::new(Mutex::new(Connection::open(address).await?)));
        }
        Ok(Self {
            connections,
            next: Arc::default(),
        })
    }

    /// Every connection runs one flow after the other: as much as the server can take.
    pub(crate) async fn saturate(&self, span: Duration) -> Result<Phase, Failure> {
        let until = Instant::now() + span;
        self.run(move |_| (Instant::now() < until).then_some(None))
            .await
    }

    /// Flows are due at a fixed rate, whether or not earlier ones are done, and their latency
    /// counts from then: a server that stalls cannot hide it.
    pub(crate) async fn offer(&self, rate: f64, span: Duration) -> Result<Phase, Failure> {
        let start = Instant::now();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        let total = (rate * span.as_secs_f64()) as u64;
        let taken = AtomicU64::new(0);
        let due = move |_| {
            let turn = taken.fetch_add(1, Ordering::Relaxed);
            let at = start + Duration::from_secs_f64(turn as f64 / rate);
            (turn < total).then_some(Some(at))
        };
        self.run(due).await
    }

    /// `turn` says when the next flow is due (`None`: at once), or that the phase is over.
    async fn run(
        &self,
        turn: impl Fn(usize) -> Option<Option<Instant>> + Send + Sync + 'static,
    ) -> Result<Phase, Failure> {
        let (turn, start) = (Arc::new(turn), Instant::now());
        let tasks: Vec<_> = self
            .connections
            .iter()
            .cloned()
            .enumerate()
            .map(|(index, connection)| {
                let (turn, next) = (turn.clone(), self.next.clone());
                tokio::spawn(async move {
                    let mut connection = connection.lock().await;
                    let mut latencies = Histogram::<u64>::new(3)?;
                    while let Some(due) = turn(index) {
                        if let Some(due) = due {
                            tokio::time::sleep_until(due.into()).await;
                        }
                        let due = due.unwrap_or_else(Instant::now);
                        connection
                            .flow(next.fetch_add(1, Ordering::Relaxed))
                            .await?;
                        let micros = u64::try_from(due.elapsed().as_micros())?;
                        latencies.record(micros.max(1))?;
                    }
                    Ok::<_, Failure>(latencies)
                })
            })
            .collect();
        let mut latencies = Histogram::<u64>::new(3)?;
        for task in tasks {
            latencies.add(task.await??)?;
        }
        Ok(Phase {
            latencies,
            elapsed: start.elapsed(),
        })
    }
}
