//! Meta's WhatsApp Cloud API: template messages, what a doctor looks up, and webhooks.
//!
//! Sources: Meta's pages on authentication templates, error codes and webhooks.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::account::{
    META_ACCESS_TOKEN, META_APP_SECRET, META_BUSINESS_ACCOUNT_ID, META_LANGUAGES,
    META_PHONE_NUMBER_ID, META_TEMPLATE, META_VERIFY_TOKEN,
};
use crate::answer::{self, Api, is_of, json};
use crate::callback::{Callback, CallbackFault};
use crate::contract::{Breach, Contract};
use crate::options::Options;
use crate::receipt::Receipt;
use crate::shared::{Order, Shared, Taken};
use crate::signature;

/// What the documented request looks like.
static MESSAGE: LazyLock<Contract> =
    LazyLock::new(|| Contract::parse(include_str!("../data/meta-message.schema.json")));

/// Meta's words.
pub(crate) struct Meta;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    LazyLock::force(&MESSAGE);
    Router::new()
        .route("/{version}/{id}/messages", post(messages))
        .route("/{version}/{id}/message_templates", get(templates))
        .route("/{version}/{id}", get(node))
}

fn refuse(shared: &Shared, code: u32, breach: &Breach) -> Response {
    shared.family.refuse(code, None, &breach.to_string())
}

