//! What Twilio shows without sending: templates, as its Content API has them, and numbers.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::{turned_away, unknown};
use crate::account::{
    TWILIO_ACCOUNT_SID, TWILIO_CONTENT_SID, TWILIO_CONTENT_SID_DE, TWILIO_CONTENT_SID_PENDING,
    TWILIO_NUMBER,
};
use crate::answer::json;
use crate::shared::Shared;

/// The templates: SID, language, approval.
const CONTENTS: [(&str, &str, &str); 3] = [
    (TWILIO_CONTENT_SID, "en", "approved"),
    (TWILIO_CONTENT_SID_DE, "de", "approved"),
    (TWILIO_CONTENT_SID_PENDING, "es", "pending"),
];

fn template(sid: &str, language: &str) -> Value {
    let code = json!({
        "add_security_recommendation": true, "code_expiration_minutes": 5,
        "actions": [{ "type": "COPY_CODE", "copy_code_text": "Copy code" }],
    });
    json!({
        "sid": sid, "account_sid": TWILIO_ACCOUNT_SID, "friendly_name": "verification_code",
        "language": language, "variables": { "1": "123456" },
        "types": { "whatsapp/authentication": code },
    })
}

fn approval_of(status: &str) -> Value {
    json!({
        "type": "whatsapp", "name": "verification_code", "category": "AUTHENTICATION",
        "content_type": "whatsapp/authentication", "status": status, "rejection_reason": "",
        "allow_category_change": true,
    })
}

pub(super) async fn content(
    State(shared): State<Arc<Shared>>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, TWILIO_ACCOUNT_SID) {
        return refusal;
    }
    match CONTENTS.iter().find(|(known, _, _)| *known == sid) {
        Some((sid, language, _)) => json(200, &template(sid, language)),
        None => unknown(&shared),
    }
}

pub(super) async fn approval(
    State(shared): State<Arc<Shared>>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, TWILIO_ACCOUNT_SID) {
        return refusal;
    }
    match CONTENTS.iter().find(|(known, _, _)| *known == sid) {
        Some((sid, _, status)) => json(
            200,
            &json!({
                "sid": sid, "account_sid": TWILIO_ACCOUNT_SID, "whatsapp": approval_of(status),
            }),
        ),
        None => unknown(&shared),
    }
}

pub(super) async fn contents(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, TWILIO_ACCOUNT_SID) {
        return refusal;
    }
    let contents = CONTENTS.map(|(sid, language, status)| {
        let mut content = template(sid, language);
        content["approval_requests"] = approval_of(status);
        content
    });
    let meta = json!({ "key": "contents", "page": 0, "page_size": 50, "next_page_url": null });
    json(200, &json!({ "contents": contents, "meta": meta }))
}

/// `GET …/IncomingPhoneNumbers.json[?PhoneNumber=…]`
pub(super) async fn numbers(
    State(shared): State<Arc<Shared>>,
    Path(sid): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = turned_away(&shared, &headers, &sid) {
        return refusal;
    }
    let query = query.unwrap_or_default();
    let wanted = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "PhoneNumber");
    let numbers = match wanted.is_none_or(|(_, number)| number == TWILIO_NUMBER) {
        true => json!([{
            "sid": "PN00000000000000000000000000000001", "account_sid": TWILIO_ACCOUNT_SID,
            "phone_number": TWILIO_NUMBER, "friendly_name": "Stand-in", "status": "in-use",
            "capabilities": { "voice": true, "sms": true, "mms": true, "fax": false },
        }]),
        false => json!([]),
    };
    json(
        200,
        &json!({ "incoming_phone_numbers": numbers, "page": 0, "next_page_uri": null }),
    )
}
