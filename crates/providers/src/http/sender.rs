//! The one place that posts to providers.

mod look;

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, Response, Url};
use rustls::crypto::ring;
use rustls::{AlertDescription, ClientConfig};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::time::{Instant, timeout_at};
use watchword_core::routing::{Class, Detail, Outcome};

use super::Call;
use super::body::{Begun, WatchedBody};
use super::reply::Reply;

/// Posts [`Call`]s: bounded in time and size, never following a redirect, never sending twice, and
/// with certificates checked against the system's.
///
/// Plain HTTP goes to this machine only and past any proxy. HTTPS goes through the proxy that the
/// environment names (`HTTPS_PROXY`, `NO_PROXY`), if any.
pub struct Sender {
    local: Client,
    outward: Client,
    trace: Option<TraceContext>,
}

/// The `traceparent` (W3C Trace Context) of what is sent now; none outside of a trace.
pub type TraceContext = fn() -> Option<HeaderValue>;

impl Sender {
    /// No more of a reply is read, in bytes.
    pub const MAX_REPLY: usize = 64 * 1024;
    /// A connection that takes longer is given up, whatever the deadline, so that a host with
    /// several addresses gets to the next one.
    const CONNECT: Duration = Duration::from_secs(5);
    /// Idle connections are closed after so long.
    const IDLE: Duration = Duration::from_secs(60);

    /// A sender. One serves all providers.
    ///
    /// # Errors
    /// [`SenderError`] when this machine has no certificates to trust.
    pub fn new() -> Result<Self, SenderError> {
        let crypto = Arc::new(ring::default_provider());
        let tls = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|_| SenderError)?
            .with_no_client_auth();
        Ok(Self {
            local: client(tls.clone(), reqwest::ClientBuilder::no_proxy)?,
            outward: client(tls, |builder| builder.https_only(true))?,
            trace: None,
        })
    }

    /// With a trace that goes on at whoever is posted to. They learn its ids and nothing else.
    #[must_use]
    pub const fn traced(mut self, trace: Option<TraceContext>) -> Self {
        self.trace = trace;
        self
    }

    /// Whether a URL may be posted to: HTTPS to anywhere, as the operator chose it, and plain HTTP
    /// to this machine only.
    #[must_use]
    pub fn admits(url: &Url) -> bool {
        match url.scheme() {
            "https" => url.has_host(),
            "http" => url.host_str().is_some_and(is_loopback),
            _ => false,
        }
    }

    /// Posts a call, once.
    ///
    /// # Errors
    /// The outcome when there is no reply by `deadline`: `unavailable` when the request surely
    /// stayed here, `misconfigured` when the peer's certificate is not trusted, else `unknown`.
    pub async fn post(&self, call: Call, deadline: Instant) -> Result<Reply, Outcome> {
        if !Self::admits(&call.url) {
            return Err(Outcome::new(Class::Misconfigured).with(Detail::Word("insecure_url")));
        }
        let client = match call.url.scheme() {
            "http" => &self.local,
            _ => &self.outward,
        };
        let begun = Begun::default();
        let body = reqwest::Body::wrap(WatchedBody::new(call.body, begun.clone()));
        let mut request = client.post(call.url).headers(call.headers).body(body);
        if let Some(parent) = self.trace.and_then(|current| current()) {
            request = request.header("traceparent", parent);
        }
        let response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(fault(&error, &begun)),
            Err(_) if begun.get() => return Err(lost("timeout")),
            Err(_) => return Err(unreached("timeout")),
        };
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let body = timeout_at(deadline, read(response)).await.ok().flatten();
        Ok(Reply {
            status,
            retry_after,
            body,
        })
    }
}

