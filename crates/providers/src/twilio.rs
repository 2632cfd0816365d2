//! Twilio: SMS, WhatsApp content templates and calls, which share an account and its answers.
//!
//! Source: Twilio's REST API 2010-04-01 (Messages, Calls) and its pages on both.

mod callback;
mod codes;
mod message;
mod probe;
mod settings;
mod signature;
mod twiml;
mod voice;

use bytes::Bytes;
use form_urlencoded::Serializer;
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use watchword_core::routing::{Class, Detail, Outcome};
use watchword_core::{Channel, Message, Timestamp};

pub(crate) use message::{TwilioSms, TwilioWhatsapp};
pub use settings::{TwilioSmsSettings, TwilioVoiceSettings, TwilioWhatsappSettings};
pub(crate) use voice::TwilioVoice;

use callback::TwilioCallbacks;

use crate::callback::{CallbackPlace, CallbackReader, Proofs};
use crate::http::meaning::{find, is_success, number, refusal, unreadable};
use crate::http::{Call, Reply};
use crate::settings::upstream::below;

/// One account: where it is, and how it proves itself.
pub(crate) struct Account {
    base: Url,
    sid: String,
    authorization: HeaderValue,
    /// The setting that `authorization` was made of.
    credential: &'static str,
    /// The account's own tokens, where they are known: callbacks are signed with one of them.
    tokens: Option<Proofs>,
    callbacks: Option<TwilioCallbacks>,
}

impl Account {
    /// Takes callbacks from now on, if the account's own token is known.
    fn called_back_at(&mut self, place: &CallbackPlace, channel: Channel) {
        if let Some(tokens) = self.tokens.take() {
            let callbacks = TwilioCallbacks::new(tokens, place.clone(), &self.sid, channel);
            self.callbacks = Some(callbacks);
        }
    }

    /// The address that Twilio is to tell how far a message came.
    fn status_callback(&self, message: &Message) -> Option<String> {
        self.callbacks.as_ref()?.address(message, &self.base)
    }

    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        let callbacks = self.callbacks.as_ref()?;
        Some(callbacks)
    }

    /// Posts fields to a resource of the account, such as `Messages`.
    fn call(&self, resource: &str, fields: &[(&str, &str)]) -> Call {
        let path = format!("/2010-04-01/Accounts/{}/{resource}.json", self.sid);
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Call {
            url: below(&self.base, &path),
            headers,
            body: Bytes::from(body),
        }
    }
}

/// The whole seconds that a code still lives, if any: Twilio keeps what it cannot send at once for
/// ten hours unless told otherwise, and takes 1 to 36000.
fn validity(message: &Message, now: Timestamp) -> Result<u64, Outcome> {
    match message.expires_at.since(now).as_secs() {
        0 => Err(Outcome::new(Class::Expired).with(Detail::Word("code_expired"))),
        seconds => Ok(seconds.min(36_000)),
    }
}

/// What of a created message or call, or of an error, matters here.
#[derive(Deserialize)]
struct Answer {
    sid: Option<String>,
    /// The state of a message or call as a word; the HTTP status as a number in an error.
    status: Option<Value>,
    /// The number of an error.
    code: Option<Value>,
    /// The same where the resource was created and failed at once.
    error_code: Option<Value>,
}

/// What a reply means. Ids of what was created begin with one of `prefixes`.
fn read(reply: &Reply, prefixes: &[&str]) -> Outcome {
    let body = reply.body.as_deref();
    let Some(answer) = body.and_then(|body| serde_json::from_slice::<Answer>(body).ok()) else {
        return unreadable(reply);
    };
    let code = [&answer.code, &answer.error_code]
        .into_iter()
        .find_map(|code| number(code.as_ref()?).filter(|code| *code != 0));
    let status = answer.status.as_ref().and_then(Value::as_str);
    let failed = matches!(
        status,
        Some("failed" | "undelivered" | "canceled" | "busy" | "no-answer")
    );
    if !is_success(reply) || failed || code.is_some() {
        return refusal(reply, code, code.and_then(|code| find(codes::CODES, code)));
    }
    let is_ours = |sid: &&str| prefixes.iter().any(|prefix| sid.starts_with(prefix));
    match answer.sid.as_deref().filter(is_ours) {
        Some(sid) => Outcome::accepted(Some(sid)),
        None => unreadable(reply),
    }
}

#[cfg(test)]
mod tests;
