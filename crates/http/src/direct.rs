//! The direct way to the handlers that most requests are for.
//!
//! The router is made for everything: for each layer of a route it boxes a service and its future, and what it
//! found goes into the extensions of the request: some twenty allocations a request. A direct route is found
//! in a short list, and nothing is allocated but the future of its handler.
//!
//! **Invariant:** the router has every direct route, too, with the same handler, and a request that is not exactly
//! for a direct route goes there. So only the time that an answer takes depends on the way.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts as _, Path, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use tower::Service;
use watchword_core::VerificationId;

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::gate::{Entrance, Guest};

/// A request as the handlers of direct routes read it, whichever way it came.
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    pub(crate) body: Body,
    /// Whom it is attributed to. Without a source there are no limits, so nothing runs.
    pub(crate) client: Option<ClientAddress>,
    /// The verification that the path names. What is no id is the id of nothing.
    pub(crate) verification: Option<VerificationId>,
}

impl Asked {
    pub(crate) fn into_parts(self) -> (Parts, Body) {
        (self.parts, self.body)
    }
}

/// The router's way.
impl<S: Send + Sync> FromRequest<S> for Asked {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let client = parts.extensions.get().copied();
        let named = Path::<String>::from_request_parts(&mut parts, state).await;
        let named = named
            .ok()
            .and_then(|Path(text)| VerificationId::parse(&text));
        Ok(Self {
            parts,
            body,
            client,
            verification: named,
        })
    }
}

/// What answers a request.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler, without its type.
pub(crate) type Handler = Box<dyn Fn(Arc<App>, Asked) -> Answer + Send + Sync>;

/// `handler` for everybody.
pub(crate) fn open<F, A>(handler: F) -> Handler
where
    F: Fn(State<Arc<App>>, Asked) -> A + Send + Sync + 'static,
    A: Future<Output: IntoResponse> + Send + 'static,
{
    Box::new(move |app, asked| {
        let answer = handler(State(app), asked);
        Box::pin(answer.map(IntoResponse::into_response))
    })
}

/// `handler` behind the gate.
pub(crate) fn guarded<F, A>(handler: F, entrance: Entrance) -> Handler
where
    F: Fn(State<Arc<App>>, Asked) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    Box::new(move |app, asked| {
        let handler = handler.clone();
        let answer = move |asked| handler(State(app), asked);
        entrance.enter(Visit { asked, answer })
    })
}

/// A request for a direct route before the gate.
struct Visit<F> {
    asked: Asked,
    answer: F,
}

impl<F, A> Guest for Visit<F>
where
    F: FnOnce(Asked) -> A + Send + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    type Answer = A;

    fn go_in(self) -> A {
        (self.answer)(self.asked)
    }

    fn into_parts(self) -> (Parts, Body) {
        self.asked.into_parts()
    }

    fn told(refusal: Response) -> Response {
        refusal
    }
}

/// A route and its handler.
pub(crate) struct Direct {
    method: Method,
    template: Arc<str>,
    /// Paths that look like this route's, and are another's.
    others: Vec<String>,
    handler: Handler,
}

impl Direct {
    pub(crate) fn new(method: Method, template: &str, handler: Handler) -> Self {
        Self {
            method,
            template: template.into(),
            others: Vec::new(),
            handler,
        }
    }

    /// Beside a route at this path, which is asked first where it has no parameter.
    pub(crate) fn beside(&mut self, path: &str) {
        if *path != *self.template && self.parameter(path).is_some() {
            self.others.push(path.to_owned());
        }
    }

    /// What stands in the place of the parameter, if the path is of this form: nothing where the route has none.
    /// What would have to be decoded is left to the router.
    fn parameter<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some((before, rest)) = self.template.split_once('{') else {
            return (*path == *self.template).then_some("");
        };
        let (_, after) = rest.split_once('}')?;
        let value = path.strip_prefix(before)?.strip_suffix(after)?;
        let plain = !value.is_empty() && !value.bytes().any(|byte| matches!(byte, b'/' | b'%'));
        plain.then_some(value)
    }

    fn takes<'a>(&self, parts: &'a Parts) -> Option<&'a str> {
        let path = parts.uri.path();
        let value = self
            .parameter(path)
            .filter(|_| self.method == parts.method)?;
        (!self.others.iter().any(|other| other == path)).then_some(value)
    }
}

