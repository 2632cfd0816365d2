//! Meta's WhatsApp Cloud API: authentication templates.
//!
//! Sources: Meta's pages "Authentication templates" and "Error codes", and its OpenAPI description
//! of the Business Messaging API.

mod callback;
mod codes;
mod probe;
mod signature;

use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use watchword_core::routing::{Class, Detail, Outcome};
use watchword_core::{Channel, Message, Timestamp, span};

pub(crate) use callback::statuses;
pub(crate) use codes::meaning;

use callback::MetaCallbacks;

use crate::callback::{CallbackReader, Proofs, reference};
use crate::http::meaning::{is_success, number, refusal, unreadable};
use crate::http::{Call, HttpKind, Reply};
use crate::language::{ByLanguage, Languages};
use crate::probe::{Facts, Learned, Question};
use crate::secret::Secret;
use crate::settings::Fault;
use crate::settings::upstream::{base_url, bearer, below, is_digits};

/// The settings of the kind `meta-whatsapp`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetaSettings {
    /// The id of the sender's number, in digits. It is not the number.
    pub phone_number_id: String,
    /// The token of a system user that may send messages.
    pub access_token: Secret,
    /// The secret of the app, which callbacks are signed with. While it is replaced, both with a
    /// space between.
    #[serde(default)]
    pub app_secret: Option<Secret>,
    /// The word that Meta repeats when a callback URL is registered.
    #[serde(default)]
    pub verify_token: Option<Secret>,
    /// The name of the approved authentication template.
    pub template: String,
    /// The template's language as Meta writes it, such as `en_US`; or a table of them by language.
    pub language: ByLanguage,
    /// The version of the API; `v25.0` unless given.
    #[serde(default)]
    pub api_version: Option<String>,
    /// Where the API is; `https://graph.facebook.com` unless given.
    #[serde(default)]
    pub base_url: Option<String>,
    /// How long one hand-over may take.
    #[serde(default, with = "span::option")]
    pub timeout: Option<Duration>,
}

/// An approved authentication template. The code fills its text and its button; the same request
/// serves copy-code, one-tap and zero-tap buttons.
pub(crate) struct MetaWhatsapp {
    url: Url,
    authorization: HeaderValue,
    template: String,
    language: Languages,
    callbacks: Option<MetaCallbacks>,
}

impl MetaSettings {
    pub(crate) fn provider(&self) -> Result<MetaWhatsapp, Fault> {
        let fault = |setting, fault: &str| (setting, fault.to_owned());
        let id = self.phone_number_id.trim();
        if !is_digits(id) {
            let wrong = "is not the id of a number, which has digits only";
            return Err(fault("phone_number_id", wrong));
        }
        let template = self.template.trim();
        let sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=512).contains(&template.len()) || !template.bytes().all(sign) {
            let wrong = "is not the name of a template: a to z, digits and '_'";
            return Err(fault("template", wrong));
        }
        let version = self.api_version.as_deref().unwrap_or("v25.0").trim();
        let parts = version
            .strip_prefix('v')
            .and_then(|rest| rest.split_once('.'));
        if !parts.is_some_and(|(major, minor)| is_digits(major) && is_digits(minor)) {
            return Err(fault("api_version", "is not a version such as v25.0"));
        }
        let callbacks = self.callbacks(id)?;
        let is_language = |text: &str| {
            let sign = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
            let fits = (2..=8).contains(&text.len()) && text.bytes().all(sign);
            let wrong = "is not a language as Meta writes it, such as en_US";
            fits.then_some(()).ok_or(wrong)
        };
        let base = base_url(self.base_url.as_deref(), "https://graph.facebook.com")?;
        Ok(MetaWhatsapp {
            url: below(&base, &format!("/{version}/{id}/messages")),
            authorization: bearer("access_token", &self.access_token)?,
            template: template.to_owned(),
            language: Languages::read("language", &self.language, is_language)?,
            callbacks,
        })
    }

    fn callbacks(&self, phone_number_id: &str) -> Result<Option<MetaCallbacks>, Fault> {
        let word = self.verify_token.as_ref();
        if word.is_some_and(|word| word.expose().trim().is_empty()) {
            let wrong = "is empty; leave it out, or give it".to_owned();
            return Err(("verify_token", wrong));
        }
        let Some(secret) = &self.app_secret else {
            return Ok(None);
        };
        let secrets = Proofs::read("app_secret", secret)?;
        Ok(Some(MetaCallbacks::new(secrets, word, phone_number_id)))
    }
}

impl HttpKind for MetaWhatsapp {
    const KIND: &'static str = "meta-whatsapp";

    fn carries(&self, channel: Channel) -> bool {
        channel == Channel::Whatsapp
    }

    /// How long the message stays valid belongs to the template; a request cannot say it.
    fn request(&self, message: &Message, now: Timestamp) -> Result<Call, Outcome> {
        if message.expires_at <= now {
            return Err(Outcome::new(Class::Expired).with(Detail::Word("code_expired")));
        }
        let code = || json!([{ "type": "text", "text": message.code.expose() }]);
        let mut body = json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": message.to.canonical().trim_start_matches('+'),
            "type": "template",
            "template": {
                "name": self.template,
                "language": { "code": self.language.get(&message.locale) },
                "components": [
                    { "type": "body", "parameters": code() },
                    // Meta keeps every button for codes as one with a URL.
                    { "type": "button", "sub_type": "url", "index": "0", "parameters": code() },
                ],
            },
        });
        if self.callbacks.is_some() {
            // Comes back in every receipt, so that one is matched even if this reply is lost.
            body["biz_opaque_callback_data"] = reference(message, callback::SEPARATOR).into();
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Call {
            url: self.url.clone(),
            headers,
            body: Bytes::from(body.to_string()),
        })
    }

    fn read(&self, reply: &Reply) -> Outcome {
        let body = reply.body.as_deref();
        let Some(answer) = body.and_then(|body| serde_json::from_slice::<Answer>(body).ok()) else {
            return unreadable(reply);
        };
        if let Some(error) = answer.error {
            let code = error.get("code").and_then(number);
            return refusal(reply, code, code.and_then(meaning));
        }
        if !is_success(reply) {
            return unreadable(reply);
        }
        let Some(sent) = answer.messages.first().filter(|sent| !sent.id.is_empty()) else {
            return unreadable(reply);
        };
        match sent.message_status.as_deref() {
            // The template is paused for its quality: nothing went out.
            Some("paused") => {
                Outcome::new(Class::Misconfigured).with(Detail::Word("template_paused"))
            }
            _ => Outcome::accepted(Some(&sent.id)),
        }
    }

    fn questions(&self) -> Vec<Question> {
        self.first_question()
    }

    fn learn(&self, question: &Question, reply: &Reply, facts: &Facts) -> Learned {
        self.answered(question, reply, facts)
    }

    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        let callbacks = self.callbacks.as_ref()?;
        Some(callbacks)
    }
}

#[derive(Deserialize)]
struct Answer {
    error: Option<Value>,
    #[serde(default)]
    messages: Vec<Sent>,
}

#[derive(Deserialize)]
struct Sent {
    id: String,
    message_status: Option<String>,
}

#[cfg(test)]
mod tests;
