//! One request and its response: the single layer between hyper and the router.
//!
//! Everything a tower stack would do in five layers is done here in one future: the client's address,
//! the request id, both request timeouts, panics, the response headers that every answer carries, and
//! the report to the [`Observer`](super::Observer).

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONNECTION, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Extensions, HeaderValue, Method, Request, Response, StatusCode, Version};
use axum::routing::future::RouteFuture;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service as _;

use super::admission::Phase;
use super::connection::Wire;
use super::observer::{ConnectionEvent, Finished, Stall};
use super::progress::BodyLength;
use super::refusal::Refusal;
use super::request_id::{Exchange, RequestId, Template, X_REQUEST_ID};
use crate::client_address::{ClientAddress, has_forwarding_header};
use crate::direct;

/// What is reported for a client that left before it was answered, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Most of a body that is handed to hyper at once. It queues a chunk whole, however little the peer
/// takes, and then nobody could tell a response on its way from one that arrived.
const CHUNK: usize = 32 * 1024;

/// The service of one connection.
#[derive(Clone)]
pub(super) struct Exchanges(pub(super) Arc<Wire>);

impl hyper::service::Service<Request<Incoming>> for Exchanges {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let wire = &self.0;
        let started = Instant::now();
        let length = match request.body().size_hint().exact() {
            Some(length) => BodyLength::Known(length),
            None => BodyLength::Unknown,
        };
        wire.progress.request_started(started, length);

        let (mut parts, incoming) = request.into_parts();
        let (client, id) = wire.identify(&parts.headers);
        let ledger = Ledger {
            id: id.clone(),
            client,
            method: parts.method.clone(),
            version: parts.version,
            started,
            status: None,
            extensions: Extensions::new(),
            body_bytes: 0,
            complete: false,
            wire: Arc::clone(wire),
        };
        let body = if length == BodyLength::Known(0) {
            Body::empty()
        } else {
            let exchange = Arc::clone(id.exchange());
            Body::new(RequestBody { incoming, exchange })
        };
        let routes = &wire.serving.routes;
        let answer = match routes.direct(&parts) {
            Some(found) => {
                let _ = id.exchange().route.set(Template::Direct(found.template()));
                let answer = found.answer(parts, body, Some(client));
                Answer::Direct { answer }
            }
            None => {
                parts.extensions.insert(client);
                parts.extensions.insert(id);
                let request = Request::from_parts(parts, body);
                let answer = routes.router().clone().call(request);
                Answer::Routed { answer }
            }
        };
        Answering {
            answer,
            timer: None,
            last_on_connection: length == BodyLength::Unknown,
            ledger: Some(ledger),
        }
    }
}

impl Wire {
    /// Who is calling, and under which id. Only a trusted proxy is asked.
    fn identify(&self, headers: &axum::http::HeaderMap) -> (ClientAddress, RequestId) {
        let serving = &self.serving;
        if self.peer_is_proxy {
            let theirs = headers.get(X_REQUEST_ID);
            let id = theirs.and_then(|value| RequestId::parse(value.as_bytes()));
            let client = serving.settings.proxies.client(self.peer.ip(), headers);
            return (client, id.unwrap_or_else(|| self.ids.next()));
        }
        // Asked once per connection, told once per listener.
        if !self.looked_for_forwarding.swap(true, Relaxed)
            && has_forwarding_header(headers)
            && !serving.warned_of_forwarding.swap(true, Relaxed)
        {
            tracing::warn!(
                peer = %self.peer,
                "a forwarding header came from a peer that is not a trusted proxy, and was ignored; \
                 if that is your proxy, add it to trusted_proxies (said once)"
            );
        }
        (self.peer, self.ids.next())
    }
}

pin_project! {
    /// The way that a request goes.
    #[project = AnswerProjection]
    enum Answer {
        Routed { #[pin] answer: RouteFuture<Infallible> },
        Direct { answer: direct::Answer },
    }
}

impl Future for Answer {
    type Output = Response<Body>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        match self.project() {
            AnswerProjection::Routed { answer } => answer.poll(cx).map(|Ok(response)| response),
            AnswerProjection::Direct { answer } => answer.as_mut().poll(cx),
        }
    }
}

pin_project! {
    /// A request being answered.
    pub(super) struct Answering {
        #[pin]
        answer: Answer,
        // Set when an HTTP/2 handler first has to wait. HTTP/1 has the connection's.
        #[pin]
        timer: Option<Sleep>,
        last_on_connection: bool,
        ledger: Option<Ledger>,
    }
}

impl Future for Answering {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(ledger) = this.ledger.as_mut() else {
            return Poll::Pending; // polled after the answer, which hyper does not do
        };
        // After a panic the future is never polled again: what it left half-done is only dropped.
        let polled = catch_unwind(AssertUnwindSafe(|| this.answer.poll(cx)));
        let mut response = match polled {
            Ok(Poll::Ready(response)) => response,
            Ok(Poll::Pending) => match ledger.poll_deadline(this.timer, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(refusal) => refusal.response(ledger.version),
            },
            Err(_payload) => {
                // The payload is the handler's words, and may hold what must not be logged.
                tracing::error!(
                    request_id = %ledger.id,
                    route = ledger.route(),
                    "a handler panicked; the request was answered 500"
                );
                Refusal::Panic.response(ledger.version)
            }
        };

        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if let Some(id) = ledger.id.header_value() {
            headers.insert(X_REQUEST_ID, id);
        }
        // Where a chunked request ends is not for two parsers to agree on; and a server that leaves
        // takes no further request of a kept connection that could cross its end.
        let is_last = *this.last_on_connection || ledger.wire.serving.phase() != Phase::Serving;
        if is_last && ledger.version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        ledger.status = Some(response.status());
        ledger.extensions = std::mem::take(response.extensions_mut());
        ledger.wire.progress.response_moved();
        let ledger = this.ledger.take();
        let body = |body| ResponseBody {
            body,
            rest: Bytes::new(),
            ledger,
        };
        Poll::Ready(Ok(response.map(body)))
    }
}

