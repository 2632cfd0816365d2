//! Ports for servers that tests start.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port of these that nobody listens on. Below those that the system gives to clients
/// (`net.ipv4.ip_local_port_range`), so that no client takes its place before the server starts
/// or while it is away; each process begins elsewhere.
pub(crate) fn free_port(among: Range<u16>) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = std::process::id().wrapping_mul(97);
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let place = own.wrapping_add(next) % u32::from(among.end - among.start);
        let port = among.start + u16::try_from(place).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
