//! What providers tell about messages that they took, at `/callbacks/{provider}` of every API listener.
//!
//! It needs no API key and costs no source a slot: each callback is proven by its provider's own means,
//! over the raw bytes, before anything of it is read. Ids are in the query, so nothing here logs it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use watchword_core::{
    Callback, CallbackMethod, CallbackRequest, Callbacks, Failure, Receipt, Verifier,
};

use crate::app::App;
use crate::mount::{Area, Mount};
use crate::problem::{Problem, ProblemKind};

/// The largest callback, in bytes: that of Meta, which bundles.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// A larger body than this needs one of few places, so that strangers cannot fill the memory with
/// what nobody has proven yet.
const ORDINARY_BODY: usize = 64 * 1024;
/// How many larger bodies are held at once.
const LARGE_AT_ONCE: usize = 16;
/// How many receipts of one callback are on their way to the store at once.
const RECEIPTS_AT_ONCE: usize = 32;

/// Where callbacks are taken in. Clones are the same one.
#[derive(Clone)]
pub struct Reception {
    desk: Arc<dyn Callbacks>,
    /// What outlives its request: the provider may hang up, and a turn is given once.
    tasks: TaskTracker,
    large: Arc<Semaphore>,
}

impl Reception {
    /// A reception whose callbacks are read at this desk.
    #[must_use]
    pub fn new(desk: Arc<dyn Callbacks>) -> Self {
        Self {
            desk,
            tasks: TaskTracker::new(),
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
        }
    }

    /// Waits until everything that callbacks set going has ended. For when no more come.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How many callbacks are being worked on.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.tasks.len()
    }

    /// Whether a provider of this name takes callbacks: asked with nothing, so that a body for
    /// nobody is never read.
    fn knows(&self, provider: &str) -> bool {
        let nothing = CallbackRequest {
            method: CallbackMethod::Post,
            query: None,
            headers: &[],
            body: &[],
        };
        self.desk.read(provider, &nothing).is_some()
    }

    /// Reads a body, byte for byte.
    async fn body(&self, headers: &HeaderMap, mut body: Body) -> Result<Whole<'_>, Problem> {
        let announced = headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        let mut place = None;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                let detail = "the body did not arrive whole";
                return Err(Problem::new(ProblemKind::InvalidRequest, detail));
            };
            let Ok(piece) = frame.into_data() else {
                continue; // trailers
            };
            let length = bytes.len() + piece.len();
            if length > MAX_BODY {
                return Err(too_large());
            }
            if length > ORDINARY_BODY && place.is_none() {
                place = Some(self.large.try_acquire().map_err(|_| {
                    let detail = "too many large callbacks are being read";
                    Problem::new(ProblemKind::RateLimited, detail)
                })?);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Whole {
            bytes: bytes.freeze(),
            _place: place,
        })
    }
}

/// No provider takes callbacks.
impl Default for Reception {
    fn default() -> Self {
        struct Closed;
        impl Callbacks for Closed {
            fn read(&self, _: &str, _: &CallbackRequest<'_>) -> Option<Callback> {
                None
            }
        }
        Self::new(Arc::new(Closed))
    }
}

/// A body, and its place among the large ones if it is one.
struct Whole<'a> {
    bytes: Bytes,
    _place: Option<SemaphorePermit<'a>>,
}

fn too_large() -> Problem {
    let detail = format!("the callback is larger than {MAX_BODY} bytes");
    Problem::new(ProblemKind::PayloadTooLarge, detail)
}

pub(crate) fn mount(mount: Mount) -> Mount {
    mount.plain(
        Area::Callbacks,
        "/callbacks/{provider}",
        &[Method::GET, Method::POST],
        get(take).post(take),
    )
}

async fn take(
    State(app): State<Arc<App>>,
    provider: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let provider = provider.ok().map(|Path(provider)| provider);
    let answer = answer(&app, provider, &parts, body).await;
    let mut response = answer.unwrap_or_else(Problem::into_response);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn answer(
    app: &App,
    provider: Option<String>,
    parts: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    let reception = &app.callbacks;
    let Some(provider) = provider.filter(|provider| reception.knows(provider)) else {
        let detail = "no provider of this name takes callbacks";
        return Err(Problem::new(ProblemKind::NotFound, detail));
    };
    let body = reception.body(&parts.headers, body).await?;
    let callback = {
        let headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let request = CallbackRequest {
            method: match parts.method {
                Method::POST => CallbackMethod::Post,
                _ => CallbackMethod::Get,
            },
            query: parts.uri.query(),
            headers: &headers,
            body: &body.bytes,
        };
        reception.desk.read(&provider, &request)
    };
    drop(body);
    match callback {
        Some(Callback::Receipts(receipts)) => {
            apply(app, provider, receipts).await?;
            // Some providers take a body for a reply to the recipient.
            Ok(Response::default())
        }
        Some(Callback::Challenge(text)) => {
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            Ok(([(CONTENT_TYPE, plain)], text).into_response())
        }
        Some(Callback::Refused) | None => {
            tracing::warn!(
                provider,
                "a callback was refused: nothing proves that it is from the provider; if it is, \
                 see its secret here and public_url"
            );
            let detail = "nothing proves that this callback is from the provider";
            Err(Problem::new(ProblemKind::Unauthenticated, detail))
        }
        Some(Callback::Forbidden) => {
            tracing::warn!(
                provider,
                "a handshake was refused: its verify_token is not ours"
            );
            let detail = "this is not the word that was agreed";
            Err(Problem::new(ProblemKind::Forbidden, detail))
        }
        Some(Callback::Unreadable) => {
            tracing::warn!(
                provider,
                "a callback is from the provider and cannot be read"
            );
            let detail = "this callback cannot be read";
            Err(Problem::new(ProblemKind::InvalidRequest, detail))
        }
    }
}

/// Hands receipts on, even if the provider does not wait for it.
async fn apply(app: &App, provider: String, receipts: Vec<Receipt>) -> Result<(), Problem> {
    if receipts.is_empty() {
        return Ok(());
    }
    let (verifier, tasks) = (Arc::clone(&app.verifier), app.callbacks.tasks.clone());
    let provider: Arc<str> = provider.into();
    let applied = async move {
        let receive = |receipt| {
            receive(
                Arc::clone(&verifier),
                Arc::clone(&provider),
                receipt,
                &tasks,
            )
        };
        let mut results = stream::iter(receipts)
            .map(receive)
            .buffer_unordered(RECEIPTS_AT_ONCE);
        let mut failure = None;
        while let Some(result) = results.next().await {
            failure = failure.or(result.err());
        }
        failure
    };
    let applied = app.callbacks.tasks.spawn(applied.in_current_span());
    match applied.await {
        Ok(None) => Ok(()),
        Ok(Some(failure)) => Err(failure.into()),
        Err(error) => {
            let detail = "the callback was not taken in";
            Err(Problem::new(ProblemKind::InternalError, detail).caused_by(error))
        }
    }
}

/// Takes in one receipt, so that a failure of another loses no turn that this one gave.
async fn receive(
    verifier: Arc<Verifier>,
    provider: Arc<str>,
    receipt: Receipt,
    tasks: &TaskTracker,
) -> Result<(), Failure> {
    let received = verifier.receive(&provider, receipt).await?;
    if let Some(turn) = received.turn {
        let verifier = Arc::clone(&verifier);
        let sent = async move {
            if let Err(error) = verifier.fall_back(turn).await {
                tracing::error!(%error, "a fallback came to nothing");
            }
        };
        tasks.spawn(sent.in_current_span());
    }
    Ok(())
}
