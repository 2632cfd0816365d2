//! The OpenAPI document for people: Swagger UI at `/docs/`, ReDoc at `/redoc`. Both come from files in
//! the binary and load nothing from anywhere else.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::{Config, Url};

use crate::asset::{Asset, Shown};
use crate::mount::{Area, Mount};
use crate::problem::{Problem, ProblemKind};

/// With the two changes that its README names.
const REDOC: &[u8] = include_bytes!("../../assets/redoc/redoc.standalone.js");

pub(crate) fn mount(mount: Mount) -> Mount {
    let only_get = &[Method::GET];
    // Addresses are relative: all of this may stand below a path.
    mount
        .plain(
            Area::Docs,
            "/docs",
            only_get,
            get(async || Redirect::permanent("docs/")),
        )
        .plain(Area::Docs, "/docs/", only_get, get(swagger_page))
        .plain(Area::Docs, "/docs/{file}", only_get, get(swagger_file))
        .plain(Area::Docs, "/redoc", only_get, get(redoc_page))
        .plain(
            Area::Docs,
            "/redoc/redoc.standalone.js",
            only_get,
            get(redoc_script),
        )
}

async fn swagger_page(headers: HeaderMap) -> Response {
    swagger("index.html", &headers)
}

async fn swagger_file(Path(file): Path<String>, headers: HeaderMap) -> Response {
    swagger(&file, &headers)
}

fn swagger(file: &str, headers: &HeaderMap) -> Response {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        let document = Url::new("Watchword", "../openapi.json");
        let config = Config::new([document])
            .validator_url("none") // else a foreign host is told of the document
            .try_it_out_enabled(true)
            .deep_linking(true);
        Arc::new(config)
    });
    let nothing = || Problem::new(ProblemKind::NotFound, "there is nothing at this path");
    match utoipa_swagger_ui::serve(file, Arc::clone(&CONFIG)) {
        Ok(Some(found)) => {
            let media_type = match file.rsplit_once('.').map(|(_, extension)| extension) {
                Some("html") => "text/html; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                Some("js") => "text/javascript; charset=utf-8",
                Some("png") => "image/png",
                _ => "application/octet-stream",
            };
            Asset::new(media_type, found.bytes.into_owned())
                .shown(Shown::Viewer)
                .gzipped(found.gzpipped)
                .answer(headers)
        }
        Ok(None) | Err(_) => nothing().into_response(),
    }
}

async fn redoc_page(headers: HeaderMap) -> Response {
    let page: &[u8] = include_bytes!("../../assets/redoc/index.html");
    Asset::html(page).shown(Shown::Viewer).answer(&headers)
}

async fn redoc_script(headers: HeaderMap) -> Response {
    Asset::new("text/javascript; charset=utf-8", REDOC).answer(&headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_loads_no_picture_from_a_foreign_host() {
        let bundle = std::str::from_utf8(REDOC).unwrap();
        assert!(!bundle.contains("cdn.redoc"), "see its README");
        assert!(!bundle.contains("src:\"http"), "see its README");
    }
}
