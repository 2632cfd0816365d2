//! What Meta tells about messages, to the one address of the app.
//!
//! Sources: Meta's pages "Create a webhook endpoint" and "Status messages webhook reference".

use serde_json::Value;
use watchword_core::{
    About, Callback, CallbackMethod, CallbackRequest, Channel, DeliveryStatus, Receipt,
};

use super::codes::meaning;
use super::signature::is_proven;
use crate::callback::{
    CallbackReader, MAX_RECEIPTS, Proofs, about, message_id, only, parse_json, same,
};
use crate::http::meaning::{failure, number};
use crate::secret::Secret;

/// Between the two ids in what goes along with a message.
pub(super) const SEPARATOR: &str = ".";

/// No challenge is longer; Meta's have ten digits.
const MAX_CHALLENGE: usize = 128;

/// Reads the callbacks of one number.
pub(super) struct MetaCallbacks {
    secrets: Proofs,
    word: Option<Secret>,
    phone_number_id: String,
}

impl MetaCallbacks {
    pub(super) fn new(secrets: Proofs, word: Option<&Secret>, phone_number_id: &str) -> Self {
        Self {
            secrets,
            word: word.map(|word| Secret::new(word.expose().trim().to_owned())),
            phone_number_id: phone_number_id.to_owned(),
        }
    }

    /// Meta asks whether an address is ours before it uses it.
    fn handshake(&self, query: Option<&str>) -> Callback {
        let given = only(query, "hub.verify_token");
        let ours = self.word.as_ref().zip(given);
        let knows = ours.is_some_and(|(word, given)| same(word.expose(), &given));
        if !knows || only(query, "hub.mode").as_deref() != Some("subscribe") {
            return Callback::Forbidden;
        }
        let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = |text: &str| (1..=MAX_CHALLENGE).contains(&text.len()) && text.bytes().all(sign);
        match only(query, "hub.challenge").filter(|text| fits(text)) {
            Some(challenge) => Callback::Challenge(challenge.into_owned()),
            None => Callback::Unreadable,
        }
    }
}

impl CallbackReader for MetaCallbacks {
    fn read(&self, request: &CallbackRequest<'_>) -> Callback {
        if request.method == CallbackMethod::Get {
            return self.handshake(request.query);
        }
        let signature = request.header("x-hub-signature-256");
        if !signature.is_some_and(|header| is_proven(&self.secrets, header, request.body)) {
            return Callback::Refused;
        }
        let Some(Value::Object(body)) = parse_json(request.body) else {
            return Callback::Unreadable;
        };
        let body = Value::Object(body);
        // One address serves all numbers of an app.
        let ours = statuses(&body).filter(|(number, _)| *number == Some(&*self.phone_number_id));
        let receipts = ours.filter_map(|(_, status)| receipt(status));
        Callback::Receipts(receipts.take(MAX_RECEIPTS).collect())
    }
}

/// Every status of a body in Meta's format, with the id of the number that it is about.
pub(crate) fn statuses(body: &Value) -> impl Iterator<Item = (Option<&str>, &Value)> {
    let is_ours = body["object"] == "whatsapp_business_account";
    let entries = list(body, "entry").filter(move |_| is_ours);
    entries
        .flat_map(move |entry| list(entry, "changes"))
        .filter(|change| change["field"] == "messages")
        .flat_map(move |change| {
            let value = &change["value"];
            let number = value["metadata"]["phone_number_id"].as_str();
            list(value, "statuses").map(move |status| (number, status))
        })
}

/// The list of this name, if there is one.
fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let list = value.get(name).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default().iter()
}

/// A status that says something; states that are not known say nothing.
fn receipt(status: &Value) -> Option<Receipt> {
    let id = status["id"].as_str().and_then(message_id);
    let reference = status["biz_opaque_callback_data"].as_str();
    let reference = reference.and_then(|text| {
        let (verification, delivery) = text.split_once(SEPARATOR)?;
        about(verification, delivery)
    });
    let (state, error) = match status["status"].as_str()? {
        "sent" => (DeliveryStatus::Sent, None),
        "delivered" => (DeliveryStatus::Delivered, None),
        "read" | "played" => (DeliveryStatus::Read, None),
        "failed" => {
            let code = number(&status["errors"][0]["code"]);
            (
                DeliveryStatus::Failed,
                Some(failure(code, meaning).to_string()),
            )
        }
        _ => return None,
    };
    Some(Receipt {
        about: reference.or_else(|| Some(About::Message(id?.to_owned())))?,
        channel: Channel::Whatsapp,
        status: state,
        message_id: id.map(str::to_owned),
        error,
    })
}

#[cfg(test)]
mod tests;
