//! `watchword healthcheck`: asks the server on this machine whether it is well.
//!
//! For container engines and scripts, where nothing else than the program may be at hand. It is run
//! every few seconds, so it does little: one question over a plain socket, no secret read, no TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::usual_file;
use crate::cli::Healthcheck;
use crate::config::{NEVER, Variables, admin_bind};
use crate::failure::Failure;
use crate::output::say;

/// More than the answers of the admin listener to these questions.
const MAX_BYTES: usize = 16 * 1024;

pub(super) fn run(args: &Healthcheck) -> Result<(), Failure> {
    let address = match args.address {
        Some(address) => address,
        None => configured(args)?,
    };
    let address = reachable(address);
    let path = if args.ready { "/readyz" } else { "/livez" };
    let answer = ask(address, path, args.timeout).map_err(|error| {
        Failure::refused(format!(
            "no answer from {address}: {error}; is the server running, and is that its admin.bind?"
        ))
    })?;
    let answer = Answer::read(&answer).ok_or_else(|| {
        Failure::refused(format!(
            "what answers at {address} is no Watchword server; name its admin listener with --address"
        ))
    })?;
    let said = answer.said();
    if answer.status == 200 {
        return say(&said);
    }
    Err(Failure::refused(format!(
        "{address}{path} answered {}: {said}",
        answer.status
    )))
}

/// Where the server's settings say that its admin listener is.
fn configured(args: &Healthcheck) -> Result<SocketAddr, Failure> {
    let file = usual_file(args.file.config.as_deref());
    let variables = Variables::read(Path::new("."))?;
    let address = admin_bind(file.as_deref(), &variables)?.ok_or_else(|| {
        Failure::refused(format!(
            "admin.bind is `{NEVER}`, so there is nobody to ask; give it an address such as 127.0.0.1:9090"
        ))
    })?;
    if address.port() == 0 {
        return Err(Failure::refused(
            "admin.bind has port 0, so only the server knows its port; name it with --address",
        ));
    }
    Ok(address)
}

/// Who listens everywhere is asked on this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks once, and gives what came until the server closed. All of it together takes `limit` at most.
fn ask(address: SocketAddr, path: &str, limit: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + limit;
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("not within {limit:?}"));
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(late())
        } else {
            Ok(left)
        }
    };
    // A socket whose time is up says so in two ways, and neither names the time.
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => late(),
        _ => error,
    };
    let mut socket = TcpStream::connect_timeout(&address, left()?).map_err(told)?;
    socket.set_write_timeout(Some(left()?))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while answer.len() < MAX_BYTES {
        socket.set_read_timeout(Some(left()?))?;
        match socket.read(&mut chunk).map_err(told)? {
            0 => break,
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(answer)
}

/// What a server answered.
struct Answer<'a> {
    status: u16,
    body: &'a str,
}

impl<'a> Answer<'a> {
    /// `None` if it is not HTTP.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (version, rest) = head.split_once(' ')?;
        let status = rest.get(..3)?.parse().ok()?;
        let known = version == "HTTP/1.1";
        known.then_some(Self { status, body })
    }

    /// Its body in one line: a word, or the sentence of a problem.
    fn said(&self) -> String {
        let problem: Option<serde_json::Value> = serde_json::from_str(self.body).ok();
        let sentence = problem.as_ref().and_then(|problem| {
            let member = |name: &str| problem.get(name)?.as_str();
            member("detail").or_else(|| member("title"))
        });
        let line = sentence.unwrap_or(self.body).trim();
        line.lines().next().unwrap_or_default().to_owned()
    }
}
