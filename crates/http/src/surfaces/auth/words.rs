//! What the `auth` surface answers.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json as value};
use utoipa::ToSchema;
use watchword_core::account::{AccessToken, Account, AccountId};
use watchword_core::{Failure, Refusal, SendError};

use super::issue::Issues;
use crate::gate::Kind;
use crate::json::BodyError;
use crate::surfaces::dialect::json;
use crate::surfaces::trouble::Trouble;

pub(super) const TAKEN: &str = "An account with this email or mobile number already exists.";
pub(super) const WRONG: &str = "Invalid or expired OTP. Please try again or request a new one.";
pub(super) const NOBODY: &str = "User not found for activation.";
pub(super) const RESENT: &str = "A new OTP has been sent to your mobile number.";
pub(super) const REQUIRED: &str = "Mobile number is required.";
pub(super) const NOT_PENDING: &str = "No pending registration found for this mobile number.";
const ELSEWHERE: &str = "No OTP is sent to the country of this number.";
const TOO_MANY: &str = "Too many attempts. Please try again in 10 minutes.";
const UNABLE: &str = "Unable to send OTP at this moment. Please try again later.";
const UNABLE_TO_VERIFY: &str = "Unable to verify OTP at this moment. Please try again later.";
const BROKEN: &str = "Internal Server Error";

/// Why not.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthDetail)]
pub(super) struct Detail {
    /// What is the matter.
    detail: &'static str,
}

/// What happened.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthMessage)]
pub(super) struct Message {
    /// For people.
    message: &'static str,
}

impl Message {
    pub(super) const fn of(message: &'static str) -> Self {
        Self { message }
    }
}

/// A code for a login is on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthOtpSent)]
pub(super) struct LoginSent {
    /// `OTP sent successfully`.
    message: &'static str,
    /// How long the code lives, in seconds.
    #[schema(example = 300)]
    expires_in: u64,
}

impl LoginSent {
    pub(super) const fn of(expires_in: u64) -> Self {
        let message = "OTP sent successfully";
        Self {
            message,
            expires_in,
        }
    }
}

/// A code for a registration is on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthRegistering)]
pub(super) struct Registering<'a> {
    /// For people.
    message: &'static str,
    /// The code: only in dev mode with `--expose-codes`, or for an API key with the scope `codes:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    otp_for_testing: Option<&'a str>,
}

impl<'a> Registering<'a> {
    pub(super) const fn of(otp_for_testing: Option<&'a str>) -> Self {
        Self {
            message: "OTP sent to your mobile number for verification.",
            otp_for_testing,
        }
    }
}

/// Either of the two answers to a right code.
#[derive(ToSchema)]
#[schema(as = AuthVerified)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum VerifiedBody<'a> {
    Activated(Activated<'a>),
    LoggedIn(LoggedIn<'a>),
}

/// A registration that became an account.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthActivated)]
pub(super) struct Activated<'a> {
    /// The account's id.
    #[serde(serialize_with = "display")]
    #[schema(value_type = uuid::Uuid)]
    id: AccountId,
    /// Its address.
    email: &'a str,
    /// Its number, as the request wrote it.
    mobile: &'a str,
    /// Always `true`.
    is_active: bool,
    /// A JWT under EdDSA.
    access_token: &'a str,
    /// `bearer`.
    token_type: &'static str,
    /// How long the token is good, in seconds.
    #[schema(example = 1800)]
    expires_in: u64,
}

impl<'a> Activated<'a> {
    pub(super) fn of(account: &'a Account, mobile: &'a str, token: &'a AccessToken) -> Self {
        Self {
            id: account.id,
            email: account.email.canonical(),
            mobile,
            is_active: true,
            access_token: token.expose(),
            token_type: "bearer",
            expires_in: token.expires_in.as_secs(),
        }
    }
}

/// A login.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthLoggedIn)]
pub(super) struct LoggedIn<'a> {
    /// `OTP verified successfully`.
    message: &'static str,
    /// A JWT under EdDSA.
    access_token: &'a str,
    /// `bearer`.
    token_type: &'static str,
    /// How long the token is good, in seconds.
    #[schema(example = 1800)]
    expires_in: u64,
    /// What the request for the code said.
    remember_me: bool,
}

impl<'a> LoggedIn<'a> {
    pub(super) fn of(token: &'a AccessToken, remember_me: bool) -> Self {
        Self {
            message: "OTP verified successfully",
            access_token: token.expose(),
            token_type: "bearer",
            expires_in: token.expires_in.as_secs(),
            remember_me,
        }
    }
}

fn display<S: serde::Serializer>(id: &AccountId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A refusal that only this surface knows.
pub(super) fn refused(status: StatusCode, detail: &'static str) -> Response {
    json(status, &Detail { detail })
}

/// Says a refusal. No `_` arm over what the rules decide: a new failure has to choose its answer here.
pub(super) fn say(trouble: &Trouble) -> (StatusCode, Value) {
    let (status, detail): (StatusCode, Cow<'_, str>) = match trouble {
        Trouble::Faults(faults) => {
            let issues = serde_json::to_value(Issues::of_faults(faults));
            return (StatusCode::UNPROCESSABLE_ENTITY, issues.unwrap_or_default());
        }
        Trouble::Send(error) => of_send(error),
        // The use cases of accounts have no other answer to a check.
        Trouble::Check(_) => (StatusCode::BAD_REQUEST, WRONG.into()),
        Trouble::Overloaded(Kind::Send, _) => (trouble.status(), UNABLE.into()),
        Trouble::Overloaded(Kind::Check, _) | Trouble::Failure(Failure::Store(_)) => {
            (trouble.status(), UNABLE_TO_VERIFY.into())
        }
        Trouble::Failure(Failure::Entropy(_) | Failure::Sealed(_)) | Trouble::Internal(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, BROKEN.into())
        }
        // In the words of FastAPI.
        Trouble::NoSuchPath => (trouble.status(), "Not Found".into()),
        Trouble::NoSuchMethod => (trouble.status(), "Method Not Allowed".into()),
        Trouble::Body(BodyError::Broken) => (
            trouble.status(),
            "There was an error parsing the body".into(),
        ),
        Trouble::Caller(_)
        | Trouble::Forbidden(_)
        | Trouble::Body(BodyError::TooLarge)
        | Trouble::MediaType
        | Trouble::Invalid(_) => (trouble.status(), trouble.to_string().into()),
    };
    (status, value!({ "detail": detail }))
}

fn of_send(error: &SendError) -> (StatusCode, Cow<'static, str>) {
    match error {
        SendError::Refused(
            Refusal::SourceLimit { .. }
            | Refusal::RecipientLimit { .. }
            | Refusal::Cooldown { .. }
            | Refusal::Locked(_),
        ) => (StatusCode::TOO_MANY_REQUESTS, TOO_MANY.into()),
        SendError::Country => (StatusCode::UNPROCESSABLE_ENTITY, ELSEWHERE.into()),
        SendError::Refused(Refusal::Live) => (StatusCode::CONFLICT, TAKEN.into()),
        SendError::NotFound | SendError::Exhausted => (StatusCode::NOT_FOUND, NOT_PENDING.into()),
        SendError::NoProvider(_)
        | SendError::WrongChannel(_)
        | SendError::Unreachable
        | SendError::Undeliverable
        | SendError::Failure(Failure::Store(_)) => (StatusCode::SERVICE_UNAVAILABLE, UNABLE.into()),
        SendError::Failure(Failure::Entropy(_) | Failure::Sealed(_)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, BROKEN.into())
        }
    }
}
