//! What the `uuid` surface answers.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use watchword_core::{CheckError, Failure, SendError};

use crate::json::BodyError;
use crate::surfaces::trouble::Trouble;

/// An answer without `info`.
#[derive(Serialize, ToSchema)]
#[schema(as = UuidAnswer)]
pub(super) struct Answer {
    /// The status of the answer.
    status: u16,
    /// What came of the request.
    #[schema(example = "OTP_VERIFIED")]
    message: String,
}

/// Every answer.
#[derive(Serialize, ToSchema)]
#[schema(as = UuidEnvelope)]
pub(super) struct Envelope<T> {
    /// The status of the answer.
    status: u16,
    /// What came of the request.
    #[schema(example = "OTP_GENERATED")]
    message: &'static str,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<T>,
}

impl Envelope<()> {
    pub(super) const fn of(status: StatusCode, message: &'static str) -> Self {
        Self {
            status: status.as_u16(),
            message,
            info: None,
        }
    }

    pub(super) fn with<T>(self, info: T) -> Envelope<T> {
        Envelope {
            status: self.status,
            message: self.message,
            info: Some(info),
        }
    }
}

/// What is told of a new code.
#[derive(Serialize, ToSchema)]
#[schema(as = UuidGenerated)]
pub(super) struct Generated {
    /// The handle.
    pub(super) uuid: Uuid,
    /// The code, for those who may read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) otp: Option<String>,
}

/// How the store is.
#[derive(Serialize, ToSchema)]
#[schema(as = UuidHealth)]
pub(super) struct Health {
    /// `OK` or `Unavailable`.
    pub(super) redis_status: &'static str,
}

pub(super) fn otp_invalid() -> Response {
    Answer::response(StatusCode::UNAUTHORIZED, "OTP_INVALID")
}

pub(super) fn request_mismatch() -> Response {
    Answer::response(StatusCode::UNAUTHORIZED, "REQUEST_MISMATCH")
}

pub(super) fn prefetch_refused() -> Response {
    Answer::response(StatusCode::FORBIDDEN, "PREFETCH_REFUSED")
}

pub(super) fn code_unreadable() -> Response {
    let status = StatusCode::FORBIDDEN;
    let info = json!({
        "detail": "The code would reach nobody: say `channel` and `to`, or call with an API key that has the scope codes:read.",
    });
    let answer = Envelope::of(status, "CODE_UNREADABLE").with(info);
    crate::surfaces::dialect::json(status, &answer)
}

/// Says a refusal. No `_` arm over what the rules decide: a new failure has to choose its answer here.
pub(super) fn say(trouble: &Trouble) -> (StatusCode, Value) {
    let usual = trouble.status();
    let (status, message) = match trouble {
        Trouble::NoSuchPath => (usual, "NOT_FOUND"),
        Trouble::NoSuchMethod => (usual, "METHOD_NOT_ALLOWED"),
        Trouble::Caller(_) if usual == StatusCode::UNAUTHORIZED => (usual, "API_KEY_INVALID"),
        Trouble::Caller(_) => (usual, "SERVICE_UNAVAILABLE"),
        Trouble::Forbidden(_) => (usual, "FORBIDDEN"),
        Trouble::Body(BodyError::TooLarge) => (usual, "REQUEST_BODY_TOO_LARGE"),
        Trouble::Body(BodyError::Broken) => (usual, "REQUEST_BODY_INVALID"),
        Trouble::MediaType => (usual, "MEDIA_TYPE_INVALID"),
        Trouble::Faults(_) => (usual, "JSON_INVALID"),
        Trouble::Invalid(message) => {
            return (
                usual,
                json!({ "status": usual.as_u16(), "message": message }),
            );
        }
        Trouble::Send(error) => of_send(error, usual),
        Trouble::Check(error) => of_check(error, usual),
        Trouble::Failure(failure) => (usual, of_failure(failure)),
        Trouble::Overloaded(..) => (usual, "SERVICE_UNAVAILABLE"),
        Trouble::Internal(_) => (usual, "INTERNAL_ERROR"),
    };
    (
        status,
        json!({ "status": status.as_u16(), "message": message }),
    )
}

const fn of_send(error: &SendError, usual: StatusCode) -> (StatusCode, &'static str) {
    match error {
        SendError::NoProvider(_) | SendError::WrongChannel(_) => (usual, "CHANNEL_INVALID"),
        SendError::Refused(_) => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED"),
        SendError::Undeliverable => (usual, "SERVICE_UNAVAILABLE"),
        SendError::Country => (StatusCode::BAD_REQUEST, "TO_REFUSED"),
        SendError::Unreachable => (StatusCode::BAD_REQUEST, "TO_UNREACHABLE"),
        // Of resends, which this surface has none of.
        SendError::NotFound | SendError::Exhausted => (usual, "INTERNAL_ERROR"),
        SendError::Failure(failure) => (usual, of_failure(failure)),
    }
}

const fn of_check(error: &CheckError, usual: StatusCode) -> (StatusCode, &'static str) {
    match error {
        CheckError::Incorrect { .. } => (StatusCode::UNAUTHORIZED, "OTP_INVALID"),
        CheckError::Exhausted => (StatusCode::UNAUTHORIZED, "OTP_ATTEMPTS"),
        CheckError::NotFound => (StatusCode::UNAUTHORIZED, "OTP_EXPIRED"),
        CheckError::Locked(_) => (usual, "RATE_LIMIT_EXCEEDED"),
        CheckError::Failure(failure) => (usual, of_failure(failure)),
    }
}

const fn of_failure(failure: &Failure) -> &'static str {
    match failure {
        Failure::Store(_) => "SERVICE_UNAVAILABLE",
        Failure::Entropy(_) | Failure::Sealed(_) => "INTERNAL_ERROR",
    }
}
