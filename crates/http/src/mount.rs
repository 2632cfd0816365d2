//! Putting routes in place, and the one list of all of them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use utoipa::openapi::OpenApi;
use utoipa::openapi::tag::TagBuilder;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use watchword_core::account::Accounts;

use crate::app::{App, SurfaceKind};
use crate::cors::{self, Origins};
use crate::direct::{self, Asked, Direct, Handler};
use crate::gate::{Entrance, Gate, Kind, Room};
use crate::problem::{Problem, ProblemKind};
use crate::surfaces::dialect::Dialect;
use crate::surfaces::trouble::Trouble;

/// What a route belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// A dialect.
    Surface(SurfaceKind),
    /// Public keys.
    WellKnown,
    /// What providers tell about messages.
    Callbacks,
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

/// A handler that is reached directly, and its route for the router and the document.
macro_rules! direct_route {
    ($handler:ident) => {
        ($handler, utoipa_axum::routes!($handler))
    };
}
pub(crate) use direct_route;

/// A router in the making.
pub(crate) struct Mount {
    /// What pages of other origins may read, where any may.
    surfaces: OpenApiRouter<Arc<App>>,
    /// Everything else.
    pages: Router<Arc<App>>,
    table: RouteTable,
    /// Those routes whose handlers can be reached without the router.
    direct: Vec<Direct>,
    dialects: Vec<Dialect>,
    /// What is said where nothing is; known when everything is in place.
    nowhere: Arc<OnceLock<Nowhere>>,
    /// Who gets in; known then, too.
    gate: Arc<OnceLock<Arc<Gate>>>,
    /// Who has room for passwords.
    accounts: Arc<OnceLock<Arc<Accounts>>>,
}

impl Mount {
    pub(crate) fn new(api: OpenApi) -> Self {
        Self {
            surfaces: OpenApiRouter::with_openapi(api),
            pages: Router::new(),
            table: RouteTable::default(),
            direct: Vec::new(),
            dialects: Vec::new(),
            nowhere: Arc::default(),
            gate: Arc::default(),
            accounts: Arc::default(),
        }
    }

    /// A dialect, whose routes follow.
    pub(crate) fn dialect(mut self, dialect: Dialect) -> Self {
        let tag = TagBuilder::new()
            .name(dialect.kind.as_str())
            .description(Some(dialect.about))
            .build();
        let tags = &mut self.surfaces.get_openapi_mut().tags;
        tags.get_or_insert_default().push(tag);
        self.dialects.push(dialect);
        self
    }

    /// Routes of a dialect, one path at a time. They are in the OpenAPI document, and refuse other
    /// methods in the words of the dialect.
    pub(crate) fn spoken(self, dialect: Dialect, routes: UtoipaMethodRouter<Arc<App>>) -> Self {
        self.documented(Area::Surface(dialect.kind), refusing(dialect, routes))
    }

