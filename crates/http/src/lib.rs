//! The HTTP side of Watchword: serving, and the dialects that are served.
//!
//! A request's way is: [`serve`] → a surface → `Verifier` → and back. A surface translates and knows no
//! rule; what surfaces share (strict JSON, who calls, whose limits count, repeats) is beside them.

mod app;
mod asset;
mod callbacks;
mod caller;
pub mod client_address;
mod cors;
mod dev;
mod direct;
mod docs;
mod errand;
mod gate;
mod health;
mod idempotency;
mod json;
mod mount;
mod openapi;
mod problem;
mod rate_limit;
pub mod serve;
mod source;
mod surfaces;
mod wellknown;

use std::sync::Arc;

use axum::Router;

pub use app::{App, DemoAt, Dev, Policies, SurfaceKind, SurfaceSettings, Told, UnknownSurface};
pub use callbacks::Reception;
pub use direct::Routes;
pub use gate::{Departing, Gate, GateFigures, TurnedAway, store_answered};
pub use health::{Admin, admin_route_table, admin_router};
pub use json::Fault;
pub use mount::{Area, RouteEntry, RouteTable};
pub use openapi::openapi_json;
pub use problem::{Cause, Problem, ProblemKind};
pub use rate_limit::RateLimit;
pub use surfaces::auth::{PasswordPool, PoolFill};

use direct::Direct;
use mount::Mount;

/// What an API listener answers: its surfaces, the public keys, the documents, and in dev mode the pages.
pub fn api_routes(app: Arc<App>, surfaces: &[SurfaceKind]) -> Routes {
    let (router, direct) = api(&app, surfaces, "");
    Routes::new(router.with_state(Arc::clone(&app)), app, direct)
}

/// The router of [`api_routes`].
///
/// Every request has to carry a [`client_address::ClientAddress`] in its extensions, as [`serve`] puts
/// there: without one nothing is sent or checked.
pub fn api_router(app: Arc<App>, surfaces: &[SurfaceKind]) -> Router {
    api_router_at(app, surfaces, "")
}

/// As [`api_router`], to be nested below `path`, which its OpenAPI document names.
pub fn api_router_at(app: Arc<App>, surfaces: &[SurfaceKind], path: &str) -> Router {
    let (router, _) = api(&app, surfaces, path);
    router.with_state(app)
}

fn api(app: &App, surfaces: &[SurfaceKind], path: &str) -> (Router<Arc<App>>, Vec<Direct>) {
    let origins = cors::Origins::new(&app.cors_origins);
    mount_all(surfaces, app.dev.is_some(), path).finish(origins, app)
}

/// Every route that [`api_router`] has.
#[must_use]
pub fn route_table(surfaces: &[SurfaceKind], dev: bool) -> RouteTable {
    mount_all(surfaces, dev, "").table()
}

fn mount_all(surfaces: &[SurfaceKind], dev: bool, path: &str) -> Mount {
    let mount = docs::mount(openapi::mount(mount_surfaces(surfaces), dev, path));
    let mount = callbacks::mount(mount);
    if dev {
        dev::mount(mount, surfaces)
    } else {
        mount
    }
}

/// Everything that the OpenAPI document describes.
fn mount_surfaces(surfaces: &[SurfaceKind]) -> Mount {
    let mount = wellknown::mount(Mount::new(openapi::empty()));
    surfaces.iter().copied().fold(mount, surfaces::mount)
}
