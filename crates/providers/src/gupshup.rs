//! Gupshup: WhatsApp templates.
//!
//! Sources: Gupshup's pages on templates and on error codes.

mod callback;
mod codes;
mod probe;

use std::time::Duration;

use bytes::Bytes;
use form_urlencoded::Serializer;
use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use watchword_core::routing::{Class, Detail, Outcome};
use watchword_core::{Channel, Message, Timestamp, span};
use zeroize::Zeroizing;

use callback::GupshupCallbacks;

use crate::callback::CallbackReader;
use crate::http::meaning::{is_success, number, refusal, unreadable};
use crate::http::{Call, HttpKind, Reply};
use crate::language::{ByLanguage, Languages, OneOrMany};
use crate::probe::{Facts, Learned, Question};
use crate::secret::Secret;
use crate::settings::Fault;
use crate::settings::upstream::{base_url, below, is_digits, plain, secret_header};

/// Where a parameter has the code.
const CODE: &str = "{code}";

/// The settings of the kind `gupshup-whatsapp`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GupshupSettings {
    /// The key of the account.
    pub api_key: Secret,
    /// The sender's number with its country code.
    pub source: String,
    /// The name of the app that the number belongs to.
    pub app_name: String,
    /// The id of the approved template; or a table of them by language, which Gupshup fixes by id.
    pub template_id: ByLanguage,
    /// The template's parameters, `["{code}"]` unless given. Some accounts want the button's as
    /// well: `["{code}", "{code}"]`.
    #[serde(default)]
    pub params: Option<OneOrMany>,
    /// What callbacks have to bring, because Gupshup does not sign them: 16 signs or more. While it
    /// is replaced, both with a space between.
    #[serde(default)]
    pub callback_token: Option<Secret>,
    /// Where the API is; `https://api.gupshup.io` unless given. One that ends in `/msg` is taken as
    /// the whole address, such as that of the older `/sm/api/v1/template/msg`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// How long one hand-over may take.
    #[serde(default, with = "span::option")]
    pub timeout: Option<Duration>,
}

/// An approved template, filled with the code.
pub(crate) struct GupshupWhatsapp {
    url: Url,
    api_key: HeaderValue,
    source: String,
    app_name: String,
    template: Languages,
    params: Vec<String>,
    callbacks: Option<GupshupCallbacks>,
}

impl GupshupSettings {
    pub(crate) fn provider(&self) -> Result<GupshupWhatsapp, Fault> {
        let fault = |setting, fault: &str| (setting, fault.to_owned());
        let source = self.source.trim();
        let source = source.strip_prefix('+').unwrap_or(source);
        if !is_digits(source) || !(7..=15).contains(&source.len()) {
            return Err(fault("source", "is no number with its country code"));
        }
        let params = match &self.params {
            None => vec![CODE.to_owned()],
            Some(OneOrMany::One(param)) => vec![param.clone()],
            Some(OneOrMany::Many(params)) => params.clone(),
        };
        if !params.iter().any(|param| param.contains(CODE)) {
            return Err(fault("params", "do not have {code} in any of them"));
        }
        if params
            .iter()
            .any(|param| param.replace(CODE, "").contains(['{', '}']))
        {
            return Err(fault(
                "params",
                "have braces around something else than code",
            ));
        }
        let callbacks = self.callback_token.as_ref().map(GupshupCallbacks::read);
        let is_id = |text: &str| {
            let sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let fits = (1..=128).contains(&text.len()) && text.bytes().all(sign);
            fits.then_some(()).ok_or("is no id of a template")
        };
        let base = base_url(self.base_url.as_deref(), "https://api.gupshup.io")?;
        let url = match base.path().ends_with("/msg") {
            true => base,
            false => below(&base, "/wa/api/v1/template/msg"),
        };
        Ok(GupshupWhatsapp {
            url,
            api_key: secret_header("api_key", plain("api_key", self.api_key.expose())?)?,
            source: source.to_owned(),
            app_name: plain("app_name", &self.app_name)?.to_owned(),
            template: Languages::read("template_id", &self.template_id, is_id)?,
            params,
            callbacks: callbacks.transpose()?,
        })
    }
}

impl HttpKind for GupshupWhatsapp {
    const KIND: &'static str = "gupshup-whatsapp";

    fn carries(&self, channel: Channel) -> bool {
        channel == Channel::Whatsapp
    }

    /// Gupshup takes no validity: how long a message stays valid belongs to the template.
    fn request(&self, message: &Message, now: Timestamp) -> Result<Call, Outcome> {
        if message.expires_at <= now {
            return Err(Outcome::new(Class::Expired).with(Detail::Word("code_expired")));
        }
        let fill = |param: &String| param.replace(CODE, message.code.expose());
        let template = Zeroizing::new(
            json!({
                "id": self.template.get(&message.locale),
                "params": self.params.iter().map(fill).collect::<Vec<_>>(),
            })
            .to_string(),
        );
        let fields = [
            ("channel", "whatsapp"),
            ("source", self.source.as_str()),
            (
                "destination",
                message.to.canonical().trim_start_matches('+'),
            ),
            ("src.name", self.app_name.as_str()),
            ("template", template.as_str()),
        ];
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = HeaderMap::new();
        headers.insert("apikey", self.api_key.clone());
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Ok(Call {
            url: self.url.clone(),
            headers,
            body: Bytes::from(body),
        })
    }

    fn read(&self, reply: &Reply) -> Outcome {
        let body = reply.body.as_deref();
        let Some(answer) = body.and_then(|body| serde_json::from_slice::<Answer>(body).ok()) else {
            return unreadable(reply);
        };
        let id = answer.message_id.filter(|id| !id.is_empty());
        let status = answer.status.as_deref();
        if is_success(reply) && status != Some("error") {
            let taken = matches!(status, Some("submitted" | "success"));
            return match id.filter(|_| taken) {
                Some(id) => Outcome::accepted(Some(&id)),
                None => unreadable(reply),
            };
        }
        let code = answer.code.as_ref().and_then(number);
        let by_words = || {
            // Other statuses say more than the words do.
            let words = answer.message.as_ref().and_then(Value::as_str);
            let decides = is_success(reply) || reply.status == 400;
            words.filter(|_| decides).and_then(codes::meaning_of_words)
        };
        let meaning = code.and_then(codes::meaning).or_else(by_words);
        refusal(reply, code, meaning)
    }

    fn questions(&self) -> Vec<Question> {
        vec![Question::reach(&self.url)]
    }

    fn learn(&self, question: &Question, _reply: &Reply, _facts: &Facts) -> Learned {
        probe::learn(question)
    }

    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        let callbacks = self.callbacks.as_ref()?;
        Some(callbacks)
    }

    /// Nothing of ours goes along with a message, so nothing of ours comes back.
    fn tracks_by_message_id(&self) -> bool {
        self.callbacks.is_some()
    }
}

#[derive(Deserialize)]
struct Answer {
    status: Option<String>,
    #[serde(rename = "messageId")]
    message_id: Option<String>,
    code: Option<Value>,
    message: Option<Value>,
}

#[cfg(test)]
mod tests;
