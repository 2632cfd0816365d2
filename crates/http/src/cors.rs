//! Cross-origin requests (CORS): off, unless origins are configured, and then for exactly those.
//!
//! Only what surfaces answer can be read from elsewhere, never a page of dev mode. Credentials are not
//! allowed: API keys travel in a header, and there are no cookies.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

/// The origins that may read answers. Compared byte by byte: a browser writes an origin one way only.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Arc<[HeaderValue]>);

impl Origins {
    /// These origins; `None` if there are none.
    pub(crate) fn new(origins: &[String]) -> Option<Self> {
        let values = origins.iter().map(HeaderValue::try_from);
        let values: Arc<[_]> = values.filter_map(Result::ok).collect();
        (!values.is_empty()).then_some(Self(values))
    }

    fn of(&self, request: &Request) -> Option<HeaderValue> {
        let mut said = request.headers().get_all(ORIGIN).iter();
        let (Some(one), None) = (said.next(), said.next()) else {
            return None;
        };
        self.0.contains(one).then(|| one.clone())
    }
}

/// Answers preflight requests, and marks answers that may be read.
pub(crate) async fn around(
    State(origins): State<Origins>,
    request: Request,
    next: Next,
) -> Response {
    let origin = origins.of(&request);
    let asks_first = *request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks_first && origin.is_some() {
        preflight()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    // Also where the origin is refused: a cache must not give that answer to another one.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = "Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id";
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(exposed),
        );
    }
    response
}

fn preflight() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Idempotency-Key",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
