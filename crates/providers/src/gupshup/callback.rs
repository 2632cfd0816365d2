//! What Gupshup tells about messages, to the one address of the app. It does not sign that; the
//! proof is a token that only Gupshup and this server know.
//!
//! Sources: Gupshup's pages "Message events" and "Webhook key points", its partner pages "Events"
//! (v3) and "Set subscription v3".

use serde_json::Value;
use watchword_core::{About, Callback, CallbackRequest, Channel, DeliveryStatus, Receipt};

use super::codes;
use crate::callback::{CallbackReader, MAX_RECEIPTS, Proofs, message_id, only, parse_json, same};
use crate::http::meaning::{failure, number};
use crate::meta;
use crate::secret::Secret;
use crate::settings::Fault;

/// The parameter of the address that may have the token.
const TOKEN: &str = "token";

/// A shorter token could be guessed.
const SHORTEST: usize = 16;

/// Reads the callbacks of one app.
pub(super) struct GupshupCallbacks(Proofs);

impl GupshupCallbacks {
    /// Reads `callback_token`.
    pub(super) fn read(given: &Secret) -> Result<Self, Fault> {
        let tokens = Proofs::read("callback_token", given)?;
        if tokens.shortest() < SHORTEST {
            let wrong = format!(
                "is shorter than {SHORTEST} signs and could be guessed; make one with \
                 `openssl rand -hex 32`"
            );
            return Err(("callback_token", wrong));
        }
        Ok(Self(tokens))
    }

    /// Whether the token comes in the address, in `Authorization: Bearer …`, or in both; and
    /// nothing else does in either place.
    fn is_proven(&self, request: &CallbackRequest<'_>) -> bool {
        let knows = |given: &str| self.0.any(|token| same(token, given));
        let is_here = |(name, _): &(_, _)| *name == "authorization";
        let in_header = request.headers.iter().any(is_here).then(|| {
            let sent = request.header("authorization");
            sent.and_then(bearer).is_some_and(knows)
        });
        let query = request.query.unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let in_address = pairs
            .any(|(name, _)| name == TOKEN)
            .then(|| only(request.query, TOKEN).is_some_and(|token| knows(&token)));
        match (in_header, in_address) {
            (None, None) => false,
            (header, address) => header.unwrap_or(true) & address.unwrap_or(true),
        }
    }
}

/// The token in `Bearer …`. The scheme's case does not count (RFC 9110 section 11.1).
fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

impl CallbackReader for GupshupCallbacks {
    fn read(&self, request: &CallbackRequest<'_>) -> Callback {
        if !self.is_proven(request) {
            return Callback::Refused;
        }
        // Nobody knows whether it asks before it uses an address. It has the token, so it may.
        if request.body.is_empty() {
            return Callback::Receipts(Vec::new());
        }
        let Some(Value::Object(body)) = parse_json(request.body) else {
            return Callback::Unreadable;
        };
        let body = Value::Object(body);
        let passed_through = meta::statuses(&body).filter_map(|(_, status)| of_meta(status));
        let receipts = of_event(&body).into_iter().chain(passed_through);
        Callback::Receipts(receipts.take(MAX_RECEIPTS).collect())
    }
}

/// An event in the format v2.
fn of_event(body: &Value) -> Option<Receipt> {
    if body["type"] != "message-event" {
        return None;
    }
    let event = &body["payload"];
    // `id` is WhatsApp's own name once WhatsApp has the message, and `gsId` is ours.
    let id = event["gsId"].as_str().or_else(|| event["id"].as_str());
    receipt(id, &event["type"], &event["payload"]["code"])
}

/// A status in the format v3, which is Meta's with Gupshup's id beside Meta's.
fn of_meta(status: &Value) -> Option<Receipt> {
    let id = status["gs_id"].as_str().or_else(|| status["id"].as_str());
    receipt(id, &status["status"], &status["errors"][0]["code"])
}

/// States that are not known say nothing.
fn receipt(id: Option<&str>, state: &Value, code: &Value) -> Option<Receipt> {
    let id = id.and_then(message_id)?;
    let (status, error) = match state.as_str()? {
        "enqueued" => (DeliveryStatus::Accepted, None),
        "sent" => (DeliveryStatus::Sent, None),
        "delivered" => (DeliveryStatus::Delivered, None),
        "read" => (DeliveryStatus::Read, None),
        "failed" => {
            let failure = failure(number(code), codes::meaning);
            (DeliveryStatus::Failed, Some(failure.to_string()))
        }
        _ => return None,
    };
    Some(Receipt {
        about: About::Message(id.to_owned()),
        channel: Channel::Whatsapp,
        status,
        message_id: Some(id.to_owned()),
        error,
    })
}

#[cfg(test)]
mod tests;
