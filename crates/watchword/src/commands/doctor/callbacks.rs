//! Whether receipts can find their way here, as far as it can be known from inside.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use tokio::time::timeout;
use watchword_providers::http::is_loopback;
use watchword_providers::probe::Verdict;

use super::accounts::has_receipts;
use super::report::Check;
use crate::config::Config;

const SUBJECT: &str = "public_url";

/// Looks at the address, and asks it for the callbacks of every provider that sends receipts.
pub(super) async fn look(config: &Config, limit: Duration) -> Vec<Check> {
    let providers = config.providers.iter();
    let senders = providers.filter(|(_, settings)| has_receipts(settings));
    let senders: Vec<&str> = senders.map(|(name, _)| name.as_str()).collect();
    if senders.is_empty() {
        return Vec::new();
    }
    let given = config.public_url.as_deref();
    let Some(url) = given.and_then(|url| Url::parse(url).ok()) else {
        return vec![Check::new(
            Verdict::Warning,
            SUBJECT,
            "address",
            format!(
                "is not set, so {} cannot report what arrived",
                senders.join(", ")
            ),
            "set it to the https address that the Internet has for this server",
        )];
    };
    let mut checks = vec![address(&url, limit).await];
    checks.extend(ask_all(&url, &senders, limit).await);
    checks
}

/// Whether somebody outside could come by this address.
async fn address(url: &Url, limit: Duration) -> Check {
    let warned =
        |said: &str, advice| Check::new(Verdict::Warning, SUBJECT, "address", said, advice);
    let host = url.host_str().unwrap_or_default();
    if is_loopback(host) {
        let advice = "set it to the https address that the Internet has for this server, or of a \
                      tunnel to it";
        return warned("is this machine, which providers cannot reach", advice);
    }
    let host = host.trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let found = match timeout(limit, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.map(|one| one.ip()).collect(),
        _ => Vec::new(),
    };
    if found.is_empty() {
        let advice = "see whether the name is spelled right and is in the DNS";
        let said = "does not resolve to any address";
        return Check::new(Verdict::Problem, SUBJECT, "address", said, advice);
    }
    if !found.iter().copied().any(is_public) {
        let advice = "see that the name resolves to a public address outside this network";
        return warned(
            "resolves to private addresses only, as seen from here",
            advice,
        );
    }
    if url.scheme() != "https" {
        let advice = "put TLS before the server and write https";
        return warned("is not https, which Meta insists on", advice);
    }
    Check::ok(
        SUBJECT,
        "address",
        "is https and resolves to a public address",
    )
}

/// Whether packets from anywhere could be meant for it.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // 100.64.0.0/10 is for networks of carriers (RFC 6598).
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

/// What came back from a callback address.
struct Answer {
    status: u16,
    /// Whether it is a problem of this program.
    ours: bool,
}

async fn ask_all(url: &Url, senders: &[&str], limit: Duration) -> Vec<Check> {
    let mut builder = Client::builder()
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none());
    if url.host_str().is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    let Ok(client) = builder.build() else {
        return Vec::new();
    };
    let base = url.as_str().trim_end_matches('/');
    let mut checks = Vec::with_capacity(senders.len());
    for name in senders {
        let subject = format!("{SUBJECT}/callbacks/{name}");
        match ask(&client, &format!("{base}/callbacks/{name}")).await {
            Ok(answer) => checks.push(judge(&subject, &answer)),
            // The others would say the same.
            Err(error) => {
                checks.push(unanswered(&subject, &error, limit));
                break;
            }
        }
    }
    checks
}

/// A plain GET, which no provider sends: a server of ours refuses it in its own way.
async fn ask(client: &Client, url: &str) -> Result<Answer, reqwest::Error> {
    const ENOUGH: usize = 4096;
    let mut response = client.get(url).send().await?;
    let status = response.status().as_u16();
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ENOUGH {
            break;
        }
    }
    let urn = String::from_utf8_lossy(&body).contains("urn:watchword:problem:");
    let ours = (is_problem && urn) || response.headers().contains_key("x-request-id");
    Ok(Answer { status, ours })
}

fn judge(subject: &str, answer: &Answer) -> Check {
    const ABOUT: &str = "receipts";
    let status = answer.status;
    let problem = |said: String, advice| Check::new(Verdict::Problem, subject, ABOUT, said, advice);
    match (status, answer.ours) {
        (404, true) => Check::new(
            Verdict::Warning,
            subject,
            ABOUT,
            "a server of this program answers, and knows no such callback",
            "restart the server with this configuration",
        ),
        (400 | 401 | 403 | 405, true) => Check::ok(
            subject,
            ABOUT,
            "the server answers; whether it does from outside, only a receipt shows",
        ),
        (502..=504, _) => Check::new(
            Verdict::Warning,
            subject,
            ABOUT,
            format!("something before the server answers {status}"),
            "start the server, and see whether the proxy knows where it is",
        ),
        (300..=399, _) => problem(
            format!("is redirected ({status}), and providers do not follow"),
            "set `public_url` to where it is redirected to",
        ),
        _ => problem(
            format!("something else than this program answers ({status})"),
            "see whether the proxy hands /callbacks to the server",
        ),
    }
}

/// The text of the error is never shown: it holds the address and what others wrote.
fn unanswered(subject: &str, error: &reqwest::Error, limit: Duration) -> Check {
    if is_tls(error) {
        return Check::new(
            Verdict::Problem,
            subject,
            "receipts",
            "TLS fails, or the certificate is not trusted",
            "providers refuse it too: give the listener or the proxy a certificate for this name",
        );
    }
    let said = if error.is_timeout() {
        format!("nobody answers within {} s", limit.as_secs_f32())
    } else {
        "nobody answers".to_owned()
    };
    Check::new(
        Verdict::Warning,
        subject,
        "receipts",
        said,
        "start the server, and see whether the proxy hands /callbacks to it; a firewall may also \
         keep this machine from its own public address",
    )
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = cause {
        // `source` of an I/O error skips what it wraps.
        let wrapped = one
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if one.is::<rustls::Error>()
            || wrapped.is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        cause = one.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_nobody_outside_can_reach_are_told_from_public_ones() {
        for (address, public) in [
            ("203.0.113.7", true),
            ("8.8.8.8", true),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("0.0.0.0", false),
            ("2606:4700::1111", true),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn the_way_a_server_refuses_tells_whether_it_is_ours() {
        for (status, ours, verdict) in [
            (405, true, Verdict::Ok),
            (401, true, Verdict::Ok),
            (403, true, Verdict::Ok),
            (404, true, Verdict::Warning),
            (404, false, Verdict::Problem),
            (200, false, Verdict::Problem),
            (200, true, Verdict::Problem),
            (502, false, Verdict::Warning),
            (308, false, Verdict::Problem),
        ] {
            let (found, line) = judge("x", &Answer { status, ours }).told();
            assert_eq!(found, verdict, "{status} {ours}: {line}");
        }
    }
}
