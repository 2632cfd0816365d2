//! Whose sends a request counts against.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use watchword_core::{Scope, Source};

use crate::app::{App, SurfaceKind};
use crate::caller::Caller;
use crate::client_address::ClientAddress;

/// Room for an IPv4 address, which else would grow piece by piece.
const ADDRESS: usize = 16;

/// The source of a send: who asked, or on whose behalf.
pub(crate) struct Asking {
    /// What the limits of the surface count.
    pub(crate) source: Source,
    /// Whether that is the caller's own address. What is left of somebody else's is not told.
    pub(crate) own: bool,
}

impl Asking {
    /// The end user's address where the caller may say it and did, else the caller's own.
    pub(crate) fn at(
        surface: SurfaceKind,
        client: ClientAddress,
        end_user: Option<IpAddr>,
    ) -> Self {
        let counted = end_user.map_or(client, ClientAddress::new);
        let mut address = String::with_capacity(ADDRESS);
        // Writing to memory cannot fail.
        let _ = write!(address, "{}", counted.source());
        let source = Source {
            surface: surface.as_str(),
            address,
        };
        Self {
            source,
            own: end_user.is_none(),
        }
    }
}

/// Reads `end_user_ip`. From a caller without the scope it counts as not said: else whoever holds any
/// key could choose the address that its limits are counted under.
pub(crate) fn end_user_ip(
    app: &App,
    caller: &Caller,
    said: &str,
) -> Result<Option<IpAddr>, &'static str> {
    if !caller.may(Scope::AssertEndUserIp) {
        if !app.told.end_user_ip.swap(true, Relaxed) {
            tracing::warn!(
                api_key = caller.name(),
                "end_user_ip came from a key without the scope end_user_ip:assert and was ignored \
                 (said once)"
            );
        }
        return Ok(None);
    }
    let address = said.trim().parse().map_err(|_| "is not an IP address")?;
    Ok(Some(address))
}
