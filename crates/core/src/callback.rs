//! Callbacks: what providers tell about messages that they took.
//!
//! **Invariant:** nothing is parsed before it is authenticated, and what comes out holds no text
//! of a provider: a state, and a class with a number.

use std::fmt;

use crate::channel::Channel;
use crate::delivery::{DeliveryId, DeliveryStatus};
use crate::id::VerificationId;

/// How a callback was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackMethod {
    /// A handshake, or a callback whose parameters are in the query.
    Get,
    /// A callback with a body.
    Post,
}

/// A request that says it comes from a provider, as it arrived.
#[derive(Clone, Copy)]
pub struct CallbackRequest<'a> {
    /// How it was asked.
    pub method: CallbackMethod,
    /// The query as it was sent, without the question mark.
    pub query: Option<&'a str>,
    /// The headers; names in lower case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body, byte for byte: signatures are over these.
    pub body: &'a [u8],
}

impl<'a> CallbackRequest<'a> {
    /// The header of this name (lower case), if it is there exactly once and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let mut found = self.headers.iter().filter(|(known, _)| *known == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }
}

impl fmt::Debug for CallbackRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackRequest")
            .field("method", &self.method)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What a callback is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The hand-over that the provider got along and brings back.
    Delivery {
        /// Of which verification.
        verification: VerificationId,
        /// Which of its hand-overs.
        delivery: DeliveryId,
    },
    /// The message that the provider named so when it took it.
    Message(String),
}

/// What a provider says of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which message.
    pub about: About,
    /// How it travelled.
    pub channel: Channel,
    /// How far it came.
    pub status: DeliveryStatus,
    /// The provider's own name for the message, where the receipt says it.
    pub message_id: Option<String>,
    /// Why it failed: an outcome class, and the provider's number.
    pub error: Option<String>,
}

/// What a callback came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// It is from the provider, and says this; nothing, where it is about something else.
    Receipts(Vec<Receipt>),
    /// A handshake that is answered with this text, as it is.
    Challenge(String),
    /// It is not proven to be from the provider.
    Refused,
    /// A handshake with another token than ours.
    Forbidden,
    /// It is from the provider, and cannot be read.
    Unreadable,
}

/// Reads the callbacks of every provider that has some.
pub trait Callbacks: Send + Sync + 'static {
    /// Authenticates a callback over its raw bytes, and reads it. `None` where no provider of
    /// this name takes callbacks.
    fn read(&self, provider: &str, request: &CallbackRequest<'_>) -> Option<Callback>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(headers: &'a [(&'a str, &'a [u8])]) -> CallbackRequest<'a> {
        CallbackRequest {
            method: CallbackMethod::Post,
            query: None,
            headers,
            body: b"code=123456",
        }
    }

    #[test]
    fn a_header_that_comes_twice_is_as_good_as_none() {
        let once: &[(&str, &[u8])] = &[("x-signature", b"a"), ("other", b"b")];
        assert_eq!(request(once).header("x-signature"), Some("a"));
        let twice: &[(&str, &[u8])] = &[("x-signature", b"a"), ("x-signature", b"b")];
        assert_eq!(request(twice).header("x-signature"), None);
        assert_eq!(request(&[]).header("x-signature"), None);
        let bytes: &[(&str, &[u8])] = &[("x-signature", b"\xff")];
        assert_eq!(request(bytes).header("x-signature"), None);
    }

    #[test]
    fn a_callback_prints_nothing_that_it_holds() {
        let shown = format!("{:?}", request(&[("authorization", b"Bearer secret")]));
        assert!(
            !shown.contains("secret") && !shown.contains("123456"),
            "{shown}"
        );
    }
}
