//! Channels and the providers that serve them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use watchword_core::routing::Route;
use watchword_core::{Channel, span};
use watchword_http::serve::Settings;
use watchword_providers::ProviderSettings;

use super::{Fault, Mode, Settling, Value, What, read, shape, unknown};

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
        let written_out = value.as_toml();
        let value = written_out.as_ref().unwrap_or(value);
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
        read(&settled(value), path)
    }

    /// How long a start may wait for providers. Who asks has to be told what came of it: were the request cut off
    /// before, a message would go out for a verification that nobody has the id of.
    pub(super) fn deadline(&mut self, http: &shape::Http) -> Duration {
        const PATH: &str = "delivery.deadline";
        let deadline = self.section::<shape::Delivery>("delivery").deadline;
        let request = http.request_timeout;
        let request = request.unwrap_or_else(|| Settings::default().timeouts.request);
        if deadline.is_zero() {
            self.complain(PATH, "must be longer than 0s");
        } else if deadline >= request && self.root.find(PATH).is_some() {
            let request = span::format(request);
            let message = format!("must be shorter than http.request_timeout, which is {request}");
            self.complain(PATH, message);
        }
        deadline
    }
}

/// The same with texts of variables in their places: what is not structured is a text, whatever it looks like, as a
/// password may begin with a bracket; and the parameters of a template may be listed with commas.
fn settled(provider: &Value) -> Value {
    let mut provider = provider.clone();
    if let What::Table(entries) = &mut provider.what {
        for (key, value) in entries {
            let What::Loose(text) = &value.what else {
                continue;
            };
            if !STRUCTURED.contains(&key.as_str()) {
                *value = Value::text(text.as_str(), value.origin.clone());
            } else if key == "params" && text.contains(',') && value.as_toml().is_none() {
                *value = value.split(text);
            }
        }
    }
    provider
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

#[cfg(test)]
mod tests {
    use watchword_providers::{ByLanguage, GupshupSettings, OneOrMany};

    use super::*;
    use crate::config::origin::Origin;

    /// As variables of the environment give it.
    fn gupshup(more: &[(&str, &str)]) -> Result<GupshupSettings, Fault> {
        let given = [
            ("kind", "gupshup-whatsapp"),
            ("api_key", "key"),
            ("source", "12015550100"),
            ("app_name", "ours"),
            ("template_id", "t"),
        ];
        let entries = given.iter().chain(more).map(|(name, text)| {
            let value = Value::loose(*text, Origin::Dev);
            ((*name).to_owned(), value)
        });
        let value = Value {
            what: What::Table(entries.collect()),
            origin: Origin::Dev,
        };
        match read(&settled(&value), "providers.gup")? {
            ProviderSettings::GupshupWhatsapp(settings) => Ok(settings),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_variable_lists_the_parameters_of_a_template_with_commas_or_as_toml() {
        let two = vec!["{code}".to_owned(), "{code}".to_owned()];
        for (text, params) in [
            ("{code},{code}", OneOrMany::Many(two.clone())),
            ("[\"{code}\", \"{code}\"]", OneOrMany::Many(two)),
            ("{code}", OneOrMany::One("{code}".to_owned())),
        ] {
            let read = gupshup(&[("params", text)]).unwrap();
            assert_eq!(read.params, Some(params), "{text}");
        }
    }

    #[test]
    fn a_variable_holds_a_table_by_language_as_toml() {
        let read = gupshup(&[("template_id", "{ default = \"a\", pt-BR = \"b\" }")]).unwrap();
        let texts = [("default", "a"), ("pt-BR", "b")];
        let table = texts.map(|(tag, text)| (tag.to_owned(), text.to_owned()));
        assert_eq!(read.template_id, ByLanguage::Table(table.into()));
    }

    #[test]
    fn what_is_not_structured_is_a_text_whatever_it_looks_like() {
        let read = gupshup(&[("api_key", "[7]"), ("app_name", "{}")]).unwrap();
        assert_eq!(read.api_key.expose(), "[7]");
        assert_eq!(read.app_name, "{}");
    }
}
