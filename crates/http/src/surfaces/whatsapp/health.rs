//! Whether the `whatsapp` surface can serve.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use watchword_core::{Readiness, StoreError};

use crate::app::App;
use crate::problem::Cause;
use crate::surfaces::dialect::json;

/// How long the store may take to say that it would answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How it goes.
#[derive(Serialize, ToSchema)]
#[schema(as = WhatsappHealth)]
pub(super) struct HealthView {
    /// `healthy`, `degraded` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// The same for people.
    #[schema(example = "WhatsApp OTP API is running")]
    message: &'static str,
}

/// Health check
///
/// Needs no key. Touches the store and no provider.
#[utoipa::path(
    get, path = "/health", tag = "whatsapp",
    security(()),
    responses(
        (status = 200, description = "It serves; `degraded` while the store stands in for another one.", body = HealthView),
        (status = 503, description = "The store cannot answer.", body = HealthView),
    ),
)]
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let answer = tokio::time::timeout(PATIENCE, app.verifier.readiness()).await;
    let late = || Err(StoreError::unavailable("it did not answer within a second"));
    let (status, status_name, message) = match answer.unwrap_or_else(|_| late()) {
        Ok(Readiness::Ready) => (StatusCode::OK, "healthy", "WhatsApp OTP API is running"),
        Ok(Readiness::Degraded) => (
            StatusCode::OK,
            "degraded",
            "WhatsApp OTP API is running on its local store",
        ),
        Err(error) => {
            let view = HealthView {
                status: "unhealthy",
                message: "The store of the WhatsApp OTP API cannot be reached",
            };
            let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &view);
            response.extensions_mut().insert(Cause::new(error));
            return response;
        }
    };
    let view = HealthView {
        status: status_name,
        message,
    };
    json(status, &view)
}
