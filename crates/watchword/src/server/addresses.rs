//! Where the server listens.

use std::net::SocketAddr;
use std::sync::Arc;

use watchword_http::serve::{BindError, Certificates, Listener};

use crate::config::{Config, Mode};
use crate::failure::Failure;
use crate::telemetry::chain;

/// The addresses of a running server, with the ports that the system chose.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// Each API listener, and whether it speaks TLS.
    pub(crate) api: Vec<(SocketAddr, bool)>,
    /// The admin listener.
    pub(crate) admin: Option<SocketAddr>,
}

impl Addresses {
    /// The address of the first API listener, without a slash at the end.
    pub(crate) fn first_url(&self) -> String {
        self.urls().next().unwrap_or_default()
    }

    /// The addresses of all API listeners.
    pub(crate) fn urls(&self) -> impl Iterator<Item = String> {
        self.api.iter().map(|(address, tls)| {
            let scheme = if *tls { "https" } else { "http" };
            format!("{scheme}://{address}")
        })
    }

    /// The same in one text, for the log.
    pub(crate) fn listed(&self) -> String {
        self.urls().collect::<Vec<_>>().join(" ")
    }

    /// One line of JSON, for programs that start the server.
    pub(crate) fn to_json(&self) -> String {
        let api: Vec<String> = self.urls().collect();
        let admin = self.admin.map(|admin| format!("http://{admin}"));
        serde_json::json!({ "api": api, "admin": admin }).to_string()
    }
}

/// Sockets that are bound and do not accept yet.
pub(super) struct Bound {
    pub(super) api: Vec<Listener>,
    pub(super) admin: Option<Listener>,
}

impl Bound {
    /// Binds everything that is configured.
    pub(super) async fn bind(config: &Config) -> Result<Self, Failure> {
        let mut api = Vec::with_capacity(config.listeners.len());
        for (index, listener) in config.listeners.iter().enumerate() {
            let bound = Listener::bind(listener.bind, listener.tls.clone()).await;
            api.push(bound.map_err(|error| told(&error, config.mode, Some(index)))?);
        }
        let admin = match config.admin {
            Some(address) => {
                let bound = Listener::bind(address, None).await;
                Some(bound.map_err(|error| told(&error, config.mode, None))?)
            }
            None => None,
        };
        Ok(Self { api, admin })
    }

    pub(super) fn addresses(&self) -> Addresses {
        let api = self.api.iter();
        Addresses {
            api: api
                .map(|one| (one.local_addr(), one.certificates().is_some()))
                .collect(),
            admin: self.admin.as_ref().map(Listener::local_addr),
        }
    }

    pub(super) fn certificates(&self) -> Vec<Arc<Certificates>> {
        self.api.iter().filter_map(Listener::certificates).collect()
    }
}

/// What a person can do about an address that cannot be listened on.
fn told(error: &BindError, mode: Mode, listener: Option<usize>) -> Failure {
    let setting = match (mode, listener) {
        (Mode::Dev, Some(0)) => "--bind".to_owned(),
        (Mode::Dev, Some(1)) => "--whatsapp-bind".to_owned(),
        (Mode::Dev, None) => "--admin-bind".to_owned(),
        (_, Some(index)) => format!("listeners.{index}.bind"),
        (_, None) => "admin.bind".to_owned(),
    };
    match error {
        BindError::Socket { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Failure::refused(format!(
                "{address} is taken by another program; stop that one, or choose another address \
                 with {setting}"
            ))
        }
        BindError::Socket { .. } => Failure::refused(format!(
            "{}; choose another address with {setting}",
            chain(error)
        )),
        _ => Failure::from_error(error),
    }
}
