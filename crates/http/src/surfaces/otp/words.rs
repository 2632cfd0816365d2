//! What the `otp` surface answers.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use watchword_core::{Channel, CheckError, Failure, Refusal, SendError, Timestamp};

use crate::surfaces::trouble::Trouble;

/// What every answer but that of a start is.
#[derive(Serialize, ToSchema)]
#[schema(as = OtpDetail)]
pub(super) struct Detail {
    /// What came of the request.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
}

impl Detail {
    pub(super) fn of(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: detail.into(),
        }
    }
}

/// A code is on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = OtpGenerated)]
pub(super) struct Generated {
    /// `OTP sent`.
    detail: &'static str,
    /// When the code dies, in seconds since 1970.
    #[schema(example = 1_730_000_000)]
    expires_at: u64,
}

impl Generated {
    pub(super) fn until(expires_at: Timestamp) -> Self {
        Self {
            detail: "OTP sent",
            expires_at: expires_at.as_secs(),
        }
    }
}

const TOO_MANY: &str = "Too many requests. Please try again later.";
const UNAVAILABLE: &str = "The service is not available at the moment. Please try again later.";
const BROKEN: &str = "Something went wrong here.";

/// Says a refusal. No `_` arm over what the rules decide: a new failure has to choose its answer here.
pub(super) fn say(trouble: &Trouble) -> (StatusCode, Value) {
    let (status, detail): (StatusCode, Cow<'_, str>) = match trouble {
        Trouble::Send(error) => of_send(error, trouble.status()),
        Trouble::Check(error) => of_check(error, trouble.status()),
        Trouble::Failure(failure) => (trouble.status(), of_failure(failure).into()),
        Trouble::NoSuchPath
        | Trouble::NoSuchMethod
        | Trouble::Caller(_)
        | Trouble::Forbidden(_)
        | Trouble::Body(_)
        | Trouble::MediaType
        | Trouble::Faults(_)
        | Trouble::Invalid(_)
        | Trouble::Overloaded(..)
        | Trouble::Internal(_) => (trouble.status(), trouble.to_string().into()),
    };
    (status, json!({ "detail": detail }))
}

fn of_send(error: &SendError, usual: StatusCode) -> (StatusCode, Cow<'static, str>) {
    match error {
        SendError::NoProvider(channel) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            match channel {
                Channel::Email => "DEFAULT_FROM_EMAIL is not configured",
                Channel::Whatsapp => "WhatsApp provider not configured",
                Channel::Sms | Channel::Voice => "SMS provider not configured",
            }
            .into(),
        ),
        SendError::WrongChannel(_) => (StatusCode::BAD_REQUEST, "Invalid identifier".into()),
        SendError::Refused(Refusal::Cooldown { .. } | Refusal::Live) => (
            StatusCode::TOO_MANY_REQUESTS,
            "OTP recently sent. Please wait before requesting another.".into(),
        ),
        SendError::Refused(
            Refusal::SourceLimit { .. } | Refusal::RecipientLimit { .. } | Refusal::Locked(_),
        ) => (StatusCode::TOO_MANY_REQUESTS, TOO_MANY.into()),
        // Of resends, which this surface has none of.
        SendError::NotFound | SendError::Exhausted => (usual, BROKEN.into()),
        SendError::Undeliverable => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The message could not be sent. Please try again later.".into(),
        ),
        SendError::Country => (
            StatusCode::BAD_REQUEST,
            "No code is sent to the country of this identifier".into(),
        ),
        SendError::Unreachable => (
            StatusCode::BAD_REQUEST,
            "The message cannot be delivered to this identifier".into(),
        ),
        SendError::Failure(failure) => (usual, of_failure(failure).into()),
    }
}

fn of_check(error: &CheckError, usual: StatusCode) -> (StatusCode, Cow<'static, str>) {
    match error {
        CheckError::Incorrect { .. } | CheckError::Exhausted | CheckError::NotFound => {
            (StatusCode::BAD_REQUEST, "Invalid or expired code".into())
        }
        CheckError::Locked(_) => (usual, TOO_MANY.into()),
        CheckError::Failure(failure) => (usual, of_failure(failure).into()),
    }
}

const fn of_failure(failure: &Failure) -> &'static str {
    match failure {
        Failure::Store(_) => UNAVAILABLE,
        Failure::Entropy(_) | Failure::Sealed(_) => BROKEN,
    }
}