/// Whether a host is this machine: `localhost`, a name below it, or a loopback address.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = address.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn client(
    mut tls: ClientConfig,
    kind: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<Client, SenderError> {
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("Watchword/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Sender::CONNECT)
        .pool_idle_timeout(Sender::IDLE);
    kind(builder).build().map_err(|_| SenderError)
}

async fn read(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > Sender::MAX_REPLY {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn retry_after(response: &Response) -> Option<Duration> {
    super::retry_after::retry_after(response.headers(), jiff::Timestamp::now())
}

/// What a fault of the client means. Its text is never shown: it holds the URL.
fn fault(error: &reqwest::Error, begun: &Begun) -> Outcome {
    if let Some(fault) = tls_fault(error) {
        return of_tls(fault, begun.get());
    }
    if error.is_builder() {
        return Outcome::new(Class::Misconfigured).with(Detail::Word("request"));
    }
    if error.is_dns() {
        return unreached("dns");
    }
    if error.is_connect() || !begun.get() {
        return unreached("connect");
    }
    lost("connection_lost")
}

/// A fault of TLS will not go away by itself. But once the request was written, a connection that breaks has lost
/// its answer, however it breaks; only that a certificate of ours is missing is also said as late as that (RFC 8446
/// section 4.4.2.4).
fn of_tls(fault: &'static str, begun: bool) -> Outcome {
    if begun && fault == BROKEN {
        return lost(fault);
    }
    Outcome::new(Class::Misconfigured).with(Detail::Word(fault))
}

/// TLS, but no certificate.
const BROKEN: &str = "tls";

/// What is wrong with TLS, if that is what failed.
pub(crate) fn tls_fault(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(_)) => return Some("certificate"),
            Some(rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::AccessDenied,
            )) => return Some("client_certificate"),
            Some(_) => return Some(BROKEN),
            None => {}
        }
        // `source` of an I/O error skips what it wraps, which may be another one.
        let wrapped = error.downcast_ref().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn unreached(why: &'static str) -> Outcome {
    Outcome::new(Class::Unavailable).with(Detail::Word(why))
}

fn lost(why: &'static str) -> Outcome {
    Outcome::new(Class::Unknown).with(Detail::Word(why))
}

/// HTTPS cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine has no certificates to trust; install the package ca-certificates")]
pub struct SenderError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_admitted_to_this_machine_only() {
        for (url, admitted) in [
            ("https://hooks.example.com/otp", true),
            ("https://10.0.0.7/otp", true),
            ("http://127.0.0.1:9/otp", true),
            ("http://127.8.9.1/otp", true),
            ("http://[::1]:9/otp", true),
            ("http://[::ffff:127.0.0.1]/otp", true),
            ("http://localhost:3000/", true),
            ("http://LOCALHOST./", true),
            ("http://hooks.localhost/", true),
            // The URL parser reads these as 127.0.0.1, and so does whoever connects.
            ("http://2130706433/", true),
            ("http://0x7f.1/", true),
            ("http://hooks.example.com/otp", false),
            ("http://10.0.0.7/otp", false),
            ("http://localhost.example.com/", false),
            ("http://notlocalhost/", false),
            ("http://0.0.0.0/", false),
            ("ftp://127.0.0.1/", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(Sender::admits(&Url::parse(url).unwrap()), admitted, "{url}");
        }
    }

    #[test]
    fn a_connection_whose_tls_breaks_after_the_request_has_lost_the_answer() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let alert = rustls::Error::AlertReceived;
        for (error, before, after) in [
            (
                alert(AlertDescription::InternalError),
                "misconfigured",
                "unknown",
            ),
            (rustls::Error::DecryptError, "misconfigured", "unknown"),
            (
                alert(AlertDescription::CertificateRequired),
                "misconfigured",
                "misconfigured",
            ),
            (untrusted, "misconfigured", "misconfigured"),
        ] {
            // As it comes from the connection.
            let error = io::Error::other(error);
            let fault = tls_fault(&error).unwrap();
            for (begun, class) in [(false, before), (true, after)] {
                assert_eq!(of_tls(fault, begun).class().as_str(), class, "{error}");
            }
        }
    }
}
