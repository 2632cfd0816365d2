//! What providers' own error numbers mean: tables, and the one way from a number to an outcome.

use watchword_core::routing::{Class, Detail, Outcome};

use super::reply::{Reply, classify};

/// What one error number of a provider means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    InvalidRecipient,
    BlockedRecipient,
    Rejected,
    Throttled,
    /// Too many messages to this recipient; others may go on.
    RecipientThrottled,
    Unavailable,
    /// This recipient's phone or network is at fault; the provider is well.
    RecipientUnavailable,
    Misconfigured,
    Expired,
}

/// Error numbers by their meaning. No number is in it twice.
pub(crate) type CodeTable = [(Meaning, &'static [u32])];

/// What a table says of a number.
pub(crate) fn find(table: &CodeTable, code: u32) -> Option<Meaning> {
    let row = table.iter().find(|(_, codes)| codes.contains(&code))?;
    Some(row.0)
}

impl Meaning {
    /// The outcome of a reply with this meaning.
    pub(crate) fn outcome(self, reply: &Reply) -> Outcome {
        let retry_after = reply.retry_after;
        match self {
            Self::InvalidRecipient => Outcome::new(Class::InvalidRecipient),
            Self::BlockedRecipient => Outcome::new(Class::BlockedRecipient),
            Self::Rejected => Outcome::new(Class::Rejected),
            Self::Throttled => Outcome::new(Class::Throttled { retry_after }),
            Self::RecipientThrottled => {
                Outcome::new(Class::Throttled { retry_after }).about_recipient()
            }
            Self::Unavailable => Outcome::new(Class::Unavailable),
            Self::RecipientUnavailable => Outcome::new(Class::Unavailable).about_recipient(),
            Self::Misconfigured => Outcome::new(Class::Misconfigured),
            Self::Expired => Outcome::new(Class::Expired),
        }
    }
}

/// The outcome of a reply that is an error by its body. A number without a known meaning leaves
/// the status to decide; where even that says success, the message was refused for a reason that
/// nobody here knows.
pub(crate) fn refusal(reply: &Reply, code: Option<u32>, meaning: Option<Meaning>) -> Outcome {
    let outcome = match meaning {
        Some(meaning) => meaning.outcome(reply).with(Detail::Http(reply.status)),
        None if is_success(reply) => {
            Outcome::new(Class::Rejected).with(Detail::Word("refused_without_reason"))
        }
        None => classify(reply),
    };
    match code {
        Some(code) => outcome.with(Detail::Provider(code)),
        None => outcome,
    }
}

/// What it means that a message failed which had been taken. A number without a known meaning, or
/// none, is a refusal for a reason that nobody here knows.
pub(crate) fn failure(code: Option<u32>, meaning: impl Fn(u32) -> Option<Meaning>) -> Outcome {
    let taken = Reply {
        status: 200,
        retry_after: None,
        body: None,
    };
    match code {
        Some(code) => refusal(&taken, Some(code), meaning(code)),
        None => Outcome::new(Class::Rejected).with(Detail::Word("undelivered")),
    }
}

/// The outcome of a reply whose body is not what was agreed. An error status still says something;
/// a success may have been one.
pub(crate) fn unreadable(reply: &Reply) -> Outcome {
    if is_success(reply) {
        return Outcome::new(Class::Unknown).with(Detail::Word("unreadable_reply"));
    }
    classify(reply)
}

/// Whether the status is a 2xx.
pub(crate) const fn is_success(reply: &Reply) -> bool {
    matches!(reply.status, 200..=299)
}

/// A number that may be written as a text.
pub(crate) fn number(value: &serde_json::Value) -> Option<u32> {
    match value {
        serde_json::Value::Number(number) => number.as_u64()?.try_into().ok(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
