//! What a provider's answer means to the sender.
//!
//! **Invariant:** an outcome holds no free text of a provider. Replies echo recipients and texts;
//! what an operator needs of them is a class and a number.

use std::fmt;
use std::time::Duration;

use super::breaker::Signal;
use crate::delivery::DeliveryStatus;

/// The meaning of an answer, or of its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The provider took it. Whether it arrives is not known.
    Accepted {
        /// The provider's own name for the message, where it gives one.
        message_id: Option<String>,
    },
    /// The recipient cannot get messages on this channel, ever.
    InvalidRecipient,
    /// The recipient opted out, blocked the sender or is on a list.
    BlockedRecipient,
    /// Refused for good for another reason: content, policy, fraud guard, country.
    Rejected,
    /// Too fast: for everybody, or, where the outcome is [about this
    /// recipient](Outcome::about_recipient), to this one only.
    Throttled {
        /// How long the provider wants to be left alone, if it says so.
        retry_after: Option<Duration>,
    },
    /// A temporary fault at the provider or on the way to it. The message was not handed over.
    Unavailable,
    /// Credentials, sender, template, billing: an operator has to act.
    Misconfigured,
    /// The message's own validity ran out before it was handed over.
    Expired,
    /// It was sent, and no answer was read: it may have been delivered.
    Unknown,
}

impl Class {
    /// The names of all classes.
    pub const NAMES: [&'static str; 9] = [
        "accepted",
        "invalid_recipient",
        "blocked_recipient",
        "rejected",
        "throttled",
        "unavailable",
        "misconfigured",
        "expired",
        "unknown",
    ];

    /// The name in deliveries, logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        let place = match self {
            Self::Accepted { .. } => 0,
            Self::InvalidRecipient => 1,
            Self::BlockedRecipient => 2,
            Self::Rejected => 3,
            Self::Throttled { .. } => 4,
            Self::Unavailable => 5,
            Self::Misconfigured => 6,
            Self::Expired => 7,
            Self::Unknown => 8,
        };
        Self::NAMES[place]
    }

    /// Whether the provider refused the recipient itself.
    #[must_use]
    pub const fn refuses_recipient(&self) -> bool {
        matches!(self, Self::InvalidRecipient | Self::BlockedRecipient)
    }
}

/// What the operator may know of an answer beyond its class. It has no room for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A word of this program, such as `timeout`.
    Word(&'static str),
    /// The status of an HTTP answer.
    Http(u16),
    /// An SMTP reply code, and its enhanced status code (RFC 3463).
    Smtp {
        /// Such as 550.
        reply: u16,
        /// Such as 5.1.1.
        enhanced: Option<[u16; 3]>,
    },
    /// The provider's own number for the error.
    Provider(u32),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Http(status) => write!(f, "HTTP {status}"),
            Self::Smtp { reply, enhanced } => match enhanced {
                Some([class, subject, detail]) => write!(f, "{reply} {class}.{subject}.{detail}"),
                None => write!(f, "{reply}"),
            },
            Self::Provider(number) => write!(f, "{number}"),
        }
    }
}

/// What came of one hand-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    class: Class,
    detail: Option<Detail>,
    about_recipient: bool,
}

impl Outcome {
    /// The longest message id that is kept, in bytes.
    pub const MAX_MESSAGE_ID: usize = 128;

    /// An outcome of a class.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self {
            class,
            detail: None,
            about_recipient: false,
        }
    }

    /// The provider took it. A message id that is no plain short word is left out.
    #[must_use]
    pub fn accepted(message_id: Option<&str>) -> Self {
        let message_id = message_id
            .filter(|id| (1..=Self::MAX_MESSAGE_ID).contains(&id.len()))
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic()))
            .map(str::to_owned);
        Self::new(Class::Accepted { message_id })
    }

    /// The same with what the operator may know of it.
    #[must_use]
    pub const fn with(mut self, detail: Detail) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The same, caused by this recipient alone: the provider may be well for everybody else.
    #[must_use]
    pub const fn about_recipient(mut self) -> Self {
        self.about_recipient = true;
        self
    }

    /// Its class.
    #[must_use]
    pub const fn class(&self) -> &Class {
        &self.class
    }

    /// What the operator may know of it.
    #[must_use]
    pub const fn detail(&self) -> Option<Detail> {
        self.detail
    }

    /// Whether this recipient alone caused it.
    #[must_use]
    pub const fn is_about_recipient(&self) -> bool {
        self.about_recipient || self.class.refuses_recipient()
    }

    /// Whether the provider was reached and decided against this message, so that asking costs the
    /// caller a slot. Never so for what the caller has no part in: a fault, a missing credential.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self.class {
            Class::InvalidRecipient
            | Class::BlockedRecipient
            | Class::Rejected
            | Class::Expired => true,
            Class::Throttled { .. } | Class::Unavailable => self.about_recipient,
            Class::Accepted { .. } | Class::Misconfigured | Class::Unknown => false,
        }
    }

    /// How far a delivery with this outcome came.
    #[must_use]
    pub const fn status(&self) -> DeliveryStatus {
        match self.class {
            Class::Accepted { .. } => DeliveryStatus::Accepted,
            Class::Unknown => DeliveryStatus::Unknown,
            _ => DeliveryStatus::Failed,
        }
    }

    /// What it tells the provider's breaker.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        if self.about_recipient {
            return Signal::Answered;
        }
        match self.class {
            Class::Accepted { .. }
            | Class::InvalidRecipient
            | Class::BlockedRecipient
            | Class::Rejected
            | Class::Expired => Signal::Answered,
            Class::Throttled { .. } => Signal::Paced,
            Class::Unavailable | Class::Unknown => Signal::Failed,
            Class::Misconfigured => Signal::Broken,
        }
    }
}

/// The class, and the detail if there is one: `invalid_recipient: 550 5.1.1`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.as_str())?;
        match self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_reads_as_its_class_and_its_number() {
        let refused = Outcome::new(Class::InvalidRecipient).with(Detail::Smtp {
            reply: 550,
            enhanced: Some([5, 1, 1]),
        });
        assert_eq!(refused.to_string(), "invalid_recipient: 550 5.1.1");
        let busy = Outcome::new(Class::Throttled { retry_after: None }).with(Detail::Http(429));
        assert_eq!(busy.to_string(), "throttled: HTTP 429");
        let lost = Outcome::new(Class::Unknown).with(Detail::Word("timeout"));
        assert_eq!(lost.to_string(), "unknown: timeout");
        assert_eq!(Outcome::accepted(Some("SM1")).to_string(), "accepted");
    }

    #[test]
    fn a_message_id_that_is_no_short_word_is_left_out() {
        let kept = |id: &str| match Outcome::accepted(Some(id)).class {
            Class::Accepted { message_id } => message_id,
            other => panic!("{other:?}"),
        };
        assert_eq!(kept("4F2C1A@mx"), Some("4F2C1A@mx".to_owned()));
        for odd in ["", "two words", "line\nbreak", "é", &"x".repeat(129)] {
            assert_eq!(kept(odd), None, "{odd:?}");
        }
    }
}
