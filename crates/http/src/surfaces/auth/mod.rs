//! Registration and login by code under `/api/v1/auth`, as the FastAPI services do it:
//! `{"detail": …}`, and a list of what is wrong with a body.

mod body;
mod issue;
mod pool;
mod words;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use watchword_core::account::{
    Accounts, HashError, RegisterError, Registration, ResendError, Verified, VerifyError,
};
use watchword_core::{Code, Failure, Scope, SendError};

pub use self::pool::{PasswordPool, PoolFill};

use self::body::{Login, Register, Typed};
use super::dialect::{Call, Dialect, json};
use super::trouble::Trouble;
use crate::app::{App, SurfaceKind};
use crate::direct::Asked;
use crate::mount::{Mount, direct_route};

const AUTH: Dialect = Dialect {
    kind: SurfaceKind::Auth,
    prefix: Some("/api/v1/auth"),
    about: "Registration and login by code. Errors are `{\"detail\": text}`; what is wrong with a body is a list.",
    words: words::say,
};

pub(super) fn mount(mount: Mount) -> Mount {
    mount
        .dialect(AUTH)
        .spoken_send(AUTH, direct_route!(request_login_code))
        .spoken_password(AUTH, full, direct_route!(register_account))
        .spoken_directly(AUTH, direct_route!(verify_account_code))
        .spoken_send(AUTH, direct_route!(resend_registration_code))
}

/// Send a code for a login
///
/// Over WhatsApp, whether or not the number has an account. Answers once a provider took the message.
/// Any white space in the number is left out.
#[utoipa::path(
    post, path = "/api/v1/auth/request-otp", tag = "auth",
    security((), ("bearer" = [])),
    request_body = body::LoginBody,
    responses(
        (status = 200, description = "The code is on its way.", body = words::LoginSent),
        (status = 400, description = "The body did not arrive whole.", body = words::Detail),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Detail),
        (status = 403, description = "The API key may not do this.", body = words::Detail),
        (status = 413, description = "The body is too large.", body = words::Detail),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Detail),
        (status = 422, description = "What is wrong with the body.", body = issue::Issues),
        (status = 429, description = "Too many codes for this number, or from this address. `Retry-After` says how long to wait.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 503, description = "The message could not be sent, or the store cannot answer.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn request_login_code(State(app): State<Arc<App>>, asked: Asked) -> Response {
    AUTH.send(app, asked, request_login).await
}

async fn request_login(call: Call) -> Result<Response, Trouble> {
    let Login {
        mobile,
        remember_me,
    } = match Login::read(&call) {
        Ok(login) => login,
        Err(issues) => return Ok(issues.into_response()),
    };
    let policy = Arc::clone(call.policy());
    let terms = call.terms(Arc::clone(&policy));
    let accounts = accounts(&call)?;
    let sent = accounts.request_login(&call.caller.app, mobile, remember_me, terms);
    sent.await.map_err(of_send)?;
    let expires_in = policy.ttl.as_secs();
    Ok(json(StatusCode::OK, &words::LoginSent::of(expires_in)))
}

/// Register
///
/// Sends a code by SMS. Address, number and password hang on that code alone: the account is made by
/// whoever brings it to `verify-otp`, and nothing is left of them when it dies. While it lives, the same
/// details send a fresh code, and other details for the number are refused and change nothing.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth",
    security((), ("bearer" = [])),
    request_body = body::RegisterBody,
    responses(
        (status = 202, description = "The code is on its way.", body = words::Registering),
        (status = 400, description = "The body did not arrive whole.", body = words::Detail),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Detail),
        (status = 403, description = "The API key may not do this.", body = words::Detail),
        (status = 409, description = "An account has the address or the number, or the number is being registered with other details.", body = words::Detail),
        (status = 413, description = "The body is too large.", body = words::Detail),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Detail),
        (status = 422, description = "What is wrong with the body.", body = issue::Issues),
        (status = 429, description = "Too many codes for this number, or from this address. `Retry-After` says how long to wait.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 503, description = "The message could not be sent, too many passwords wait to be hashed, or the store cannot answer.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn register_account(State(app): State<Arc<App>>, asked: Asked) -> Response {
    AUTH.send(app, asked, register).await
}

async fn register(call: Call) -> Result<Response, Trouble> {
    let Register {
        email,
        mobile,
        password,
    } = match Register::read(&call) {
        Ok(register) => register,
        Err(issues) => return Ok(issues.into_response()),
    };
    let registration = Registration {
        email,
        mobile,
        password,
    };
    let terms = call.terms(Arc::clone(call.policy()));
    let accounts = accounts(&call)?;
    let sent = accounts.register(&call.caller.app, registration, terms);
    match sent.await {
        Ok(sent) => {
            let reveal = || call.app.verifier.reveal(&sent, call.caller.key.as_ref());
            let code = may_read_codes(&call).then(reveal);
            let body = words::Registering::of(code);
            Ok(json(StatusCode::ACCEPTED, &body))
        }
        Err(RegisterError::Taken) => Ok(words::refused(StatusCode::CONFLICT, words::TAKEN)),
        Err(RegisterError::Hash(HashError::Busy)) => {
            // It was not full when this came in.
            Ok(call.app.gate.no_room(AUTH.refuse(full())))
        }
        Err(RegisterError::Hash(error)) => Err(of_hash(error)),
        Err(RegisterError::Send(error)) => Err(of_send(error)),
    }
}

/// Verify a code
///
/// Of the registration that is pending for the number, which becomes an account, or of a login; where both are, first
/// of the one whose code was sent last. The right code is good once. Every try costs an attempt. The access token is a JWT under EdDSA, to be
/// checked with the keys at `/.well-known/jwks.json`: its `sub` is the account's id, or where the number
/// has no account, an opaque name of the number.
#[utoipa::path(
    post, path = "/api/v1/auth/verify-otp", tag = "auth",
    security((), ("bearer" = [])),
    request_body = body::VerifyBody,
    responses(
        (status = 200, description = "The code was right.", body = words::VerifiedBody),
        (status = 400, description = "`Invalid or expired OTP. Please try again or request a new one.`", body = words::Detail),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Detail),
        (status = 403, description = "The API key may not do this.", body = words::Detail),
        (status = 404, description = "The code was right, but its registration cannot become an account: its address or number was taken meanwhile.", body = words::Detail),
        (status = 413, description = "The body is too large.", body = words::Detail),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Detail),
        (status = 422, description = "What is wrong with the body.", body = issue::Issues),
        (status = 503, description = "The store cannot answer.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn verify_account_code(State(app): State<Arc<App>>, asked: Asked) -> Response {
    AUTH.check(app, asked, verify).await
}

