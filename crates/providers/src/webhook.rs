//! The webhook provider: the message as JSON, signed as Standard Webhooks 1.0.0, for whoever
//! carries messages by means of their own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use sha2::Sha256;
use watchword_core::routing::{Class, Detail, Outcome};
use watchword_core::{Channel, Message, Timestamp};
use zeroize::Zeroizing;

use crate::http::{Call, HttpKind, Reply, classify};
use crate::probe::{Facts, Finding, Learned, Question};

/// Posts messages of every channel to one URL. Any 2xx is an acceptance.
pub(crate) struct Webhook {
    url: Url,
    keys: Keys,
}

impl Webhook {
    /// `url` must be one that the sender admits.
    pub(crate) const fn new(url: Url, keys: Keys) -> Self {
        Self { url, keys }
    }
}

/// What is posted.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: String,
    channel: Channel,
    to: &'a str,
    code: &'a str,
    text: &'a str,
    locale: &'a str,
    purpose: &'a str,
    expires_at: String,
}

impl HttpKind for Webhook {
    const KIND: &'static str = "webhook";

    fn carries(&self, _channel: Channel) -> bool {
        true
    }

    fn request(&self, message: &Message, now: Timestamp) -> Result<Call, Outcome> {
        let broken = |_| Outcome::new(Class::Misconfigured).with(Detail::Word("request"));
        let id = message.delivery_id.hyphenated().to_string();
        let event = Event {
            kind: "message.send",
            timestamp: now.to_string(),
            data: Data {
                id: id.clone(),
                channel: message.channel,
                to: message.to.canonical(),
                code: message.code.expose(),
                text: message.text.expose(),
                locale: message.locale.as_str(),
                purpose: message.purpose.as_str(),
                expires_at: message.expires_at.to_string(),
            },
        };
        let body = serde_json::to_vec(&event)
            .map_err(|_| Outcome::new(Class::Misconfigured).with(Detail::Word("request")))?;
        let seconds = now.as_secs();
        let signature = self.keys.sign(&id, seconds, &body);

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-id", HeaderValue::from_str(&id).map_err(broken)?);
        headers.insert("webhook-timestamp", HeaderValue::from(seconds));
        headers.insert(
            "webhook-signature",
            HeaderValue::from_str(&signature).map_err(broken)?,
        );
        Ok(Call {
            url: self.url.clone(),
            headers,
            body: Bytes::from(body),
        })
    }

    fn read(&self, reply: &Reply) -> Outcome {
        match reply.status {
            // The receiver wants no more of them.
            410 => Outcome::new(Class::Misconfigured).with(Detail::Http(410)),
            _ => classify(reply),
        }
    }

    /// Only whether its server is there: the URL itself is for messages.
    fn questions(&self) -> Vec<Question> {
        vec![Question::reach(&self.url)]
    }

    fn learn(&self, question: &Question, _reply: &Reply, _facts: &Facts) -> Learned {
        let said = "the server of `url` answers; whether it takes messages shows only with one";
        Learned::of(Finding::ok(question.about, said))
    }
}

/// The keys of a webhook. While one replaces another, messages carry a signature of each.
pub(crate) struct Keys(Vec<Zeroizing<Vec<u8>>>);

impl Keys {
    const PREFIX: &'static str = "whsec_";

    /// Reads `whsec_` and 24 to 64 bytes in base64; several, while rotating, have spaces between.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidKey> {
        let keys: Vec<_> = text
            .split_whitespace()
            .map(|key| {
                let encoded = key.strip_prefix(Self::PREFIX).ok_or(InvalidKey)?;
                let key = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidKey)?);
                let long_enough = (24..=64).contains(&key.len());
                long_enough.then_some(key).ok_or(InvalidKey)
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(InvalidKey);
        }
        Ok(Self(keys))
    }

    fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let head = format!("{id}.{seconds}.");
        let signatures: Vec<_> = self
            .0
            .iter()
            .map(|key| {
                #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
                mac.update(head.as_bytes());
                mac.update(body);
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            })
            .collect();
        signatures.join(" ")
    }
}

/// The text is no webhook key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not `whsec_` followed by 24 to 64 random bytes in base64; make one with `echo whsec_$(openssl rand -base64 32)`"
)]
pub(crate) struct InvalidKey;

#[cfg(test)]
mod tests;
