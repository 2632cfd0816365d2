//! Requests that fit the contracts, and changes to them.

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use watchword_stand_ins::{Family, StandIn, account};

use super::wire::{Answer, ask};

pub(crate) const NUMBER: &str = "+12015550123";
pub(crate) const CODE: &str = "402718";

/// A request: its address, headers and body.
pub(crate) struct Order {
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Order {
    pub(crate) async fn post(&self, to: &StandIn) -> Option<Answer> {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let url = format!("{}{}", to.base_url(), self.path);
        ask(Method::POST, &url, &headers, self.body.clone()).await
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A form, with changes: `("Body", "")` takes a field away.
fn form(fields: &[(&str, &str)], changes: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    let kept = fields
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    form.extend_pairs(kept);
    form.extend_pairs(changes.iter().filter(|(_, value)| !value.is_empty()));
    form.finish()
}

fn twilio(resource: &str, body: String) -> Order {
    let sid = account::TWILIO_ACCOUNT_SID;
    Order {
        path: format!("/2010-04-01/Accounts/{sid}/{resource}.json"),
        headers: vec![
            ("authorization", basic(sid, account::TWILIO_AUTH_TOKEN)),
            (
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ),
        ],
        body,
    }
}

pub(crate) fn sms(changes: &[(&str, &str)]) -> Order {
    let text = format!("{CODE} is your Example code.");
    let fields = [
        ("To", NUMBER),
        ("From", account::TWILIO_NUMBER),
        ("Body", text.as_str()),
        ("ValidityPeriod", "300"),
    ];
    twilio("Messages", form(&fields, changes))
}

pub(crate) fn twilio_whatsapp(changes: &[(&str, &str)]) -> Order {
    let fields = [
        ("To", "whatsapp:+12015550123"),
        ("From", "whatsapp:+12015550100"),
        ("ContentSid", account::TWILIO_CONTENT_SID),
        ("ContentVariables", r#"{"1":"402718"}"#),
    ];
    twilio("Messages", form(&fields, changes))
}

pub(crate) fn call(changes: &[(&str, &str)]) -> Order {
    let twiml = "<Response><Say>Your code is: 4, 0, 2, 7, 1, 8.</Say></Response>";
    let fields = [
        ("To", NUMBER),
        ("From", account::TWILIO_NUMBER),
        ("Twiml", twiml),
        ("Timeout", "25"),
    ];
    twilio("Calls", form(&fields, changes))
}

/// Meta's, with the values at these JSON pointers changed; null takes one away.
pub(crate) fn meta(changes: &[(&str, Value)]) -> Order {
    let code = || json!([{ "type": "text", "text": CODE }]);
    let mut body = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": &NUMBER[1..],
        "type": "template",
        "template": { "name": account::META_TEMPLATE, "language": { "code": "en_US" },
            "components": [
                { "type": "body", "parameters": code() },
                { "type": "button", "sub_type": "url", "index": "0", "parameters": code() },
            ] },
        "biz_opaque_callback_data": "att_01",
    });
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(list) if value.is_null() => {
                list.remove(name.parse().unwrap());
            }
            Value::Array(list) => list[name.parse::<usize>().unwrap()] = value.clone(),
            Value::Object(map) if value.is_null() => {
                map.remove(name);
            }
            other => other[name] = value.clone(),
        }
    }
    Order {
        path: format!("/v25.0/{}/messages", account::META_PHONE_NUMBER_ID),
        headers: vec![
            (
                "authorization",
                format!("Bearer {}", account::META_ACCESS_TOKEN),
            ),
            ("content-type", "application/json".to_owned()),
        ],
        body: body.to_string(),
    }
}

pub(crate) fn gupshup(changes: &[(&str, &str)]) -> Order {
    let template = json!({ "id": account::GUPSHUP_TEMPLATE_ID, "params": [CODE] }).to_string();
    let fields = [
        ("channel", "whatsapp"),
        ("source", account::GUPSHUP_SOURCE),
        ("destination", &NUMBER[1..]),
        ("src.name", account::GUPSHUP_APP_NAME),
        ("template", template.as_str()),
    ];
    Order {
        path: "/wa/api/v1/template/msg".to_owned(),
        headers: vec![
            ("apikey", account::GUPSHUP_API_KEY.to_owned()),
            (
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ),
        ],
        body: form(&fields, changes),
    }
}

/// A message that fits, to this number.
pub(crate) fn plain(family: Family, number: &str) -> Order {
    match family {
        Family::Twilio => sms(&[("To", number)]),
        Family::Meta => meta(&[("/to", json!(number.trim_start_matches('+')))]),
        Family::Gupshup => gupshup(&[("destination", number.trim_start_matches('+'))]),
    }
}
