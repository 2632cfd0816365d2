//! What an operator writes about a provider, and the provider that comes of it.

pub(crate) mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use watchword_core::{Clock, span};

use crate::callback::CallbackPlace;
use crate::gupshup::{GupshupSettings, GupshupWhatsapp};
use crate::http::{HttpKind, HttpProvider, Sender, SenderError, TraceContext};
use crate::inbox::{InboxProvider, KeptMessages};
use crate::meta::{MetaSettings, MetaWhatsapp};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::smtp::SmtpProvider;
use crate::twilio::{
    TwilioSms, TwilioSmsSettings, TwilioVoice, TwilioVoiceSettings, TwilioWhatsapp,
    TwilioWhatsappSettings,
};
use crate::webhook::{Keys, Webhook};

/// The settings of one provider, told apart by `kind`. Unknown kinds and unknown settings are
/// refused. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ProviderSettings {
    /// A mail server.
    Smtp(SmtpSettings),
    /// Signed JSON to a URL.
    Webhook(WebhookSettings),
    /// SMS through Twilio.
    #[serde(rename = "twilio-sms")]
    TwilioSms(TwilioSmsSettings),
    /// WhatsApp templates through Twilio.
    #[serde(rename = "twilio-whatsapp")]
    TwilioWhatsapp(TwilioWhatsappSettings),
    /// Calls through Twilio.
    #[serde(rename = "twilio-voice")]
    TwilioVoice(TwilioVoiceSettings),
    /// WhatsApp templates through Meta.
    #[serde(rename = "meta-whatsapp")]
    MetaWhatsapp(MetaSettings),
    /// WhatsApp templates through Gupshup.
    #[serde(rename = "gupshup-whatsapp")]
    GupshupWhatsapp(GupshupSettings),
    /// The inbox of dev mode.
    Inbox(InboxSettings),
}

/// The settings of the kind `smtp`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// `smtps://user:password@host:465` for TLS from the first byte, or
    /// `smtp://user:password@host:587?tls=required` for STARTTLS. User and password are
    /// percent-encoded. `tls` is `required`, `opportunistic` (plain when the server has no TLS) or
    /// `none`; it may only be left out for a server on this machine.
    pub url: Secret,
    /// The sender, as `codes@example.com` or `Example <codes@example.com>`.
    pub from: String,
    /// How long one hand-over may take.
    #[serde(default, with = "span::option")]
    pub timeout: Option<Duration>,
    /// A file of PEM certificates to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// The settings of the kind `webhook`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where messages are posted: HTTPS, or plain HTTP to this machine.
    pub url: Secret,
    /// `whsec_` and 24 to 64 bytes in base64. Two of them with a space between while rotating.
    pub secret: Secret,
    /// How long one hand-over may take.
    #[serde(default, with = "span::option")]
    pub timeout: Option<Duration>,
}

/// The settings of the kind `inbox`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboxSettings {}

impl ProviderSettings {
    /// Every kind, with its settings beside `kind`, and whether each is a secret.
    pub const KINDS: [(&'static str, &'static [(&'static str, bool)]); 8] = [
        (
            "smtp",
            &[
                ("url", true),
                ("from", false),
                ("timeout", false),
                ("ca_file", false),
            ],
        ),
        (
            "webhook",
            &[("url", true), ("secret", true), ("timeout", false)],
        ),
        (
            "twilio-sms",
            &[
                ("account_sid", false),
                ("auth_token", true),
                ("api_key", false),
                ("api_secret", true),
                ("from", false),
                ("messaging_service_sid", false),
                ("base_url", false),
                ("timeout", false),
            ],
        ),
        (
            "twilio-whatsapp",
            &[
                ("account_sid", false),
                ("auth_token", true),
                ("api_key", false),
                ("api_secret", true),
                ("from", false),
                ("messaging_service_sid", false),
                ("content_sid", false),
                ("base_url", false),
                ("timeout", false),
            ],
        ),
        (
            "twilio-voice",
            &[
                ("account_sid", false),
                ("auth_token", true),
                ("api_key", false),
                ("api_secret", true),
                ("from", false),
                ("base_url", false),
                ("timeout", false),
            ],
        ),
        (
            "meta-whatsapp",
            &[
                ("phone_number_id", false),
                ("access_token", true),
                ("app_secret", true),
                ("verify_token", true),
                ("template", false),
                ("language", false),
                ("api_version", false),
                ("base_url", false),
                ("timeout", false),
            ],
        ),
        (
            "gupshup-whatsapp",
            &[
                ("api_key", true),
                ("source", false),
                ("app_name", false),
                ("template_id", false),
                ("params", false),
                ("callback_token", true),
                ("base_url", false),
                ("timeout", false),
            ],
        ),
        ("inbox", &[]),
    ];

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Smtp(_) => SmtpProvider::KIND,
            Self::Webhook(_) => Webhook::KIND,
            Self::TwilioSms(_) => TwilioSms::KIND,
            Self::TwilioWhatsapp(_) => TwilioWhatsapp::KIND,
            Self::TwilioVoice(_) => TwilioVoice::KIND,
            Self::MetaWhatsapp(_) => MetaWhatsapp::KIND,
            Self::GupshupWhatsapp(_) => GupshupWhatsapp::KIND,
            Self::Inbox(_) => InboxProvider::KIND,
        }
    }
}

/// Makes providers of settings. What they share is made once, when the first one needs it.
pub struct Builder {
    clock: Arc<dyn Clock>,
    inbox: Option<Arc<KeptMessages>>,
    public_url: Option<String>,
    trace: Option<TraceContext>,
    sender: Option<Arc<Sender>>,
}

impl Builder {
    /// A timeout is no shorter and no longer than this.
    const TIMEOUTS: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(100)..=Duration::from_secs(60);

