//! Twilio: messages, calls, templates and their status callbacks.
//!
//! Sources: Twilio's OpenAPI description (an extract is in the tests of the crate that sends), its
//! pages on status callbacks, on webhook security and on errors.

mod content;
mod form;
mod speech;

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::account::{TWILIO_ACCOUNT_SID, TWILIO_API_KEY, TWILIO_API_SECRET, TWILIO_AUTH_TOKEN};
use crate::answer::{self, Api, is_of, json};
use crate::callback::Callback;
use crate::contract::{Breach, Form};
use crate::options::Options;
use crate::receipt::Receipt;
use crate::shared::{Order, Shared, Taken};
use crate::signature;

/// The published description, which the crate that sends is held against, too.
static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../providers/tests/data/twilio-messaging.openapi.json");
    serde_json::from_str(text).unwrap_or_default()
});
static MESSAGE: LazyLock<Form> =
    LazyLock::new(|| Form::of_operation(&DESCRIPTION, "CreateMessage"));
static CALL: LazyLock<Form> = LazyLock::new(|| Form::of_operation(&DESCRIPTION, "CreateCall"));

/// Twilio's words.
pub(crate) struct Twilio;

type Fields = Vec<(String, String)>;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    // So that a description that went missing stops a start, not a request.
    LazyLock::force(&MESSAGE);
    LazyLock::force(&CALL);
    Router::new()
        .route("/2010-04-01/Accounts/{sid}", get(account))
        .route("/2010-04-01/Accounts/{sid}/Messages.json", post(messages))
        .route("/2010-04-01/Accounts/{sid}/Calls.json", post(calls))
        .route("/2010-04-01/Accounts/{sid}/Messages/{id}", get(fetch))
        .route("/2010-04-01/Accounts/{sid}/Calls/{id}", get(fetch))
        .route(
            "/2010-04-01/Accounts/{sid}/IncomingPhoneNumbers.json",
            get(content::numbers),
        )
        .route("/v1/Content/{sid}", get(content::content))
        .route("/v1/Content/{sid}/ApprovalRequests", get(content::approval))
        .route("/v1/ContentAndApprovals", get(content::contents))
}

/// Whether the account, or an API key of it, is asking.
fn authorized(headers: &HeaderMap) -> bool {
    let basic = |user: &str, password: &str| {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    };
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    given.is_some_and(|given| {
        given == basic(TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN)
            || given == basic(TWILIO_API_KEY, TWILIO_API_SECRET)
    })
}

/// The refusal of whoever has no business with this account. The path may end in `.json`.
fn turned_away(shared: &Shared, headers: &HeaderMap, sid: &str) -> Option<Response> {
    if !authorized(headers) {
        return Some(shared.family.refuse(20_003, None, "Authenticate"));
    }
    if sid.trim_end_matches(".json") != TWILIO_ACCOUNT_SID {
        return Some(unknown(shared));
    }
    None
}

fn unknown(shared: &Shared) -> Response {
    let what = "The requested resource was not found";
    shared.family.refuse(20_404, None, what)
}

/// A form that fits the description of its operation, in two shapes.
fn read(form: &Form, headers: &HeaderMap, body: &[u8]) -> Result<(Fields, Value), Breach> {
    if !is_of(headers, "application/x-www-form-urlencoded") {
        let fault = "is not application/x-www-form-urlencoded";
        return Err(Breach::new("Content-Type", fault));
    }
    let fields: Fields = form_urlencoded::parse(body).into_owned().collect();
    let value = form.check(&fields)?;
    Ok((fields, value))
}

async fn messages(
    State(shared): State<Arc<Shared>>,
    Path(sid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, &sid) {
        return refusal;
    }
    let (fields, request) = match read(&MESSAGE, &headers, &body) {
        Ok(form) => form,
        Err(breach) => return shared.family.refuse(20_001, None, &breach.to_string()),
    };
    if let Err((code, breach)) = form::message(&fields) {
        return shared.family.refuse(code, None, &breach.to_string());
    }
    let to = field(&fields, "To");
    let number = to.strip_prefix("whatsapp:");
    let text = request["Body"].as_str().map(str::to_owned);
    let code = match number {
        Some(_) => form::variable(&fields),
        None => text.as_deref().and_then(speech::code_in_text),
    };
    let order = Order {
        id: format!("SM{}", Uuid::new_v4().simple()),
        channel: if number.is_some() { "whatsapp" } else { "sms" },
        to: number.unwrap_or(to).to_owned(),
        code,
        text,
        callback_url: request["StatusCallback"].as_str().map(str::to_owned),
        request,
    };
    answer::answer(&shared, order).await
}

