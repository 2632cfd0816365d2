//! Codes by WhatsApp at the root, as the service over Gupshup does it: `{"success", "message", "data"}`.

mod body;
mod debug;
mod health;
mod words;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::routes;
use watchword_core::{
    BindingDigest, Channel, CheckRequest, Policy, Purpose, Refusal, SendError, StartRequest,
    WhenPending, Whose,
};

use self::body::{Asked, Typed};
use super::dialect::{Call, Dialect, json};
use super::trouble::Trouble;
use crate::app::{App, SurfaceKind};
use crate::direct;
use crate::mount::{Mount, direct_route};

const WHATSAPP: Dialect = Dialect {
    kind: SurfaceKind::Whatsapp,
    prefix: None,
    about: "Codes by WhatsApp: send, resend, verify. Errors are `{\"success\": false, \"message\": text, \"data\": object}`.",
    words: words::say,
};

pub(super) fn mount(mount: Mount) -> Mount {
    mount
        .dialect(WHATSAPP)
        .spoken_send(WHATSAPP, direct_route!(send_otp))
        .spoken_send(WHATSAPP, direct_route!(resend_otp))
        .spoken_directly(WHATSAPP, direct_route!(verify_whatsapp_otp))
        .spoken(WHATSAPP, routes!(health::health))
        .spoken(WHATSAPP, routes!(debug::describe_whatsapp))
        .spoken(WHATSAPP, routes!(debug::test_request))
}

/// What the codes of this surface are for.
fn purpose() -> Purpose {
    Purpose::unnamed_at(SurfaceKind::Whatsapp.as_str())
}

/// Send a code
///
/// Not while a code of this number lives: ask for a resend then.
#[utoipa::path(
    post, path = "/send-otp", tag = "whatsapp",
    security((), ("bearer" = [])),
    request_body = body::SendBody,
    responses(
        (status = 200, description = "The code is on its way.", body = words::Answer),
        (status = 400, description = "`Invalid phone number format`, or what is wrong with the body. For callers with an API key also `This number cannot be reached by WhatsApp`.", body = words::Answer),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Answer),
        (status = 403, description = "The API key may not do this.", body = words::Answer),
        (status = 409, description = "A code of this number lives.", body = words::Answer),
        (status = 413, description = "The body is too large.", body = words::Answer),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Answer),
        (status = 429, description = "Too many codes. `Retry-After` says how long to wait.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 503, description = "The message could not be sent (why, callers without an API key are not told), or the store cannot answer.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn send_otp(State(app): State<Arc<App>>, asked: direct::Asked) -> Response {
    WHATSAPP
        .send(app, asked, |call| send(call, words::SENT, None))
        .await
}

/// Send a fresh code
///
/// Whether one lives or not. An earlier code is dead from then on.
#[utoipa::path(
    post, path = "/resend-otp", tag = "whatsapp",
    security((), ("bearer" = [])),
    request_body = body::SendBody,
    responses(
        (status = 200, description = "A fresh code is on its way.", body = words::Answer),
        (status = 400, description = "`Invalid phone number format`, or what is wrong with the body. For callers with an API key also `This number cannot be reached by WhatsApp`.", body = words::Answer),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Answer),
        (status = 403, description = "The API key may not do this.", body = words::Answer),
        (status = 413, description = "The body is too large.", body = words::Answer),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Answer),
        (status = 429, description = "Too many codes. `Retry-After` says how long to wait.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 503, description = "The message could not be sent (why, callers without an API key are not told), or the store cannot answer.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn resend_otp(State(app): State<Arc<App>>, asked: direct::Asked) -> Response {
    WHATSAPP
        .send(app, asked, |call| {
            send(call, words::RESENT, Some(WhenPending::Replace))
        })
        .await
}

/// A send, under the policy or with another answer to a code that lives.
async fn send(
    call: Call,
    message: &'static str,
    when_pending: Option<WhenPending>,
) -> Result<Response, Trouble> {
    let Asked { shown, to } = Asked::read(&call)?;
    let mut policy = Arc::clone(call.policy());
    if let Some(when_pending) = when_pending.filter(|wanted| *wanted != policy.when_pending) {
        policy = Arc::new(Policy {
            when_pending,
            ..Policy::clone(&policy)
        });
    }
    let request = StartRequest {
        to: Some(to),
        channels: vec![Channel::Whatsapp],
        purpose: purpose(),
        locale: None,
        binding: BindingDigest::none(),
        metadata: None,
        remember_me: false,
        terms: call.terms(policy),
        app: call.caller.app.clone(),
    };
    match call.app.verifier.start(request).await {
        Ok(sent) => {
            let reveal = || call.app.verifier.reveal(&sent, call.caller.key.as_ref());
            let code = call.app.expose_codes.then(reveal);
            let answer = words::Answer::done(message, &shown, code);
            Ok(json(StatusCode::OK, &answer))
        }
        Err(SendError::Refused(Refusal::Live)) => {
            let answer = words::Answer::live(&shown);
            Ok(json(StatusCode::CONFLICT, &answer))
        }
        Err(error) => Err(error.into()),
    }
}

/// Verify a code
///
/// The right code is verified once. Every try costs an attempt.
#[utoipa::path(
    post, path = "/verify-otp", tag = "whatsapp",
    security((), ("bearer" = [])),
    request_body = body::VerifyBody,
    responses(
        (status = 200, description = "The code was right.", body = words::Answer),
        (status = 400, description = "`Invalid OTP` while a code lives, `OTP not found or expired`, `Invalid phone number format`, or what is wrong with the body.", body = words::Answer),
        (status = 401, description = "An API key is needed, or is not valid.", body = words::Answer),
        (status = 403, description = "The API key may not do this.", body = words::Answer),
        (status = 413, description = "The body is too large.", body = words::Answer),
        (status = 415, description = "A web page sent what is not JSON.", body = words::Answer),
        (status = 429, description = "Too many wrong codes for this number. `Retry-After` says how long to wait.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 503, description = "The store cannot answer.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn verify_whatsapp_otp(State(app): State<Arc<App>>, asked: direct::Asked) -> Response {
    WHATSAPP.check(app, asked, verify).await
}

async fn verify(call: Call) -> Result<Response, Trouble> {
    let Typed { asked, code } = Typed::read(&call)?;
    let request = CheckRequest {
        whose: Whose::Recipient(asked.to, purpose()),
        code,
        binding: BindingDigest::none(),
        failures: Some(call.policy().failures),
        app: call.caller.app,
    };
    call.app.verifier.check(request).await?;
    let answer = words::Answer::done(words::VERIFIED, &asked.shown, None);
    Ok(json(StatusCode::OK, &answer))
}
