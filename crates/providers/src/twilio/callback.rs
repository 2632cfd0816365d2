//! What Twilio tells about a message or a call, to the address that went along with it.
//!
//! Sources: Twilio's pages "Track the Message Status of Outbound Messages" and "Call resource".

use std::borrow::Cow;
use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::Value;
use watchword_core::routing::{Class, Detail, Outcome};
use watchword_core::{
    About, Callback, CallbackMethod, CallbackRequest, Channel, DeliveryStatus, Message, Receipt,
};

use super::codes;
use super::signature::Signed;
use crate::callback::{CallbackPlace, CallbackReader, Proofs, about, message_id, only, parse_json};
use crate::http::meaning::{failure, find, number};

/// The parameters that lead back to a hand-over.
const VERIFICATION: &str = "v";
const DELIVERY: &str = "d";

/// No callback of Twilio comes near so many bytes; a larger body is not looked at.
const MAX_BODY: usize = 64 * 1024;

/// Reads the callbacks of one account about one kind of message.
pub(crate) struct TwilioCallbacks {
    tokens: Proofs,
    place: CallbackPlace,
    sid: String,
    channel: Channel,
}

impl TwilioCallbacks {
    pub(super) fn new(tokens: Proofs, place: CallbackPlace, sid: &str, channel: Channel) -> Self {
        Self {
            tokens,
            place,
            sid: sid.to_owned(),
            channel,
        }
    }

    /// The address that goes along with a message to an API at `base`, if it can call there.
    pub(super) fn address(&self, message: &Message, base: &Url) -> Option<String> {
        if !self.place.is_reachable_from(base) {
            return None;
        }
        let mut url = self.place.url().clone();
        url.query_pairs_mut()
            .append_pair(
                VERIFICATION,
                &message.verification_id.hyphenated().to_string(),
            )
            .append_pair(DELIVERY, &message.delivery_id.hyphenated().to_string());
        Some(url.into())
    }

    fn is_proven(&self, signed: &Signed<'_>, request: &CallbackRequest<'_>) -> bool {
        request.body.len() <= MAX_BODY
            && request
                .header("x-twilio-signature")
                .is_some_and(|signature| signed.is_proven(&self.tokens, signature))
    }

    fn receipt(&self, fields: &Fields, query: Option<&str>) -> Option<Receipt> {
        let (status, error) = match self.channel {
            Channel::Voice => of_call(fields)?,
            _ => of_message(fields)?,
        };
        let (names, prefixes): (&[&str], &[&str]) = match self.channel {
            Channel::Voice => (&["CallSid"], &["CA"]),
            _ => (&["MessageSid", "SmsSid"], &super::message::SIDS),
        };
        let sid = names.iter().find_map(|name| fields.get(name));
        let is_ours = |sid: &&str| prefixes.iter().any(|prefix| sid.starts_with(prefix));
        let sid = sid.filter(is_ours).and_then(message_id)?;
        let reference = || about(&only(query, VERIFICATION)?, &only(query, DELIVERY)?);
        Some(Receipt {
            about: reference().unwrap_or_else(|| About::Message(sid.to_owned())),
            channel: self.channel,
            status,
            message_id: Some(sid.to_owned()),
            error,
        })
    }
}

impl CallbackReader for TwilioCallbacks {
    fn read(&self, request: &CallbackRequest<'_>) -> Callback {
        let signed = Signed {
            base: self.place.url(),
            query: request.query,
            body: match request.method {
                CallbackMethod::Get => &[],
                CallbackMethod::Post => request.body,
            },
        };
        if !self.is_proven(&signed, request) {
            return Callback::Refused;
        }
        let fields = match request.method {
            CallbackMethod::Get => Some(Fields::of_form(
                request.query.unwrap_or_default().as_bytes(),
            )),
            CallbackMethod::Post if signed.has_body_digest() => Fields::of_json(request.body),
            CallbackMethod::Post => Some(Fields::of_form(request.body)),
        };
        let Some(fields) = fields else {
            return Callback::Unreadable;
        };
        // One token may serve several accounts, and an address may be used by hand.
        if fields.get("AccountSid") != Some(&self.sid) {
            return Callback::Refused;
        }
        Callback::Receipts(self.receipt(&fields, request.query).into_iter().collect())
    }
}

/// The fields of a callback that come exactly once.
struct Fields(BTreeMap<String, Option<String>>);

impl Fields {
    fn of_form(form: &[u8]) -> Self {
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(form) {
            fields
                .entry(name.into_owned())
                .and_modify(|known| *known = None)
                .or_insert_with(|| Some(Cow::into_owned(value)));
        }
        Self(fields)
    }

    fn of_json(body: &[u8]) -> Option<Self> {
        let Value::Object(members) = parse_json(body)? else {
            return None;
        };
        let text = |value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let fields = members.into_iter().map(|(name, value)| (name, text(value)));
        Some(Self(fields.collect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// The number of an error, if it is one.
    fn error(&self) -> Option<u32> {
        let text = Value::from(self.get("ErrorCode")?);
        number(&text).filter(|code| *code != 0)
    }
}

/// How far a message came. States that are not known say nothing.
fn of_message(fields: &Fields) -> Option<(DeliveryStatus, Option<String>)> {
    let status = fields
        .get("MessageStatus")
        .or_else(|| fields.get("SmsStatus"))?;
    let status = match status {
        "accepted" | "scheduled" | "queued" | "sending" => DeliveryStatus::Accepted,
        // Not all parts of it have arrived.
        "sent" | "partially_delivered" => DeliveryStatus::Sent,
        "delivered" => DeliveryStatus::Delivered,
        "read" => DeliveryStatus::Read,
        "failed" | "undelivered" => return Some(failed(fields, Class::Rejected, "undelivered")),
        "canceled" => return Some(failed(fields, Class::Rejected, "canceled")),
        _ => return None,
    };
    Some((status, None))
}

/// How far a call came.
fn of_call(fields: &Fields) -> Option<(DeliveryStatus, Option<String>)> {
    let status = match fields.get("CallStatus")? {
        "queued" | "initiated" => DeliveryStatus::Accepted,
        // Somebody answered; whether the code was heard is not known before the end.
        "ringing" | "in-progress" => DeliveryStatus::Sent,
        "completed" => DeliveryStatus::Delivered,
        "busy" => return Some(failed(fields, Class::Unavailable, "busy")),
        "no-answer" => return Some(failed(fields, Class::Unavailable, "no_answer")),
        "failed" => return Some(failed(fields, Class::Unavailable, "call_failed")),
        "canceled" => return Some(failed(fields, Class::Unknown, "canceled")),
        _ => return None,
    };
    Some((status, None))
}

/// A failure with the number that Twilio gives, else with a class and a word.
fn failed(fields: &Fields, class: Class, word: &'static str) -> (DeliveryStatus, Option<String>) {
    let error = match fields.error() {
        Some(code) => failure(Some(code), |code| find(codes::CODES, code)),
        None => Outcome::new(class).with(Detail::Word(word)),
    };
    (DeliveryStatus::Failed, Some(error.to_string()))
}

#[cfg(test)]
mod tests;