async fn calls(
    State(shared): State<Arc<Shared>>,
    Path(sid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, &sid) {
        return refusal;
    }
    let (fields, request) = match read(&CALL, &headers, &body) {
        Ok(form) => form,
        Err(breach) => return shared.family.refuse(20_001, None, &breach.to_string()),
    };
    if let Err((code, breach)) = form::call(&fields) {
        return shared.family.refuse(code, None, &breach.to_string());
    }
    let said = speech::said(field(&fields, "Twiml"));
    let order = Order {
        id: format!("CA{}", Uuid::new_v4().simple()),
        channel: "voice",
        to: field(&fields, "To").to_owned(),
        code: said.as_deref().and_then(speech::code_in_speech),
        text: said,
        callback_url: request["StatusCallback"].as_str().map(str::to_owned),
        request,
    };
    answer::answer(&shared, order).await
}

/// The value of a field; of a list the first.
fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    let found = fields.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}

async fn fetch(
    State(shared): State<Arc<Shared>>,
    Path((sid, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, &sid) {
        return refusal;
    }
    match shared.find(id.trim_end_matches(".json")) {
        Some(taken) if taken.accepted => json(200, &resource(&taken)),
        _ => unknown(&shared),
    }
}

async fn account(
    State(shared): State<Arc<Shared>>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, &sid) {
        return refusal;
    }
    let account = json!({
        "sid": TWILIO_ACCOUNT_SID, "owner_account_sid": TWILIO_ACCOUNT_SID,
        "friendly_name": "Stand-in", "status": "active", "type": "Full",
        "uri": format!("/2010-04-01/Accounts/{TWILIO_ACCOUNT_SID}.json"),
    });
    json(200, &account)
}

/// A message or call as the API shows it.
fn resource(taken: &Taken) -> Value {
    let request = &taken.request;
    let told = taken.receipts.last().map(|told| &told.receipt);
    let is_call = taken.channel == "voice";
    let first = match request["MessagingServiceSid"].is_string() {
        true => "accepted",
        false => "queued",
    };
    let status = told.map_or(first, |told| &told.status);
    let status = if status == "initiated" { first } else { status };
    let now = rfc2822();
    let (sid, to, from) = (&taken.id, &request["To"], &request["From"]);
    if is_call {
        return json!({
            "sid": sid, "account_sid": TWILIO_ACCOUNT_SID, "to": to, "from": from,
            "status": status, "direction": "outbound-api", "api_version": "2010-04-01",
            "date_created": null, "date_updated": null, "start_time": null, "end_time": null,
            "duration": null, "price": null, "price_unit": "USD", "queue_time": "0",
            "uri": format!("/2010-04-01/Accounts/{TWILIO_ACCOUNT_SID}/Calls/{sid}.json"),
        });
    }
    json!({
        "sid": sid, "account_sid": TWILIO_ACCOUNT_SID, "to": to, "from": from,
        "messaging_service_sid": request["MessagingServiceSid"], "body": request["Body"],
        "status": status, "error_code": told.and_then(|told| told.code), "error_message": null,
        "direction": "outbound-api", "num_segments": "1", "num_media": "0", "price": null,
        "price_unit": "USD", "api_version": "2010-04-01", "date_created": now,
        "date_updated": now, "date_sent": null,
        "uri": format!("/2010-04-01/Accounts/{TWILIO_ACCOUNT_SID}/Messages/{sid}.json"),
    })
}

fn rfc2822() -> String {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    let now = now.to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&now).unwrap_or_default()
}

impl Api for Twilio {
    fn accepted(&self, taken: &Taken) -> Response {
        json(201, &resource(taken))
    }

    fn refusal(&self, code: u32, status: u16, what: &str) -> Value {
        let more = format!("https://www.twilio.com/docs/errors/{code}");
        json!({ "code": code, "message": what, "more_info": more, "status": status })
    }

    fn error_inside(&self, taken: &Taken, code: u32) -> Response {
        let mut failed = resource(taken);
        failed["status"] = json!("failed");
        if taken.channel != "voice" {
            failed["error_code"] = json!(code);
            failed["error_message"] = json!("The stand-in was told to fail");
        }
        json(201, &failed)
    }

    fn arrives(&self, taken: &Taken) -> Vec<Receipt> {
        let statuses: &[&str] = match taken.channel {
            "voice" => return asked_for(taken, "completed"),
            "whatsapp" => &["sent", "delivered", "read"],
            _ => &["sent", "delivered"],
        };
        statuses.iter().map(|status| Receipt::new(status)).collect()
    }

    fn fails(&self, taken: &Taken, code: Option<u32>) -> Vec<Receipt> {
        match taken.channel {
            "voice" => {
                let mut plan = asked_for(taken, "no-answer");
                plan.retain(|receipt| receipt.status != "in-progress");
                plan
            }
            "whatsapp" => vec![
                Receipt::new("sent"),
                Receipt::failed("failed", code.unwrap_or(63_024)),
            ],
            _ => vec![
                Receipt::new("sent"),
                Receipt::failed("undelivered", code.unwrap_or(30_005)),
            ],
        }
    }

