//! The configured providers, all at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use watchword_providers::probe::{Facts, Probed, Verdict};
use watchword_providers::{Builder, ProviderSettings};

use super::report::Check;
use crate::config::Config;
use crate::system::SystemClock;

/// What was found.
pub(super) struct Accounts {
    pub(super) checks: Vec<Check>,
    /// How far our clock is ahead of each provider's that told the time, in milliseconds.
    pub(super) ahead: Vec<(String, i64)>,
}

/// Looks at every provider that can be made of its settings; the others are told already.
pub(super) async fn look(config: &Config, limit: Duration) -> Accounts {
    let facts = Arc::new(Facts {
        lifetimes: lifetimes(config),
    });
    let mut builder = Builder::new(Arc::new(SystemClock), None);
    let mut running = JoinSet::new();
    for (name, settings) in &config.providers {
        let Ok(provider) = builder.build(name, settings) else {
            continue;
        };
        let (name, facts) = (name.clone(), Arc::clone(&facts));
        running.spawn(async move { (name, provider.probe(&facts, limit).await) });
    }
    let mut probed: Vec<(String, Probed)> = Vec::new();
    while let Some(done) = running.join_next().await {
        probed.extend(done.ok());
    }
    probed.sort_by(|one, other| one.0.cmp(&other.0));

    let used: BTreeSet<&String> = config
        .channels
        .values()
        .flat_map(|route| route.lists().flatten())
        .collect();
    let mut accounts = Accounts {
        checks: Vec::new(),
        ahead: Vec::new(),
    };
    for (name, found) in probed {
        let subject = format!("providers.{name}");
        let findings = found.findings.into_iter();
        let checks = findings.map(|finding| Check::of(&subject, finding));
        accounts.checks.extend(checks);
        if !used.contains(&name) {
            accounts.checks.push(Check::new(
                Verdict::Warning,
                &subject,
                "route",
                "no channel uses it",
                "name it in [channels], or remove it",
            ));
        }
        if let Some(settings) = config.providers.get(&name) {
            accounts.checks.extend(receipts(&subject, settings));
        }
        accounts
            .ahead
            .extend(found.ahead.map(|ahead| (name, ahead)));
    }
    accounts
}

/// How long codes live on the surfaces that are served.
fn lifetimes(config: &Config) -> Vec<Duration> {
    let served = config.listeners.iter().flat_map(|one| &one.surfaces);
    let served: BTreeSet<_> = served.map(|(kind, _)| *kind).collect();
    let apps = config.apps.values().flat_map(|app| &app.policies);
    let policies = config.surfaces.iter().chain(apps);
    let spans: BTreeSet<Duration> = policies
        .filter(|(kind, _)| served.contains(kind))
        .map(|(_, policy)| policy.ttl)
        .collect();
    spans.into_iter().collect()
}

/// Whether a kind reports later what became of a message.
pub(super) const fn has_receipts(settings: &ProviderSettings) -> bool {
    match settings {
        ProviderSettings::TwilioSms(_)
        | ProviderSettings::TwilioWhatsapp(_)
        | ProviderSettings::TwilioVoice(_)
        | ProviderSettings::MetaWhatsapp(_)
        | ProviderSettings::GupshupWhatsapp(_) => true,
        ProviderSettings::Smtp(_) | ProviderSettings::Webhook(_) | ProviderSettings::Inbox(_) => {
            false
        }
    }
}

/// Whether what a kind reports can be believed.
pub(super) fn can_report(settings: &ProviderSettings) -> bool {
    has_receipts(settings) && missing(settings).is_empty()
}

/// The settings that receipts need and that are not there.
fn missing(settings: &ProviderSettings) -> Vec<&'static str> {
    let token = |given: bool| vec![(given, "`auth_token`")];
    let needed = match settings {
        ProviderSettings::TwilioSms(given) => token(given.auth_token.is_some()),
        ProviderSettings::TwilioWhatsapp(given) => token(given.auth_token.is_some()),
        ProviderSettings::TwilioVoice(given) => token(given.auth_token.is_some()),
        ProviderSettings::MetaWhatsapp(given) => vec![
            (given.app_secret.is_some(), "`app_secret`"),
            (given.verify_token.is_some(), "`verify_token`"),
        ],
        ProviderSettings::GupshupWhatsapp(given) => {
            vec![(given.callback_token.is_some(), "`callback_token`")]
        }
        ProviderSettings::Smtp(_) | ProviderSettings::Webhook(_) | ProviderSettings::Inbox(_) => {
            Vec::new()
        }
    };
    let missing = needed.into_iter().filter(|(given, _)| !given);
    missing.map(|(_, setting)| setting).collect()
}

fn receipts(subject: &str, settings: &ProviderSettings) -> Option<Check> {
    let missing = missing(settings);
    if missing.is_empty() {
        return None;
    }
    Some(Check::new(
        Verdict::Warning,
        subject,
        "receipts",
        format!(
            "without {} no receipt can be believed, so a delivery stays as it was taken",
            missing.join(" and ")
        ),
        "set what is missing, if you want to know what arrived",
    ))
}