/// The refusal of whoever has no business here, or asks in no version of the API.
fn turned_away(shared: &Shared, headers: &HeaderMap, version: &str) -> Option<Response> {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if given.and_then(|given| given.strip_prefix("Bearer ")) != Some(META_ACCESS_TOKEN) {
        let what = "Invalid OAuth access token - Cannot parse access token";
        return Some(shared.family.refuse(190, None, what));
    }
    let parts = version.strip_prefix('v').and_then(|v| v.split_once('.'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !parts.is_some_and(|(major, minor)| digits(major) && digits(minor)) {
        return Some(refuse(
            shared,
            2500,
            &Breach::new("version", "is not like v25.0"),
        ));
    }
    None
}

/// What Meta says of an id that is not there, or not for this token.
fn unknown(shared: &Shared) -> Response {
    let what = "Unsupported request. Object with this ID does not exist, or lacks permissions";
    shared.family.refuse(100, None, what)
}

async fn messages(
    State(shared): State<Arc<Shared>>,
    Path((version, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, &version) {
        return refusal;
    }
    if id != META_PHONE_NUMBER_ID {
        return unknown(&shared);
    }
    match order(&headers, &body) {
        Ok(order) => answer::answer(&shared, order).await,
        Err((code, breach)) => refuse(&shared, code, &breach),
    }
}

/// The message of a request.
fn order(headers: &HeaderMap, body: &[u8]) -> Result<Order, (u32, Breach)> {
    let breach = |code, field: &str, fault: &str| (code, Breach::new(field, fault));
    if !is_of(headers, "application/json") {
        return Err(breach(100, "Content-Type", "is not application/json"));
    }
    let request: Value =
        serde_json::from_slice(body).map_err(|_| breach(100, "body", "is not JSON"))?;
    MESSAGE.check(&request).map_err(|breach| (100, breach))?;
    let template = &request["template"];
    let code = |index: usize| template["components"][index]["parameters"][0]["text"].as_str();
    if code(0) != code(1) {
        let field = "template.components.1.parameters.0.text";
        return Err(breach(100, field, "is not the code of the body"));
    }
    let language = template["language"]["code"].as_str().unwrap_or_default();
    if template["name"] != META_TEMPLATE {
        return Err(breach(
            132_001,
            "template.name",
            "is not an approved template",
        ));
    }
    if !META_LANGUAGES.contains(&language) {
        let fault = "is no language that the template is approved in";
        return Err(breach(132_001, "template.language.code", fault));
    }
    // Ids of messages are base64 after this prefix.
    let id = STANDARD.encode(Uuid::new_v4().simple().to_string());
    Ok(Order {
        id: format!("wamid.{id}"),
        channel: "whatsapp",
        to: format!("+{}", request["to"].as_str().unwrap_or_default()),
        code: code(0).map(str::to_owned),
        text: None,
        callback_url: None,
        request,
    })
}

/// `GET /{version}/{phone-number-id}`: a look at the sender that costs nothing.
async fn node(
    State(shared): State<Arc<Shared>>,
    Path((version, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, &version) {
        return refusal;
    }
    match id.as_str() {
        META_PHONE_NUMBER_ID => json(
            200,
            &json!({
                "id": META_PHONE_NUMBER_ID, "verified_name": "Stand-in",
                "display_phone_number": "+1 201-555-0102", "quality_rating": "GREEN",
                "code_verification_status": "VERIFIED", "platform_type": "CLOUD_API",
                "throughput": { "level": "STANDARD" },
                "health_status": { "can_send_message": "AVAILABLE", "entities": [
                    { "entity_type": "PHONE_NUMBER", "id": META_PHONE_NUMBER_ID,
                        "can_send_message": "AVAILABLE" },
                    { "entity_type": "WABA", "id": META_BUSINESS_ACCOUNT_ID,
                        "can_send_message": "AVAILABLE" },
                ] },
            }),
        ),
        META_BUSINESS_ACCOUNT_ID => json(
            200,
            &json!({ "id": META_BUSINESS_ACCOUNT_ID, "name": "Stand-in", "timezone_id": "1" }),
        ),
        _ => unknown(&shared),
    }
}

/// `GET /{version}/{business-account-id}/message_templates[?name=…]`
async fn templates(
    State(shared): State<Arc<Shared>>,
    Path((version, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, &version) {
        return refusal;
    }
    if id != META_BUSINESS_ACCOUNT_ID {
        return unknown(&shared);
    }
    let query = query.unwrap_or_default();
    let wanted = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "name");
    // As Meta's, the search is for names that hold the words.
    let is_wanted = wanted.is_none_or(|(_, name)| META_TEMPLATE.contains(&*name));
    let mut data = Vec::new();
    for (position, language) in META_LANGUAGES.iter().enumerate().filter(|_| is_wanted) {
        let button = json!({ "type": "URL", "text": "Copy code",
            "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}" });
        data.push(json!({
            "id": format!("20000000000000{position}"), "name": META_TEMPLATE,
            "language": language, "status": "APPROVED", "category": "AUTHENTICATION",
            "message_send_ttl_seconds": 300,
            "components": [
                { "type": "BODY", "text": "*{{1}}*", "add_security_recommendation": true },
                { "type": "FOOTER", "code_expiration_minutes": 5 },
                { "type": "BUTTONS", "buttons": [button] },
            ],
        }));
    }
    let cursors = json!({ "cursors": { "before": "MAZDZD", "after": "MjQZD" } });
    json(200, &json!({ "data": data, "paging": cursors }))
}

/// Registers the callback address: it has to repeat the challenge, and nothing else.
pub(crate) async fn subscribe(shared: &Shared) -> Result<bool, CallbackFault> {
    let url = shared.options.callbacks.as_deref();
    let url = url.ok_or(CallbackFault::NoAddress)?;
    let challenge = Uuid::new_v4().as_u128().to_string();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("hub.mode", "subscribe")
        .append_pair("hub.challenge", &challenge)
        .append_pair("hub.verify_token", META_VERIFY_TOKEN)
        .finish();
    let sign = if url.contains('?') { '&' } else { '?' };
    let (status, body) = shared.caller.get(&format!("{url}{sign}{query}")).await?;
    Ok(status == 200 && body == challenge.as_bytes())
}

/// Seconds since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// JSON as Meta sends it: in ASCII, everything else escaped.
pub(crate) fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for sign in value.to_string().chars() {
        if sign.is_ascii() {
            text.push(sign);
            continue;
        }
        for unit in sign.encode_utf16(&mut [0; 2]) {
            // Writing to a text cannot fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// The errors of a failed message, as webhooks have them.
pub(crate) fn errors(code: u32) -> Value {
    json!([{
        "code": code, "title": "Message undeliverable", "message": "Message undeliverable",
        "error_data": { "details": "Message Undeliverable – the stand-in was told so." },
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }])
}

impl Api for Meta {
    fn accepted(&self, taken: &Taken) -> Response {
        let to = &taken.request["to"];
        json(
            200,
            &json!({
                "messaging_product": "whatsapp", "contacts": [{ "input": to, "wa_id": to }],
                "messages": [{ "id": taken.id, "message_status": "accepted" }],
            }),
        )
    }

    fn refusal(&self, code: u32, _status: u16, what: &str) -> Value {
        json!({ "error": {
            "message": format!("(#{code}) {what}"), "type": "OAuthException", "code": code,
            "error_data": { "messaging_product": "whatsapp", "details": what },
            "fbtrace_id": "A0000000000000000000000",
        }})
    }

    fn error_inside(&self, _taken: &Taken, code: u32) -> Response {
        json(
            200,
            &self.refusal(code, 200, "The stand-in was told to refuse"),
        )
    }

    fn arrives(&self, _taken: &Taken) -> Vec<Receipt> {
        ["sent", "delivered", "read"].map(Receipt::new).to_vec()
    }

    fn fails(&self, _taken: &Taken, code: Option<u32>) -> Vec<Receipt> {
        let code = code.unwrap_or(131_026);
        vec![Receipt::new("sent"), Receipt::failed("failed", code)]
    }

    fn callback(&self, _: &Options, taken: &Taken, receipt: &Receipt, url: &str) -> Callback {
        let mut status = json!({
            "id": taken.id, "status": receipt.status, "timestamp": now().as_secs().to_string(),
            "recipient_id": taken.to.trim_start_matches('+'),
        });
        match receipt.code {
            Some(code) => status["errors"] = errors(code),
            None => {
                status["pricing"] = json!({ "billable": true, "pricing_model": "PMP",
                    "type": "regular", "category": "authentication" });
            }
        }
        if let Some(data) = taken.request.get("biz_opaque_callback_data") {
            status["biz_opaque_callback_data"] = data.clone();
        }
        let value = json!({
            "messaging_product": "whatsapp",
            "metadata": { "display_phone_number": "12015550102",
                "phone_number_id": META_PHONE_NUMBER_ID },
            "statuses": [status],
        });
        let body = json!({ "object": "whatsapp_business_account", "entry": [{
            "id": META_BUSINESS_ACCOUNT_ID, "changes": [{ "field": "messages", "value": value }],
        }]});
        let body = ascii(&body).into_bytes();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            (
                "x-hub-signature-256",
                signature::hub(META_APP_SECRET, &body),
            ),
        ];
        Callback {
            url: url.to_owned(),
            headers,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_is_sent_escaped() {
        let value = json!({ "name": "äöå", "face": "😀", "quoted": "a\"b" });
        let sent = ascii(&value);
        assert!(sent.is_ascii(), "{sent}");
        assert!(sent.contains(r"\u00e4\u00f6\u00e5") && sent.contains(r"\ud83d\ude00"));
        assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), value);
    }
}
