//! Channels and the providers that serve them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use watchword_core::routing::Route;
use watchword_core::{Channel, span};
use watchword_providers::ProviderSettings;

use super::{Fault, Mode, Settling, Value, What, read, unknown};

/// The setting of a channel that is no country.
const FALLBACK_AFTER: &str = "fallback_after";

/// Receipts take seconds; no code lives longer than an hour.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(1);

#[derive(Deserialize)]
struct Span(#[serde(with = "span")] Duration);

impl Settling<'_> {
    pub(super) fn providers(&mut self) -> BTreeMap<String, ProviderSettings> {
        let mut providers = BTreeMap::new();
        let Some(value) = self.root.find("providers") else {
            return providers;
        };
        let Some(entries) = value.as_table() else {
            self.complain("providers", "is not a table; write [providers.NAME]");
            return providers;
        };
        for (name, value) in entries {
            let path = format!("providers.{name}");
            if let Err(message) = check_name(name) {
                self.faults
                    .push(Fault::at(path, message).from(Some(&value.origin)));
                continue;
            }
            match self.provider(value, &path) {
                Ok(settings) => {
                    providers.insert(name.clone(), settings);
                }
                Err(fault) => self.faults.push(fault),
            }
        }
        providers
    }

    pub(super) fn channels(
        &mut self,
        providers: &BTreeMap<String, ProviderSettings>,
    ) -> BTreeMap<Channel, Route<String>> {
        let mut channels = BTreeMap::new();
        let entries = self
            .root
            .find("channels")
            .and_then(Value::as_table)
            .into_iter()
            .flatten();
        for (name, value) in entries {
            let path = format!("channels.{name}");
            let Ok(channel) = name.parse::<Channel>() else {
                let known = Channel::ALL.map(Channel::as_str);
                let message = unknown("channel", name, known);
                self.faults
                    .push(Fault::at(path, message).from(Some(&value.origin)));
                continue;
            };
            if let Some(route) = self.route(&path, value, providers) {
                channels.insert(channel, route);
            }
        }
        channels
    }

    /// How long each channel is given before the next one has its turn, where that is configured.
    pub(super) fn fallback_after(&mut self) -> BTreeMap<Channel, Duration> {
        let mut spans = BTreeMap::new();
        for channel in Channel::ALL {
            let path = format!("channels.{channel}.{FALLBACK_AFTER}");
            let Some(value) = self.root.find(&path) else {
                continue;
            };
            match read::<Span>(value, &path) {
                Ok(Span(span)) if (SHORTEST..=LONGEST).contains(&span) => {
                    spans.insert(channel, span);
                }
                Ok(_) => self.complain(&path, "is not between 1s and 1h"),
                Err(fault) => self.faults.push(fault),
            }
        }
        spans
    }

    /// A list of providers, or a table of lists by country prefix and `default`.
    fn route(
        &mut self,
        path: &str,
        value: &Value,
        providers: &BTreeMap<String, ProviderSettings>,
    ) -> Option<Route<String>> {
        let What::Table(by_prefix) = &value.what else {
            let names = self.provider_names(path, value, providers)?;
            return Some(Route::new(names));
        };
        let Some(default) = by_prefix.get("default") else {
            self.complain(path, "has no `default` list for numbers of other countries");
            return None;
        };
        let default = self.provider_names(&format!("{path}.default"), default, providers)?;
        let mut route = Route::new(default);
        for (prefix, value) in by_prefix
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "default" | FALLBACK_AFTER))
        {
            let path = format!("{path}.{prefix}");
            let names = self.provider_names(&path, value, providers)?;
            match route.clone().with_prefix(prefix, names) {
                Ok(longer) => route = longer,
                Err(invalid) => {
                    self.faults
                        .push(Fault::at(path, invalid.to_string()).from(Some(&value.origin)));
                }
            }
        }
        Some(route)
    }

    fn provider_names(
        &mut self,
        path: &str,
        value: &Value,
        providers: &BTreeMap<String, ProviderSettings>,
    ) -> Option<Vec<String>> {
        let names: Vec<String> = match read(value, path) {
            Ok(names) => names,
            Err(fault) => {
                self.faults.push(fault);
                return None;
            }
        };
        let before = self.faults.len();
        let configured = self.root.find("providers").and_then(Value::as_table);
        for name in &names {
            // One whose own settings are at fault is told already.
            if providers.contains_key(name) || configured.is_some_and(|all| all.contains_key(name))
            {
                continue;
            }
            let what = format!("provider `{name}`");
            let message = unknown(&what, name, providers.keys().map(String::as_str));
            self.faults
                .push(Fault::at(path, message).from(Some(&value.origin)));
        }
        if names.is_empty() {
            let message =
                "is empty: nothing could be delivered; name a provider or remove the line";
            self.faults
                .push(Fault::at(path, message).from(Some(&value.origin)));
        }
        (self.faults.len() == before).then_some(names)
    }
}

/// Settings that may be a table by language, or a list.
const STRUCTURED: [&str; 4] = ["content_sid", "language", "template_id", "params"];

impl Settling<'_> {
    /// Reads the settings of one provider. Serde would find what is wrong, but not name it well:
    /// it reads a table by its `kind` in one piece.
    fn provider(&self, value: &Value, path: &str) -> Result<ProviderSettings, Fault> {
        let Some(entries) = value.as_table() else {
            return Err(
                Fault::at(path, "is not a table; write [providers.NAME]").from(Some(&value.origin))
            );
        };
        let kinds = || ProviderSettings::KINDS.map(|(kind, _)| kind);
        let Some(kind) = entries.get("kind") else {
            let message = format!("is missing; one of {}", kinds().join(", "));
            return Err(Fault::at(format!("{path}.kind"), message).from(Some(&value.origin)));
        };
        let name = kind.as_text().unwrap_or_default();
        let at = |step: &str| format!("{path}.{step}");
        let Some((_, known)) = ProviderSettings::KINDS
            .into_iter()
            .find(|(known, _)| *known == name)
        else {
            let message = unknown("kind", name, kinds());
            return Err(Fault::at(at("kind"), message).from(Some(&kind.origin)));
        };
        if name == "inbox" && self.mode == Mode::Serve {
            let message = "`inbox` is for dev mode only: it shows codes to whoever asks";
            return Err(Fault::at(at("kind"), message).from(Some(&kind.origin)));
        }
        for (key, value) in entries.iter().filter(|(key, _)| *key != "kind") {
            if !known.iter().any(|(name, _)| name == key) {
                let message = unknown("key", key, known.iter().map(|(name, _)| *name));
                return Err(Fault::at(at(key), message).from(Some(&value.origin)));
            }
            let simple = matches!(value.what, What::Integer(_) | What::Truth(_));
            let structured = matches!(value.what, What::List(_) | What::Table(_));
            if value.as_text().is_none()
                && !simple
                && !(structured && STRUCTURED.contains(&key.as_str()))
            {
                let message = format!("is {} where a text belongs", value.what.kind());
                return Err(Fault::at(at(key), message).from(Some(&value.origin)));
            }
        }
        read(value, path)
    }
}

/// Names stand in paths, metrics and answers.
fn check_name(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err("is no name of a provider: 1 to 64 letters, digits, '-' and '_'")
    }
}
