//! The numbers that keep a server up among slow, greedy and broken clients.

use std::time::Duration;

use crate::client_address::TrustedProxies;

/// Everything about serving that an operator may set.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long a peer may take.
    pub timeouts: Timeouts,
    /// How much a peer may have.
    pub limits: Limits,
    /// Whose word on the client's address is taken.
    pub proxies: TrustedProxies,
}

/// How long a peer, or a handler, may take over each thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A TLS handshake. 10 s.
    pub handshake: Duration,
    /// The head of a request, from its first byte; for the first request of a connection, from the
    /// accept. 5 s. The connection is closed.
    pub header: Duration,
    /// The whole body of a request, from the end of its head. 10 s. Answered 408.
    pub body: Duration,
    /// A request, from the end of its head to the head of the response. 30 s. Answered 503.
    pub request: Duration,
    /// Taking any bytes of the response at all. 10 s. The connection is closed.
    pub write_stall: Duration,
    /// Sending the next request on a kept-alive connection. 30 s. The connection is closed.
    pub idle: Duration,
    /// Finishing what is in flight once the server shuts down. 25 s.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(5),
            body: Duration::from_secs(10),
            request: Duration::from_secs(30),
            write_stall: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            drain: Duration::from_secs(25),
        }
    }
}

/// How much one listener, source, connection or request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. More are closed at once. 16,384.
    pub connections: usize,
    /// Open connections of one source (an IPv4 address or an IPv6 /64), trusted proxies excepted. More are
    /// closed at once. 1,024.
    pub connections_per_source: usize,
    /// Requests that send a code, from the head to the answer, of all listeners together. More are refused. 8,192.
    pub sends_in_flight: usize,
    /// Bytes in the head of an HTTP/1 request, and in the header list of an HTTP/2 one. 16 KiB. A larger one is
    /// answered 431. An HTTP/1 request of more than 100 headers is, too.
    pub header_bytes: u32,
    /// Concurrent streams of an HTTP/2 connection. 100.
    pub http2_streams: u32,
    /// Streams that the peer reset and nobody has noticed yet; more close the connection. 20.
    pub http2_pending_resets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_source: 1_024,
            sends_in_flight: 8_192,
            header_bytes: 16 * 1024,
            http2_streams: 100,
            http2_pending_resets: 20,
        }
    }
}
