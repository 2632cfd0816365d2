//! Problems: how the native surface, and whatever has no dialect of its own, says no (RFC 9457).
//!
//! **Invariant:** a problem never holds a code, a key or a full recipient. What went wrong inside the
//! server rides in the response's extensions as a [`Cause`], for the log only.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::json::Fault;
use crate::rate_limit::RateLimit;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What can be the matter. Each has its own `type`, whose meaning never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProblemKind {
    /// Something in the request is not as documented.
    InvalidRequest,
    /// No API key, or not one of this server.
    Unauthenticated,
    /// The API key lacks a scope.
    Forbidden,
    /// A number that no code is sent to.
    DestinationRefused,
    /// Unknown, expired, consumed, superseded, or another app's.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The state it is in, or another request, stands against it.
    Conflict,
    /// The guesses are used up.
    AttemptsExhausted,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Not the code, or not the binding.
    IncorrectCode,
    /// The idempotency key came with another request.
    IdempotencyKeyReused,
    /// Every channel refused the recipient.
    RecipientUnreachable,
    /// Too many sends.
    RateLimited,
    /// The last send is too fresh.
    ResendTooSoon,
    /// Too many failed checks of this recipient.
    RecipientLocked,
    /// A fault of this server.
    InternalError,
    /// More to do than this server can.
    Overloaded,
    /// No provider could be reached.
    DeliveryFailed,
    /// The store cannot answer.
    StorageUnavailable,
}

impl ProblemKind {
    /// Every kind, by status.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::DestinationRefused,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::AttemptsExhausted,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::IncorrectCode,
        Self::IdempotencyKeyReused,
        Self::RecipientUnreachable,
        Self::RateLimited,
        Self::ResendTooSoon,
        Self::RecipientLocked,
        Self::InternalError,
        Self::Overloaded,
        Self::DeliveryFailed,
        Self::StorageUnavailable,
    ];

    /// The `code` member, and the last part of `type`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::DestinationRefused => "destination-refused",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict => "conflict",
            Self::AttemptsExhausted => "attempts-exhausted",
            Self::PayloadTooLarge => "payload-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::IncorrectCode => "incorrect-code",
            Self::IdempotencyKeyReused => "idempotency-key-reused",
            Self::RecipientUnreachable => "recipient-unreachable",
            Self::RateLimited => "rate-limited",
            Self::ResendTooSoon => "resend-too-soon",
            Self::RecipientLocked => "recipient-locked",
            Self::InternalError => "internal-error",
            Self::Overloaded => "overloaded",
            Self::DeliveryFailed => "delivery-failed",
            Self::StorageUnavailable => "storage-unavailable",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::DestinationRefused => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::AttemptsExhausted => StatusCode::GONE,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::IncorrectCode | Self::IdempotencyKeyReused | Self::RecipientUnreachable => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::RateLimited | Self::ResendTooSoon | Self::RecipientLocked => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded | Self::DeliveryFailed | Self::StorageUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The `title` member: the same for every problem of this kind.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::Unauthenticated => "An API key is needed",
            Self::Forbidden => "The API key may not do this",
            Self::DestinationRefused => "No code is sent to this destination",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "This method is not known here",
            Self::Conflict => "The request conflicts with the present state",
            Self::AttemptsExhausted => "The attempts are used up",
            Self::PayloadTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body has to be JSON",
            Self::IncorrectCode => "The code is not right",
            Self::IdempotencyKeyReused => "The idempotency key came with another request",
            Self::RecipientUnreachable => "The recipient cannot be reached",
            Self::RateLimited => "Too many codes",
            Self::ResendTooSoon => "The last code is too fresh",
            Self::RecipientLocked => "Too many wrong codes for this recipient",
            Self::InternalError => "Something went wrong here",
            Self::Overloaded => "The server has too much to do",
            Self::DeliveryFailed => "The message could not be sent",
            Self::StorageUnavailable => "The store is not available",
        }
    }

    /// The `type` member.
    #[must_use]
    pub fn urn(self) -> String {
        format!("urn:watchword:problem:{}", self.code())
    }

    /// Whether its answer always says how long to wait.
    #[must_use]
    pub const fn has_retry_after(self) -> bool {
        matches!(
            self.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        )
    }
}

/// How long to wait where the kind wants a `Retry-After` and nobody said.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// A refusal on its way to the caller.
pub struct Problem(Box<Inner>);

struct Inner {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    errors: Vec<Fault>,
    attempts_remaining: Option<u32>,
    retry_after: Option<Duration>,
    rate_limit: Option<RateLimit>,
    cause: Option<Cause>,
}

