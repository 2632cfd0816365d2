//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the same request twice is one request.
//!
//! A key belongs to one API key of one app. The first request with it runs; its answer is kept sealed for
//! 24 hours and given again to whoever repeats the request. The request is recognised by a keyed
//! fingerprint: a plain hash of a check would give its code away to a million tries.
//!
//! **Invariant:** an answer that says "try again" (429, 5xx) is never kept.

use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use watchword_core::keys::Sealed;
use watchword_core::{Replay, ReplayKey, StoreError};
use zeroize::Zeroizing;

use crate::app::App;
use crate::caller::Caller;
use crate::problem::Cause;

/// How long a request may run before its key is free again.
const RUNNING: Duration = Duration::from_secs(60);
/// How long an answer is kept.
pub(crate) const KEPT: Duration = Duration::from_hours(24);
/// The largest answer that is kept. Ours are far smaller.
const MAX_ANSWER: usize = 64 * 1024;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a caller named its request.
#[derive(Clone)]
pub(crate) struct IdempotencyKey(String);

/// The header holds no key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Idempotency-Key header is not one quoted string of 16 to 255 printable ASCII characters"
)]
pub(crate) struct InvalidKey;

impl IdempotencyKey {
    /// Reads the header: a string of RFC 9651 section 3.3.3, or the same without its quotes.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Self>, InvalidKey> {
        let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = sent.next() else {
            return Ok(None);
        };
        if sent.next().is_some() {
            return Err(InvalidKey);
        }
        let value = value.to_str().map_err(|_| InvalidKey)?.trim();
        let key = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => value.to_owned(),
        };
        let bare = !value.starts_with('"');
        let allowed = |b: u8| match b {
            b'"' | b'\\' | b',' | b';' | b' ' if bare => false,
            _ => (b' '..=b'~').contains(&b),
        };
        if !(16..=255).contains(&key.len()) || !key.bytes().all(allowed) {
            return Err(InvalidKey);
        }
        Ok(Some(Self(key)))
    }
}

/// What stands before the closing quote, which has to be the end.
fn unquote(quoted: &str) -> Result<String, InvalidKey> {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    loop {
        match characters.next().ok_or(InvalidKey)? {
            '"' => break,
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                _ => return Err(InvalidKey),
            },
            other => text.push(other),
        }
    }
    if characters.next().is_none() {
        Ok(text)
    } else {
        Err(InvalidKey)
    }
}

/// Why a request with a key was not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepeatError {
    /// The first request with this key has not been answered yet.
    #[error("a request with this idempotency key is still running")]
    Running,
    /// The key came with another request.
    #[error("the idempotency key came with another request")]
    Different,
    /// What was kept cannot be opened.
    #[error("the answer that was kept cannot be read")]
    Unreadable,
    /// We cannot know.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What makes two requests the same.
pub(crate) struct Fingerprinted<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

/// Runs `work` unless the same request ran before; then its answer is given again.
pub(crate) async fn once(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: Fingerprinted<'_>,
    work: impl Future<Output = Response>,
) -> Result<Response, RepeatError> {
    let keys = app.verifier.keys();
    let named = keys.fingerprint(&[
        b"idempotency key",
        caller.app.as_str().as_bytes(),
        caller.name().as_bytes(),
        key.0.as_bytes(),
    ]);
    let mut place = [0; 16];
    place.copy_from_slice(&named[..16]);
    let place = ReplayKey(place);
    let fingerprint = keys.fingerprint(&[
        b"idempotent request",
        request.method.as_bytes(),
        request.path.as_bytes(),
        request.body,
    ]);
    let now = app.now();
    let claim = app
        .replays
        .claim(place, fingerprint, now.plus(RUNNING), now);
    match claim.await? {
        Replay::Fresh => {}
        Replay::Running => return Err(RepeatError::Running),
        Replay::Different => return Err(RepeatError::Different),
        Replay::Done(sealed) => {
            let opened = keys.open(&place.0, &sealed).ok();
            let answer = opened.and_then(|opened| serde_json::from_slice::<Answer>(&opened).ok());
            let again = answer.and_then(Answer::give);
            return again.ok_or(RepeatError::Unreadable);
        }
    }
    let response = work.await;
    let (response, kept) = keep(app, place, response).await;
    if let Err(error) = kept {
        // The request was done, and that is what its caller has to know.
        let cause = Cause::new(error);
        tracing::warn!(%cause, "the answer of a request with an idempotency key was not kept");
    }
    Ok(response)
}

