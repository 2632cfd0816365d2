//! Who is calling: the client's address behind any number of trusted proxies.
//!
//! The answer is the socket's peer, unless that peer is a trusted proxy. Then the one configured
//! forwarding header is read from right to left (the right end is what the nearest proxy wrote) and the
//! first hop that is not itself a trusted proxy is the client. What a client wrote further left is never
//! looked at, so it cannot choose the address its limits are counted under.
//!
//! **Invariant:** with no trusted networks configured, no header changes the answer.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName, HeaderValue};
use axum::http::request::Parts;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Headers that proxies use to say who called them. One that arrives from a peer nobody trusts means
/// either an attempt to choose an address or a proxy that was not configured.
pub(crate) const FORWARDING_HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("x-forwarded-for"),
    FORWARDED,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// The address a request is attributed to. The serve layer puts one into the extensions of every request that
/// goes through the router, and hands it to direct routes.
///
/// Always canonical: an IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is held as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Wraps an address, making it canonical.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address itself.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// What limits are counted under.
    #[must_use]
    pub fn source(self) -> SourceKey {
        SourceKey::from(self.0)
    }

    /// The network that limits are counted under: the address itself for IPv4, its /64 for IPv6.
    #[must_use]
    pub fn source_prefix(self) -> IpNet {
        self.source().network()
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self::new(address)
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Answers 500 when the request did not come through the serve layer: a route without a source has no
/// limits, so it must not run.
impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = axum::http::StatusCode;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let address = parts.extensions.get::<Self>().copied();
        address.ok_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().copied())
    }
}

/// A source of requests as limits see it: one IPv4 address, or one IPv6 /64, since a single
/// customer is commonly given a whole /64.
///
/// Prints as `192.0.2.1` or `2001:db8:1:2::/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(IpAddr);

impl SourceKey {
    /// The network that this source stands for.
    #[must_use]
    pub fn network(self) -> IpNet {
        match self.0 {
            IpAddr::V4(address) => IpNet::V4(Ipv4Net::from(address)),
            IpAddr::V6(address) => IpNet::V6(Ipv6Net::new_assert(address, 64)),
        }
    }
}

impl From<IpAddr> for SourceKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// Which header the trusted proxies write. Exactly one is believed: a proxy appends to the one it
/// knows and passes the others through as the client sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`: a list of addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): a list of elements with a `for` parameter.
    Forwarded,
}

/// The peers whose forwarding header is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Box<[IpNet]>,
    header: ForwardingHeader,
}

/// A trusted proxy that is neither an address nor a network in CIDR notation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trusted proxy {0:?} is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct InvalidProxy(pub String);

impl TrustedProxies {
    /// Trusts nobody: the client is always the socket's peer.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Trusts `networks`.
    pub fn new(header: ForwardingHeader, networks: impl IntoIterator<Item = IpNet>) -> Self {
        let networks = networks.into_iter().map(canonical_network).collect();
        Self { networks, header }
    }