impl Problem {
    /// A problem of this kind. `detail` says what it is this time, and holds no secret.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            attempts_remaining: None,
            retry_after: None,
            rate_limit: None,
            cause: None,
        }))
    }

    /// A request with faults at places of its body.
    #[must_use]
    pub fn faulty(errors: Vec<Fault>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.to_string(),
            several => format!("{} things are not as they should be", several.len()),
        };
        let mut problem = Self::new(ProblemKind::InvalidRequest, detail);
        problem.0.errors = errors;
        problem
    }

    /// A request with one fault.
    pub fn at(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::faulty(vec![Fault::new(pointer, detail)])
    }

    /// The refusal of a server that has too much to do, with how long to stay away.
    pub(crate) fn overloaded(wait: Duration) -> Self {
        let detail =
            "there is more to do than this server can; nothing was done and nothing was counted";
        Self::new(ProblemKind::Overloaded, detail).after(wait)
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    /// With the guesses that the code still bears.
    #[must_use]
    pub fn attempts_remaining(mut self, attempts: u32) -> Self {
        self.0.attempts_remaining = Some(attempts);
        self
    }

    /// With how long to wait. It is told in whole seconds, rounded up, and never 0.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// With what the caller has left.
    #[must_use]
    pub fn limited(mut self, rate_limit: Option<RateLimit>) -> Self {
        self.0.rate_limit = rate_limit;
        self
    }

    /// With what the log should say.
    #[must_use]
    pub fn caused_by(mut self, error: impl Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Cause(Arc::new(error)));
        self
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problem({})", self.0.kind.code())
    }
}

/// Why a request failed inside the server, in the extensions of its response. Its text holds no
/// secret: errors never carry any.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// A cause for the log.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

/// The error and everything behind it, from the outside in.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(deeper) = source {
            write!(f, ": {deeper}")?;
            source = deeper.source();
        }
        Ok(())
    }
}

/// A problem (RFC 9457): what is wrong, for programs (`type`, `code`) and people (`title`, `detail`).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Names the kind of problem: `urn:watchword:problem:` and the `code`.
    #[serde(rename = "type")]
    #[schema(value_type = String, format = "uri")]
    kind: Urn,
    /// The same for every problem of this kind.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What it is this time.
    detail: &'a str,
    /// The kind again, short.
    code: &'a str,
    /// Where in the request the faults are.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<Fault>, required = false)]
    errors: &'a [Fault],
    /// Guesses that the code still bears.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    attempts_remaining: Option<u32>,
}

struct Urn(ProblemKind);

impl Serialize for Urn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut urn = String::with_capacity(48);
        let _ = write!(urn, "urn:watchword:problem:{}", self.0.code());
        serializer.serialize_str(&urn)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner {
            kind,
            detail,
            errors,
            attempts_remaining,
            retry_after,
            rate_limit,
            cause,
        } = *self.0;
        let body = ProblemBody {
            kind: Urn(kind),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: &detail,
            code: kind.code(),
            errors: &errors,
            attempts_remaining,
        };
        // A plain struct of strings and numbers: it always has a JSON form.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(body.into());
        *response.status_mut() = kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if kind == ProblemKind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let wait = retry_after.or_else(|| kind.has_retry_after().then_some(DEFAULT_WAIT));
        if let Some(wait) = wait {
            headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        }
        if let Some(rate_limit) = rate_limit {
            rate_limit.write(headers);
        }
        if let Some(cause) = cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}

/// Rounded up, so that waiting it out is never early, and never 0.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    let seconds = wait
        .as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0));
    seconds.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_out_a_retry_after_is_never_early_and_never_zero() {
        for (wait, seconds) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (29_001, 30)] {
            assert_eq!(
                whole_seconds(Duration::from_millis(wait)),
                seconds,
                "{wait} ms"
            );
        }
    }

    #[test]
    fn every_429_and_503_says_how_long_to_wait() {
        for kind in ProblemKind::ALL {
            let response = Problem::new(kind, "detail").into_response();
            assert_eq!(response.status(), kind.status());
            let waits = response.headers().contains_key(RETRY_AFTER);
            assert_eq!(
                waits,
                matches!(kind.status().as_u16(), 429 | 503),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_cause_is_written_with_everything_behind_it() {
        let deep = std::io::Error::other("disk is full");
        let cause = Cause::new(watchword_core::StoreError::unavailable(deep));
        assert_eq!(cause.to_string(), "the store is unavailable: disk is full");
    }
}
