//! The port to the inbox of dev mode: what was "sent" there, for whoever watches.

use std::sync::Arc;

use async_trait::async_trait;

use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::code::Code;
use crate::delivery::DeliveryId;
use crate::message::SecretText;
use crate::recipient::Recipient;

/// A message that went to the inbox instead of a provider.
#[derive(Clone, Debug)]
pub struct InboxMessage {
    /// The delivery that brought it.
    pub id: DeliveryId,
    /// When it came.
    pub at: Timestamp,
    /// How it would have travelled.
    pub channel: Channel,
    /// The name of the inbox in the configuration.
    pub provider: String,
    /// Whom it is for.
    pub to: Recipient,
    /// The subject of a mail.
    pub subject: Option<SecretText>,
    /// The text as a person reads it.
    pub body: SecretText,
    /// The code in it.
    pub code: Code,
}

/// Shows what the inbox of dev mode holds. It is bounded: the oldest messages fall out.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// The messages, of all recipients or of one, newest first.
    fn messages(&self, to: Option<&Recipient>) -> Vec<Arc<InboxMessage>>;

    /// Throws every message away.
    fn clear(&self);

    /// A number that changes whenever the messages do.
    fn revision(&self) -> u64;

    /// Waits until the revision is not `seen` (any more) and returns it.
    async fn changed(&self, seen: u64) -> u64;
}
