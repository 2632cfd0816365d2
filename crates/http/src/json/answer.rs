//! Writing an answer.

use std::fmt::Display;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::{Serialize, Serializer};

/// Room for what the usual answer is long, so that it is not moved while it grows.
const ROOM: usize = 1024;
/// Headers that there is room for: that of the body and those that the serve layer adds. A map of more takes twice
/// as much.
const HEADERS: usize = 6;

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    answer_with(0, status, body)
}

/// A JSON answer that gets so many headers more.
pub(crate) fn answer_with(more: usize, status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(ROOM);
    // Plain structs of strings and numbers: they always have a JSON form.
    if serde_json::to_writer(&mut text, body).is_err() {
        text.clear();
    }
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let mut headers = HeaderMap::with_capacity(HEADERS + more);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.headers_mut() = headers;
    response
}

/// For members that are written as they are shown.
pub(crate) fn display<T: Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
