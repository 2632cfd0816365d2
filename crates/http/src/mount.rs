//! Putting routes in place, and the one list of all of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::app::{App, SurfaceKind};
use crate::problem::{Problem, ProblemKind};

/// What a route belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// A dialect.
    Surface(SurfaceKind),
    /// Public keys.
    WellKnown,
    /// The OpenAPI document and its pages.
    Docs,
    /// The pages of dev mode.
    Dev,
    /// Health and metrics, on the admin listener.
    Admin,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// The method. `HEAD` comes along with `GET`.
    pub method: Method,
    /// The path template, such as `/v1/verifications/{id}`.
    pub path: String,
    /// What it belongs to.
    pub area: Area,
}

/// Every route of a listener. Routes get in by the same door, so none is missing.
#[derive(Clone, Debug, Default)]
pub struct RouteTable(Vec<RouteEntry>);

impl RouteTable {
    /// The routes, in the order in which they were put in place.
    #[must_use]
    pub fn entries(&self) -> &[RouteEntry] {
        &self.0
    }
}

impl FromIterator<RouteEntry> for RouteTable {
    fn from_iter<I: IntoIterator<Item = RouteEntry>>(routes: I) -> Self {
        Self(routes.into_iter().collect())
    }
}

/// A router in the making.
pub(crate) struct Mount {
    router: OpenApiRouter<Arc<App>>,
    table: RouteTable,
}

impl Mount {
    pub(crate) fn new(api: OpenApi) -> Self {
        Self {
            router: OpenApiRouter::with_openapi(api),
            table: RouteTable::default(),
        }
    }

    /// Routes that are in the OpenAPI document.
    pub(crate) fn documented(mut self, area: Area, routes: UtoipaMethodRouter<Arc<App>>) -> Self {
        for (path, item) in &routes.1.paths {
            for (method, operation) in [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ] {
                if operation.is_some() {
                    self.note(method, path, area);
                }
            }
        }
        self.router = self.router.routes(routes);
        self
    }

    /// A route that is for people, or for those who know it.
    pub(crate) fn plain(
        mut self,
        area: Area,
        path: &str,
        methods: &[Method],
        handlers: MethodRouter<Arc<App>>,
    ) -> Self {
        for method in methods {
            self.note(method.clone(), path, area);
        }
        self.router = self.router.route(path, handlers);
        self
    }

    fn note(&mut self, method: Method, path: &str, area: Area) {
        let path = path.to_owned();
        self.table.0.push(RouteEntry { method, path, area });
    }

    /// The OpenAPI document of what is documented so far.
    pub(crate) fn api(&self) -> &OpenApi {
        self.router.get_openapi()
    }

    pub(crate) fn finish(self) -> (Router<Arc<App>>, RouteTable) {
        let (router, _) = self.router.split_for_parts();
        (with_fallbacks(router), self.table)
    }
}

/// Problems for what has no route.
pub(crate) fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_path(_: OriginalUri) -> Response {
    Problem::new(ProblemKind::NotFound, "there is nothing at this path").into_response()
}

/// The router adds `Allow`.
async fn no_such_method() -> Response {
    let detail = "the Allow header lists the methods of this path";
    Problem::new(ProblemKind::MethodNotAllowed, detail).into_response()
}
