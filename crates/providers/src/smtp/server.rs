//! The mail server as its URL describes it.

use std::path::Path;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::http::is_loopback;

/// How a connection is protected.
#[derive(Clone)]
pub(super) enum Protection {
    /// TLS from the first byte.
    Implicit(TlsParameters),
    /// STARTTLS, or no mail.
    Required(TlsParameters),
    /// STARTTLS if the server has it.
    Opportunistic(TlsParameters),
    /// None.
    Plain,
}

/// Where mail goes and how.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) protection: Protection,
    pub(super) credentials: Option<Credentials>,
    /// Whether the server is this machine, so that nobody listens on the way.
    pub(super) local: bool,
    /// What EHLO says.
    pub(super) hello: ClientId,
}

impl Server {
    /// Reads a URL. Errors never show it: it may hold a password.
    pub(super) fn parse(
        text: &str,
        extra: Vec<Certificate>,
        own_domain: &str,
    ) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|_| {
            "is not a URL; write it like smtps://user:password@mail.example.com, with user and \
             password percent-encoded"
        })?;
        let implicit = match url.scheme() {
            "smtps" => true,
            "smtp" => false,
            _ => return Err("does not begin with smtp:// or smtps://".to_owned()),
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or("names no host")?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("has more than user, password, host, port and ?tls=".to_owned());
        }
        let local = is_loopback(&host);
        let credentials = credentials(&url)?;
        let (protection, default_port) = match (implicit, tls_choice(&url)?) {
            (true, None | Some(Choice::Required)) => {
                (Protection::Implicit(parameters(&host, extra)?), 465)
            }
            (true, Some(_)) => {
                return Err("says smtps, which is TLS, and a tls= that is not required".to_owned());
            }
            (false, Some(Choice::Required)) => {
                (Protection::Required(parameters(&host, extra)?), 587)
            }
            (false, Some(Choice::Opportunistic)) => {
                (Protection::Opportunistic(parameters(&host, extra)?), 587)
            }
            (false, Some(Choice::None)) if credentials.is_some() && !local => {
                return Err(
                    "sends a password in the clear; write ?tls=required, or smtps://".to_owned(),
                );
            }
            (false, None) if !local => {
                return Err(
                    "does not say whether to use TLS, and codes would travel in the clear; write \
                     ?tls=required (or ?tls=none if that is meant)"
                        .to_owned(),
                );
            }
            (false, None | Some(Choice::None)) => (Protection::Plain, 25),
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(default_port),
            protection,
            credentials,
            local,
            hello: ClientId::Domain(own_domain.to_owned()),
        })
    }
}

enum Choice {
    Required,
    Opportunistic,
    None,
}

fn tls_choice(url: &Url) -> Result<Option<Choice>, String> {
    let mut choice = None;
    for (name, value) in url.query_pairs() {
        if name != "tls" || choice.is_some() {
            return Err("has a parameter other than one tls=".to_owned());
        }
        choice = Some(match &*value {
            "required" => Choice::Required,
            "opportunistic" => Choice::Opportunistic,
            "none" => Choice::None,
            _ => return Err("has a tls= other than required, opportunistic or none".to_owned()),
        });
    }
    Ok(choice)
}

fn credentials(url: &Url) -> Result<Option<Credentials>, String> {
    let decode = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| "has a user or password that is not percent-encoded UTF-8".to_owned())
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err("has a password and no user".to_owned()),
        (_, None) => Err("has a user and no password".to_owned()),
        (user, Some(password)) => Ok(Some(Credentials::new(decode(user)?, decode(password)?))),
    }
}

fn parameters(host: &str, extra: Vec<Certificate>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    for certificate in extra {
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|_| {
        "needs certificates to trust, and this machine has none; install the package \
         ca-certificates"
            .to_owned()
    })
}

/// Reads a file of PEM certificates.
pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if !pem.windows(11).any(|window| window == b"-----BEGIN ") {
        return Err(format!("{shown} holds no PEM certificate"));
    }
    let certificate = Certificate::from_pem(&pem)
        .map_err(|_| format!("{shown} holds a PEM certificate that cannot be read"))?;
    Ok(vec![certificate])
}

#[cfg(test)]
mod tests;
