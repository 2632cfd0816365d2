//! The settings as a file writes them, section by section. What they mean is settled in
//! [`mod@super::settle`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use watchword_core::{PolicyPatch, TemplateSettings, span};

/// The names that stand at the top of a configuration.
pub(crate) const TOP: &[&str] = &[
    "secret_key",
    "secret_keys",
    "next_secret_key",
    "default_region",
    "public_url",
    "trusted_proxies",
    "forwarding_header",
    "cors_origins",
    "allow_weak_codes",
    "storage",
    "accounts",
    "audit",
    "listeners",
    "admin",
    "policy",
    "surfaces",
    "apps",
    "channels",
    "providers",
    "delivery",
    "templates",
    "log",
    "telemetry",
    "http",
];

/// `[storage]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Storage {
    pub(crate) url: Option<String>,
    pub(crate) accounts_url: Option<String>,
    pub(crate) fallback: Fallback,
    pub(crate) fallback_path: Option<PathBuf>,
    pub(crate) max_live: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fallback {
    #[default]
    None,
    Local,
}

/// `[[listeners]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    pub(crate) bind: SocketAddr,
    pub(crate) surfaces: Option<Vec<String>>,
    pub(crate) mount: Option<String>,
    pub(crate) tls: Option<Tls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// `[admin]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Admin {
    /// An address, or `none`.
    pub(crate) bind: Option<String>,
}

/// `[surfaces.NAME]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Surface {
    pub(crate) require_api_key: Option<bool>,
    pub(crate) mount: Option<String>,
    /// Whether a phone number must be able to exist, not only look like one.
    pub(crate) strict_numbers: Option<bool>,
    /// What surface `otp` does about a channel without provider: refuse its requests, or, if false
    /// was written, not start at all.
    pub(crate) require_provider_config: Option<bool>,
    pub(crate) policy: PolicyPatch,
}

/// `[[apps]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) policy: PolicyPatch,
    pub(crate) templates: Option<TemplateSettings>,
}

/// `[delivery]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delivery {
    #[serde(with = "span")]
    pub(crate) deadline: Duration,
}

impl Default for Delivery {
    fn default() -> Self {
        let deadline = Duration::from_secs(10);
        Self { deadline }
    }
}

/// `[log]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) level: LogLevel,
    /// Whether every request is logged; otherwise only server errors and slow ones are.
    pub(crate) access: bool,
    /// From when on a request is slow.
    #[serde(with = "span")]
    pub(crate) slow: Duration,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: LogLevel::Info,
            access: false,
            // Longer than the usual provider takes.
            slow: Duration::from_secs(5),
        }
    }
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[telemetry]`
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    pub(crate) otlp_endpoint: Option<String>,
}

/// `[http]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    #[serde(with = "span::option")]
    pub(crate) handshake_timeout: Option<Duration>,
    #[serde(with = "span::option")]
    pub(crate) header_timeout: Option<Duration>,
    #[serde(with = "span::option")]
    pub(crate) body_timeout: Option<Duration>,
    #[serde(with = "span::option")]
    pub(crate) request_timeout: Option<Duration>,
    #[serde(with = "span::option")]
    pub(crate) write_timeout: Option<Duration>,
    #[serde(with = "span::option")]
    pub(crate) idle_timeout: Option<Duration>,
    #[serde(with = "span::option")]
    pub(crate) drain_timeout: Option<Duration>,
    #[serde(with = "span::option")]
    pub(crate) shutdown_delay: Option<Duration>,
    pub(crate) connections: Option<usize>,
    pub(crate) sends_in_flight: Option<usize>,
    pub(crate) connections_per_source: Option<usize>,
    pub(crate) header_bytes: Option<u32>,
    pub(crate) http2_streams: Option<u32>,
}
