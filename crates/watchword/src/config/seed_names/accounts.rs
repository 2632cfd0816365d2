//! The names of accounts at message providers: each account one provider of one channel.

use std::collections::BTreeMap;

use super::SeedSettings;
use crate::config::fault::Fault;
use crate::config::origin::Origin;
use crate::config::tree::{Value, What, set};
use crate::config::variables::Variables;

/// An account that some names describe.
struct Account {
    provider: &'static str,
    kind: &'static str,
    channel: &'static str,
    names: &'static [Name],
}

/// A name, the setting that it is, and what becomes of the account without it.
struct Name(&'static str, &'static str, Without);

enum Without {
    /// It is as good.
    Fine,
    /// It cannot be meant.
    Fault,
    /// It is left out, for this reason: the replaced service did not have the name.
    Idle(&'static str),
}

use Without::{Fault as Refused, Fine, Idle};

const ACCOUNTS: [Account; 3] = [
    Account {
        provider: "sms_env",
        kind: "twilio-sms",
        channel: "sms",
        names: &[
            Name("SMS_TWILIO_ACCOUNT_SID", "account_sid", Refused),
            Name("SMS_TWILIO_AUTH_TOKEN", "auth_token", Refused),
            Name("SMS_TWILIO_SENDER", "from", Refused),
        ],
    },
    Account {
        provider: "wa_env",
        kind: "twilio-whatsapp",
        channel: "whatsapp",
        names: &[
            Name("WA_TWILIO_ACCOUNT_SID", "account_sid", Refused),
            Name("WA_TWILIO_AUTH_TOKEN", "auth_token", Refused),
            Name("WA_TWILIO_SENDER", "from", Refused),
            Name(
                "WA_TWILIO_CONTENT_SID",
                "content_sid",
                Idle(
                    "WhatsApp takes codes in an approved template only; set WA_TWILIO_CONTENT_SID \
                     to its HX…, until then this account sends nothing",
                ),
            ),
        ],
    },
    Account {
        provider: "gupshup_env",
        kind: "gupshup-whatsapp",
        channel: "whatsapp",
        names: &[
            Name("GUPSHUP_API_KEY", "api_key", Refused),
            Name("GUPSHUP_SOURCE", "source", Refused),
            Name("GUPSHUP_TEMPLATE_ID", "template_id", Refused),
            Name("GUPSHUP_SRC_NAME", "app_name", Refused),
            Name("GUPSHUP_API_URL", "base_url", Fine),
        ],
    },
];

pub(super) fn read(
    variables: &Variables,
    dev: bool,
    given: &dyn Fn(&str) -> bool,
    found: &mut SeedSettings,
) {
    let mut routes: BTreeMap<&str, Vec<(&str, &Origin)>> = BTreeMap::new();
    for account in &ACCOUNTS {
        if let Some(origin) = one(account, variables, dev, given, found) {
            let route = routes.entry(account.channel).or_default();
            route.push((account.provider, origin));
        }
    }
    for (channel, providers) in routes {
        let Some((_, origin)) = providers.first().copied() else {
            continue;
        };
        let names = providers
            .into_iter()
            .map(|(name, origin)| Value::text(name, origin.clone()));
        let route = Value {
            what: What::List(names.collect()),
            origin: origin.clone(),
        };
        set(&mut found.table, &["channels", channel], route);
    }
}

/// Puts one account in place, and says who named it if it can send.
fn one<'a>(
    account: &Account,
    variables: &'a Variables,
    dev: bool,
    given: &dyn Fn(&str) -> bool,
    found: &mut SeedSettings,
) -> Option<&'a Origin> {
    let value = |name: &Name| {
        let (text, origin) = variables.get(name.0)?;
        let text = text.trim();
        (!text.is_empty()).then_some((text, origin))
    };
    let names = account.names;
    let (first, (_, origin)) = names.iter().find_map(|name| Some((name.0, value(name)?)))?;
    for name in names {
        let setting = format!("providers.{}.{}", account.provider, name.1);
        if value(name).is_some() || given(&setting) {
            continue;
        }
        match name.2 {
            Fine => {}
            Refused => {
                let message = format!(
                    "{first} describes a provider of kind {}, and {} is missing",
                    account.kind, name.0
                );
                found.complain(Fault::general(message).from(Some(origin)), dev);
                return None;
            }
            Idle(why) => {
                found.notes.push(format!("{origin} is not enough: {why}"));
                return None;
            }
        }
    }
    found.put(
        &["providers", account.provider, "kind"],
        account.kind,
        origin,
    );
    for name in names {
        if let Some((text, origin)) = value(name) {
            let setting = setting(name.1, text);
            found.put(&["providers", account.provider, setting], text, origin);
        }
    }
    Some(origin)
}

/// A sender may be a number, or a messaging service that has several.
fn setting(named: &'static str, text: &str) -> &'static str {
    let sid = |text: &str| text.len() == 34 && text.starts_with("MG");
    if named == "from" && sid(text) {
        return "messaging_service_sid";
    }
    named
}
