//! The door for people: what a stand-in does next, and what it got.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::callback::CallbackFault;
use crate::mode::Mode;
use crate::receipt::Receipt;
use crate::shared::{Shared, Taken};

/// `/stand-in/…`. Bodies are JSON, whatever their content type says: they come from curl.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/stand-in/mode", get(mode).post(set_mode))
        .route("/stand-in/messages", get(messages))
        .route("/stand-in/receipts", post(receipts))
        .route("/stand-in/subscribe", post(subscribe))
}

type Refused = (StatusCode, Json<Value>);

fn refused(status: StatusCode, what: &str) -> Refused {
    (status, Json(json!({ "error": what })))
}

async fn mode(State(shared): State<Arc<Shared>>) -> Json<Mode> {
    Json(shared.mode())
}

async fn set_mode(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Json<Mode>, Refused> {
    let mode = serde_json::from_slice(&body)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, &error.to_string()))?;
    shared.set_mode(mode);
    Ok(Json(mode))
}

/// What came in, newest first.
async fn messages(State(shared): State<Arc<Shared>>) -> Json<Vec<Taken>> {
    let mut taken = shared.taken();
    taken.reverse();
    Json(taken)
}

#[derive(Deserialize)]
struct Report {
    id: String,
    #[serde(flatten)]
    receipt: Receipt,
}

/// Sends one receipt now: `{"id": …, "status": "delivered", "code": …}`.
async fn receipts(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Json<Value>, Refused> {
    let report: Report = serde_json::from_slice(&body)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let answered = shared.send(&report.id, &report.receipt).await;
    let answered = answered.map_err(|fault| fallen(&fault))?;
    Ok(Json(json!({ "answered": answered })))
}

/// Registers the callback address as Meta does it.
async fn subscribe(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Refused> {
    let answered = crate::meta::subscribe(&shared).await;
    let subscribed = answered.map_err(|fault| fallen(&fault))?;
    Ok(Json(json!({ "subscribed": subscribed })))
}

fn fallen(fault: &CallbackFault) -> Refused {
    let status = match fault {
        CallbackFault::NoMessage => StatusCode::NOT_FOUND,
        CallbackFault::NoAddress | CallbackFault::NotLoopback => StatusCode::CONFLICT,
        CallbackFault::NoAnswer => StatusCode::BAD_GATEWAY,
    };
    refused(status, &fault.to_string())
}
