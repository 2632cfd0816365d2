//! Providers that speak HTTP.
//!
//! A kind is an [`HttpKind`]: a pure `request` from a message, and a pure `read` of the reply.
//! [`HttpProvider`] puts one [`Sender`] around it, which knows about time, faults and limits, so
//! that no kind has to.

mod body;
pub(crate) mod meaning;
mod reply;
mod retry_after;
mod sender;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::time::Instant;
use watchword_core::routing::Outcome;
use watchword_core::{Channel, Clock, Message, Timestamp};

pub use reply::{Reply, classify};
pub(crate) use sender::tls_fault;
pub use sender::{Sender, SenderError, TraceContext, is_loopback};

use crate::callback::{CallbackPlace, CallbackReader};
use crate::probe::{self, Facts, Learned, Probed, Question};
use crate::provider::Provider;

/// A request that a kind wants to be sent. `Debug` shows only that it is one: URLs, headers and
/// bodies hold keys and codes.
pub struct Call {
    /// Where to. Its scheme was checked by [`Sender::admits`] when the provider was built.
    pub url: Url,
    /// The headers, `Content-Type` and credentials among them.
    pub headers: HeaderMap,
    /// What is posted.
    pub body: Bytes,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call(redacted)")
    }
}

/// What tells one HTTP provider from another.
pub trait HttpKind: Send + Sync + 'static {
    /// The kind in the configuration.
    const KIND: &'static str;

    /// Whether it can carry messages of a channel.
    fn carries(&self, channel: Channel) -> bool;

    /// The request for a message. `now` is the moment of the attempt.
    ///
    /// # Errors
    /// An outcome, when the message cannot be put in a request; nothing is sent then.
    fn request(&self, message: &Message, now: Timestamp) -> Result<Call, Outcome>;

    /// What a reply means. Codes that it does not know fall back to [`classify`].
    fn read(&self, reply: &Reply) -> Outcome;

    /// What to ask the account first, to know whether it would take messages. None where nothing
    /// can be asked without sending.
    fn questions(&self) -> Vec<Question> {
        Vec::new()
    }

    /// What the answer to one of its questions says, and what to ask next.
    fn learn(&self, _question: &Question, _reply: &Reply, _facts: &Facts) -> Learned {
        Learned::default()
    }

    /// Told once, before the first message, where callbacks arrive.
    fn called_back_at(&mut self, _place: &CallbackPlace) {}

    /// Who reads its callbacks, if it takes any.
    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        None
    }

    /// Whether its receipts name a message by nothing but the id that the account gave it.
    fn tracks_by_message_id(&self) -> bool {
        false
    }
}

/// A provider of an HTTP kind.
pub struct HttpProvider<K> {
    name: String,
    kind: K,
    timeout: Option<Duration>,
    sender: Arc<Sender>,
    clock: Arc<dyn Clock>,
}

impl<K: HttpKind> HttpProvider<K> {
    /// A provider by this name.
    pub fn new(
        name: &str,
        kind: K,
        timeout: Option<Duration>,
        sender: Arc<Sender>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            timeout,
            sender,
            clock,
        }
    }
}

#[async_trait]
impl<K: HttpKind> Provider for HttpProvider<K> {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        K::KIND
    }

    fn carries(&self, channel: Channel) -> bool {
        self.kind.carries(channel)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        self.kind.callbacks()
    }

    fn tracks_by_message_id(&self) -> bool {
        self.kind.tracks_by_message_id()
    }

    async fn send(&self, message: &Message, deadline: Instant) -> Outcome {
        let call = match self.kind.request(message, self.clock.now()) {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        match self.sender.post(call, deadline).await {
            Ok(reply) => self.kind.read(&reply),
            Err(outcome) => outcome,
        }
    }

    async fn probe(&self, facts: &Facts, limit: Duration) -> Probed {
        probe::ask(&self.kind, &self.sender, self.clock.as_ref(), facts, limit).await
    }
}

#[cfg(test)]
mod tests;
