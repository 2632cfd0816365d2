//! The ways a code can travel.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::recipient::RecipientKind;

/// A way for a code to reach its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A WhatsApp message to a phone number.
    Whatsapp,
    /// A text message to a phone number.
    Sms,
    /// A mail to an email address.
    Email,
    /// A call to a phone number that speaks the code.
    Voice,
}

impl Channel {
    /// Every channel, in the order in which documents list them.
    pub const ALL: [Self; 4] = [Self::Whatsapp, Self::Sms, Self::Email, Self::Voice];

    /// The name on the wire and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whatsapp => "whatsapp",
            Self::Sms => "sms",
            Self::Email => "email",
            Self::Voice => "voice",
        }
    }

    /// The kind of recipient that this channel reaches.
    #[must_use]
    pub const fn reaches(self) -> RecipientKind {
        match self {
            Self::Email => RecipientKind::Email,
            Self::Whatsapp | Self::Sms | Self::Voice => RecipientKind::Phone,
        }
    }

    /// The method to name in a token's `amr` (RFC 8176 section 2), where one is registered.
    /// Email and WhatsApp have none.
    #[must_use]
    pub const fn authentication_method(self) -> Option<&'static str> {
        match self {
            Self::Sms => Some("sms"),
            Self::Voice => Some("tel"),
            Self::Email | Self::Whatsapp => None,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no channel.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one of whatsapp, sms, email, voice")]
pub struct UnknownChannel;

impl FromStr for Channel {
    type Err = UnknownChannel;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == name)
            .ok_or(UnknownChannel)
    }
}
