//! The admin listener: whether the process lives, whether it can serve, how its providers do, and what
//! it counted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use watchword_core::{StoreError, Verifier};

use crate::mount::{Area, RouteEntry, RouteTable, with_fallbacks};
use crate::problem::Problem;

/// How long the store may take to say that it would answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// Asked whether its store would answer.
    pub verifier: Arc<Verifier>,
    /// The metrics, in the text format of OpenMetrics.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// How each provider is doing, as JSON. Only what is known already: nobody is asked for it.
    pub providers: Arc<dyn Fn() -> String + Send + Sync>,
    /// Cancelled when the server begins to shut down. From then on it is not ready.
    pub shutdown: CancellationToken,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin")
    }
}

/// The paths of [`admin_router`], all of them for `GET`.
const PATHS: [&str; 4] = ["/livez", "/readyz", "/health/providers", "/metrics"];

/// Every route that [`admin_router`] has.
#[must_use]
pub fn admin_route_table() -> RouteTable {
    let route = |path: &str| RouteEntry {
        method: Method::GET,
        path: path.to_owned(),
        area: Area::Admin,
    };
    PATHS.into_iter().map(route).collect()
}

/// The router of the admin listener: `/livez`, `/readyz`, `/health/providers`, `/metrics`.
///
/// `/livez` is 200 as long as the process answers at all. `/readyz` is 200 while the store answers and
/// the server does not shut down, else 503. Neither touches a provider, and none makes it fail:
/// `/health/providers` is 200 whatever it says of them.
pub fn admin_router(admin: Admin) -> Router {
    let [livez, readyz, providers, metrics] = PATHS;
    let router = Router::new()
        .route(
            livez,
            get(async || text("text/plain; charset=utf-8", "alive\n".to_owned())),
        )
        .route(readyz, get(ready))
        .route(providers, get(report))
        .route(metrics, get(count));
    with_fallbacks(router).with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.shutdown.is_cancelled() {
        let mut leaving = text("text/plain; charset=utf-8", "shutting down\n".to_owned());
        *leaving.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return leaving;
    }
    let answer = tokio::time::timeout(PATIENCE, admin.verifier.ready()).await;
    let late = || Err(StoreError::unavailable("it did not answer within a second"));
    match answer.unwrap_or_else(|_| late()) {
        Ok(()) => text("text/plain; charset=utf-8", "ready\n".to_owned()),
        Err(error) => Problem::from(error).into_response(),
    }
}

async fn report(State(admin): State<Admin>) -> Response {
    text("application/json", (admin.providers)())
}

async fn count(State(admin): State<Admin>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    text(media_type, (admin.metrics)())
}

fn text(media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