    /// As [`Self::spoken`], for one handler, which is reached directly, too.
    pub(crate) fn spoken_directly<F, A>(
        self,
        dialect: Dialect,
        (handler, routes): (F, UtoipaMethodRouter<Arc<App>>),
    ) -> Self
    where
        F: Fn(State<Arc<App>>, Asked) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let (area, routes) = (Area::Surface(dialect.kind), refusing(dialect, routes));
        self.reached(area, routes, direct::open(handler))
    }

    /// As [`Self::spoken_directly`], for requests that send a code: behind the gate.
    pub(crate) fn spoken_send<F, A>(
        self,
        dialect: Dialect,
        route: (F, UtoipaMethodRouter<Arc<App>>),
    ) -> Self
    where
        F: Fn(State<Arc<App>>, Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let entrance = self.spoken_entrance(dialect);
        self.spoken_behind(entrance, dialect, route)
    }

    /// The same for those that bring a password. `full` is what they are told when too many wait to be hashed.
    pub(crate) fn spoken_password<F, A>(
        self,
        dialect: Dialect,
        full: fn() -> Trouble,
        route: (F, UtoipaMethodRouter<Arc<App>>),
    ) -> Self
    where
        F: Fn(State<Arc<App>>, Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let accounts = Arc::clone(&self.accounts);
        let has_room = move || accounts.get().is_none_or(|accounts| accounts.has_room());
        let room = Room {
            is_full: Arc::new(move || !has_room()),
            words: Arc::new(move || dialect.refuse(full())),
        };
        let entrance = Entrance {
            room: Some(room),
            ..self.spoken_entrance(dialect)
        };
        self.spoken_behind(entrance, dialect, route)
    }

    fn spoken_entrance(&self, dialect: Dialect) -> Entrance {
        self.entrance(move |wait| dialect.refuse(Trouble::Overloaded(Kind::Send, wait)))
    }

    fn spoken_behind<F, A>(
        self,
        entrance: Entrance,
        dialect: Dialect,
        (handler, routes): (F, UtoipaMethodRouter<Arc<App>>),
    ) -> Self
    where
        F: Fn(State<Arc<App>>, Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let area = Area::Surface(dialect.kind);
        self.reached_behind(entrance, area, (handler, refusing(dialect, routes)))
    }

    /// As [`Self::documented`], for requests that send a code: behind the gate.
    pub(crate) fn documented_send<F, A>(
        self,
        area: Area,
        route: (F, UtoipaMethodRouter<Arc<App>>),
    ) -> Self
    where
        F: Fn(State<Arc<App>>, Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let entrance = self.entrance(|wait| Problem::overloaded(wait).into_response());
        self.reached_behind(entrance, area, route)
    }

    fn reached_behind<F, A>(
        self,
        entrance: Entrance,
        area: Area,
        (handler, routes): (F, UtoipaMethodRouter<Arc<App>>),
    ) -> Self
    where
        F: Fn(State<Arc<App>>, Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let (schemas, paths, methods) = routes;
        let methods = methods.route_layer(entrance.clone());
        let handler = direct::guarded(handler, entrance);
        self.reached(area, (schemas, paths, methods), handler)
    }

    /// As [`Self::documented`], for one handler, which is reached directly, too.
    pub(crate) fn documented_directly<F, A>(
        self,
        area: Area,
        (handler, routes): (F, UtoipaMethodRouter<Arc<App>>),
    ) -> Self
    where
        F: Fn(State<Arc<App>>, Asked) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        self.reached(area, routes, direct::open(handler))
    }

    /// Routes of one handler, in the document, the router and the list of direct ones.
    fn reached(
        mut self,
        area: Area,
        routes: UtoipaMethodRouter<Arc<App>>,
        handler: Handler,
    ) -> Self {
        let known = self.table.0.len();
        self = self.documented(area, routes);
        if let [route] = &self.table.0[known..] {
            let (method, path) = (route.method.clone(), route.path.as_str());
            self.direct.push(Direct::new(method, path, handler));
        }
        self
    }

    fn entrance(&self, words: impl Fn(Duration) -> Response + Send + Sync + 'static) -> Entrance {
        Entrance {
            gate: Arc::clone(&self.gate),
            words: Arc::new(words),
            room: None,
        }
    }

    /// As [`Self::spoken`], for a path that begins with a parameter. Where the dialect shares a listener,
    /// only what `owns` says of the path's first step is its; there is nothing at the others.
    pub(crate) fn spoken_for(
        self,
        dialect: Dialect,
        owns: fn(&str) -> bool,
        routes: UtoipaMethodRouter<Arc<App>>,
    ) -> Self {
        let (schemas, paths, methods) = refusing(dialect, routes);
        let nowhere = Arc::clone(&self.nowhere);
        let guard = from_fn(move |request: Request, next: Next| {
            let path = request.uri().path();
            let first = path.trim_start_matches('/').split('/').next();
            let shared = nowhere.get().filter(|nowhere| nowhere.shared);
            let refusal = shared
                .filter(|_| !first.is_some_and(owns))
                .map(|nowhere| nowhere.say(request.uri()));
            async move {
                match refusal {
                    Some(refusal) => refusal,
                    None => next.run(request).await,
                }
            }
        });
        let methods = methods.layer(guard);
        self.documented(Area::Surface(dialect.kind), (schemas, paths, methods))
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
        self.surfaces = self.surfaces.routes(routes);
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
        self.pages = self.pages.route(path, handlers);
        self
    }

    /// Reaches `handler`, which answers this call of a route already in place, without the router as well.
    pub(crate) fn directly<F, A>(mut self, method: Method, path: &str, handler: F) -> Self
    where
        F: Fn(State<Arc<App>>, Asked) -> A + Send + Sync + 'static,
        A: Future<Output: IntoResponse> + Send + 'static,
    {
        let handler = direct::open(handler);
        self.direct.push(Direct::new(method, path, handler));
        self
    }

    fn note(&mut self, method: Method, path: &str, area: Area) {
        let path = path.to_owned();
        self.table.0.push(RouteEntry { method, path, area });
    }

    /// The OpenAPI document of what is documented so far.
    pub(crate) fn api(&self) -> &OpenApi {
        self.surfaces.get_openapi()
    }

    /// Every route that was put in place.
    pub(crate) fn table(self) -> RouteTable {
        self.table
    }

    /// The router, whose surfaces may be read by pages of these origins, and what is reached without it.
    pub(crate) fn finish(
        mut self,
        origins: Option<Origins>,
        app: &App,
    ) -> (Router<Arc<App>>, Vec<Direct>) {
        // What pages of other origins may read is said around the handlers, by the router.
        let mut direct = match origins {
            Some(_) => Vec::new(),
            None => std::mem::take(&mut self.direct),
        };
        for route in self.table.entries() {
            direct.iter_mut().for_each(|one| one.beside(&route.path));
        }
        // Set once: nobody else finishes what this takes.
        let _ = self.gate.set(Arc::clone(&app.gate));
        if let Some(accounts) = &app.accounts {
            let _ = self.accounts.set(Arc::clone(accounts));
        }
        let (surfaces, _) = self.surfaces.split_for_parts();
        let surfaces = surfaces.method_not_allowed_fallback(no_such_method);
        let surfaces = match origins {
            Some(origins) => surfaces.layer(from_fn_with_state(origins, cors::around)),
            None => surfaces,
        };
        let router = with_fallbacks(surfaces.merge(self.pages));
        let surfaces = self
            .table
            .entries()
            .iter()
            .filter_map(|route| match route.area {
                Area::Surface(kind) => Some(kind),
                _ => None,
            });
        let nowhere = Nowhere {
            shared: surfaces.collect::<BTreeSet<_>>().len() > 1,
            dialects: self.dialects.into(),
        };
        let nowhere = self.nowhere.get_or_init(|| nowhere).clone();
        let router = router.fallback(async move |uri: Uri| nowhere.say(&uri));
        (router, direct)
    }
}

