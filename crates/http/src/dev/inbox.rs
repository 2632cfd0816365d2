//! The inbox as JSON, and word of its changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;
use watchword_core::{InboxMessage, NumberRules, Recipient, Timestamp};

use super::only_local;
use crate::app::{App, Dev};
use crate::asset::{Asset, Caching};
use crate::direct::Asked;
use crate::json::display;
use crate::problem::{Problem, ProblemKind};

/// Room for the JSON of a usual message.
const MESSAGE: usize = 512;

/// A message as a test reads it.
#[derive(Serialize)]
struct MessageView<'a> {
    id: uuid::Uuid,
    #[serde(serialize_with = "display")]
    at: Timestamp,
    channel: &'a str,
    provider: &'a str,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    body: &'a str,
    code: &'a str,
}

impl<'a> MessageView<'a> {
    fn of(message: &'a InboxMessage) -> Self {
        Self {
            id: message.id.0,
            at: message.at,
            channel: message.channel.as_str(),
            provider: &message.provider,
            to: message.to.canonical(),
            subject: message
                .subject
                .as_ref()
                .map(watchword_core::SecretText::expose),
            body: message.body.expose(),
            code: message.code.expose(),
        }
    }
}

/// The dev mode of this server. Its routes exist only where there is one.
pub(super) fn dev(app: &App) -> Result<&Dev, Problem> {
    let missing = || Problem::new(ProblemKind::NotFound, "there is nothing at this path");
    app.dev.as_ref().ok_or_else(missing)
}

/// `GET /dev/messages[?to=…]`: newest first; every spelling of a recipient finds its messages.
pub(super) async fn messages(
    State(app): State<Arc<App>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let (parts, _) = asked.into_parts();
    only_local(&parts.uri, &parts.headers)?;
    let dev = dev(&app)?;
    let to = parts.uri.query().and_then(|query| parameter(query, "to"));
    let to = to.map(|to| recipient(&app, &to)).transpose()?;
    let messages = dev.inbox.messages(to.as_ref());
    let views: Vec<_> = messages
        .iter()
        .map(|message| MessageView::of(message))
        .collect();
    let mut json = Vec::with_capacity(MESSAGE * views.len());
    // Plain structs of strings: they always have a JSON form.
    if serde_json::to_writer(&mut json, &views).is_err() {
        json.clear();
    }
    Ok(Asset::new("application/json", json)
        .cached(Caching::No)
        .answer(&parts.headers))
}

/// Reads a recipient as any surface might have: some read numbers less strictly than the native one.
fn recipient(app: &App, to: &str) -> Result<Recipient, Problem> {
    let lenient = NumberRules {
        strict: false,
        ..app.numbers
    };
    let read = Recipient::parse(to, &app.numbers).or_else(|_| Recipient::parse(to, &lenient));
    read.map_err(|error| {
        let detail = format!("the parameter `to` {error}");
        Problem::new(ProblemKind::InvalidRequest, detail)
    })
}

/// `DELETE /dev/messages`
pub(super) async fn clear(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    only_local(&uri, &headers)?;
    dev(&app)?.inbox.clear();
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /dev/events`: an event whenever the inbox changes, and one at once.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    only_local(&uri, &headers)?;
    let dev = dev(&app)?;
    let (inbox, shutdown) = (Arc::clone(&dev.inbox), dev.shutdown.clone());
    let changes = stream::unfold(None, move |seen: Option<u64>| {
        let (inbox, shutdown) = (Arc::clone(&inbox), shutdown.clone());
        async move {
            let revision = match seen {
                None => inbox.revision(),
                Some(seen) => tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return None,
                    revision = inbox.changed(seen) => revision,
                },
            };
            let event = Event::default().data(revision.to_string());
            Some((Ok::<_, Infallible>(event), Some(revision)))
        }
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(5));
    Ok(Sse::new(changes).keep_alive(alive).into_response())
}

/// The first value of a query parameter. A `+` is taken as it is: it starts a phone number far more often
/// than it stands for a space.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decoded(value))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *first == b'%');
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match hex {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_query_is_read_however_it_is_escaped() {
        for query in [
            "to=%2B14155550123",
            "to=+14155550123",
            "a=b&to=%2b14155550123&to=x",
        ] {
            assert_eq!(
                parameter(query, "to").as_deref(),
                Some("+14155550123"),
                "{query}"
            );
        }
        assert_eq!(parameter("from=x", "to"), None);
        assert_eq!(parameter("to=100%", "to").as_deref(), Some("100%"));
    }
}
