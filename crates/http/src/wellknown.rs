//! The public keys that result tokens are checked with (RFC 7517).

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::app::App;
use crate::asset::{Asset, Caching};
use crate::mount::{Area, Mount};

pub(crate) fn mount(mount: Mount) -> Mount {
    mount.documented(Area::WellKnown, routes!(get_keys))
}

/// A JWK set: the public keys of result tokens, newest first.
#[derive(ToSchema)]
#[schema(as = JwkSet)]
#[expect(dead_code, reason = "only its schema is used")]
struct JwkSetBody {
    keys: Vec<Jwk>,
}

/// A public key (RFC 8037).
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Jwk {
    /// `OKP`.
    kty: String,
    /// `Ed25519`.
    crv: String,
    /// The public key, in base64url.
    x: String,
    /// Which key it is: its thumbprint (RFC 7638).
    kid: String,
    /// `sig`.
    r#use: String,
    /// `EdDSA`.
    alg: String,
}

/// Public keys
///
/// What the `token` of an approval is checked with. A key is published at least as long as tokens signed
/// with it are good.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "native",
    security(()),
    responses(
        (
            status = 200, description = "The keys.", body = JwkSetBody,
            content_type = "application/jwk-set+json",
            headers(("ETag" = String, description = "Changes with the keys"))
        ),
        (status = 304, description = "The keys are those of `If-None-Match`."),
    ),
)]
async fn get_keys(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let keys = app.verifier.keys().jwks().to_string();
    Asset::new("application/jwk-set+json", keys)
        .cached(Caching::FiveMinutes)
        .answer(&headers)
}
