//! The port to one upstream account.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use watchword_core::routing::Outcome;
use watchword_core::{Channel, Message};

use crate::callback::CallbackReader;
use crate::probe::{Facts, Probed};

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

    /// Who reads its callbacks, if it takes any.
    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        None
    }

    /// Whether its receipts name a message by nothing but the id that the provider gave it when it
    /// took it.
    fn tracks_by_message_id(&self) -> bool {
        false
    }

    /// Hands over one message, once, and answers by `deadline`.
    ///
    /// Past the deadline the outcome is [`Unavailable`](watchword_core::routing::Class) if the
    /// message surely stayed here, else [`Unknown`](watchword_core::routing::Class). Dropping the
    /// future gives up; it leaves nothing behind that a later message could trip over.
    async fn send(&self, message: &Message, deadline: Instant) -> Outcome;

    /// Looks whether the account would take messages, without sending one and without costs. Each
    /// question is given up after `limit`; after one without an answer no other is asked.
    ///
    /// What is found shows no secret and no text of a reply.
    async fn probe(&self, _facts: &Facts, _limit: Duration) -> Probed {
        Probed::unknown(self.kind())
    }
}
