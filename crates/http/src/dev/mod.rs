//! Dev mode: a landing page that leads to everything, the inbox, the inbox as JSON, and a page that walks
//! through each surface.
//!
//! **Invariant:** nothing here answers under a foreign host name. A web page that has its own name
//! resolved to this machine would otherwise read every code.

mod demo;
mod inbox;
mod page;

use axum::http::{HeaderMap, Method, Uri};
use axum::routing::get;

use crate::app::SurfaceKind;
use crate::asset::Asset;
use crate::caller::is_local;
use crate::mount::{Area, Mount};
use crate::problem::{Problem, ProblemKind};

const STYLE: &[u8] = include_bytes!("../../assets/dev/dev.css");
const SCRIPT: &[u8] = include_bytes!("../../assets/dev/inbox.js");
const DEMO: &[u8] = include_bytes!("../../assets/dev/demo.js");

pub(crate) fn mount(mount: Mount, surfaces: &[SurfaceKind]) -> Mount {
    let only_get = &[Method::GET];
    let style = get(async |headers: HeaderMap| {
        Asset::new("text/css; charset=utf-8", STYLE).answer(&headers)
    });
    let script = get(async |headers: HeaderMap| {
        Asset::new("text/javascript; charset=utf-8", SCRIPT).answer(&headers)
    });
    let demo_script = get(async |headers: HeaderMap| {
        Asset::new("text/javascript; charset=utf-8", DEMO).answer(&headers)
    });
    mount
        .plain(Area::Dev, "/", only_get, get(page::landing))
        .plain(Area::Dev, "/dev/inbox", only_get, get(page::inbox))
        .plain(Area::Dev, "/dev/events", only_get, get(inbox::events))
        .plain(
            Area::Dev,
            "/dev/messages",
            &[Method::GET, Method::DELETE],
            get(inbox::messages).delete(inbox::clear),
        )
        .directly(Method::GET, "/dev/messages", inbox::messages)
        .plain(Area::Dev, "/dev/dev.css", only_get, style)
        .plain(Area::Dev, "/dev/inbox.js", only_get, script)
        .plain(Area::Dev, "/demo", only_get, demo::route(surfaces))
        .plain(Area::Dev, "/dev/demo.js", only_get, demo_script)
}

/// A refusal of calls that name a foreign host.
fn only_local(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if is_local(uri, headers) {
        return Ok(());
    }
    let detail = "the pages of dev mode are shown only at localhost and loopback addresses";
    Err(Problem::new(ProblemKind::Forbidden, detail))
}
