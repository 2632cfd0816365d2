//! The effective settings for a person: what holds, and who said so.

use std::fmt::Write as _;

use watchword_core::{Policy, span};
use watchword_providers::ProviderSettings;

use super::settle::Config;
use super::shape::{LogFormat, LogLevel};
use super::tree::{Value, What};
use super::{Given, NEVER};

/// Takes the place of every secret.
const REDACTED: &str = "(redacted)";

/// All settings, one a line: `path = value  # origin`, and then the odds of guessing a code.
pub(crate) fn show(config: &Config, given: &Given) -> String {
    let mut page = Page {
        root: &given.root,
        lines: Vec::new(),
    };
    page.general(config);
    page.network(config);
    page.policies(config);
    page.delivery(config);
    page.telemetry(config);
    let mut text = page.finish();
    text.push_str("\n# What guessing is worth\n");
    for (kind, policy) in &config.surfaces {
        let _ = writeln!(text, "# {kind}: {}", policy.odds());
    }
    for (app, settings) in &config.apps {
        for (kind, policy) in &settings.policies {
            let _ = writeln!(text, "# {kind}, app {app}: {}", policy.odds());
        }
    }
    text
}

struct Page<'a> {
    root: &'a Value,
    lines: Vec<(String, String, String)>,
}

impl Page<'_> {
    /// One setting, with who set it.
    fn put(&mut self, path: impl Into<String>, value: impl Into<String>) {
        let path = path.into();
        let origin = self.root.find(&path).map(|value| value.origin.to_string());
        let origin = origin.unwrap_or_else(|| "default".to_owned());
        self.lines.push((path, value.into(), origin));
    }

    /// A setting that falls back to another one.
    fn put_or(&mut self, path: &str, fallback: &str, value: String) {
        let holds = if self.root.find(path).is_some() {
            path
        } else {
            fallback
        };
        let origin = self.root.find(holds).map(|value| value.origin.to_string());
        let origin = origin.unwrap_or_else(|| "default".to_owned());
        self.lines.push((path.to_owned(), value, origin));
    }

    fn general(&mut self, config: &Config) {
        for (index, _) in config.secret_keys.iter().enumerate() {
            if self.root.find("secret_keys").is_some() {
                self.put(format!("secret_keys.{index}"), quoted(REDACTED));
            } else {
                self.put("secret_key", quoted(REDACTED));
            }
        }
        if config.next_secret_key.is_some() {
            self.put("next_secret_key", quoted(REDACTED));
        }
        let region = config
            .numbers
            .default_region
            .map(|region| quoted(&region.to_string()));
        self.put(
            "default_region",
            region.unwrap_or_else(|| "none".to_owned()),
        );
        let url = config.public_url.as_deref().map(quoted);
        self.put("public_url", url.unwrap_or_else(|| "none".to_owned()));
        self.put_given("trusted_proxies", "[]");
        self.put_given("forwarding_header", "\"X-Forwarded-For\"");
        self.put_given("cors_origins", "[]");
        self.put_given("allow_weak_codes", "false");
        self.put("storage.url", quoted(&config.storage.url.to_string()));
        if let Some(url) = &config.accounts.url {
            self.put("storage.accounts_url", quoted(&url.to_string()));
        }
        self.put_given("storage.fallback", "\"none\"");
        if let Some(path) = &config.storage.fallback {
            let path = quoted(&path.display().to_string());
            self.put("storage.fallback_path", path);
        }
        self.put("storage.max_live", config.storage.max_live.to_string());
        let accounts = &config.accounts;
        let (life, cost) = (accounts.token_life, accounts.hash_cost);
        for (name, shown) in [
            ("access_token_ttl", quoted(&span::format(life.usual))),
            ("remembered_ttl", quoted(&span::format(life.remembered))),
            ("hash_memory_kib", cost.memory_kib().to_string()),
            ("hash_passes", cost.passes().to_string()),
            ("hash_waiting", accounts.hash_waiting.to_string()),
        ] {
            self.put(format!("accounts.{name}"), shown);
        }
        self.put_given("accounts.hash_workers", "\"a quarter of the cores\"");
        self.put_given("audit.enabled", "true");
        let place = config.audit.url.as_ref();
        let place = place.map_or_else(|| "none".to_owned(), |url| quoted(&url.to_string()));
        self.put("audit.url", place);
        self.put("audit.log", config.audit.log.to_string());
        self.put("audit.keep", quoted(&span::format(config.audit.keep)));
    }

    fn network(&mut self, config: &Config) {
        for (index, listener) in config.listeners.iter().enumerate() {
            let path = format!("listeners.{index}");
            self.put(format!("{path}.bind"), quoted(&listener.bind.to_string()));
            let surfaces = listener.surfaces.iter().map(|(kind, mount)| {
                quoted(&if mount.is_empty() {
                    kind.to_string()
                } else {
                    format!("{kind} at {mount}")
                })
            });
            let surfaces = surfaces.collect::<Vec<_>>().join(", ");
            self.put(format!("{path}.surfaces"), format!("[{surfaces}]"));
            if self.root.find(&format!("{path}.mount")).is_some() {
                self.put_given(&format!("{path}.mount"), "");
            }
            if let Some(tls) = &listener.tls {
                self.put(
                    format!("{path}.tls.cert"),
                    quoted(&tls.certificate.display().to_string()),
                );
                self.put(
                    format!("{path}.tls.key"),
                    quoted(&tls.key.display().to_string()),
                );
            }
        }
        let admin = config
            .admin
            .map_or_else(|| NEVER.to_owned(), |admin| admin.to_string());
        self.put("admin.bind", quoted(&admin));
        let (timeouts, limits) = (&config.serve.timeouts, &config.serve.limits);
        for (name, timeout) in [
            ("handshake", timeouts.handshake),
            ("header", timeouts.header),
            ("body", timeouts.body),
            ("request", timeouts.request),
            ("write", timeouts.write_stall),
            ("idle", timeouts.idle),
            ("drain", timeouts.drain),
        ] {
            self.put(
                format!("http.{name}_timeout"),
                quoted(&span::format(timeout)),
            );
        }
        let delay = quoted(&span::format(config.shutdown_delay));
        self.put("http.shutdown_delay", delay);
        self.put("http.connections", limits.connections.to_string());
        self.put(
            "http.connections_per_source",
            limits.connections_per_source.to_string(),
        );
        self.put("http.sends_in_flight", limits.sends_in_flight.to_string());
        self.put("http.header_bytes", limits.header_bytes.to_string());
        self.put("http.http2_streams", limits.http2_streams.to_string());
    }

    fn policies(&mut self, config: &Config) {
        self.policy("policy", "policy", &config.policy);
        for (kind, policy) in &config.surfaces {
            self.put_given(&format!("surfaces.{kind}.mount"), "\"\"");
            if let Some(settings) = config.surface_settings.get(kind) {
                let path = |setting| format!("surfaces.{kind}.{setting}");
                let needed = settings.require_api_key.to_string();
                self.put(path("require_api_key"), needed);
                let strict = settings.numbers.strict.to_string();
                self.put(path("strict_numbers"), strict);
            }
            if *kind == watchword_http::SurfaceKind::Otp {
                self.put_given("surfaces.otp.require_provider_config", "none");
            }
            self.policy(&format!("surfaces.{kind}.policy"), "policy", policy);
        }
        let apps = self.root.find("apps").and_then(|apps| match &apps.what {
            What::List(list) => Some(list.len()),
            _ => None,
        });
        for index in 0..apps.unwrap_or_default() {
            self.leaves(&format!("apps.{index}"));
        }
    }

    fn policy(&mut self, path: &str, fallback: &str, policy: &Policy) {
        let limits = policy.limits.iter().map(|limit| {
            let per = match limit.per {
                watchword_core::Per::Recipient => "recipient",
                watchword_core::Per::Source => "source",
            };
            let (max, window) = (limit.max, span::format(limit.window));
            format!("{{ per = \"{per}\", max = {max}, window = \"{window}\" }}")
        });
        let alphabet = match policy.code.alphabet {
            watchword_core::Alphabet::Digits => "digits",
            watchword_core::Alphabet::Alphanumeric => "alphanumeric",
        };
        for (name, value) in [
            ("code_length", policy.code.length.to_string()),
            ("alphabet", quoted(alphabet)),
            ("ttl", quoted(&span::format(policy.ttl))),
            ("max_attempts", policy.max_attempts.to_string()),
            (
                "resend_cooldown",
                quoted(&span::format(policy.resend_cooldown)),
            ),
            ("countries", policy.countries.to_string()),
            ("failures_per_hour", policy.failures.per_hour.to_string()),
            ("failures_per_day", policy.failures.per_day.to_string()),
            ("failures_in_a_row", policy.failures.in_a_row.to_string()),
            (
                "limits",
                format!("[{}]", limits.collect::<Vec<_>>().join(", ")),
            ),
        ] {
            self.put_or(
                &format!("{path}.{name}"),
                &format!("{fallback}.{name}"),
                value,
            );
        }
    }

    fn delivery(&mut self, config: &Config) {
        for (channel, route) in &config.channels {
            let path = format!("channels.{channel}");
            match self.root.find(&path).and_then(Value::as_table) {
                Some(_) => self.leaves(&path),
                None => {
                    let names = route.lists().next().unwrap_or_default();
                    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                    self.put(path, format!("[{}]", names.join(", ")));
                }
            }
        }
        for (name, settings) in &config.providers {
            let path = format!("providers.{name}");
            self.put(format!("{path}.kind"), quoted(settings.kind()));
            let known = ProviderSettings::KINDS
                .into_iter()
                .find(|(kind, _)| *kind == settings.kind());
            for (key, secret) in known.map(|(_, known)| known).unwrap_or_default() {
                let path = format!("{path}.{key}");
                if self.root.find(&path).is_none() {
                    continue;
                }
                if *secret {
                    self.put(path, quoted(REDACTED));
                } else {
                    self.leaves(&path);
                }
            }
        }
        self.put("delivery.deadline", quoted(&span::format(config.deadline)));
        self.put("templates.service", quoted(&config.templates.service));
        self.put(
            "templates.default_locale",
            quoted(config.templates.default_locale.as_str()),
        );
        for name in ["webotp_domain", "app_hash", "texts", "locales"] {
            self.leaves(&format!("templates.{name}"));
        }
    }

    fn telemetry(&mut self, config: &Config) {
        let format = match config.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let level = match config.log.level {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        };
        self.put("log.format", quoted(format));
        self.put("log.level", quoted(level));
        self.put("log.access", config.log.access.to_string());
        self.put("log.slow", quoted(&span::format(config.log.slow)));
        let endpoint = config.telemetry.otlp_endpoint.as_deref().map(quoted);
        self.put(
            "telemetry.otlp_endpoint",
            endpoint.unwrap_or_else(|| "none".to_owned()),
        );
    }

    /// A setting as it was given. For those that are no secret.
    fn put_given(&mut self, path: &str, default: &str) {
        let value = self
            .root
            .find(path)
            .map_or_else(|| default.to_owned(), plain);
        self.put(path, value);
    }

    /// Everything below a path, as it was given. For those that hold no secret.
    fn leaves(&mut self, path: &str) {
        let Some(value) = self.root.find(path) else {
            return;
        };
        match &value.what {
            What::Table(table) => {
                for name in table.keys() {
                    self.leaves(&format!("{path}.{name}"));
                }
            }
            _ => self.put_given(path, ""),
        }
    }

    fn finish(self) -> String {
        // Long values, such as templates, push their origin out; they do not move the others'.
        let width = |(path, value, _): &(String, String, String)| path.len() + value.len() + 3;
        let widest = self
            .lines
            .iter()
            .map(width)
            .filter(|width| *width <= 60)
            .max();
        let widest = widest.unwrap_or_default();
        let mut text = String::new();
        for (path, value, origin) in &self.lines {
            let line = format!("{path} = {value}");
            let _ = writeln!(text, "{line:widest$}  # {origin}");
        }
        text
    }
}

fn quoted(text: &str) -> String {
    // A text always has a JSON form, and TOML reads it too.
    serde_json::to_string(text).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match &value.what {
        What::Text(text) | What::Loose(text) => quoted(text),
        What::Integer(number) => number.to_string(),
        What::Float(number) => number.to_string(),
        What::Truth(truth) => truth.to_string(),
        What::List(list) => {
            let items: Vec<String> = list.iter().map(plain).collect();
            format!("[{}]", items.join(", "))
        }
        What::Table(table) => {
            let entries = table
                .iter()
                .map(|(name, value)| format!("{name} = {}", plain(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
