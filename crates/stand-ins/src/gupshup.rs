//! Gupshup's WhatsApp API: templates, and the events of an app.
//!
//! Sources: Gupshup's pages on templates, message events and error codes; its partner pages on
//! events of version 3.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::account::{
    GUPSHUP_API_KEY, GUPSHUP_APP_NAME, GUPSHUP_CALLBACK_TOKEN, GUPSHUP_SOURCE, GUPSHUP_TEMPLATE_ID,
};
use crate::answer::{self, Api, is_of, json};
use crate::callback::Callback;
use crate::contract::{Breach, Contract};
use crate::meta;
use crate::options::{EventFormat, Options};
use crate::receipt::Receipt;
use crate::shared::{Order, Shared, Taken};

/// What the documented form looks like.
static TEMPLATE: LazyLock<Contract> =
    LazyLock::new(|| Contract::parse(include_str!("../data/gupshup-template.schema.json")));

/// Gupshup's words.
pub(crate) struct Gupshup;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    LazyLock::force(&TEMPLATE);
    Router::new()
        .route("/wa/api/v1/template/msg", post(template))
        .route("/sm/api/v1/template/msg", post(template))
}

async fn template(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get("apikey").and_then(|value| value.to_str().ok());
    if key != Some(GUPSHUP_API_KEY) {
        return shared.family.refuse(401, None, "Authentication Failed");
    }
    match order(&headers, &body) {
        Ok(order) => answer::answer(&shared, order).await,
        Err(breach) => shared.family.refuse(400, None, &breach.to_string()),
    }
}

/// The message of a request.
fn order(headers: &HeaderMap, body: &[u8]) -> Result<Order, Breach> {
    if !is_of(headers, "application/x-www-form-urlencoded") {
        let fault = "is not application/x-www-form-urlencoded";
        return Err(Breach::new("Content-Type", fault));
    }
    let mut request = Map::new();
    for (name, text) in form_urlencoded::parse(body).into_owned() {
        let value = match name.as_str() {
            "template" => {
                serde_json::from_str(&text).map_err(|_| Breach::new("template", "is not JSON"))?
            }
            _ => Value::String(text),
        };
        if request.insert(name.clone(), value).is_some() {
            return Err(Breach::new(&name, "is there twice"));
        }
    }
    let request = Value::Object(request);
    TEMPLATE.check(&request)?;
    let template = &request["template"];
    if request["source"] != GUPSHUP_SOURCE {
        return Err(Breach::new("source", "is not a number of the account"));
    }
    if !request["src.name"].is_null() && request["src.name"] != GUPSHUP_APP_NAME {
        return Err(Breach::new("src.name", "is not the app of the source"));
    }
    if template["id"] != GUPSHUP_TEMPLATE_ID {
        return Err(Breach::new("template.id", "is not an approved template"));
    }
    let params = template["params"].as_array().into_iter().flatten();
    let mut params = params.filter_map(Value::as_str);
    let code = params.next();
    if params.any(|other| Some(other) != code) {
        return Err(Breach::new(
            "template.params.1",
            "is not the code of the body",
        ));
    }
    Ok(Order {
        id: Uuid::new_v4().hyphenated().to_string(),
        channel: "whatsapp",
        to: format!("+{}", request["destination"].as_str().unwrap_or_default()),
        code: code.map(str::to_owned),
        text: None,
        callback_url: None,
        request,
    })
}

/// The id that WhatsApp has for a message.
fn whatsapp_id(taken: &Taken) -> String {
    format!("gBEGk{}", taken.id.replace('-', ""))
}

impl Api for Gupshup {
    fn accepted(&self, taken: &Taken) -> Response {
        json(
            202,
            &json!({ "status": "submitted", "messageId": taken.id }),
        )
    }

    fn refusal(&self, code: u32, status: u16, what: &str) -> Value {
        // Gupshup says some of it in words only.
        let words = match code {
            1002 => "Invalid Destination",
            401 => "Authentication Failed",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            _ => what,
        };
        let mut body = json!({ "status": "error", "message": words });
        if code != u32::from(status) && code != 1002 {
            body["code"] = json!(code.to_string());
        }
        body
    }

    fn error_inside(&self, _taken: &Taken, code: u32) -> Response {
        json(
            200,
            &self.refusal(code, 200, "The stand-in was told to refuse"),
        )
    }

    fn arrives(&self, _taken: &Taken) -> Vec<Receipt> {
        let statuses = ["enqueued", "sent", "delivered", "read"];
        statuses.map(Receipt::new).to_vec()
    }

    fn fails(&self, _taken: &Taken, code: Option<u32>) -> Vec<Receipt> {
        let code = code.unwrap_or(1002);
        vec![Receipt::new("enqueued"), Receipt::failed("failed", code)]
    }

    fn callback(&self, options: &Options, taken: &Taken, receipt: &Receipt, url: &str) -> Callback {
        let body = match options.event_format {
            EventFormat::V2 => event(taken, receipt),
            EventFormat::V3 => passed_through(taken, receipt),
        };
        let bearer = format!("Bearer {GUPSHUP_CALLBACK_TOKEN}");
        Callback {
            url: url.to_owned(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("authorization", bearer),
            ],
            body: body.to_string().into_bytes(),
        }
    }
}

/// Version 2: Gupshup's own.
fn event(taken: &Taken, receipt: &Receipt) -> Value {
    let now = meta::now();
    let mut payload = json!({
        "id": whatsapp_id(taken), "gsId": taken.id, "type": receipt.status,
        "destination": taken.to.trim_start_matches('+'), "payload": { "ts": now.as_secs() },
    });
    if receipt.status == "enqueued" {
        // Not yet at WhatsApp: the id is Gupshup's.
        payload = json!({
            "id": taken.id, "type": receipt.status, "destination": payload["destination"],
            "payload": { "whatsappMessageId": whatsapp_id(taken), "type": "template" },
        });
    }
    if let Some(code) = receipt.code {
        let reason = "Message undeliverable – the stand-in was told so";
        payload["payload"] = json!({ "code": code, "reason": reason });
    }
    let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    json!({
        "app": GUPSHUP_APP_NAME, "timestamp": millis, "version": 2, "type": "message-event",
        "payload": payload,
    })
}

/// Version 3: Meta's, with Gupshup's id.
fn passed_through(taken: &Taken, receipt: &Receipt) -> Value {
    let mut status = json!({
        "gs_id": taken.id, "id": whatsapp_id(taken), "status": receipt.status,
        "recipient_id": taken.to.trim_start_matches('+'),
        "timestamp": meta::now().as_secs().to_string(),
    });
    if receipt.status == "enqueued" {
        // Of this one state in milliseconds, as a number.
        status["timestamp"] = json!(meta::now().as_secs() * 1000);
        status["type"] = json!("template");
    }
    if let Some(code) = receipt.code {
        status["errors"] = meta::errors(code);
    }
    let metadata = json!({ "display_phone_number": GUPSHUP_SOURCE, "phone_number_id": "1" });
    let value = json!({
        "messaging_product": "whatsapp", "metadata": metadata, "statuses": [status],
    });
    json!({
        "object": "whatsapp_business_account", "gs_app_id": "00000000-0000-4000-8000-0000000000aa",
        "entry": [{ "id": "1", "changes": [{ "field": "messages", "value": value }] }],
    })
}