    /// A builder. Without an `inbox` the kind `inbox` is refused: it belongs to dev mode.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, inbox: Option<Arc<KeptMessages>>) -> Self {
        Self {
            clock,
            inbox,
            public_url: None,
            trace: None,
            sender: None,
        }
    }

    /// With the address that services see, if there is one. Without it nobody is asked to call back.
    #[must_use]
    pub fn called_back_at(mut self, public_url: Option<&str>) -> Self {
        self.public_url = public_url.map(str::to_owned);
        self
    }

    /// With a trace that goes on at services that are spoken to over HTTP.
    #[must_use]
    pub const fn traced(mut self, trace: Option<TraceContext>) -> Self {
        self.trace = trace;
        self
    }

    /// The provider `name` with these settings. Reads certificate files; opens no connection.
    ///
    /// # Errors
    /// [`BuildError`] names the provider, the setting and what is wrong with it.
    pub fn build(
        &mut self,
        name: &str,
        settings: &ProviderSettings,
    ) -> Result<Arc<dyn Provider>, BuildError> {
        let wrong = |(setting, fault)| BuildError {
            provider: name.to_owned(),
            setting,
            fault,
        };
        match settings {
            ProviderSettings::Smtp(smtp) => {
                timeout(smtp.timeout).map_err(wrong)?;
                let provider = SmtpProvider::new(name, smtp, Arc::clone(&self.clock));
                Ok(Arc::new(provider.map_err(wrong)?))
            }
            ProviderSettings::Webhook(webhook) => {
                let kind = read_webhook(webhook);
                self.http(name, "url", kind, webhook.timeout).map_err(wrong)
            }
            ProviderSettings::TwilioSms(given) => self
                .http(name, "base_url", given.provider(), given.timeout)
                .map_err(wrong),
            ProviderSettings::TwilioWhatsapp(given) => self
                .http(name, "base_url", given.provider(), given.timeout)
                .map_err(wrong),
            ProviderSettings::TwilioVoice(given) => self
                .http(name, "base_url", given.provider(), given.timeout)
                .map_err(wrong),
            ProviderSettings::MetaWhatsapp(given) => self
                .http(name, "base_url", given.provider(), given.timeout)
                .map_err(wrong),
            ProviderSettings::GupshupWhatsapp(given) => self
                .http(name, "base_url", given.provider(), given.timeout)
                .map_err(wrong),
            ProviderSettings::Inbox(_) => {
                let Some(kept) = &self.inbox else {
                    let fault = "`inbox` is for dev mode only".to_owned();
                    return Err(wrong(("kind", fault)));
                };
                Ok(Arc::new(InboxProvider::new(
                    name,
                    Arc::clone(kept),
                    Arc::clone(&self.clock),
                )))
            }
        }
    }

    /// A provider that speaks HTTP. `url` is the setting that says where it is.
    fn http<K: HttpKind>(
        &mut self,
        name: &str,
        url: &'static str,
        kind: Result<K, Fault>,
        limit: Option<Duration>,
    ) -> Result<Arc<dyn Provider>, Fault> {
        timeout(limit)?;
        let mut kind = kind?;
        let public_url = self.public_url.as_deref();
        if let Some(place) = public_url.and_then(|url| CallbackPlace::new(url, name)) {
            kind.called_back_at(&place);
        }
        let sender = self.sender().map_err(|error| (url, error.to_string()))?;
        let clock = Arc::clone(&self.clock);
        Ok(Arc::new(HttpProvider::new(
            name, kind, limit, sender, clock,
        )))
    }

    fn sender(&mut self) -> Result<Arc<Sender>, SenderError> {
        if self.sender.is_none() {
            self.sender = Some(Arc::new(Sender::new()?.traced(self.trace)));
        }
        self.sender.clone().ok_or(SenderError)
    }
}

/// The setting, and what is wrong with it.
pub(crate) type Fault = (&'static str, String);

fn timeout(timeout: Option<Duration>) -> Result<(), Fault> {
    match timeout {
        Some(timeout) if !Builder::TIMEOUTS.contains(&timeout) => {
            Err(("timeout", "is not between 100ms and 60s".to_owned()))
        }
        _ => Ok(()),
    }
}

fn read_webhook(settings: &WebhookSettings) -> Result<Webhook, Fault> {
    let wrong = |fault: &str| ("url", fault.to_owned());
    let url = Url::parse(settings.url.expose())
        .map_err(|_| wrong("is not a URL; write it like https://hooks.example.com/otp"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has a user or password; messages are signed instead"));
    }
    if url.fragment().is_some() {
        return Err(wrong("has a fragment, which is never sent"));
    }
    if !Sender::admits(&url) {
        return Err(wrong("is not https; plain http is for this machine only"));
    }
    let keys =
        Keys::parse(settings.secret.expose()).map_err(|error| ("secret", error.to_string()))?;
    Ok(Webhook::new(url, keys))
}

/// A provider that cannot be made of its settings. It shows no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("providers.{provider}: `{setting}` {fault}")]
pub struct BuildError {
    /// The name of the provider.
    pub provider: String,
    /// The setting.
    pub setting: &'static str,
    /// What is wrong with it.
    pub fault: String,
}

#[cfg(test)]
mod tests;