    fn callback(&self, options: &Options, taken: &Taken, receipt: &Receipt, url: &str) -> Callback {
        let fields = match taken.channel {
            "voice" => call_fields(taken, receipt),
            _ => message_fields(taken, receipt),
        };
        let url = url.split('#').next().unwrap_or_default();
        let token = format!("{}-{}", taken.id, receipt.status);
        let mut headers = vec![("i-twilio-idempotency-token", token)];
        let (url, body, kind, signature) = if options.json_receipts {
            let body: Map<String, Value> = fields
                .into_iter()
                .map(|(name, value)| (name, Value::String(value)))
                .collect();
            let body = Value::Object(body).to_string().into_bytes();
            let url = signature::twilio_json_url(url, &body);
            let signature = signature::twilio(TWILIO_AUTH_TOKEN, &url, &[]);
            (url, body, "application/json", signature)
        } else {
            let signature = signature::twilio(TWILIO_AUTH_TOKEN, url, &fields);
            let body = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&fields)
                .finish();
            let kind = "application/x-www-form-urlencoded; charset=UTF-8";
            (url.to_owned(), body.into_bytes(), kind, signature)
        };
        headers.push(("content-type", kind.to_owned()));
        headers.push(("x-twilio-signature", signature));
        Callback { url, headers, body }
    }
}

/// The events of a call that the request asked for, in their order; the last one in any case
/// unless others were asked for.
fn asked_for(taken: &Taken, end: &str) -> Vec<Receipt> {
    let asked = taken.request["StatusCallbackEvent"].as_array();
    let wants = |event: &str| match asked {
        Some(list) => list.iter().any(|asked| asked == event),
        None => event == "completed",
    };
    let events = [
        ("initiated", "initiated"),
        ("ringing", "ringing"),
        ("answered", "in-progress"),
        ("completed", end),
    ];
    let wanted = events.into_iter().filter(|(event, _)| wants(event));
    wanted.map(|(_, status)| Receipt::new(status)).collect()
}

fn pairs(list: &[(&str, &str)]) -> Fields {
    list.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn message_fields(taken: &Taken, receipt: &Receipt) -> Fields {
    let text = |name: &str| taken.request[name].as_str().unwrap_or_default();
    let status = receipt.status.as_str();
    let mut fields = pairs(&[
        ("AccountSid", TWILIO_ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
        ("From", text("From")),
        ("MessageSid", &taken.id),
        ("MessageStatus", status),
        ("SmsSid", &taken.id),
        ("SmsStatus", status),
        ("To", text("To")),
    ]);
    let service = text("MessagingServiceSid");
    if !service.is_empty() {
        fields.extend(pairs(&[("MessagingServiceSid", service)]));
    }
    if let Some(code) = receipt.code {
        fields.push(("ErrorCode".to_owned(), code.to_string()));
    }
    if taken.channel == "whatsapp" {
        let installed = "XE00000000000000000000000000000001";
        fields.extend(pairs(&[
            ("ChannelInstallSid", installed),
            ("ChannelPrefix", "whatsapp"),
        ]));
        if status == "read" {
            fields.extend(pairs(&[("EventType", "READ")]));
        }
        if receipt.code.is_some() {
            let why = "Message undeliverable – the stand-in was told so";
            fields.extend(pairs(&[("ChannelStatusMessage", why)]));
        }
    } else if matches!(status, "delivered" | "undelivered") {
        fields.extend(pairs(&[("RawDlrDoneDate", "2611210530")]));
    }
    fields
}

fn call_fields(taken: &Taken, receipt: &Receipt) -> Fields {
    let text = |name: &str| taken.request[name].as_str().unwrap_or_default();
    let status = receipt.status.as_str();
    let sequence = match status {
        "initiated" => "0",
        "ringing" => "1",
        "in-progress" => "2",
        _ => "3",
    };
    let mut fields = pairs(&[
        ("AccountSid", TWILIO_ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", &taken.id),
        ("CallStatus", status),
        ("CallbackSource", "call-progress-events"),
        ("Called", text("To")),
        ("Caller", text("From")),
        ("Direction", "outbound-api"),
        ("From", text("From")),
        ("SequenceNumber", sequence),
        ("Timestamp", &rfc2822()),
        ("To", text("To")),
    ]);
    if sequence == "3" {
        let seconds = if status == "completed" { "21" } else { "0" };
        fields.extend(pairs(&[("CallDuration", seconds), ("Duration", "1")]));
    }
    if let Some(code) = receipt.code {
        fields.push(("ErrorCode".to_owned(), code.to_string()));
    }
    fields
}

#[cfg(test)]
mod tests;
