//! What the serve layer reports to the binary: one call per response, one per connection event.

use std::time::Duration;

use axum::http::{Extensions, Method, StatusCode, Version};

use super::request_id::RequestId;
use crate::client_address::ClientAddress;

/// Sees every request end and every connection come and go. The binary writes its access log and
/// counts its metrics here.
///
/// Called on the request's own task: implementations must be quick and must not block or panic.
pub trait Observer: Send + Sync + 'static {
    /// A request ended: its response was handed to the connection entirely, or it was given up.
    /// Called exactly once for every request that was parsed.
    fn finished(&self, exchange: &Finished<'_>);

    /// Something happened to a connection.
    fn connection(&self, event: ConnectionEvent) {
        let _ = event;
    }
}

/// Ignores everything.
impl Observer for () {
    fn finished(&self, _exchange: &Finished<'_>) {}
}

/// A request that ended.
///
/// Holds neither path nor query: codes can be in both.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The matched path template, such as `/v1/verifications/{id}`; `None` when no route matched or the
    /// route does not know the method.
    pub route: Option<&'a str>,
    /// The request's method. A client can send any token: use it as a label only if it is a standard one.
    pub method: &'a Method,
    /// The request's protocol version.
    pub version: Version,
    /// The status of the response; 499 when the client left before there was one.
    pub status: StatusCode,
    /// From the complete head of the request to the end of the response.
    pub duration: Duration,
    /// Bytes of the response's body handed to the connection.
    pub body_bytes: u64,
    /// Whether the response was handed over entirely. `false`: the client left, stalled, or was cut off.
    pub complete: bool,
    /// The request's id.
    pub request_id: &'a RequestId,
    /// Whom the request is attributed to.
    pub client: ClientAddress,
    /// The response's extensions, where a surface may leave the cause of an error for the log.
    pub extensions: &'a Extensions,
}

/// What can happen to a connection, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// Accepted and admitted.
    Opened,
    /// Gone, for whatever reason. Follows every `Opened`.
    Closed,
    /// Closed at once: the listener has all the connections it may have.
    RefusedFull,
    /// Closed at once: its source has all the connections it may have.
    RefusedSource,
    /// The listener could not accept, for instance for want of file descriptors.
    AcceptFailed,
    /// The TLS handshake failed.
    TlsFailed,
    /// The peer took too long over what is named.
    TimedOut(Stall),
    /// What arrived was not well-formed HTTP, or more than allowed.
    Malformed,
}

/// What a peer took too long over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stall {
    /// The TLS handshake.
    Handshake,
    /// The head of a request.
    Head,
    /// The body of a request; it was answered 408.
    Body,
    /// The answer itself: a handler did not finish; it was answered 503.
    Request,
    /// Taking the response.
    Write,
    /// Sending another request on a kept-alive connection.
    Idle,
}
