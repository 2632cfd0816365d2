//! Codes by handle, at the root: `POST /` makes one and answers with a UUID, `GET /{uuid}/{otp}` verifies
//! it. Every answer is `{"status": …, "message": …, "info": …}`.
//!
//! The code reaches its user through `channel` and `to`, or goes back to a caller who may read codes.

mod body;
mod parameters;
mod words;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::ALLOW;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use utoipa_axum::routes;
use watchword_core::{
    BindingDigest, CheckError, CheckRequest, Code, Overview, Purpose, Scope, StartRequest, Status,
    VerificationId, Whose,
};

use self::body::Document;
use self::parameters::Parameters;
use self::words::{Answer, Envelope, Generated, Health};
use super::dialect::{Call, Dialect, json};
use super::trouble::Trouble;
use crate::app::{App, SurfaceKind};
use crate::direct::Asked;
use crate::mount::{Mount, direct_route};

const UUID: Dialect = Dialect {
    kind: SurfaceKind::Uuid,
    prefix: None,
    about: "Codes by handle: generate one, then verify it. Every answer is `{\"status\": int, \"message\": text, \"info\": object}`.",
    words: words::say,
};

pub(super) fn mount(mount: Mount) -> Mount {
    mount
        .dialect(UUID)
        .spoken_send(UUID, direct_route!(generate_uuid))
        .spoken_for(UUID, is_handle, routes!(verify_uuid))
        .spoken_for(UUID, is_handle, routes!(verify_uuid_without_code))
        .spoken(UUID, routes!(health_of_uuid))
}

/// On a listener of its own this surface takes whatever stands in the place of a handle, and says that
/// it is expired.
fn is_handle(step: &str) -> bool {
    VerificationId::parse(step).is_some()
}

/// Keeps the codes of this surface apart from others of the same recipient.
fn purpose() -> Purpose {
    Purpose::unnamed_at("uuid")
}

