//! A provider with its breaker and its holds.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, field};
use watchword_core::routing::{
    Breaker, BreakerState, Class, Detail, Hold, Outcome, PairHolds, Permit, Readiness, Signal,
};
use watchword_core::{Channel, Message, TRACE};

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
    /// How long it asked to be left alone yet. A hold about one recipient is not shown.
    pub held_for: Option<Duration>,
    /// The latest outcome that counted against it since it last answered, such as
    /// `misconfigured: 535 5.7.8`.
    pub failure: Option<String>,
}

/// A provider with its breaker and its holds.
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
    hold: Hold,
    pairs: PairHolds,
    failure: Option<String>,
}

/// A recipient as holds know it: a hash whose key is this process's secret.
#[derive(Clone, Copy)]
pub(super) struct Pseudonym(pub(super) u64);

/// Leave to ask the provider once. Dropped unused, or with its dispatch given up, it frees the
/// breaker for the next one.
pub(super) struct Turn<'a> {
    lane: &'a Lane,
    to: Pseudonym,
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

    pub(super) fn tracks_by_message_id(&self) -> bool {
        self.provider.tracks_by_message_id()
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.provider.timeout()
    }

    /// Whether it can be asked about a recipient now.
    pub(super) fn readiness(&self, to: Pseudonym) -> Readiness {
        let now = self.origin.elapsed();
        let guarded = self.guarded.lock();
        if !guarded.breaker.admits(now) {
            return Readiness::Closed;
        }
        let held = guarded.hold.left(now).max(guarded.pairs.left(to.0, now));
        held.map_or(Readiness::Ready, Readiness::Held)
    }

    /// Asks the breaker for leave.
    pub(super) fn turn(&self, to: Pseudonym) -> Option<Turn<'_>> {
        let permit = self.guarded.lock().breaker.permit(self.origin.elapsed())?;
        Some(Turn {
            lane: self,
            to,
            permit: Some(permit),
        })
    }

    /// Hands over once. A provider that does not keep to the deadline is given up; what became of
    /// the message is not known then. `draw` is chance, for the wait after "too fast"; it is
    /// not asked for otherwise, as it costs a call of the system.
    pub(super) async fn send(
        &self,
        turn: Turn<'_>,
        message: &Message,
        deadline: Instant,
        draw: impl FnOnce() -> u32,
    ) -> Outcome {
        let span = tracing::info_span!(
            target: TRACE,
            "provider",
            otel.name = format!("send {}", self.name()),
            otel.kind = "client",
            otel.status_code = field::Empty,
            error.type = field::Empty,
            messaging.system = self.kind(),
            messaging.operation.type = "send",
            messaging.destination.name = self.name(),
            watchword.channel = message.channel.as_str(),
        );
        let outcome = timeout_at(deadline, self.provider.send(message, deadline))
            .instrument(span.clone())
            .await
            .unwrap_or_else(|_| Outcome::new(Class::Unknown).with(Detail::Word("timeout")));
        if !matches!(outcome.class(), Class::Accepted { .. }) {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", outcome.class().as_str());
        }
        turn.end(&outcome, draw);
        outcome
    }

    pub(super) fn health(&self) -> ProviderHealth {
        let now = self.origin.elapsed();
        let guarded = self.guarded.lock();
        ProviderHealth {
            name: self.name().to_owned(),
            kind: self.kind(),
            channels: self.channels.get().cloned().unwrap_or_default(),
            breaker: guarded.breaker.state(now),
            held_for: guarded.hold.left(now),
            failure: guarded.failure.clone(),
        }
    }

    fn record(&self, permit: Permit, to: Pseudonym, outcome: &Outcome, draw: impl FnOnce() -> u32) {
        let now = self.origin.elapsed();
        let signal = outcome.signal();
        let mut guarded = self.guarded.lock();
        let before = guarded.breaker.state(now);
        guarded.breaker.record(permit, signal, now);
        let after = guarded.breaker.state(now);
        let was_held = guarded.hold.left(now).is_some();
        match outcome.class() {
            Class::Throttled { retry_after } if outcome.is_about_recipient() => {
                guarded.pairs.throttled(to.0, *retry_after, now);
            }
            Class::Throttled { retry_after } => {
                guarded.hold.throttled(*retry_after, draw(), now);
            }
            class => {
                // A fault on the way says nothing about pace.
                if signal == Signal::Answered {
                    guarded.hold.answered(now);
                }
                if matches!(class, Class::Accepted { .. }) {
                    guarded.pairs.accepted(to.0, now);
                }
            }
        }
        let begun = guarded.hold.left(now).filter(|_| !was_held);
        guarded.failure = (signal != Signal::Answered).then(|| outcome.to_string());
        let failure = guarded.failure.clone();
        drop(guarded);
        self.announce(before, after, failure.as_deref());
        if let Some(wait) = begun {
            tracing::warn!(
                provider = self.name(),
                failure,
                hold_ms = millis(wait),
                "hold begun: the provider asks for fewer messages"
            );
        }
    }

    /// Gives leave back unused.
    fn abandon(&self, permit: Permit) {
        let now = self.origin.elapsed();
        let mut guarded = self.guarded.lock();
        guarded.breaker.record(permit, Signal::Abandoned, now);
    }

    fn announce(&self, before: BreakerState, after: BreakerState, failure: Option<&str>) {
        match (before, after) {
            // Nothing was learned: the next one may probe at once.
            (_, BreakerState::Open { retry_in }) if retry_in.is_zero() => {}
            (BreakerState::Closed | BreakerState::HalfOpen, BreakerState::Open { retry_in }) => {
                tracing::error!(
                    provider = self.name(),
                    failure,
                    retry_in_ms = millis(retry_in),
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
    fn end(mut self, outcome: &Outcome, draw: impl FnOnce() -> u32) {
        if let Some(permit) = self.permit.take() {
            self.lane.record(permit, self.to, outcome, draw);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.lane.abandon(permit);
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
