//! What the `whatsapp` surface answers.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use watchword_core::{CheckError, Failure, Refusal, SendError};

use crate::surfaces::trouble::Trouble;

pub(super) const SENT: &str = "OTP sent successfully";
pub(super) const RESENT: &str = "OTP resent successfully";
pub(super) const VERIFIED: &str = "OTP verified successfully";
pub(super) const BAD_NUMBER: &str = "Invalid phone number format";
pub(super) const WRONG: &str = "Invalid OTP";
const LIVE: &str = "OTP already sent. Please wait for expiry or use resend endpoint.";
const GONE: &str = "OTP not found or expired";
const UNSENT: &str = "Failed to send OTP. Please try again later.";
const TOO_MANY: &str = "Too many requests. Please try again later.";
const UNAVAILABLE: &str = "The service is not available at the moment. Please try again later.";
const BROKEN: &str = "Something went wrong here.";

/// What every answer about a code is.
#[derive(Serialize, ToSchema)]
#[schema(as = WhatsappAnswer)]
pub(super) struct Answer<'a> {
    /// Whether it was done.
    success: bool,
    /// What came of the request.
    #[schema(example = "OTP sent successfully")]
    message: &'static str,
    /// What it was about.
    data: Data<'a>,
}

/// What an answer is about.
#[derive(Serialize, ToSchema)]
#[schema(as = WhatsappData)]
struct Data<'a> {
    /// The number as it was asked about.
    #[schema(required = false, example = "+1234567890")]
    phone_number: &'a str,
    /// The code. In dev mode only, and only with `--expose-codes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    otp: Option<&'a str>,
}

impl<'a> Answer<'a> {
    pub(super) const fn done(
        message: &'static str,
        phone_number: &'a str,
        otp: Option<&'a str>,
    ) -> Self {
        Self {
            success: true,
            message,
            data: Data { phone_number, otp },
        }
    }

    /// A code lives, and a resend is wanted.
    pub(super) const fn live(phone_number: &'a str) -> Self {
        let answer = Self::done(LIVE, phone_number, None);
        Self {
            success: false,
            ..answer
        }
    }
}

/// Says a refusal. No `_` arm over what the rules decide: a new failure has to choose its answer here.
pub(super) fn say(trouble: &Trouble) -> (StatusCode, Value) {
    let usual = trouble.status();
    let (status, message): (StatusCode, Cow<'_, str>) = match trouble {
        Trouble::Send(error) => of_send(error, usual),
        Trouble::Check(error) => of_check(error, usual),
        Trouble::Failure(failure) => (usual, of_failure(failure).into()),
        Trouble::NoSuchPath
        | Trouble::NoSuchMethod
        | Trouble::Caller(_)
        | Trouble::Forbidden(_)
        | Trouble::Body(_)
        | Trouble::MediaType
        | Trouble::Faults(_)
        | Trouble::Invalid(_)
        | Trouble::Overloaded(..)
        | Trouble::Internal(_) => (usual, trouble.to_string().into()),
    };
    let body = json!({ "success": false, "message": message, "data": {} });
    (status, body)
}

fn of_send(error: &SendError, usual: StatusCode) -> (StatusCode, Cow<'static, str>) {
    match error {
        SendError::NoProvider(_) | SendError::WrongChannel(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "WhatsApp is not configured".into(),
        ),
        SendError::Refused(Refusal::Live) => (usual, LIVE.into()),
        SendError::Refused(
            Refusal::Cooldown { .. }
            | Refusal::SourceLimit { .. }
            | Refusal::RecipientLimit { .. }
            | Refusal::Locked(_),
        ) => (usual, TOO_MANY.into()),
        // Of resends by handle, which this surface has none of.
        SendError::NotFound | SendError::Exhausted => (StatusCode::BAD_REQUEST, GONE.into()),
        SendError::Undeliverable => (usual, UNSENT.into()),
        SendError::Country => (
            StatusCode::BAD_REQUEST,
            "No OTP is sent to the country of this number".into(),
        ),
        SendError::Unreachable => (
            StatusCode::BAD_REQUEST,
            "This number cannot be reached by WhatsApp".into(),
        ),
        SendError::Failure(failure) => (usual, of_failure(failure).into()),
    }
}

fn of_check(error: &CheckError, usual: StatusCode) -> (StatusCode, Cow<'static, str>) {
    match error {
        CheckError::Incorrect { .. } => (StatusCode::BAD_REQUEST, WRONG.into()),
        CheckError::Exhausted | CheckError::NotFound => (StatusCode::BAD_REQUEST, GONE.into()),
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
