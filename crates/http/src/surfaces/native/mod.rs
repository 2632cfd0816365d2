//! The API of this server itself, under `/v1`: JSON in and out, problems as RFC 9457.

mod body;
mod call;
mod problems;
mod recipients;
mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use utoipa_axum::routes;
use uuid::fmt::Hyphenated;
use watchword_core::{
    CheckRequest, Policy, ResendRequest, Scope, StartRequest, Terms, VerificationId, Whose,
};

use self::body::{Check, Resend, Start};
use self::call::Call;
use self::view::{ApprovalView, UnlockView, VerificationView};
use crate::app::{App, SurfaceKind};
use crate::direct::Asked;
use crate::json::{answer as json, answer_with};
use crate::mount::{Area, Mount, direct_route};
use crate::problem::{Problem, ProblemKind};
use crate::rate_limit::RateLimit;
use crate::source::Asking;

const AREA: Area = Area::Surface(SurfaceKind::Native);

/// Puts the native API in place.
pub(crate) fn mount(mount: Mount) -> Mount {
    mount
        .documented_send(AREA, direct_route!(start_verification))
        .documented(AREA, routes!(get_verification, cancel_verification))
        .documented_directly(AREA, direct_route!(check_verification))
        .documented_directly(AREA, direct_route!(check_recipient))
        .documented_send(AREA, direct_route!(resend_code))
        .documented_directly(AREA, direct_route!(unlock_recipient))
        .documented(AREA, routes!(recipients::show_recipient))
        .documented(AREA, routes!(recipients::erase_recipient))
}

/// What each operation may answer beside its success, for the OpenAPI document and the tests.
pub(crate) const PROBLEMS: [(&str, &[ProblemKind]); 9] = {
    use ProblemKind::{
        AttemptsExhausted, Conflict, DeliveryFailed, DestinationRefused, Forbidden,
        IdempotencyKeyReused, IncorrectCode, InternalError, InvalidRequest, NotFound, Overloaded,
        PayloadTooLarge, RateLimited, RecipientLocked, RecipientUnreachable, ResendTooSoon,
        StorageUnavailable, Unauthenticated, UnsupportedMediaType,
    };
    const RECIPIENT: &[ProblemKind] = &[
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        Conflict,
        PayloadTooLarge,
        UnsupportedMediaType,
        IdempotencyKeyReused,
        StorageUnavailable,
    ];
    const LOOK: &[ProblemKind] = &[
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        PayloadTooLarge,
        UnsupportedMediaType,
        StorageUnavailable,
    ];
    const CHECK: &[ProblemKind] = &[
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        AttemptsExhausted,
        PayloadTooLarge,
        UnsupportedMediaType,
        IncorrectCode,
        IdempotencyKeyReused,
        RecipientLocked,
        Overloaded,
        StorageUnavailable,
    ];
    [
        (
            "start_verification",
            &[
                InvalidRequest,
                Unauthenticated,
                Forbidden,
                DestinationRefused,
                Conflict,
                PayloadTooLarge,
                UnsupportedMediaType,
                IdempotencyKeyReused,
                RecipientUnreachable,
                RateLimited,
                ResendTooSoon,
                RecipientLocked,
                InternalError,
                Overloaded,
                DeliveryFailed,
                StorageUnavailable,
            ],
        ),
        (
            "get_verification",
            &[
                Unauthenticated,
                Forbidden,
                NotFound,
                InternalError,
                StorageUnavailable,
            ],
        ),
        (
            "cancel_verification",
            &[
                Unauthenticated,
                Forbidden,
                NotFound,
                Conflict,
                InternalError,
                StorageUnavailable,
            ],
        ),
        ("check_verification", CHECK),
        ("check_recipient", CHECK),
        (
            "resend_code",
            &[
                InvalidRequest,
                Unauthenticated,
                Forbidden,
                DestinationRefused,
                NotFound,
                Conflict,
                AttemptsExhausted,
                PayloadTooLarge,
                UnsupportedMediaType,
                IdempotencyKeyReused,
                RecipientUnreachable,
                RateLimited,
                ResendTooSoon,
                RecipientLocked,
                InternalError,
                Overloaded,
                DeliveryFailed,
                StorageUnavailable,
            ],
        ),
        ("unlock_recipient", RECIPIENT),
        ("show_recipient", LOOK),
        ("erase_recipient", RECIPIENT),
    ]
};

