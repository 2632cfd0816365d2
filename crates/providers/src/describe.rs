//! How providers are configured, for whoever looks for a fault.
//!
//! **Invariant:** no description holds a secret. What a kind would send is searched for its secrets, so
//! that one that a later setting brings into a URL or a body does not slip out.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;
use watchword_core::routing::Route;
use watchword_core::{
    Channel, Code, Locale, Message, ProviderDescription, ProviderDescriptions, Purpose, Recipient,
    RequestSample, SecretText, Timestamp,
};

use crate::gupshup::GupshupSettings;
use crate::http::{Call, HttpKind};
use crate::language::ByLanguage;
use crate::meta::MetaSettings;
use crate::secret::Secret;
use crate::settings::ProviderSettings;
use crate::twilio::TwilioWhatsappSettings;

/// Takes the place of every secret.
const REDACTED: &str = "(redacted)";
/// Nobody's number, and a code that was never made.
const NUMBER: &str = "+1234567890";
const CODE: &str = "123456";

/// The descriptions of everything that is configured.
pub struct Descriptions(BTreeMap<Channel, Vec<ProviderDescription>>);

impl Descriptions {
    /// Describes the providers of each route.
    #[must_use]
    pub fn new(
        providers: &BTreeMap<String, ProviderSettings>,
        routes: &BTreeMap<Channel, Route<String>>,
    ) -> Self {
        let described = routes.iter().map(|(channel, route)| {
            let mut names: Vec<&String> = Vec::new();
            for name in route.lists().flatten() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            let listed = names.into_iter().filter_map(|name| {
                let settings = providers.get(name)?;
                Some(describe(name, settings))
            });
            (*channel, listed.collect())
        });
        Self(described.collect())
    }
}

impl ProviderDescriptions for Descriptions {
    fn of(&self, channel: Channel) -> Vec<ProviderDescription> {
        self.0.get(&channel).cloned().unwrap_or_default()
    }
}

fn describe(name: &str, settings: &ProviderSettings) -> ProviderDescription {
    let (listed, sample) = match settings {
        ProviderSettings::GupshupWhatsapp(given) => gupshup(given),
        ProviderSettings::MetaWhatsapp(given) => meta(given),
        ProviderSettings::TwilioWhatsapp(given) => twilio(given),
        // Of these only the kind is told: they carry more than what this is asked about.
        ProviderSettings::Smtp(_)
        | ProviderSettings::Webhook(_)
        | ProviderSettings::TwilioSms(_)
        | ProviderSettings::TwilioVoice(_)
        | ProviderSettings::Inbox(_) => (Vec::new(), None),
    };
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    ProviderDescription {
        name: name.to_owned(),
        kind: settings.kind(),
        settings: listed.into_iter().map(owned).collect(),
        sample,
    }
}

