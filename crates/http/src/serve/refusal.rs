//! Answers that the serve layer gives itself, when no surface could.

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode, Version};

/// Why the serve layer answers instead of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body did not arrive in time.
    BodyTimeout,
    /// The handler did not finish in time.
    RequestTimeout,
    /// The handler panicked.
    Panic,
}

impl Refusal {
    /// An RFC 9457 problem. The surface is unknown here, so every dialect gets the same one.
    pub(super) fn response(self, version: Version) -> Response<Body> {
        let (status, body) = match self {
            Self::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                r#"{"type":"urn:watchword:problem:request-timeout","title":"The request did not arrive in time","status":408,"detail":"the body did not arrive in time; send it again","code":"request-timeout"}"#,
            ),
            Self::RequestTimeout => (
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"type":"urn:watchword:problem:timed-out","title":"The request took too long","status":503,"detail":"the request was not finished in time; what it started may still come about","code":"timed-out"}"#,
            ),
            Self::Panic => (
                StatusCode::INTERNAL_SERVER_ERROR,
                r#"{"type":"urn:watchword:problem:internal-error","title":"Something went wrong here","status":500,"detail":"the request was not finished; the log of the server says more under its X-Request-Id","code":"internal-error"}"#,
            ),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, problem);
        if self == Self::RequestTimeout {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if self == Self::BodyTimeout && version < Version::HTTP_2 {
            // The rest of the body may still come, and must not be read as a request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
