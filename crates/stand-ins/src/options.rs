//! What may be chosen about a stand-in.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How a stand-in is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens: loopback. Port 0 is any free one.
    pub bind: SocketAddr,
    /// Where receipts go: Meta and Gupshup know one address for each app. Twilio uses it for
    /// messages that name no `StatusCallback`. Nothing is sent without one.
    pub callbacks: Option<String>,
    /// The origin, such as `http://127.0.0.1:8080`, that receipts are really posted to, in place of
    /// that of their address; what is signed stays the address. As a proxy in front would do it.
    pub callbacks_via: Option<String>,
    /// How long it waits before each receipt that it sends by itself.
    pub receipt_pause: Duration,
    /// Twilio: receipts as JSON with `bodySHA256` in the query, in place of forms.
    pub json_receipts: bool,
    /// Gupshup: which form its events have.
    pub event_format: EventFormat,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            callbacks: None,
            callbacks_via: None,
            receipt_pause: Duration::from_millis(200),
            json_receipts: false,
            event_format: EventFormat::V2,
        }
    }
}

/// The form of Gupshup's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventFormat {
    /// Gupshup's own.
    #[default]
    V2,
    /// Meta's, with `gs_id`.
    V3,
}
