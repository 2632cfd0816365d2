//! What happens around every call of the native API: who calls, what they may do, the body, repeats.

use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use watchword_core::{Scope, VerificationId};

use crate::app::App;
use crate::caller::Caller;
use crate::client_address::ClientAddress;
use crate::direct::Asked;
use crate::errand::Errand;
use crate::gate::{Place, TurnedAway};
use crate::idempotency::{Fingerprinted, IdempotencyKey, once};
use crate::json::{read_body, wants_json};
use crate::problem::{Problem, ProblemKind};

/// A call that may be made.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    pub(super) client: ClientAddress,
    pub(super) body: Bytes,
    /// What was asked for, with whatever prefix this surface is mounted under.
    pub(super) uri: Uri,
    verification: Option<VerificationId>,
}

impl Call {
    /// The verification that the path names.
    pub(super) fn verification(&self) -> Result<VerificationId, Problem> {
        let missing = super::problems::no_such_verification;
        self.verification.ok_or_else(missing)
    }
}

/// A call without a body. All of it goes on if the client hangs up.
pub(super) async fn read<F>(
    app: Arc<App>,
    asked: Asked,
    scope: Scope,
    work: impl FnOnce(Call) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let Asked {
        parts,
        client,
        verification,
        ..
    } = asked;
    let uri = asked_for(&parts);
    let admitted = admit(&app, &parts, client, scope).await;
    match admitted {
        Ok((caller, client)) => {
            let call = Call {
                app,
                caller,
                client,
                body: Bytes::new(),
                uri,
                verification,
            };
            Errand::new(async move { work(call).await.unwrap_or_else(Problem::into_response) })
                .await
        }
        Err(problem) => problem.into_response(),
    }
}

/// A call with a body, and perhaps with an idempotency key. All of it goes on if the client hangs up: a message
/// may be half-way to its provider, and what the store was asked to do is noted once it has done it.
pub(super) fn write<F>(
    app: Arc<App>,
    asked: Asked,
    scope: Scope,
    work: impl FnOnce(Call) -> F + Send + 'static,
) -> impl Future<Output = Response>
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    run(app, asked, scope, None, work)
}

/// As [`write`], of a call that sends a code: it goes on once it may go to the store, and until then leaves with its
/// client.
pub(super) async fn send<F>(
    app: Arc<App>,
    asked: Asked,
    work: impl FnOnce(Call) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let gate = Arc::clone(&app.gate);
    let key = IdempotencyKey::read(&asked.parts.headers);
    let prepared = prepare(app, asked, Scope::WriteVerifications).await;
    let (method, key, call) = match prepared.and_then(|(method, call)| Ok((method, key?, call))) {
        Ok(prepared) => prepared,
        Err(problem) => return problem.into_response(),
    };
    let ticket = match gate.turn_at_store().await {
        Ok(ticket) => ticket,
        Err(wait) => return TurnedAway::by(Problem::overloaded(wait).into_response()),
    };
    match key {
        Some(key) => Errand::new(ticket.held_by(run_once(method, key, call, work))).await,
        None => {
            let work = async move { work(call).await.unwrap_or_else(Problem::into_response) };
            Errand::new(ticket.held_by(work)).await
        }
    }
}

/// A call with a body that changes nothing. An idempotency key does not matter to it: an answer that is kept would
/// tell what has been erased since, and nobody would note it.
pub(super) async fn look<F>(
    app: Arc<App>,
    asked: Asked,
    scope: Scope,
    work: impl FnOnce(Call) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    match prepare(app, asked, scope).await {
        Ok((_, call)) => {
            Errand::new(async move { work(call).await.unwrap_or_else(Problem::into_response) })
                .await
        }
        Err(problem) => problem.into_response(),
    }
}

/// As [`write`], behind the gate. A check that its client left keeps its place until it is done.
pub(super) async fn check<F>(
    app: Arc<App>,
    asked: Asked,
    work: impl FnOnce(Call) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let place = match app.gate.admit_check() {
        Ok(place) => place,
        Err(wait) => {
            let (parts, body) = asked.into_parts();
            let _ = read_body(&parts.headers, body).await;
            return TurnedAway::by(Problem::overloaded(wait).into_response());
        }
    };
    run(app, asked, Scope::CheckVerifications, Some(place), work).await
}

async fn run<F>(
    app: Arc<App>,
    asked: Asked,
    scope: Scope,
    place: Option<Place>,
    work: impl FnOnce(Call) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let key = IdempotencyKey::read(&asked.parts.headers);
    let prepared = prepare(app, asked, scope).await;
    let prepared = prepared.and_then(|(method, call)| Ok((method, key?, call)));
    match prepared {
        // Made in the call, so that this future has no room for it besides its box.
        Ok((method, Some(key), call)) => {
            Errand::new(async move {
                let _place = place;
                run_once(method, key, call, work).await
            })
            .await
        }
        Ok((_, None, call)) => {
            Errand::new(async move {
                let _place = place;
                work(call).await.unwrap_or_else(Problem::into_response)
            })
            .await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Says who calls, and reads what they sent.
async fn prepare(app: Arc<App>, asked: Asked, scope: Scope) -> Result<(Method, Call), Problem> {
    let Asked {
        parts,
        body,
        client,
        verification,
    } = asked;
    let admitted = admit(&app, &parts, client, scope).await;
    // Read it even where the answer does not need it: some HTTP/2 clients lose an answer that
    // comes before they have sent their body.
    let body = read_body(&parts.headers, body).await;
    let (caller, client) = admitted?;
    let typed = parts.headers.contains_key(CONTENT_TYPE);
    if typed && !wants_json(&parts.headers) {
        return Err(not_json());
    }
    let body = body?;
    if !typed && !body.is_empty() {
        return Err(not_json());
    }
    let call = Call {
        app,
        caller,
        client,
        body,
        uri: asked_for(&parts),
        verification,
    };
    Ok((parts.method, call))
}

async fn run_once<F>(
    method: Method,
    key: IdempotencyKey,
    call: Call,
    work: impl FnOnce(Call) -> F,
) -> Response
where
    F: Future<Output = Result<Response, Problem>>,
{
    let (app, caller) = (Arc::clone(&call.app), call.caller.clone());
    let (body, uri) = (call.body.clone(), call.uri.clone());
    let request = Fingerprinted {
        method: method.as_str(),
        path: uri.path(),
        body: &body,
    };
    let work = async { work(call).await.unwrap_or_else(Problem::into_response) };
    match once(&app, &caller, &key, request, work).await {
        Ok(response) => response,
        Err(error) => Problem::from(error).into_response(),
    }
}

async fn admit(
    app: &App,
    parts: &Parts,
    client: Option<ClientAddress>,
    scope: Scope,
) -> Result<(Caller, ClientAddress), Problem> {
    let caller = Caller::identify(app, &parts.uri, &parts.headers).await?;
    if !caller.may(scope) {
        let detail = format!("this needs the scope {scope}");
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    // Without a source there are no limits, so nothing runs.
    let client = client.ok_or_else(|| {
        Problem::new(
            ProblemKind::InternalError,
            "the client's address is not known",
        )
    })?;
    Ok((caller, client))
}

/// The path as the client wrote it: a surface that is mounted under a prefix sees its own part only.
fn asked_for(parts: &Parts) -> Uri {
    let original = parts.extensions.get::<OriginalUri>();
    original.map_or_else(|| parts.uri.clone(), |OriginalUri(uri)| uri.clone())
}

fn not_json() -> Problem {
    let detail = "send the body with `Content-Type: application/json`";
    Problem::new(ProblemKind::UnsupportedMediaType, detail)
}