/// What is reported of a request when it ends, however it ends.
pub(super) struct Ledger {
    id: RequestId,
    client: ClientAddress,
    method: Method,
    version: Version,
    started: Instant,
    status: Option<StatusCode>,
    extensions: Extensions,
    body_bytes: u64,
    complete: bool,
    wire: Arc<Wire>,
}

impl Ledger {
    fn route(&self) -> Option<&str> {
        let route = self.id.exchange().route.get();
        route.map(Template::as_str)
    }

    /// Ready when the handler, or the body it waits for, has taken too long.
    fn poll_deadline(
        &self,
        mut timer: Pin<&mut Option<Sleep>>,
        cx: &mut Context<'_>,
    ) -> Poll<Refusal> {
        let progress = &self.wire.progress;
        if self.version != Version::HTTP_2 {
            return match progress
                .take_reminder()
                .then(|| self.overdue(Instant::now()))
            {
                Some(Some(refusal)) => Poll::Ready(refusal),
                Some(None) | None => Poll::Pending,
            };
        }
        // The timer is moved only when it fires, not whenever the wait changes its kind.
        let (body_due, request_due) = self.due();
        if timer.is_none() {
            timer.set(Some(sleep_until(body_due.min(request_due))));
        }
        while let Some(sleep) = timer.as_mut().as_pin_mut() {
            let armed = sleep.deadline();
            ready!(sleep.poll(cx));
            if let Some(refusal) = self.overdue(armed) {
                return Poll::Ready(refusal);
            }
            timer.set(Some(sleep_until(request_due)));
        }
        Poll::Pending
    }

    fn due(&self) -> (Instant, Instant) {
        let timeouts = &self.wire.serving.settings.timeouts;
        (
            self.started + timeouts.body,
            self.started + timeouts.request,
        )
    }

    /// What the time for which has passed at `now`. A body asked for after its time is bounded by the
    /// request's.
    fn overdue(&self, now: Instant) -> Option<Refusal> {
        let (body_due, request_due) = self.due();
        let awaits_body = self.id.exchange().awaits_body.load(Relaxed);
        let (stall, refusal) = if awaits_body && now >= body_due.min(request_due) {
            (Stall::Body, Refusal::BodyTimeout)
        } else if now >= request_due {
            (Stall::Request, Refusal::RequestTimeout)
        } else {
            return None;
        };
        let observer = &self.wire.serving.observer;
        observer.connection(ConnectionEvent::TimedOut(stall));
        Some(refusal)
    }

    fn report(&self, now: Instant) {
        let left = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST);
        self.wire.serving.observer.finished(&Finished {
            route: self.route(),
            method: &self.method,
            version: self.version,
            status: self.status.unwrap_or(left),
            duration: elapsed(self.started, now),
            body_bytes: self.body_bytes,
            complete: self.complete,
            request_id: &self.id,
            client: self.client,
            extensions: &self.extensions,
        });
    }
}

fn elapsed(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let now = Instant::now();
        self.report(now);
        self.wire.progress.request_ended(now);
    }
}

/// The request's body on its way to the handler; notes whether the handler is waiting for it.
struct RequestBody {
    incoming: Incoming,
    exchange: Arc<Exchange>,
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        self.exchange.awaits_body.store(frame.is_pending(), Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.exchange.awaits_body.store(false, Relaxed);
    }
}

/// The response's body on its way to the client. The request ends when this is dropped.
pub(super) struct ResponseBody {
    body: Body,
    /// The rest of a chunk that was too large to hand over at once.
    rest: Bytes,
    ledger: Option<Ledger>,
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let frame = if this.rest.is_empty() {
            ready!(Pin::new(&mut this.body).poll_frame(cx))
        } else {
            Some(Ok(Frame::data(std::mem::take(&mut this.rest))))
        };
        let Some(ledger) = &mut this.ledger else {
            return Poll::Ready(frame);
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => {
                ledger.complete = true;
                return Poll::Ready(None);
            }
        };
        ledger.wire.progress.response_moved();
        let frame = match frame.into_data() {
            Ok(mut data) => {
                if data.len() > CHUNK {
                    this.rest = data.split_off(CHUNK);
                }
                ledger.body_bytes += data.len() as u64;
                Frame::data(data)
            }
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    /// Asked before the first frame, when nothing rests.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let at_end = self.is_end_stream();
        if let Some(ledger) = &mut self.ledger {
            // A body that knows its end is dropped there, without another poll.
            ledger.complete |= at_end || ledger.method == Method::HEAD;
        }
    }
}