/// Start a verification
///
/// Makes a code and sends it. Answers once a provider took the message. A pending verification of the
/// same recipient and purpose is superseded.
#[utoipa::path(
    post, path = "/v1/verifications", tag = "native",
    request_body = body::StartBody,
    responses((
        status = 201, description = "The code is on its way.", body = view::VerificationView<'_>,
        headers(("Location" = String, description = "Where the verification can be read"))
    )),
)]
fn start_verification(State(app): State<Arc<App>>, asked: Asked) -> impl Future<Output = Response> {
    call::send(app, asked, start)
}

async fn start(call: Call) -> Result<Response, Problem> {
    let Start {
        to,
        channels,
        purpose,
        locale,
        binding,
        metadata,
        remember_me,
        end_user_ip,
        policy,
    } = Start::read(&call, policy(&call))?;
    let Call {
        app,
        caller,
        client,
        uri,
        ..
    } = call;
    let asking = Asking::at(SurfaceKind::Native, client, end_user_ip);
    let own = RateLimit::of(&policy).filter(|_| asking.own);
    let request = StartRequest {
        app: caller.app,
        to: Some(to),
        channels,
        purpose,
        locale,
        binding,
        metadata,
        remember_me,
        terms: Terms {
            policy: Arc::clone(&policy),
            source: Some(asking.source),
        },
    };
    let sent = match app.verifier.start(request).await {
        Ok(sent) => sent,
        Err(error) => return Err(problems::of_send(error, &policy, own)),
    };
    let id = sent.overview.verification.id;
    let view = VerificationView::of(&sent.overview, &policy);
    let mut response = answer_with(HEADERS_OF_START, StatusCode::CREATED, &view);
    if let Ok(location) = HeaderValue::try_from(location(&uri, id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    tell_limits(&mut response, &policy, own, sent.standing);
    Ok(response)
}

/// `Location` and those of the limits.
const HEADERS_OF_START: usize = 3;

/// Where a verification that was started at `uri` can be read.
fn location(uri: &Uri, id: VerificationId) -> String {
    let path = uri.path();
    // Filled to the last byte, it becomes a header as it is.
    let mut location = String::with_capacity(path.len() + 1 + Hyphenated::LENGTH);
    location.push_str(path);
    location.push('/');
    location.push_str(
        id.as_uuid()
            .hyphenated()
            .encode_lower(&mut [0; Hyphenated::LENGTH]),
    );
    location
}

/// Read a verification
///
/// Until some minutes after its code died.
#[utoipa::path(
    get, path = "/v1/verifications/{id}", tag = "native",
    params(("id" = uuid::Uuid, Path, description = "The handle of the verification")),
    responses((status = 200, description = "The verification.", body = view::VerificationView<'_>)),
)]
async fn get_verification(State(app): State<Arc<App>>, asked: Asked) -> Response {
    call::read(app, asked, Scope::ReadVerifications, async |call: Call| {
        let id = call.verification()?;
        let found = call.app.verifier.get(&call.caller.app, id).await?;
        let overview = found.ok_or_else(problems::no_such_verification)?;
        let view = VerificationView::of(&overview, policy(&call));
        Ok(json(StatusCode::OK, &view))
    })
    .await
}

/// Cancel a verification
///
/// Its code is dead from then on. Canceling again is fine.
#[utoipa::path(
    delete, path = "/v1/verifications/{id}", tag = "native",
    params(("id" = uuid::Uuid, Path, description = "The handle of the verification")),
    responses((status = 200, description = "The canceled verification.", body = view::VerificationView<'_>)),
)]
async fn cancel_verification(State(app): State<Arc<App>>, asked: Asked) -> Response {
    call::read(app, asked, Scope::WriteVerifications, async |call: Call| {
        let id = call.verification()?;
        let overview = call.app.verifier.cancel(&call.caller.app, id).await?;
        let view = VerificationView::of(&overview, policy(&call));
        Ok(json(StatusCode::OK, &view))
    })
    .await
}

/// Check a code
///
/// Every check costs an attempt, whatever comes of it. The right code is approved once.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/check", tag = "native",
    params(("id" = uuid::Uuid, Path, description = "The handle of the verification")),
    request_body = body::CheckBody,
    responses((status = 200, description = "The code was right.", body = view::ApprovalView<'_>)),
)]
fn check_verification(State(app): State<Arc<App>>, asked: Asked) -> impl Future<Output = Response> {
    call::check(app, asked, async |call: Call| {
        let id = call.verification()?;
        let Check { code, binding, .. } = Check::by_id(&call.body)?;
        check(call, Whose::Handle(id), code, binding).await
    })
}

/// Check a code by its recipient
///
/// Means the newest verification of the recipient and purpose.
#[utoipa::path(
    post, path = "/v1/verifications/check", tag = "native",
    request_body = body::CheckRecipientBody,
    responses((status = 200, description = "The code was right.", body = view::ApprovalView<'_>)),
)]
fn check_recipient(State(app): State<Arc<App>>, asked: Asked) -> impl Future<Output = Response> {
    call::check(app, asked, async |call: Call| {
        let Check {
            whose,
            code,
            binding,
        } = Check::by_recipient(&call.body, &call.app.numbers)?;
        // Without a recipient there was a fault, and we are not here.
        let (to, purpose) = whose.ok_or_else(|| Problem::at("/to", "is missing"))?;
        check(call, Whose::Recipient(to, purpose), code, binding).await
    })
}

async fn check(
    call: Call,
    whose: Whose,
    code: watchword_core::Code,
    binding: watchword_core::BindingDigest,
) -> Result<Response, Problem> {
    let failures = Some(policy(&call).failures);
    let request = CheckRequest {
        app: call.caller.app,
        whose,
        code,
        binding,
        failures,
    };
    let verifier = &call.app.verifier;
    let approved = verifier.check(request).await?;
    let token = verifier.vouch(&approved);
    Ok(json(StatusCode::OK, &ApprovalView::of(&approved, &token)))
}

/// Send a fresh code
///
/// For a pending verification. The code before is dead from then on; the id stays.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/resend", tag = "native",
    params(("id" = uuid::Uuid, Path, description = "The handle of the verification")),
    request_body = body::ResendBody,
    responses((status = 200, description = "A fresh code is on its way.", body = view::VerificationView<'_>)),
)]
fn resend_code(State(app): State<Arc<App>>, asked: Asked) -> impl Future<Output = Response> {
    call::send(app, asked, resend)
}

async fn resend(call: Call) -> Result<Response, Problem> {
    let id = call.verification()?;
    let Resend {
        channels,
        end_user_ip,
    } = Resend::read(&call)?;
    let policy = Arc::clone(policy(&call));
    let asking = Asking::at(SurfaceKind::Native, call.client, end_user_ip);
    let own = RateLimit::of(&policy).filter(|_| asking.own);
    let request = ResendRequest {
        app: call.caller.app,
        id,
        channels,
        terms: Terms {
            policy: Arc::clone(&policy),
            source: Some(asking.source),
        },
    };
    let sent = match call.app.verifier.resend(request).await {
        Ok(sent) => sent,
        Err(error) => return Err(problems::of_send(error, &policy, own)),
    };
    let view = VerificationView::of(&sent.overview, &policy);
    let mut response = json(StatusCode::OK, &view);
    tell_limits(&mut response, &policy, own, sent.standing);
    Ok(response)
}

/// Unlock a recipient
///
/// Lifts the lock that too many wrong codes put on a recipient, and forgets its failures. The caller
/// vouches for the recipient.
#[utoipa::path(
    post, path = "/v1/recipients/unlock", tag = "native",
    request_body = body::UnlockBody,
    responses((status = 200, description = "The recipient is not locked.", body = view::UnlockView)),
)]
async fn unlock_recipient(State(app): State<Arc<App>>, asked: Asked) -> Response {
    call::write(app, asked, Scope::UnlockRecipients, async |call: Call| {
        let to = body::unlocked(&call.body, &call.app.numbers)?;
        let unlocked = call
            .app
            .verifier
            .unlock(&call.caller.app, &to, call.caller.key.as_ref())
            .await?;
        let view = UnlockView {
            to: to.masked(),
            unlocked,
        };
        Ok(json(StatusCode::OK, &view))
    })
    .await
}

fn policy(call: &Call) -> &Arc<Policy> {
    call.app.policies.of(SurfaceKind::Native, &call.caller.app)
}

fn tell_limits(
    response: &mut Response,
    policy: &Policy,
    own: Option<RateLimit>,
    standing: Option<watchword_core::Standing>,
) {
    if let Some(own) = own {
        let told = match standing {
            Some(standing) => own.standing(policy, standing),
            None => own,
        };
        told.write(response.headers_mut());
    }
}
