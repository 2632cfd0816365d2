//! Twilio's templates, as its Content API shows them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::{turned_away, unknown};
use crate::account::{
    TWILIO_ACCOUNT_SID, TWILIO_CONTENT_SID, TWILIO_CONTENT_SID_DE, TWILIO_CONTENT_SID_PENDING,
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