/// What a listener answers: its router, and the direct way to some of its routes.
#[derive(Clone)]
pub struct Routes {
    router: Router,
    direct: Option<(Arc<App>, Arc<[Direct]>)>,
}

impl Routes {
    pub(crate) fn new(router: Router, app: Arc<App>, direct: Vec<Direct>) -> Self {
        let direct = Some((app, direct.into()));
        Self { router, direct }
    }

    /// With other routes below a path, as [`Router::nest`] has it.
    #[must_use]
    pub fn nest(self, path: &str, router: Router) -> Self {
        let router = self.router.nest(path, router);
        Self { router, ..self }
    }

    /// With layers around the router's routes. No route is reached but through them.
    #[must_use]
    pub fn layered(self, layer: impl FnOnce(Router) -> Router) -> Self {
        layer(self.router).into()
    }

    /// With the router made into another one.
    pub(crate) fn map_router(self, map: impl FnOnce(Router) -> Router) -> Self {
        let router = map(self.router);
        Self { router, ..self }
    }

    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// The direct route that a request is for, if it is for one.
    pub(crate) fn direct(&self, parts: &Parts) -> Option<Found<'_>> {
        let (app, direct) = self.direct.as_ref()?;
        let mut taking = direct.iter();
        taking.find_map(|route| {
            let named = route.takes(parts)?;
            let verification = VerificationId::parse(named);
            Some(Found {
                app,
                route,
                verification,
            })
        })
    }
}

/// The direct route of a request.
pub(crate) struct Found<'a> {
    app: &'a Arc<App>,
    route: &'a Direct,
    verification: Option<VerificationId>,
}

impl Found<'_> {
    /// The template of its path.
    pub(crate) fn template(&self) -> Arc<str> {
        Arc::clone(&self.route.template)
    }

    pub(crate) fn answer(self, parts: Parts, body: Body, client: Option<ClientAddress>) -> Answer {
        let asked = Asked {
            parts,
            body,
            client,
            verification: self.verification,
        };
        (self.route.handler)(Arc::clone(self.app), asked)
    }
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        let direct = None;
        Self { router, direct }
    }
}

/// The router alone, which has every route.
impl From<Routes> for Router {
    fn from(routes: Routes) -> Self {
        routes.router
    }
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Routes")
    }
}

/// Without a listener: the client's address is in the extensions of the request.
impl Service<Request> for Routes {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (parts, body) = request.into_parts();
        let client = parts.extensions.get().copied();
        if let Some(found) = self.direct(&parts) {
            return Box::pin(found.answer(parts, body, client).map(Ok));
        }
        Box::pin(self.router.call(Request::from_parts(parts, body)))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn takes(direct: &Direct, method: Method, path: &str) -> bool {
        let request = Request::builder().method(method).uri(path);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        direct.takes(&parts).is_some()
    }

    fn route(template: &str) -> Direct {
        let answer = async |_: State<Arc<App>>, _: Asked| StatusCode::OK.into_response();
        Direct::new(Method::POST, template, open(answer))
    }

    #[test]
    fn a_direct_route_takes_its_own_method_and_path_and_nothing_that_is_like_it() {
        let exact = route("/v1/codes");
        assert!(takes(&exact, Method::POST, "/v1/codes?a=b"));
        for (method, path) in [
            (Method::GET, "/v1/codes"),
            (Method::POST, "/v1/codes/"),
            (Method::POST, "/v1/code%73"),
            (Method::POST, "/v1/CODES"),
        ] {
            assert!(!takes(&exact, method, path), "{path}");
        }
        let check = route("/v1/codes/{id}/check");
        assert!(takes(&check, Method::POST, "/v1/codes/7/check"));
        for path in [
            "/v1/codes/check",
            "/v1/codes//check",
            "/v1/codes/7/8/check",
            "/v1/codes/7/check/",
            "/v1/codes/%37/check",
            "/v1/codes/7",
        ] {
            assert!(!takes(&check, Method::POST, path), "{path}");
        }
    }

    #[test]
    fn a_path_of_another_route_is_not_taken_for_a_parameter() {
        let mut one = route("/v1/codes/{id}");
        one.beside("/v1/codes/{id}");
        one.beside("/v1/codes/check");
        one.beside("/v1/other");
        assert!(takes(&one, Method::POST, "/v1/codes/7"));
        assert!(!takes(&one, Method::POST, "/v1/codes/check"));
    }
}