/// An approval becomes an account, whether or not the client waits for it.
async fn verify(call: Call) -> Result<Response, Trouble> {
    let Typed {
        mobile,
        spelling,
        code,
    } = match Typed::read(&call) {
        Ok(typed) => typed,
        Err(issues) => return Ok(issues.into_response()),
    };
    let wrong = || Trouble::Invalid(words::WRONG.into());
    let code: Code = code.ok_or_else(wrong)?;
    let accounts = accounts(&call)?;
    let failures = call.policy().failures;
    let verified = accounts.verify(&call.caller.app, &mobile, &code, failures);
    match verified.await {
        Ok(Verified::Registered(account, token)) => {
            let body = words::Activated::of(&account, &spelling, &token);
            Ok(json(StatusCode::OK, &body))
        }
        Ok(Verified::LoggedIn { token, remember_me }) => {
            let body = words::LoggedIn::of(&token, remember_me);
            Ok(json(StatusCode::OK, &body))
        }
        Err(VerifyError::Incorrect) => Err(wrong()),
        Err(VerifyError::NobodyToActivate) => {
            Ok(words::refused(StatusCode::NOT_FOUND, words::NOBODY))
        }
        Err(VerifyError::Failure(failure)) => Err(failure.into()),
    }
}

/// Send a fresh code for a registration
///
/// The one before is dead from then on.
#[utoipa::path(
    post, path = "/api/v1/auth/resend-otp", tag = "auth",
    security((), ("bearer" = [])),
    request_body = body::ResendBody,
    responses(
        (status = 200, description = "A fresh code is on its way.", body = words::Message),
        (status = 400, description = "`Mobile number is required.`", body = words::Detail),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Detail),
        (status = 403, description = "The API key may not do this.", body = words::Detail),
        (status = 404, description = "`No pending registration found for this mobile number.`", body = words::Detail),
        (status = 413, description = "The body is too large.", body = words::Detail),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Detail),
        (status = 422, description = "What is wrong with the body.", body = issue::Issues),
        (status = 429, description = "Too many codes for this number, or from this address. `Retry-After` says how long to wait.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 503, description = "The message could not be sent, or the store cannot answer.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn resend_registration_code(State(app): State<Arc<App>>, asked: Asked) -> Response {
    AUTH.send(app, asked, resend).await
}

async fn resend(call: Call) -> Result<Response, Trouble> {
    let mobile = match body::resent(&call) {
        Ok(Some(mobile)) => mobile,
        Ok(None) => return Err(Trouble::Invalid(words::REQUIRED.into())),
        Err(body::Unusable::Issues(issues)) => return Ok(issues.into_response()),
        // What is no number is being registered by nobody.
        Err(body::Unusable::NoNumber) => return Ok(not_pending()),
    };
    let terms = call.terms(Arc::clone(call.policy()));
    let accounts = accounts(&call)?;
    match accounts.resend(&call.caller.app, &mobile, terms).await {
        Ok(_) => Ok(json(StatusCode::OK, &words::Message::of(words::RESENT))),
        Err(ResendError::NotPending) => Ok(not_pending()),
        Err(ResendError::Send(error)) => Err(of_send(error)),
    }
}

fn not_pending() -> Response {
    words::refused(StatusCode::NOT_FOUND, words::NOT_PENDING)
}

fn accounts(call: &Call) -> Result<&Accounts, Trouble> {
    let accounts = call.app.accounts.as_deref();
    accounts.ok_or(Trouble::Internal("This server keeps no accounts"))
}

fn may_read_codes(call: &Call) -> bool {
    call.app.expose_codes || call.caller.may(Scope::ReadCodes)
}

/// What a provider says of a recipient is not for whoever asks (OWASP: no enumeration): it looks as if
/// none could be reached.
fn of_send(error: SendError) -> Trouble {
    match error {
        SendError::NoProvider(_)
        | SendError::WrongChannel(_)
        | SendError::Unreachable
        | SendError::Undeliverable => Trouble::Send(SendError::Undeliverable),
        error => Trouble::Send(error),
    }
}

/// Too many passwords wait to be hashed.
fn full() -> Trouble {
    of_hash(HashError::Busy)
}

fn of_hash(error: HashError) -> Trouble {
    match error {
        HashError::Busy => Trouble::Send(SendError::Undeliverable),
        HashError::Entropy(error) => Trouble::Failure(Failure::Entropy(error)),
        HashError::Failed => Trouble::Internal("The password could not be hashed"),
    }
}
