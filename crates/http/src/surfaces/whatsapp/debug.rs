//! How the provider of the `whatsapp` surface is configured, and what it would be sent.
//!
//! **Invariant:** both answers hold no key; and outside dev mode nobody gets them without one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json as object};
use watchword_core::{Channel, ProviderDescription};

use super::WHATSAPP;
use crate::app::App;
use crate::direct::Asked;
use crate::surfaces::dialect::{Call, json};
use crate::surfaces::trouble::Trouble;

/// How WhatsApp is configured
///
/// The provider that is tried first, with its keys redacted, and those after it. Needs an API key outside
/// dev mode.
#[utoipa::path(
    get, path = "/debug/whatsapp", tag = "whatsapp",
    responses(
        (status = 200, description = "The settings of the provider.", body = Value, content_type = "application/json"),
        (status = 401, description = "An API key is needed, or is not valid.", body = super::words::Answer),
        (status = 403, description = "The API key may not do this.", body = super::words::Answer),
        (status = 503, description = "WhatsApp has no provider, or the store cannot answer.", body = super::words::Answer),
    ),
)]
pub(super) async fn describe_whatsapp(State(app): State<Arc<App>>, asked: Asked) -> Response {
    WHATSAPP
        .inspect(app, asked, async |call: Call| {
            let described = described(&call)?;
            let mut listed = described.iter().map(settings);
            let mut first = listed.next().unwrap_or_default();
            let next: Vec<_> = listed.map(Value::Object).collect();
            if !next.is_empty() {
                first.insert("next".to_owned(), next.into());
            }
            Ok(json(StatusCode::OK, &first))
        })
        .await
}

/// The request that would go out
///
/// Exactly as it would be sent for an example number and code, with keys redacted. Needs an API key
/// outside dev mode.
#[utoipa::path(
    get, path = "/debug/test-request", tag = "whatsapp",
    responses(
        (status = 200, description = "The request.", body = Value, content_type = "application/json"),
        (status = 401, description = "An API key is needed, or is not valid.", body = super::words::Answer),
        (status = 403, description = "The API key may not do this.", body = super::words::Answer),
        (status = 503, description = "WhatsApp has no provider, or the store cannot answer.", body = super::words::Answer),
    ),
)]
pub(super) async fn test_request(State(app): State<Arc<App>>, asked: Asked) -> Response {
    WHATSAPP
        .inspect(app, asked, async |call: Call| {
            let described = described(&call)?;
            let sample = described.first().and_then(|first| first.sample.as_ref());
            let answer = match sample {
                Some(sample) => object!({
                    "api_url": sample.url,
                    "method": "POST",
                    "headers": pairs(&sample.headers),
                    "data": pairs(&sample.body),
                    "note": "Nothing was sent. Number and code are examples; keys are redacted.",
                }),
                None => object!({
                    "note": "The provider that is tried first is not called over HTTP.",
                }),
            };
            Ok(json(StatusCode::OK, &answer))
        })
        .await
}

fn described(call: &Call) -> Result<Vec<ProviderDescription>, Trouble> {
    let described = call.app.providers.of(Channel::Whatsapp);
    if described.is_empty() {
        let error = watchword_core::SendError::NoProvider(Channel::Whatsapp);
        return Err(error.into());
    }
    Ok(described)
}

fn settings(provider: &ProviderDescription) -> Map<String, Value> {
    let mut settings = pairs(&provider.settings);
    settings.insert("provider".to_owned(), provider.name.clone().into());
    settings.insert("kind".to_owned(), provider.kind.into());
    settings
}

fn pairs(pairs: &[(String, String)]) -> Map<String, Value> {
    let own = |(name, value): &(String, String)| (name.clone(), Value::from(value.clone()));
    pairs.iter().map(own).collect()
}
