//! Request ids: one per request, echoed in `x-request-id`, written in logs.

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use axum::extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::request::Parts;

/// The header that carries a request id in both directions.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is accepted from a proxy.
const MAX_LEN: usize = 64;

/// The id of one request: at most 64 characters of `A-Z a-z 0-9 . _ -`. Cheap to clone.
///
/// Taken from the request when a trusted proxy sent a valid one, made here otherwise. It names a
/// request in logs and proves nothing: it is unique, not unguessable.
#[derive(Clone)]
pub struct RequestId(Arc<Exchange>);

/// What the parts of one request tell each other. It hangs on the request id because that is already
/// in the request's extensions.
#[derive(Default)]
pub(super) struct Exchange {
    id: Text,
    /// The route that answers: noted by [`RouteMark`](super::route::RouteMark), or where it is reached directly.
    pub(super) route: OnceLock<Template>,
    /// Whether somebody is waiting for bytes of the request's body.
    pub(super) awaits_body: std::sync::atomic::AtomicBool,
}

/// The template of a route's path.
pub(super) enum Template {
    Routed(MatchedPath),
    Direct(Arc<str>),
}

impl Template {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Routed(path) => path.as_str(),
            Self::Direct(path) => path,
        }
    }
}

/// Short text without an allocation of its own.
struct Text {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_LEN],
            len: 0,
        }
    }
}

impl Text {
    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.len) {
            *free = byte;
            self.len += 1;
        }
    }

    /// Appends `value` in lower-case hexadecimal, without leading zeros beyond `min_digits`.
    fn push_hex(&mut self, value: u64, min_digits: u32) {
        let digits = (u64::BITS - value.leading_zeros())
            .div_ceil(4)
            .max(min_digits);
        for digit in (0..digits).rev() {
            self.push(b"0123456789abcdef"[(value >> (digit * 4) & 0xf) as usize]);
        }
    }
}

impl RequestId {
    /// Accepts an id that somebody else made: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        if raw.is_empty() || raw.len() > MAX_LEN || !raw.iter().all(allowed) {
            return None;
        }
        let mut id = Text::default();
        for &byte in raw {
            id.push(byte);
        }
        Some(Self::from_text(id))
    }

    fn from_text(id: Text) -> Self {
        Self(Arc::new(Exchange {
            id,
            ..Exchange::default()
        }))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever pushed.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        &self.0.id.bytes[..self.0.id.len]
    }

    pub(super) fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.as_bytes()).ok()
    }

    pub(super) fn exchange(&self) -> &Arc<Exchange> {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = axum::http::StatusCode;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let id = parts.extensions.get::<Self>().cloned();
        id.ok_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Different in every process, so that ids of a fleet do not meet.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());

/// Makes the ids of one connection: `process-connection-sequence`. The sequence is the connection's
/// own, so threads do not contend for it.
pub(super) struct RequestIds {
    prefix: Text,
    sequence: AtomicU32,
}

impl RequestIds {
    pub(super) fn new(connection: u64) -> Self {
        let mut prefix = Text::default();
        prefix.push_hex(*PROCESS, 16);
        prefix.push(b'-');
        prefix.push_hex(connection, 1);
        prefix.push(b'-');
        Self {
            prefix,
            sequence: AtomicU32::new(1),
        }
    }

    pub(super) fn next(&self) -> RequestId {
        let mut id = Text {
            bytes: self.prefix.bytes,
            len: self.prefix.len,
        };
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        id.push_hex(sequence.into(), 1);
        RequestId::from_text(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_connection_are_distinct_and_acceptable_to_another_server() {
        let ids = RequestIds::new(0x1f);
        let first = ids.next();
        let second = ids.next();
        assert_ne!(first.as_str(), second.as_str());
        assert!(first.as_str().ends_with("-1f-1"), "{first}");
        let accepted = RequestId::parse(first.as_str().as_bytes()).unwrap();
        assert_eq!(accepted.as_str(), first.as_str());
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_or_grow_it_is_refused() {
        let long = "a".repeat(65);
        for raw in [
            "",
            "a b",
            "a\n",
            "a\u{1b}[31m",
            "ä",
            "a;b",
            "a/b",
            long.as_str(),
        ] {
            assert!(RequestId::parse(raw.as_bytes()).is_none(), "{raw:?}");
        }
        assert!(RequestId::parse("A-z0.9_".as_bytes()).is_some());
        assert!(RequestId::parse(&[b'a'; 64]).is_some());
    }

    #[test]
    fn an_id_fits_whatever_the_counters_are() {
        let ids = RequestIds::new(u64::MAX);
        ids.sequence.store(u32::MAX, Ordering::Relaxed);
        assert!(ids.next().as_str().ends_with("-ffffffffffffffff-ffffffff"));
    }
}
