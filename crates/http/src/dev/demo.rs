//! The page that walks through the surfaces of a listener.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use super::inbox::dev;
use super::only_local;
use super::page::render;
use crate::app::{App, DemoAt, SurfaceKind};
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "demo.html")]
struct DemoPage<'a> {
    walks: Vec<Walk>,
    others: Vec<Other<'a>>,
}

/// One way through a surface. The script knows it by its name.
#[derive(Clone, Copy)]
struct Walk {
    name: &'static str,
    path: &'static str,
}

/// Another listener, with surfaces that are not here.
struct Other<'a> {
    url: &'a str,
    surfaces: String,
}

const fn walks(kind: SurfaceKind) -> &'static [Walk] {
    const fn walk(name: &'static str, path: &'static str) -> Walk {
        Walk { name, path }
    }
    const NATIVE: &[Walk] = &[walk("native", "/v1/verifications")];
    const AUTH: &[Walk] = &[
        walk("auth, login", "/api/v1/auth/request-otp"),
        walk("auth, register", "/api/v1/auth/register"),
    ];
    const OTP: &[Walk] = &[walk("otp", "/api/otp/generate")];
    const WHATSAPP: &[Walk] = &[walk("whatsapp", "/send-otp")];
    const UUID: &[Walk] = &[walk("uuid", "/")];
    match kind {
        SurfaceKind::Native => NATIVE,
        SurfaceKind::Auth => AUTH,
        SurfaceKind::Otp => OTP,
        SurfaceKind::Whatsapp => WHATSAPP,
        SurfaceKind::Uuid => UUID,
    }
}

/// `GET /demo` of a listener with these surfaces.
pub(super) fn route(here: &[SurfaceKind]) -> MethodRouter<Arc<App>> {
    let here: Arc<[SurfaceKind]> = here.into();
    get(
        async move |State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap| {
            answer(&app, &here, &uri, &headers)
        },
    )
}

fn answer(
    app: &App,
    here: &[SurfaceKind],
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    only_local(uri, headers)?;
    let others = dev(app)?.demos.iter();
    let page = DemoPage {
        walks: here.iter().flat_map(|kind| walks(*kind)).copied().collect(),
        others: others.filter_map(|other| missing(other, here)).collect(),
    };
    render(&page, headers)
}

fn missing<'a>(other: &'a DemoAt, here: &[SurfaceKind]) -> Option<Other<'a>> {
    let theirs = other.surfaces.iter().filter(|kind| !here.contains(kind));
    let names: Vec<_> = theirs.map(|kind| kind.as_str()).collect();
    (!names.is_empty()).then(|| Other {
        url: &other.url,
        surfaces: names.join(", "),
    })
}