/// Generate a code
///
/// Parameters come in the query or in the JSON body; the query wins. With `strict_validation`, the whole
/// body has to be repeated when the code is verified. With `channel` and `to` the code is sent; without,
/// it is in `info.otp` for a caller whose API key has the scope `codes:read`, and for nobody else.
#[utoipa::path(
    post, path = "/", tag = "uuid",
    security((), ("bearer" = [])),
    params(parameters::InQuery),
    request_body(content = Option<parameters::InBody>, description = "Parameters and whatever else is to be repeated. Nothing at all is `{}`."),
    responses(
        (status = 200, description = "`OTP_GENERATED`.", body = words::Envelope<words::Generated>),
        (status = 400, description = "`REQUEST_BODY_INVALID`, `JSON_INVALID`, `TTL_INVALID`, `RETRY_INVALID`, `CODE_INVALID`, `CHANNEL_INVALID`, `TO_INVALID`, `TO_REFUSED`, and for callers with an API key `TO_UNREACHABLE`: the providers refused the recipient.", body = words::Answer),
        (status = 401, description = "`API_KEY_INVALID`: an API key is needed, or is not valid.", body = words::Answer),
        (status = 403, description = "`FORBIDDEN`: the API key may not do this. `CODE_UNREADABLE`: the code could reach nobody.", body = words::Answer),
        (status = 413, description = "`REQUEST_BODY_TOO_LARGE`.", body = words::Answer),
        (status = 415, description = "`MEDIA_TYPE_INVALID`: a foreign web page sent what is not JSON.", body = words::Answer),
        (status = 429, description = "`RATE_LIMIT_EXCEEDED`. `Retry-After` says how long to wait.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 500, description = "`INTERNAL_ERROR`.", body = words::Answer),
        (status = 503, description = "`SERVICE_UNAVAILABLE`: the store cannot answer, or no provider took the message; why, callers without an API key are not told.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn generate_uuid(State(app): State<Arc<App>>, asked: Asked) -> Response {
    UUID.send(app, asked, generate).await
}

async fn generate(call: Call) -> Result<Response, Trouble> {
    let document = Document::read(&call.body)?;
    let parameters = Parameters::read(&call, &document)?;
    let may_read = call.app.expose_codes || call.caller.may(Scope::ReadCodes);
    // In dev mode somebody tries the API out; elsewhere a code that reaches nobody is a mistake that
    // would be found late.
    if parameters.to.is_none() && !may_read && call.app.dev.is_none() {
        return Ok(words::code_unreadable());
    }
    let binding = match parameters.strict {
        true => document.binding()?,
        false => BindingDigest::none(),
    };
    let policy = parameters.policy(call.policy());
    let request = StartRequest {
        terms: call.terms(Arc::new(policy)),
        to: parameters.to,
        channels: parameters.channel.into_iter().collect(),
        purpose: purpose(),
        locale: None,
        binding,
        metadata: None,
        remember_me: false,
        app: call.caller.app,
    };
    let addressed = request.to.is_some();
    let sent = call.app.verifier.start(request).await?;
    let shown = may_read && (!addressed || call.app.expose_codes);
    let code = shown.then(|| call.app.verifier.reveal(&sent, call.caller.key.as_ref()));
    let info = Generated {
        uuid: sent.overview.verification.id.as_uuid(),
        otp: code.map(str::to_owned),
    };
    let answer = Envelope::of(StatusCode::OK, "OTP_GENERATED").with(info);
    Ok(json(StatusCode::OK, &answer))
}

/// Verify a code
///
/// The right code is verified once. A wrong one costs an attempt, and so does another body than that of
/// the generation where `strict_validation` asked for the same. `HEAD` and prefetches consume nothing.
#[utoipa::path(
    get, path = "/{uuid}/{otp}", tag = "uuid",
    security((), ("bearer" = [])),
    params(
        ("uuid" = String, Path, description = "The handle."),
        ("otp" = String, Path, description = "What the user typed; letters of either case."),
    ),
    responses(
        (status = 200, description = "`OTP_VERIFIED`.", body = words::Answer),
        (status = 400, description = "`REQUEST_BODY_INVALID`, `JSON_INVALID`: strict, and the body cannot be compared. Costs no attempt.", body = words::Answer),
        (status = 401, description = "`OTP_INVALID`, `OTP_EXPIRED` (unknown, expired or used), `OTP_ATTEMPTS` (its attempts are used up), `REQUEST_MISMATCH`, `API_KEY_INVALID`.", body = words::Answer),
        (status = 403, description = "`FORBIDDEN`: the API key may not do this. `PREFETCH_REFUSED`: a browser asked ahead of its user.", body = words::Answer),
        (status = 404, description = "What stands in the place of the handle is none, and the listener has other surfaces: a problem."),
        (status = 413, description = "`REQUEST_BODY_TOO_LARGE`.", body = words::Answer),
        (status = 429, description = "`RATE_LIMIT_EXCEEDED`: too many wrong codes for this recipient. `Retry-After` says how long to wait.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
        (status = 500, description = "`INTERNAL_ERROR`.", body = words::Answer),
        (status = 503, description = "`SERVICE_UNAVAILABLE`: the store cannot answer.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn verify_uuid(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    asked: Asked,
) -> Response {
    if let Some(refusal) = only_for_people(&asked.parts) {
        return refusal;
    }
    let path = path.ok().map(|Path(path)| path);
    UUID.check(app, asked, |call| verify(call, path)).await
}

async fn verify(call: Call, path: Option<(String, String)>) -> Result<Response, Trouble> {
    // A path that is no text names no handle.
    let (uuid, typed) = path.unwrap_or_default();
    let app = &call.caller.app;
    let known = match VerificationId::parse(&uuid) {
        Some(id) => call.app.verifier.get(app, id).await?,
        None => None,
    };
    let known = known.filter(|known| known.verification.purpose == purpose());
    let Some(Overview {
        verification,
        status,
        details,
    }) = known
    else {
        return Err(CheckError::NotFound.into());
    };
    match status {
        Status::Pending => {}
        Status::Exhausted if call.app.now() < verification.expires_at => {
            return Err(CheckError::Exhausted.into());
        }
        _ => return Err(CheckError::NotFound.into()),
    }
    let binding = match details.binding.is_none() {
        true => BindingDigest::none(),
        false => Document::read(&call.body)?.binding()?,
    };
    let Ok(code) = Code::parse(&typed) else {
        return Ok(words::otp_invalid());
    };
    let request = CheckRequest {
        app: app.clone(),
        whose: Whose::Handle(verification.id),
        code,
        binding,
        failures: Some(call.policy().failures),
    };
    match call.app.verifier.check(request).await {
        Ok(_) => {
            let answer = Envelope::of(StatusCode::OK, "OTP_VERIFIED");
            Ok(json(StatusCode::OK, &answer))
        }
        // Said whether or not the code was right: only the binding is compared here.
        Err(CheckError::Incorrect { .. }) if binding != details.binding => {
            Ok(words::request_mismatch())
        }
        Err(error) => Err(error.into()),
    }
}

/// Verify without a code
///
/// Always refused: the code is missing.
#[utoipa::path(
    get, path = "/{uuid}", tag = "uuid",
    security((), ("bearer" = [])),
    params(("uuid" = String, Path, description = "The handle.")),
    responses(
        (status = 400, description = "`OTP_MISSING`.", body = words::Answer),
        (status = 401, description = "`API_KEY_INVALID`.", body = words::Answer),
        (status = 403, description = "`FORBIDDEN`.", body = words::Answer),
        (status = 404, description = "What stands in the place of the handle is none, and the listener has other surfaces: a problem."),
        (status = 413, description = "`REQUEST_BODY_TOO_LARGE`.", body = words::Answer),
        (status = 503, description = "`SERVICE_UNAVAILABLE`.", body = words::Answer,
            headers(("Retry-After" = i32, description = "How many seconds to wait"))),
    ),
)]
async fn verify_uuid_without_code(State(app): State<Arc<App>>, asked: Asked) -> Response {
    let missing = async |_: Call| Err(Trouble::Invalid("OTP_MISSING".into()));
    UUID.check(app, asked, missing).await
}

/// Health
///
/// Whether codes can be generated and verified. `redis_status` is that of the store, whatever it is.
#[utoipa::path(
    get, path = "/health", tag = "uuid",
    security(()),
    responses(
        (status = 200, description = "`SERVICE_HEALTH`, `redis_status` `OK`.", body = words::Envelope<words::Health>),
        (status = 500, description = "`SERVICE_HEALTH`, `redis_status` `Unavailable`.", body = words::Envelope<words::Health>),
    ),
)]
async fn health_of_uuid(State(app): State<Arc<App>>) -> Response {
    let (status, redis_status) = match app.verifier.ready().await {
        Ok(()) => (StatusCode::OK, "OK"),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Unavailable"),
    };
    let answer = Envelope::of(status, "SERVICE_HEALTH").with(Health { redis_status });
    json(status, &answer)
}

/// A refusal of what is asked without a person behind it: a link is looked at by mail scanners, chat
/// previews and browsers ahead of their users, and must not use up the code.
fn only_for_people(parts: &Parts) -> Option<Response> {
    if parts.method == Method::HEAD {
        let mut refusal = UUID.refuse(Trouble::NoSuchMethod);
        let allowed = HeaderValue::from_static("GET");
        refusal.headers_mut().insert(ALLOW, allowed);
        return Some(refusal);
    }
    is_prefetch(&parts.headers).then(words::prefetch_refused)
}

/// Whether the headers say that nobody asked yet (Fetch: `Sec-Purpose`; its forerunners `Purpose`,
/// `X-Purpose` and `X-Moz`).
fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .filter_map(|value| value.to_str().ok())
        .map(str::to_ascii_lowercase)
        .any(|value| value.contains("prefetch") || value.contains("preview"))
}

impl Answer {
    fn response(status: StatusCode, message: &'static str) -> Response {
        json(status, &Envelope::of(status, message))
    }
}
