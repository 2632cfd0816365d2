//! The port to those who carry messages.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::code::Code;
use crate::delivery::Delivery;
use crate::id::VerificationId;
use crate::purpose::Purpose;
use crate::recipient::Recipient;

/// A code on its way out, before anybody knows which provider will carry it.
pub struct Envelope {
    /// Of which verification.
    pub verification: VerificationId,
    /// Whose it is.
    pub app: AppId,
    /// Whom it goes to.
    pub to: Recipient,
    /// The code itself.
    pub code: Code,
    /// What it authorises.
    pub purpose: Purpose,
    /// The language that the caller asked for.
    pub locale: Option<String>,
    /// When the code dies.
    pub expires_at: Timestamp,
    /// The channels to try, in order.
    pub channels: Vec<Channel>,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("verification", &self.verification)
            .field("to", &self.to)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// How a dispatch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A provider took it, or may have taken it.
    Taken(Channel),
    /// No provider could be reached; nobody was told anything.
    Unavailable,
    /// Every channel refused the recipient itself.
    Refused,
    /// A provider was reached and refused, but the recipient itself was not refused on every
    /// channel. Nothing was sent, and the limits keep what the send took.
    Declined,
}

/// What came of a dispatch.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Every hand-over that was tried, in order.
    pub deliveries: Vec<Delivery>,
    /// How it ended.
    pub verdict: Verdict,
}

/// Carries codes to their recipients.
#[async_trait]
pub trait Messenger: Send + Sync + 'static {
    /// Whether a channel has any provider.
    fn serves(&self, channel: Channel) -> bool;

    /// Whether the receipts of this provider name a message by nothing but its own name for it.
    fn tracks(&self, _provider: &str) -> bool {
        false
    }

    /// Hands the message to the first provider that takes it, over the first channel that
    /// reaches the recipient, and answers within `deadline`.
    ///
    /// The code is the same at every attempt. Nothing about a failure is an error of the caller:
    /// what went wrong is in the deliveries.
    async fn dispatch(&self, envelope: Envelope, deadline: Duration) -> Dispatch;
}
