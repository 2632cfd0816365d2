//! Who is told of hand-overs.

use std::time::Duration;

use watchword_core::routing::{Class, Outcome, PassedOver};
use watchword_core::{Channel, Message};

use super::lane::Lane;

/// One hand-over, as metrics count it.
#[derive(Clone, Copy, Debug)]
pub struct HandOver<'a> {
    /// The name of the provider in the configuration.
    pub provider: &'a str,
    /// How the message travels.
    pub channel: Channel,
    /// The class of the outcome, such as `accepted` or `invalid_recipient`.
    pub class: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// Takes note of hand-overs. Must not block.
pub trait Observer: Send + Sync + 'static {
    /// Takes note of one.
    fn handed_over(&self, hand_over: &HandOver<'_>);
}

/// Nobody counts.
impl Observer for () {
    fn handed_over(&self, _hand_over: &HandOver<'_>) {}
}

/// Writes a hand-over to the log.
pub(super) fn log(lane: &Lane, message: &Message, outcome: &Outcome, took: Duration) {
    let class = outcome.class().as_str();
    let detail = outcome.detail().map(tracing::field::display);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let delivery = message.delivery_id;
    macro_rules! write {
        ($level:ident, $what:literal) => {
            tracing::$level!(
                provider = lane.name(),
                kind = lane.kind(),
                channel = message.channel.as_str(),
                %delivery,
                to = message.to.masked(),
                class,
                detail,
                took_ms,
                $what
            )
        };
    }
    match outcome.class() {
        // Every send of a busy server: metrics count them, and each is on its verification.
        Class::Accepted { .. } => write!(debug, "message accepted"),
        Class::Misconfigured => write!(error, "the provider needs an operator"),
        _ => write!(warn, "message not accepted"),
    }
}

/// Writes to the log that a provider was not asked.
pub(super) fn passed_over(lane: &Lane, channel: Channel, why: PassedOver) {
    tracing::warn!(
        provider = lane.name(),
        channel = channel.as_str(),
        reason = why.as_str(),
        "provider passed over"
    );
}
