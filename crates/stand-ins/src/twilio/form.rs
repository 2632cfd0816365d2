//! What Twilio wants of a form beyond the description of its fields, with the number of each
//! refusal.

use http::Uri;
use serde_json::{Map, Value};

use super::{Fields, field, speech};
use crate::account::{
    TWILIO_CONTENT_SID, TWILIO_CONTENT_SID_DE, TWILIO_MESSAGING_SERVICE_SID, TWILIO_NUMBER,
};
use crate::contract::Breach;

type Refusal = (u32, Breach);

fn refuse(code: u32, field: &str, fault: &str) -> Refusal {
    (code, Breach::new(field, fault))
}

/// A number that a message or call can go to.
fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Twilio takes no addresses whose host has an underscore.
fn status_callback(fields: &Fields) -> Result<(), Refusal> {
    let url = field(fields, "StatusCallback");
    let url = url.split('#').next().unwrap_or_default();
    if url.is_empty() {
        return Ok(());
    }
    let host = url.parse::<Uri>().ok().and_then(|url| {
        let web = matches!(url.scheme_str(), Some("http" | "https"));
        web.then(|| url.host().map(str::to_owned)).flatten()
    });
    match host {
        Some(host) if !host.contains('_') => Ok(()),
        _ => Err(refuse(21_609, "StatusCallback", "is not a valid address")),
    }
}

fn seconds(fields: &Fields, name: &str, least: u32, most: u32, code: u32) -> Result<(), Refusal> {
    let text = field(fields, name);
    let fits = text.is_empty()
        || text
            .parse::<u32>()
            .is_ok_and(|seconds| (least..=most).contains(&seconds));
    let fault = format!("is not between {least} and {most}");
    fits.then_some(()).ok_or_else(|| refuse(code, name, &fault))
}

/// `CreateMessage`.
pub(super) fn message(fields: &Fields) -> Result<(), Refusal> {
    let (to, from) = (field(fields, "To"), field(fields, "From"));
    let service = field(fields, "MessagingServiceSid");
    let number = to.strip_prefix("whatsapp:");
    if !is_number(number.unwrap_or(to)) {
        return Err(refuse(21_211, "To", "is not a valid phone number"));
    }
    if from.is_empty() && service.is_empty() {
        let fault = "is missing, and so is MessagingServiceSid";
        return Err(refuse(21_603, "From", fault));
    }
    if !service.is_empty() && service != TWILIO_MESSAGING_SERVICE_SID {
        let fault = "is not a messaging service of the account";
        return Err(refuse(21_701, "MessagingServiceSid", fault));
    }
    if !from.is_empty() {
        let sender = from.strip_prefix("whatsapp:");
        if sender.is_some() != number.is_some() {
            return Err(refuse(21_910, "From", "is of another channel than To"));
        }
        let is_name = sender.is_none()
            && (1..=11).contains(&from.len())
            && from
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
            && from.bytes().any(|byte| byte.is_ascii_alphabetic());
        if sender.unwrap_or(from) != TWILIO_NUMBER && !is_name {
            return Err(refuse(21_659, "From", "is not a number of the account"));
        }
    }
    seconds(fields, "ValidityPeriod", 1, 36_000, 21_624)?;
    status_callback(fields)?;
    let (body, content) = (field(fields, "Body"), field(fields, "ContentSid"));
    if number.is_some() && content.is_empty() {
        let fault = "is missing: free text is not delivered outside a conversation";
        return Err(refuse(63_016, "ContentSid", fault));
    }
    if content.is_empty() {
        if body.trim().is_empty() {
            return Err(refuse(21_602, "Body", "is missing, and so is ContentSid"));
        }
        if body.chars().count() > 1600 {
            return Err(refuse(21_617, "Body", "has more than 1600 characters"));
        }
        return Ok(());
    }
    if ![TWILIO_CONTENT_SID, TWILIO_CONTENT_SID_DE].contains(&content) {
        return Err(refuse(21_655, "ContentSid", "is not an approved template"));
    }
    match variable(fields) {
        Some(code) if (1..=15).contains(&code.len()) => Ok(()),
        _ => {
            let fault = "is not one variable of 1 to 15 characters by the name 1";
            Err(refuse(21_656, "ContentVariables", fault))
        }
    }
}

/// The one variable of an authentication template: the code.
pub(super) fn variable(fields: &Fields) -> Option<String> {
    let variables: Map<String, Value> =
        serde_json::from_str(field(fields, "ContentVariables")).ok()?;
    match variables.get("1") {
        Some(Value::String(code)) if variables.len() == 1 => Some(code.clone()),
        _ => None,
    }
}

/// `CreateCall`.
pub(super) fn call(fields: &Fields) -> Result<(), Refusal> {
    let twiml = field(fields, "Twiml");
    if !is_number(field(fields, "To")) {
        return Err(refuse(21_211, "To", "is not a valid phone number"));
    }
    if field(fields, "From") != TWILIO_NUMBER {
        return Err(refuse(21_210, "From", "is not a number of the account"));
    }
    if !field(fields, "Url").is_empty() {
        let fault = "would have to be fetched, which the stand-in does not do; send Twiml";
        return Err(refuse(21_205, "Url", fault));
    }
    if twiml.is_empty() {
        return Err(refuse(21_205, "Twiml", "is missing"));
    }
    if twiml.chars().count() > 4000 {
        return Err(refuse(21_205, "Twiml", "has more than 4000 characters"));
    }
    if let Err(fault) = speech::well_formed(twiml) {
        return Err(refuse(12_100, "Twiml", fault));
    }
    seconds(fields, "Timeout", 1, 600, 21_220)?;
    seconds(fields, "TimeLimit", 1, 14_400, 21_220)?;
    for (name, event) in fields {
        let known = ["initiated", "ringing", "answered", "completed"];
        if name == "StatusCallbackEvent" && !known.contains(&event.as_str()) {
            return Err(refuse(
                21_626,
                "StatusCallbackEvent",
                "is no event of a call",
            ));
        }
    }
    status_callback(fields)
}
