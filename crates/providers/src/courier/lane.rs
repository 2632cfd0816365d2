//! A provider with its breaker.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use watchword_core::routing::{Breaker, BreakerState, Class, Detail, Outcome, Permit, Signal};
use watchword_core::{Channel, Message};

use crate::provider::Provider;

/// How one provider is doing, for health, metrics and the doctor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderHealth {
    /// Its name in the configuration.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// The channels whose routes it is on.
    pub channels: Vec<Channel>,
    /// Its breaker.
    pub breaker: BreakerState,
    /// The latest outcome that counted against it since it last answered, such as
    /// `misconfigured: 535 5.7.8`.
    pub failure: Option<String>,
}

/// A provider with its breaker.
pub(super) struct Lane {
    provider: Arc<dyn Provider>,
    channels: OnceLock<Vec<Channel>>,
    /// Where the breaker's time begins.
    origin: Instant,
    guarded: Mutex<Guarded>,
}

#[derive(Default)]
struct Guarded {
    breaker: Breaker,
    failure: Option<String>,
}

/// Leave to ask the provider once. Dropped unused, or with its dispatch given up, it frees the
/// breaker for the next one.
pub(super) struct Turn<'a> {
    lane: &'a Lane,
    permit: Option<Permit>,
}

impl Lane {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            channels: OnceLock::new(),
            origin: Instant::now(),
            guarded: Mutex::default(),
        }
    }

    pub(super) fn set_channels(&self, channels: Vec<Channel>) {
        // Set once, by the courier that made it.
        let _ = self.channels.set(channels);
    }

    pub(super) fn name(&self) -> &str {
        self.provider.name()
    }

    pub(super) fn kind(&self) -> &'static str {
        self.provider.kind()
    }

    pub(super) fn carries(&self, channel: Channel) -> bool {
        self.provider.carries(channel)
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.provider.timeout()
    }

    /// Asks the breaker for leave.
    pub(super) fn turn(&self) -> Option<Turn<'_>> {
        let permit = self.guarded.lock().breaker.permit(self.origin.elapsed())?;
        Some(Turn {
            lane: self,
            permit: Some(permit),
        })
    }

    /// Hands over once. A provider that does not keep to the deadline is given up; what became of
    /// the message is not known then.
    pub(super) async fn send(
        &self,
        turn: Turn<'_>,
        message: &Message,
        deadline: Instant,
    ) -> Outcome {
        let outcome = timeout_at(deadline, self.provider.send(message, deadline))
            .await
            .unwrap_or_else(|_| Outcome::new(Class::Unknown).with(Detail::Word("timeout")));
        turn.end(&outcome);
        outcome
    }

    pub(super) fn health(&self) -> ProviderHealth {
        let guarded = self.guarded.lock();
        ProviderHealth {
            name: self.name().to_owned(),
            kind: self.kind(),
            channels: self.channels.get().cloned().unwrap_or_default(),
            breaker: guarded.breaker.state(self.origin.elapsed()),
            failure: guarded.failure.clone(),
        }
    }

    fn record(&self, permit: Permit, signal: Signal, failure: Option<String>) {
        let now = self.origin.elapsed();
        let mut guarded = self.guarded.lock();
        let before = guarded.breaker.state(now);
        guarded.breaker.record(permit, signal, now);
        let after = guarded.breaker.state(now);
        if failure.is_some() || signal == Signal::Answered {
            guarded.failure = failure;
        }
        let failure = guarded.failure.clone();
        drop(guarded);
        self.announce(before, after, failure.as_deref());
    }

    fn announce(&self, before: BreakerState, after: BreakerState, failure: Option<&str>) {
        match (before, after) {
            (BreakerState::Closed | BreakerState::HalfOpen, BreakerState::Open { retry_in }) => {
                tracing::error!(
                    provider = self.name(),
                    failure,
                    retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
                    "breaker opened: the provider is not asked for a while"
                );
            }
            (BreakerState::HalfOpen, BreakerState::Closed) => {
                tracing::info!(
                    provider = self.name(),
                    "breaker closed: the provider answers"
                );
            }
            _ => {}
        }
    }
}

impl Turn<'_> {
    fn end(mut self, outcome: &Outcome) {
        if let Some(permit) = self.permit.take() {
            let signal = outcome.signal();
            let failure = (signal != Signal::Answered).then(|| outcome.to_string());
            self.lane.record(permit, signal, failure);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.lane.record(permit, Signal::Abandoned, None);
        }
    }
}