/// Keeps the answer, or frees the key where there is nothing to keep.
async fn keep(
    app: &App,
    place: ReplayKey,
    response: Response,
) -> (Response, Result<(), StoreError>) {
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return (response, app.replays.abandon(place).await);
    }
    let (response, body) = keepable(response).await;
    let Some(body) = body else {
        return (response, app.replays.abandon(place).await);
    };
    let sealed = Answer::of(status, response.headers(), &body).and_then(|answer| {
        let json = Zeroizing::new(serde_json::to_vec(&answer).ok()?);
        let verifier = &app.verifier;
        verifier
            .keys()
            .seal(&place.0, &json, verifier.entropy())
            .ok()
    });
    let kept = match sealed {
        Some(sealed) => finish(app, place, sealed).await,
        None => app.replays.abandon(place).await,
    };
    (response, kept)
}

/// The answer, and its body if that can be kept.
async fn keepable(response: Response) -> (Response, Option<Bytes>) {
    if response.body().size_hint().lower() > MAX_ANSWER as u64 {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    match to_bytes(body, MAX_ANSWER).await {
        Ok(body) => {
            let response = Response::from_parts(parts, Body::from(body.clone()));
            (response, Some(body))
        }
        // Only a body that is not held in memory could fail; no handler here makes one.
        Err(_) => (Response::from_parts(parts, Body::empty()), None),
    }
}

async fn finish(app: &App, place: ReplayKey, sealed: Sealed) -> Result<(), StoreError> {
    let until = app.now().plus(KEPT);
    app.replays.finish(place, sealed, until).await
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Answer {
    #[serde(rename = "s")]
    status: u16,
    #[serde(rename = "t")]
    content_type: Option<String>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(rename = "b")]
    body: String,
}

impl Answer {
    fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let text = |name| {
            let value: Option<&HeaderValue> = headers.get(name);
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Some(Self {
            status: status.as_u16(),
            content_type: text(CONTENT_TYPE),
            location: text(LOCATION),
            body: std::str::from_utf8(body).ok()?.to_owned(),
        })
    }

    fn give(self) -> Option<Response> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).ok()?;
        let headers = response.headers_mut();
        for (name, value) in [(CONTENT_TYPE, self.content_type), (LOCATION, self.location)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::try_from(value).ok()?);
            }
        }
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &[u8]) -> Result<Option<String>, InvalidKey> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        IdempotencyKey::read(&headers).map(|key| key.map(|key| key.0))
    }

    #[test]
    fn a_key_with_and_without_quotes_is_the_same_key() {
        let key = Ok(Some("8e03978e-40d5-43dd".to_owned()));
        assert_eq!(read(br#""8e03978e-40d5-43dd""#), key);
        assert_eq!(read(b"8e03978e-40d5-43dd"), key);
        assert_eq!(read(b"  8e03978e-40d5-43dd "), key);
        let escaped = read(br#""a \"quoted\" \\ text""#);
        assert_eq!(escaped, Ok(Some(r#"a "quoted" \ text"#.to_owned())));
        assert!(matches!(IdempotencyKey::read(&HeaderMap::new()), Ok(None)));
    }

    #[test]
    fn what_is_no_string_of_16_to_255_characters_is_refused() {
        let long = "a".repeat(256);
        for wrong in [
            "",
            "\"\"",
            "fifteen-charact",
            "\"fifteen-charact\"",
            long.as_str(),
            "\"never closed and long",
            "\"closed too early\" and more",
            "\"a bad \\n escape is here\"",
            "two keys, separated here",
            "\"with-parameters-after\";a=1",
            "tab\tin-the-middle-of-it",
        ] {
            assert_eq!(read(wrong.as_bytes()), Err(InvalidKey), "{wrong:?}");
        }
        assert_eq!(
            read("caf\u{e9}-caf\u{e9}-caf\u{e9}-x".as_bytes()),
            Err(InvalidKey)
        );
        let mut twice = HeaderMap::new();
        let value = HeaderValue::from_static("8e03978e-40d5-43dd");
        twice.append(IDEMPOTENCY_KEY, value.clone());
        twice.append(IDEMPOTENCY_KEY, value);
        assert!(IdempotencyKey::read(&twice).is_err());
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_to_be_kept_is_given_whole() {
        for (length, kept) in [(0, true), (MAX_ANSWER, true), (MAX_ANSWER + 1, false)] {
            let text = "a".repeat(length);
            let (response, body) = keepable(Response::new(Body::from(text.clone()))).await;
            assert_eq!(body.is_some(), kept, "{length} bytes");
            let given = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(given == text, "{length} bytes came as {}", given.len());
        }
    }
}
