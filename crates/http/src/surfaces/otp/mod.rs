//! Codes by email, SMS and WhatsApp under `/api/otp`, as the Django service does it: `{"detail": …}`.
//!
//! The channel is part of what is verified: the codes of one number by SMS and by WhatsApp are two.

mod body;
mod words;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use watchword_core::{BindingDigest, CheckRequest, StartRequest, Whose};

use self::body::{Asked, Typed};
use super::dialect::{Call, Dialect, json};
use super::trouble::Trouble;
use crate::app::{App, SurfaceKind};
use crate::direct;
use crate::mount::{Mount, direct_route};

const OTP: Dialect = Dialect {
    kind: SurfaceKind::Otp,
    prefix: Some("/api/otp"),
    about: "Codes by email, SMS and WhatsApp: ask for one, then verify it. Errors are `{\"detail\": text}`.",
    words: words::say,
};

pub(super) fn mount(mount: Mount) -> Mount {
    mount
        .dialect(OTP)
        .spoken_send(OTP, direct_route!(generate_otp))
        .spoken_directly(OTP, direct_route!(verify_otp))
}

/// Send a code
///
/// Makes a code and sends it over the channel. Answers once a provider took the message. An earlier code
/// of the same channel and identifier is dead from then on.
#[utoipa::path(
    post, path = "/api/otp/generate", tag = "otp",
    security((), ("bearer" = [])),
    request_body = body::GenerateBody,
    responses(
        (status = 200, description = "The code is on its way.", body = words::Generated),
        (status = 400, description = "`Invalid channel`, `Invalid identifier`, or what is wrong with the body. For callers with an API key also `The message cannot be delivered to this identifier`.", body = words::Detail),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Detail),
        (status = 403, description = "The API key may not do this.", body = words::Detail),
        (status = 413, description = "The body is too large.", body = words::Detail),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Detail),
        (status = 429, description = "The last code is too fresh, or there were too many. `Retry-After` says how long to wait.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 500, description = "The channel has no provider, or the message could not be sent; why, callers without an API key are not told.", body = words::Detail),
        (status = 503, description = "The store cannot answer.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn generate_otp(State(app): State<Arc<App>>, asked: direct::Asked) -> Response {
    OTP.send(app, asked, generate).await
}

async fn generate(call: Call) -> Result<Response, Trouble> {
    let asked = Asked::read(&call)?;
    let request = StartRequest {
        purpose: asked.purpose(),
        to: Some(asked.to),
        channels: vec![asked.channel],
        locale: None,
        binding: BindingDigest::none(),
        metadata: None,
        remember_me: false,
        terms: call.terms(Arc::clone(call.policy())),
        app: call.caller.app,
    };
    let sent = call.app.verifier.start(request).await?;
    let expires_at = sent.overview.verification.expires_at;
    Ok(json(StatusCode::OK, &words::Generated::until(expires_at)))
}

/// Verify a code
///
/// The right code is verified once. Every try costs an attempt.
#[utoipa::path(
    post, path = "/api/otp/verify", tag = "otp",
    security((), ("bearer" = [])),
    request_body = body::VerifyBody,
    responses(
        (status = 200, description = "The code was right.", body = words::Detail),
        (status = 400, description = "`Invalid or expired code`, `Invalid code`, `Invalid channel`, `Invalid identifier`, or what is wrong with the body.", body = words::Detail),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Detail),
        (status = 403, description = "The API key may not do this.", body = words::Detail),
        (status = 413, description = "The body is too large.", body = words::Detail),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Detail),
        (status = 429, description = "Too many wrong codes for this identifier. `Retry-After` says how long to wait.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 503, description = "The store cannot answer.", body = words::Detail,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn verify_otp(State(app): State<Arc<App>>, asked: direct::Asked) -> Response {
    OTP.check(app, asked, verify).await
}

async fn verify(call: Call) -> Result<Response, Trouble> {
    let Typed { asked, code } = Typed::read(&call)?;
    let failures = Some(call.policy().failures);
    let request = CheckRequest {
        whose: Whose::Recipient(asked.to.clone(), asked.purpose()),
        code,
        binding: BindingDigest::none(),
        failures,
        app: call.caller.app,
    };
    call.app.verifier.check(request).await?;
    Ok(json(StatusCode::OK, &words::Detail::of("Verified")))
}
