//! Writing an answer.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

/// Room for what the usual answer is long, and for its headers with those that the serve layer and hyper
/// add: neither is moved while it grows.
const ROOM: usize = 1024;
const HEADERS: usize = 12;

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(ROOM);
    // Plain structs of strings and numbers: they always have a JSON form.
    if serde_json::to_writer(&mut text, body).is_err() {
        text.clear();
    }
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.headers_mut() = headers;
    response
}