    /// Trusts networks written as `10.0.0.0/8`, `2001:db8::/32` or a single address.
    ///
    /// # Errors
    /// [`InvalidProxy`] names the first entry that is neither.
    pub fn parse<T: AsRef<str>>(
        header: ForwardingHeader,
        networks: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidProxy> {
        let parse = |text: T| {
            let text = text.as_ref().trim();
            let network = text.parse::<IpNet>().ok();
            let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
            network
                .or_else(single)
                .ok_or_else(|| InvalidProxy(text.to_owned()))
        };
        let networks = networks
            .into_iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(header, networks))
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether `address` is a trusted proxy.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The client of a request that `peer` sent with `headers`.
    ///
    /// A hop that is not an address (`unknown`, `_hidden`, garbage) ends the walk at the last address
    /// that was one, which is then a proxy of ours: such requests share that proxy's limits.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return ClientAddress(client);
        }
        match self.header {
            ForwardingHeader::XForwardedFor => {
                for line in headers.get_all(&FORWARDING_HEADERS[0]).iter().rev() {
                    let hops = line.as_bytes().rsplit(|&byte| byte == b',');
                    if self.walk(hops, node_address, &mut client).is_break() {
                        break;
                    }
                }
            }
            ForwardingHeader::Forwarded => {
                for line in headers.get_all(FORWARDED).iter().rev() {
                    let elements = ElementsFromRight(Some(line.as_bytes()));
                    if self.walk(elements, for_address, &mut client).is_break() {
                        break;
                    }
                }
            }
        }
        ClientAddress(client)
    }

    /// Follows hops from the nearest to the farthest, for as long as they are trusted.
    fn walk<'a>(
        &self,
        hops: impl Iterator<Item = &'a [u8]>,
        read: fn(&[u8]) -> Option<IpAddr>,
        client: &mut IpAddr,
    ) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        for hop in hops {
            let hop = hop.trim_ascii();
            if hop.is_empty() {
                continue; // RFC 9110 5.6.1: empty list elements are ignored
            }
            let Some(address) = read(hop) else {
                return Break(());
            };
            *client = address;
            if !self.trusts(address) {
                return Break(());
            }
        }
        Continue(())
    }
}

/// `true` if a header that names a client is present, whoever wrote it.
pub(crate) fn has_forwarding_header(headers: &HeaderMap<HeaderValue>) -> bool {
    FORWARDING_HEADERS
        .iter()
        .any(|name| headers.contains_key(name))
}

/// A network of v4-mapped addresses is the IPv4 network it stands for.
fn canonical_network(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && let Some(v4) = v6.network().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
    {
        return IpNet::V4(Ipv4Net::new_assert(v4, prefix));
    }
    network
}

/// The elements of a `Forwarded` line, from the right.
///
/// A comma within a quoted string does not separate. Quotes are balanced from the right, element by
/// element, so that a quote left open by the client cannot swallow what a proxy appended after it.
struct ElementsFromRight<'a>(Option<&'a [u8]>);

impl<'a> Iterator for ElementsFromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let mut balanced = true;
        for (at, &byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if !is_escaped(&rest[..at]) => balanced = !balanced,
                b',' if balanced => {
                    self.0 = Some(&rest[..at]);
                    return Some(&rest[at + 1..]);
                }
                _ => {}
            }
        }
        self.0 = None;
        Some(rest)
    }
}

/// Whether what comes behind `before` is escaped: by a backslash that is not escaped itself.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|&&byte| byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The address in the `for` parameter of one `Forwarded` element.
fn for_address(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for parameter in element.split(|&byte| byte == b';') {
        let Some(equals) = parameter.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
        if name.trim_ascii().eq_ignore_ascii_case(b"for") {
            if found.is_some() {
                return None; // two answers are none
            }
            found = Some(value);
        }
    }
    node_address(found?)
}

/// Reads an address as proxies write it: perhaps quoted, perhaps bracketed, perhaps with a port or a
/// zone. `None` for `unknown`, `_obfuscated` and everything else.
fn node_address(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?.trim();
    let node = match node.strip_prefix('"') {
        Some(open) => open.strip_suffix('"')?.trim(),
        None => node,
    };
    let address = if let Some(open) = node.strip_prefix('[') {
        let (address, port) = open.split_once(']')?;
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
            return None;
        }
        let bare = address
            .split_once('%')
            .map_or(address, |(bare, _zone)| bare);
        IpAddr::V6(bare.parse().ok()?)
    } else if node.bytes().filter(|&byte| byte == b':').count() == 1 {
        let (address, port) = node.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(address.parse().ok()?)
    } else {
        match node.split_once('%') {
            Some((bare, _zone)) => IpAddr::V6(bare.parse().ok()?),
            None => node.parse().ok()?,
        }
    };
    Some(address.to_canonical())
}

/// A port, or RFC 7239's obfuscated port.
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(hidden) => !hidden.is_empty(),
        None => !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()),
    }
}
