//! What the surfaces beside the native one share: how a call comes in, and how a refusal goes out.
//!
//! A surface is a [`Dialect`], handlers that read a [`Call`], and one function that says every
//! [`Trouble`] in the words of its document.

use std::sync::Arc;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use watchword_core::{
    Channel, Email, NumberRules, Phone, Policy, Recipient, RecipientKind, Scope, Terms,
};

use super::trouble::Trouble;
use crate::app::{App, SurfaceKind, SurfaceSettings};
use crate::caller::{AuthenticationError, Caller};
use crate::client_address::ClientAddress;
use crate::direct::Asked;
use crate::errand::Errand;
use crate::gate::{Kind, TurnedAway};
pub(crate) use crate::json::answer as json;
use crate::json::{may_be_json, read_body};
use crate::problem::whole_seconds;
use crate::source::Asking;

/// How a surface is called and how it refuses.
#[derive(Clone, Copy)]
pub(crate) struct Dialect {
    /// Which one it is.
    pub(crate) kind: SurfaceKind,
    /// What its paths begin with, if all of them begin alike: what is not found below it is refused in
    /// its words, too.
    pub(crate) prefix: Option<&'static str>,
    /// What the OpenAPI document says of it.
    pub(crate) about: &'static str,
    /// Its words for a refusal, with the status. `Retry-After` and what the log is told are not its
    /// business.
    pub(crate) words: fn(&Trouble) -> (StatusCode, Value),
}

/// What a caller has to be allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// A code is made and sent.
    Send,
    /// A code is checked.
    Check,
    /// Nothing is done. Not for everybody.
    Inspect,
}

/// A call that may be made.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    pub(crate) kind: SurfaceKind,
    /// What was asked for, below the path that the surface is mounted at.
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
    client: ClientAddress,
}

impl Call {
    /// The policy of the caller's app at this surface.
    pub(crate) fn policy(&self) -> &Arc<Policy> {
        self.app.policies.of(self.kind, &self.caller.app)
    }

    /// What a send under `policy` has to pay.
    pub(crate) fn terms(&self, policy: Arc<Policy>) -> Terms {
        Terms {
            policy,
            source: Some(Asking::at(self.kind, self.client, None).source),
        }
    }

    /// How this surface is run.
    pub(crate) fn settings(&self) -> SurfaceSettings {
        self.app.surface(self.kind)
    }

    /// Whom a channel reaches by this number or address, if it is one.
    pub(crate) fn recipient(&self, channel: Channel, text: &str) -> Option<Recipient> {
        match channel.reaches() {
            RecipientKind::Email => Email::parse(text).map(Recipient::Email).ok(),
            RecipientKind::Phone => {
                let phone = Phone::parse(text, &self.numbers());
                phone.map(Recipient::Phone).ok()
            }
        }
    }

    /// How this surface reads phone numbers.
    pub(crate) fn numbers(&self) -> NumberRules {
        self.settings().numbers
    }
}

impl Dialect {
    /// A call that sends a code. All of it goes on if the client hangs up: a message may be half-way to its
    /// provider.
    pub(crate) async fn send<F>(
        self,
        app: Arc<App>,
        asked: Asked,
        work: impl FnOnce(Call) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = Result<Response, Trouble>> + Send + 'static,
    {
        let gate = Arc::clone(&app.gate);
        match self.admit(app, asked, Task::Send).await {
            Ok(call) => {
                let known = call.caller.key.is_some();
                let work = async move {
                    let refusal = |t: Trouble| match known {
                        true => self.refuse(t),
                        false => self.refuse(t.for_strangers()),
                    };
                    work(call).await.unwrap_or_else(refusal)
                };
                match gate.turn_at_store().await {
                    Ok(ticket) => Errand::new(ticket.held_by(work)).await,
                    Err(wait) => TurnedAway::by(self.refuse(Trouble::Overloaded(Kind::Send, wait))),
                }
            }
            Err(trouble) => self.refuse(trouble),
        }
    }

    /// A call that checks a code. All of it goes on if the client hangs up, and keeps its place behind the gate
    /// until it is done: what came of a check is noted once the store has counted it.
    pub(crate) async fn check<F>(
        self,
        app: Arc<App>,
        asked: Asked,
        work: impl FnOnce(Call) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = Result<Response, Trouble>> + Send + 'static,
    {
        let place = match app.gate.admit_check() {
            Ok(place) => place,
            Err(wait) => {
                let (parts, body) = asked.into_parts();
                let _ = read_body(&parts.headers, body).await;
                return TurnedAway::by(self.refuse(Trouble::Overloaded(Kind::Check, wait)));
            }
        };
        match self.admit(app, asked, Task::Check).await {
            Ok(call) => {
                Errand::new(async move {
                    let _place = place;
                    work(call).await.unwrap_or_else(|t| self.refuse(t))
                })
                .await
            }
            Err(trouble) => self.refuse(trouble),
        }
    }

    /// A look at how this server is run. Always needs a key, but in dev mode.
    pub(crate) async fn inspect<F>(
        self,
        app: Arc<App>,
        asked: Asked,
        work: impl FnOnce(Call) -> F,
    ) -> Response
    where
        F: Future<Output = Result<Response, Trouble>>,
    {
        let answer = match self.admit(app, asked, Task::Inspect).await {
            Ok(call) => work(call).await,
            Err(trouble) => Err(trouble),
        };
        answer.unwrap_or_else(|trouble| self.refuse(trouble))
    }

    /// Says no.
    pub(crate) fn refuse(self, trouble: Trouble) -> Response {
        let (status, body) = (self.words)(&trouble);
        let mut response = json(status, &body);
        let headers = response.headers_mut();
        if let Some(wait) = trouble.retry_after() {
            headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        }
        if matches!(trouble, Trouble::Caller(_)) && status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(cause) = trouble.into_cause() {
            response.extensions_mut().insert(cause);
        }
        response
    }

    async fn admit(self, app: Arc<App>, asked: Asked, task: Task) -> Result<Call, Trouble> {
        let Asked {
            parts,
            body,
            client,
            ..
        } = asked;
        let caller = self.caller(&app, &parts.uri, &parts.headers, task).await;
        // Read it even where the answer does not need it: some HTTP/2 clients lose an answer that
        // comes before they have sent their body.
        let body = read_body(&parts.headers, body).await;
        let caller = caller?;
        // A body that does not say that it is JSON is taken from programs, as documents show it with
        // curl, but not from foreign web pages: nobody asked their visitors. A GET has no body to say it of.
        if parts.method == Method::POST && !may_be_json(&parts.headers) {
            return Err(Trouble::MediaType);
        }
        // Without a source there are no limits, so nothing runs.
        let client = client.ok_or(Trouble::Internal("The client's address is not known"))?;
        Ok(Call {
            app,
            caller,
            kind: self.kind,
            uri: parts.uri,
            body: body?,
            client,
        })
    }

    async fn caller(
        self,
        app: &App,
        uri: &Uri,
        headers: &HeaderMap,
        task: Task,
    ) -> Result<Caller, Trouble> {
        let caller = match task {
            Task::Inspect => Caller::identify(app, uri, headers).await,
            Task::Send | Task::Check => Caller::at_surface(app, self.kind, uri, headers).await,
        };
        let caller = caller.map_err(|error: AuthenticationError| Trouble::Caller(error))?;
        let scope = match task {
            Task::Send => Scope::WriteVerifications,
            Task::Check => Scope::CheckVerifications,
            Task::Inspect => Scope::ReadVerifications,
        };
        if caller.may(scope) {
            Ok(caller)
        } else {
            Err(Trouble::Forbidden(scope))
        }
    }
}
