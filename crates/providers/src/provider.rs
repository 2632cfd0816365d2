//! The port to one upstream account.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use watchword_core::routing::Outcome;
use watchword_core::{Channel, Message};

/// One configured upstream account.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Its kind in the configuration, such as `smtp`.
    fn kind(&self) -> &'static str;

    /// Whether it can carry messages of a channel.
    fn carries(&self, channel: Channel) -> bool;

    /// The timeout that the operator gave it, if any.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Hands over one message, once, and answers by `deadline`.
    ///
    /// Past the deadline the outcome is [`Unavailable`](watchword_core::routing::Class) if the
    /// message surely stayed here, else [`Unknown`](watchword_core::routing::Class). Dropping the
    /// future gives up; it leaves nothing behind that a later message could trip over.
    async fn send(&self, message: &Message, deadline: Instant) -> Outcome;
}
