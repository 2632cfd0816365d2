//! Replies, and what their status means when nothing else is known.

use std::fmt;
use std::time::Duration;

use watchword_core::routing::{Class, Detail, Outcome};

/// A reply of a provider. `Debug` shows only the status: bodies echo recipients and texts.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// What `Retry-After` asks for, in seconds or as a date (RFC 9110 section 10.2.3).
    pub retry_after: Option<Duration>,
    /// The body; nothing when it could not be read to its end, or was larger than
    /// [`Sender::MAX_REPLY`](super::Sender::MAX_REPLY).
    pub body: Option<Vec<u8>>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What a status means when the body says nothing that is known.
#[must_use]
pub fn classify(reply: &Reply) -> Outcome {
    let class = match reply.status {
        200..=299 => return Outcome::accepted(None),
        // Redirects are not followed: a provider that moved has to be configured anew.
        300..=399 | 401 | 403 | 404 => Class::Misconfigured,
        // A gateway had no answer in time from a server that it handed the request to (RFC 9110 section 15.6.5):
        // the message may be on its way.
        504 => Class::Unknown,
        408 | 500..=599 => match reply.retry_after {
            Some(_) => Class::Throttled {
                retry_after: reply.retry_after,
            },
            None => Class::Unavailable,
        },
        429 => Class::Throttled {
            retry_after: reply.retry_after,
        },
        400..=499 => Class::Rejected,
        _ => Class::Unknown,
    };
    Outcome::new(class).with(Detail::Http(reply.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_alone_says_the_class() {
        for (status, class) in [
            (200, "accepted"),
            (202, "accepted"),
            (301, "misconfigured"),
            (307, "misconfigured"),
            (400, "rejected"),
            (401, "misconfigured"),
            (403, "misconfigured"),
            (404, "misconfigured"),
            (408, "unavailable"),
            (409, "rejected"),
            (422, "rejected"),
            (429, "throttled"),
            (500, "unavailable"),
            (502, "unavailable"),
            (503, "unavailable"),
            (504, "unknown"),
            (599, "unavailable"),
            (101, "unknown"),
            (600, "unknown"),
        ] {
            let reply = Reply {
                status,
                retry_after: None,
                body: None,
            };
            assert_eq!(classify(&reply).class().as_str(), class, "{status}");
        }
    }

    #[test]
    fn a_provider_that_says_when_to_come_back_is_throttling() {
        let retry_after = Some(Duration::from_secs(7));
        for status in [429, 503] {
            let reply = Reply {
                status,
                retry_after,
                body: None,
            };
            assert_eq!(*classify(&reply).class(), Class::Throttled { retry_after });
        }
        let gateway = Reply {
            status: 504,
            retry_after,
            body: None,
        };
        assert_eq!(*classify(&gateway).class(), Class::Unknown);
    }

    #[test]
    fn debug_output_of_a_reply_shows_no_body() {
        let reply = Reply {
            status: 400,
            retry_after: None,
            body: Some(b"+12015550123 refused".to_vec()),
        };
        assert_eq!(format!("{reply:?}"), "Reply { status: 400, .. }");
    }
}