/// With other methods refused in the words of a dialect.
fn refusing(
    dialect: Dialect,
    (schemas, paths, methods): UtoipaMethodRouter<Arc<App>>,
) -> UtoipaMethodRouter<Arc<App>> {
    let methods = methods.fallback(async move || dialect.refuse(Trouble::NoSuchMethod));
    (schemas, paths, methods)
}

/// What is said where nothing is.
#[derive(Clone)]
struct Nowhere {
    dialects: Arc<[Dialect]>,
    /// Whether there is more than one surface.
    shared: bool,
}

impl Nowhere {
    /// What is not found below the paths of a dialect is refused in its words, and anything where it
    /// is alone.
    fn say(&self, uri: &Uri) -> Response {
        let below = |prefix: &str| {
            let rest = uri.path().strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut dialects = self.dialects.iter();
        let owner = dialects.find(|one| one.prefix.is_some_and(below));
        let alone = self.dialects.first().filter(|_| !self.shared);
        match owner.or(alone) {
            Some(dialect) => dialect.refuse(Trouble::NoSuchPath),
            None => no_such_path(),
        }
    }
}

/// Problems for what has no route.
pub(crate) fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(async || no_such_path())
        .method_not_allowed_fallback(no_such_method)
}

fn no_such_path() -> Response {
    Problem::new(ProblemKind::NotFound, "there is nothing at this path").into_response()
}

/// The router adds `Allow`.
async fn no_such_method() -> Response {
    let detail = "the Allow header lists the methods of this path";
    Problem::new(ProblemKind::MethodNotAllowed, detail).into_response()
}