type Described = (Vec<(&'static str, String)>, Option<RequestSample>);

/// Under the names that Gupshup's users know from its environment variables.
fn gupshup(given: &GupshupSettings) -> Described {
    let sample = given.provider().ok().and_then(|kind| {
        let secrets = [Some(&given.api_key), given.callback_token.as_ref()];
        sample(&kind, &secrets)
    });
    let mut listed = vec![
        ("api_key", REDACTED.to_owned()),
        ("source", given.source.clone()),
        ("template_id", one(&given.template_id)),
        ("src_name", given.app_name.clone()),
    ];
    if let Some(sample) = &sample {
        listed.insert(0, ("api_url", sample.url.clone()));
    }
    (listed, sample)
}

fn meta(given: &MetaSettings) -> Described {
    let sample = given.provider().ok().and_then(|kind| {
        let secrets = [
            Some(&given.access_token),
            given.app_secret.as_ref(),
            given.verify_token.as_ref(),
        ];
        sample(&kind, &secrets)
    });
    let mut listed = vec![
        ("phone_number_id", given.phone_number_id.clone()),
        ("access_token", REDACTED.to_owned()),
        ("template", given.template.clone()),
        ("language", one(&given.language)),
    ];
    if let Some(sample) = &sample {
        listed.insert(0, ("api_url", sample.url.clone()));
    }
    (listed, sample)
}

fn twilio(given: &TwilioWhatsappSettings) -> Described {
    let sample = given.provider().ok().and_then(|kind| {
        let secrets = [given.auth_token.as_ref(), given.api_secret.as_ref()];
        sample(&kind, &secrets)
    });
    let mut listed = vec![
        ("account_sid", given.account_sid.clone()),
        ("credentials", REDACTED.to_owned()),
        ("content_sid", one(&given.content_sid)),
    ];
    let sender = [
        ("from", &given.from),
        ("messaging_service_sid", &given.messaging_service_sid),
    ];
    for (name, value) in sender {
        listed.extend(value.clone().map(|value| (name, value)));
    }
    if let Some(sample) = &sample {
        listed.insert(0, ("api_url", sample.url.clone()));
    }
    (listed, sample)
}

fn one(text: &ByLanguage) -> String {
    match text {
        ByLanguage::One(text) => text.clone(),
        ByLanguage::Table(table) => {
            let listed = table.iter().map(|(tag, text)| format!("{tag}: {text}"));
            listed.collect::<Vec<_>>().join(", ")
        }
    }
}

/// What a kind would send for the example.
fn sample(kind: &impl HttpKind, secrets: &[Option<&Secret>]) -> Option<RequestSample> {
    let now = Timestamp::from_millis(0);
    let message = Message {
        delivery_id: Uuid::nil(),
        verification_id: Uuid::nil(),
        channel: Channel::Whatsapp,
        to: Recipient::from_canonical(NUMBER),
        code: Code::parse(CODE).ok()?,
        purpose: Purpose::default(),
        locale: "en".parse::<Locale>().ok()?,
        expires_at: now.plus(Duration::from_mins(5)),
        subject: None,
        text: SecretText::new(format!("{CODE} is your code")),
        html: None,
    };
    let Call { url, headers, body } = kind.request(&message, now).ok()?;
    let clean = |text: &str| {
        let secrets = secrets.iter().flatten();
        let mut secrets = secrets.map(|secret| secret.expose().trim());
        if secrets.any(|secret| !secret.is_empty() && text.contains(secret)) {
            REDACTED.to_owned()
        } else {
            text.to_owned()
        }
    };
    let headers = headers.iter().map(|(name, value)| {
        let told = match value.to_str() {
            Ok(text) if !value.is_sensitive() && !holds_credentials(name.as_str()) => clean(text),
            _ => REDACTED.to_owned(),
        };
        (name.to_string(), told)
    });
    let headers: Vec<_> = headers.collect();
    let form = headers.iter().any(|(name, value)| {
        name == "content-type" && value.starts_with("application/x-www-form-urlencoded")
    });
    let body = if form {
        let fields = form_urlencoded::parse(&body);
        fields
            .map(|(name, value)| (name.into_owned(), clean(&value)))
            .collect()
    } else {
        let text = String::from_utf8_lossy(&body);
        vec![("body".to_owned(), clean(&text))]
    };
    Some(RequestSample {
        url: clean(url.as_str()),
        headers,
        body,
    })
}

fn holds_credentials(header: &str) -> bool {
    ["authorization", "apikey", "cookie"].contains(&header)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk_a1b2c3d4e5f6a7b8c9d0e1f2";

    fn settings() -> ProviderSettings {
        ProviderSettings::GupshupWhatsapp(GupshupSettings {
            api_key: Secret::new(KEY.to_owned()),
            source: "12015550100".to_owned(),
            app_name: "Shop".to_owned(),
            template_id: ByLanguage::One("c6aecef6-bcb0-4fb1-8100-28c094e3bc6b".to_owned()),
            params: None,
            callback_token: Some(Secret::new("callback-token-of-ours".to_owned())),
            base_url: None,
            timeout: None,
        })
    }

    #[test]
    fn the_request_that_would_go_out_is_shown_whole_and_without_its_key() {
        let routes = BTreeMap::from([(Channel::Whatsapp, Route::new(vec!["main".to_owned()]))]);
        let providers = BTreeMap::from([("main".to_owned(), settings())]);
        let described = Descriptions::new(&providers, &routes);
        let [main] = described.of(Channel::Whatsapp).try_into().unwrap();
        assert!(described.of(Channel::Sms).is_empty());
        let sample = main.sample.clone().unwrap();
        assert_eq!(sample.url, "https://api.gupshup.io/wa/api/v1/template/msg");
        let find = |pairs: &[(String, String)], name: &str| {
            let mut found = pairs.iter().filter(|(known, _)| known == name);
            found.next().map(|(_, value)| value.clone())
        };
        assert_eq!(find(&sample.headers, "apikey").unwrap(), REDACTED);
        assert_eq!(find(&sample.body, "destination").unwrap(), "1234567890");
        let template = find(&sample.body, "template").unwrap();
        assert!(
            template.contains("c6aecef6") && template.contains(CODE),
            "{template}"
        );
        assert_eq!(find(&main.settings, "api_key").unwrap(), REDACTED);
        let whole = format!("{main:?}");
        assert!(
            !whole.contains(KEY) && !whole.contains("callback-token"),
            "{whole}"
        );
    }
}
