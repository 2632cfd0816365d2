//! What happens around every call of the native API: who calls, what they may do, the body, repeats.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use watchword_core::{Scope, VerificationId};

use crate::app::App;
use crate::caller::Caller;
use crate::client_address::ClientAddress;
use crate::errand::Errand;
use crate::gate::TurnedAway;
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
}

/// What has to go on when the client hangs up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hangup {
    /// Nothing: the store finishes its step by itself.
    Stops,
    /// All of it: a message may be half-way to its provider.
    IsIgnored,
}

/// A call without a body.
pub(super) async fn read<F>(
    app: Arc<App>,
    request: Request,
    scope: Scope,
    work: impl FnOnce(Call) -> F,
) -> Response
where
    F: Future<Output = Result<Response, Problem>>,
{
    let (parts, _) = request.into_parts();
    let uri = asked_for(&parts);
    let admitted = admit(&app, &parts, scope).await;
    let answer = match admitted {
        Ok((caller, client)) => {
            let body = Bytes::new();
            work(Call {
                app,
                caller,
                client,
                body,
                uri,
            })
            .await
        }
        Err(problem) => Err(problem),
    };
    answer.unwrap_or_else(Problem::into_response)
}

/// A call with a body, and perhaps with an idempotency key.
pub(super) async fn write<F>(
    app: Arc<App>,
    request: Request,
    scope: Scope,
    hangup: Hangup,
    work: impl FnOnce(Call) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let checks = (scope == Scope::CheckVerifications).then(|| app.gate.admit_check());
    let _place = match checks.transpose() {
        Ok(place) => place,
        Err(wait) => {
            let _ = read_body(&parts.headers, body).await;
            return TurnedAway::by(Problem::overloaded(wait).into_response());
        }
    };
    let prepared = async {
        let admitted = admit(&app, &parts, scope).await;
        // Read it even where the answer does not need it: some HTTP/2 clients lose an answer that
        // comes before they have sent their body.
        let body = read_body(&parts.headers, body).await;
        let (caller, client) = admitted?;
        let typed = parts.headers.contains_key(CONTENT_TYPE);
        if typed && !wants_json(&parts.headers) {
            return Err(not_json());
        }
        let key = IdempotencyKey::read(&parts.headers)?;
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
        };
        Ok((parts.method, key, call))
    };
    let (method, key, call) = match prepared.await {
        Ok(prepared) => prepared,
        Err(problem) => return problem.into_response(),
    };
    match key {
        Some(key) => Errand::new(run_once(method, key, call, work)).await,
        None if hangup == Hangup::IsIgnored => {
            let work = async move { work(call).await.unwrap_or_else(Problem::into_response) };
            Errand::new(work).await
        }
        None => work(call).await.unwrap_or_else(Problem::into_response),
    }
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

async fn admit(app: &App, parts: &Parts, scope: Scope) -> Result<(Caller, ClientAddress), Problem> {
    let caller = Caller::identify(app, &parts.uri, &parts.headers).await?;
    if !caller.may(scope) {
        let detail = format!("this needs the scope {scope}");
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    // Without a source there are no limits, so nothing runs.
    let client = parts.extensions.get::<ClientAddress>().copied();
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

/// A path segment that should be the id of a verification.
pub(super) type PathId = Result<Path<String>, PathRejection>;

/// What is no id is the id of nothing.
pub(super) fn verification_id(id: PathId) -> Result<VerificationId, Problem> {
    let id = id.ok().and_then(|Path(text)| VerificationId::parse(&text));
    id.ok_or_else(super::problems::no_such_verification)
}
