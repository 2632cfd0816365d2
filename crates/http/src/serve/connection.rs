//! Drives one connection from accept to close: handshake, protocol, requests, stalls, shutdown.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::admission::{Admitted, Phase, Serving};
use super::exchange::Exchanges;
use super::observer::{ConnectionEvent, Stall};
use super::progress::{LINGER, Progress};
use super::request_id::RequestIds;
use super::settings::Limits;
use super::stream::{Protocol, Stream, Transport};
use crate::client_address::ClientAddress;

/// Most that a connection's read or write buffer grows to.
const MAX_BUFFER: usize = 64 * 1024;
/// Most of a request body that HTTP/2 takes in before a handler asks for it: of a stream, and of all
/// streams of a connection. Bodies here are small; hyper's own megabyte would be an attacker's.
const HTTP2_WINDOWS: (u32, u32) = (64 * 1024, 256 * 1024);
/// Streams that this side may reset for protocol errors before it gives the connection up.
const MAX_LOCAL_RESETS: usize = 100;

/// How long after its accept a connection may still send its first byte although the server is shutting
/// down: it may have been in the system's queue, its request behind it, or its client slow.
const FIRST_BYTE: Duration = Duration::from_secs(2);

/// What a connection's requests have in common.
pub(super) struct Wire {
    pub(super) serving: Arc<Serving>,
    pub(super) progress: Arc<Progress>,
    pub(super) ids: RequestIds,
    pub(super) peer: ClientAddress,
    pub(super) peer_is_proxy: bool,
    pub(super) looked_for_forwarding: AtomicBool,
}

/// How connections are spoken, made once per listener.
pub(super) struct Dialects {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    max_head: usize,
}

impl Dialects {
    pub(super) fn new(limits: &Limits) -> Self {
        let max_head = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX);
        let mut http1 = http1::Builder::new();
        // hyper's own head timer would also run while a kept-alive connection is idle, and it costs an
        // allocation per request. `Progress` tells the two apart.
        http1.header_read_timeout(None);
        http1.timer(TokioTimer::new());
        http1.max_header_size(max_head);
        http1.max_buf_size(MAX_BUFFER.max(max_head));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2.timer(TokioTimer::new());
        http2.max_concurrent_streams(limits.http2_streams);
        http2.max_pending_accept_reset_streams(limits.http2_pending_resets);
        http2.max_local_error_reset_streams(MAX_LOCAL_RESETS);
        http2.max_header_list_size(limits.header_bytes);
        http2.max_send_buf_size(MAX_BUFFER);
        http2.initial_stream_window_size(HTTP2_WINDOWS.0);
        http2.initial_connection_window_size(HTTP2_WINDOWS.1);
        Self {
            http1,
            http2,
            max_head,
        }
    }
}

pin_project! {
    #[project = StateProjection]
    enum State {
        Handshake { accept: Box<tokio_rustls::Accept<TcpStream>> },
        Opening { stream: Option<Stream> },
        Http1 { #[pin] connection: http1::Connection<TokioIo<Stream>, Exchanges> },
        Http2 { #[pin] connection: http2::Connection<TokioIo<Stream>, Exchanges, TokioExecutor> },
    }
}

/// What became of polling a state once.
enum Step {
    /// It waits for the peer or for a handler.
    Waiting,
    /// It became another state.
    Changed,
    /// The connection is over.
    Over,
}

pin_project! {
    /// A connection, as the future that runs it. Dropping it closes the connection at once.
    pub(super) struct Connection {
        #[pin]
        state: State,
        // Never later than the next moment worth looking at; often earlier.
        #[pin]
        timer: Sleep,
        wire: Arc<Wire>,
        accepted: Instant,
        // When the peer was told that this connection takes no more requests.
        left_at: Option<Instant>,
        registered: bool,
        admitted: Admitted,
    }
}

impl Connection {
    pub(super) fn new(
        tcp: TcpStream,
        tls: Option<&tokio_rustls::TlsAcceptor>,
        peer: ClientAddress,
        peer_is_proxy: bool,
        admitted: Admitted,
    ) -> Self {
        let serving = Arc::clone(admitted.serving());
        let accepted = admitted.accepted();
        let timeouts = &serving.settings.timeouts;
        let max_head = serving.dialects.max_head;
        let progress = Arc::clone(admitted.progress());
        let (state, first_look) = match tls {
            Some(tls) => {
                let accept = Box::new(tls.accept(tcp));
                (State::Handshake { accept }, timeouts.handshake)
            }
            None => {
                let stream = Stream::new(Transport::Plain(tcp), Arc::clone(&progress), max_head);
                let stream = Some(stream);
                (State::Opening { stream }, timeouts.header)
            }
        };
        Self {
            state,
            timer: sleep_until(accepted + first_look),
            wire: Arc::new(Wire {
                ids: RequestIds::new(admitted.number()),
                progress,
                peer,
                peer_is_proxy,
                looked_for_forwarding: AtomicBool::new(false),
                serving,
            }),
            accepted,
            left_at: None,
            registered: false,
            admitted,
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        // A spawned task is always woken by the same waker, so once is enough, until a change of phase has
        // used it up.
        let registered = std::mem::replace(this.registered, true);
        if !registered || this.wire.serving.phase() != Phase::Serving {
            this.wire.progress.waker.register(cx.waker());
        }
        loop {
            match this.state.as_mut().step(cx, this.wire) {
                Step::Changed => continue,
                Step::Over => return Poll::Ready(()),
                Step::Waiting => {}
            }
            let mut newcomer_until = None;
            match this.wire.serving.phase() {
                Phase::Serving => {}
                // Streams that are on their way get through; HTTP/1 hears it with its next answer.
                Phase::Leaving if this.left_at.is_none() => {
                    if let StateProjection::Http2 { connection } = this.state.as_mut().project() {
                        connection.graceful_shutdown();
                        *this.left_at = Some(Instant::now());
                        continue;
                    }
                }
                Phase::Leaving => {}
                Phase::Draining => {
                    let untold = this.left_at.is_none();
                    let first_byte_due = *this.accepted + FIRST_BYTE;
                    if this.state.is_silent() && Instant::now() < first_byte_due {
                        newcomer_until = Some((first_byte_due, Stall::Idle));
                    } else if untold && !this.wire.progress.has_partial_head() {
                        match this.state.as_mut().leave() {
                            Step::Changed => {
                                *this.left_at = Some(Instant::now());
                                continue;
                            }
                            Step::Over => return Poll::Ready(()),
                            Step::Waiting => {}
                        }
                    }
                }
                Phase::Ended => return Poll::Ready(()),
            }

            let timeouts = &this.wire.serving.settings.timeouts;
            let stall = match (this.state.as_mut().project(), *this.left_at) {
                (StateProjection::Handshake { .. }, _) => {
                    Some((*this.accepted + timeouts.handshake, Stall::Handshake))
                }
                _ if newcomer_until.is_some() => newcomer_until,
                (_, left_at) => match (this.wire.progress.stalls_at(timeouts), left_at) {
                    (Some((at, Stall::Idle)), Some(left_at)) => {
                        Some((at.min(left_at + LINGER), Stall::Idle))
                    }
                    (stall, _) => stall,
                },
            };
            if let Some((at, _)) = stall
                && at < this.timer.deadline()
            {
                this.timer.as_mut().reset(at);
            }
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match stall {
                Some((at, Stall::Request)) if at <= now => this.wire.progress.remind(),
                Some((at, what)) if at <= now => {
                    let observer = &this.wire.serving.observer;
                    observer.connection(ConnectionEvent::TimedOut(what));
                    if what != Stall::Idle || this.left_at.is_some() {
                        return Poll::Ready(());
                    }
                    if let Step::Over = this.state.as_mut().leave() {
                        return Poll::Ready(());
                    }
                    *this.left_at = Some(now);
                }
                Some((at, _)) => this.timer.as_mut().reset(at),
                None => this.timer.as_mut().reset(now + timeouts.idle),
            }
        }
    }
}

impl State {
    fn step(mut self: Pin<&mut Self>, cx: &mut Context<'_>, wire: &Arc<Wire>) -> Step {
        let dialects = &wire.serving.dialects;
        let ended = match self.as_mut().project() {
            StateProjection::Handshake { accept } => match Pin::new(accept).poll(cx) {
                Poll::Pending => return Step::Waiting,
                Poll::Ready(Ok(tls)) => {
                    wire.progress.greeted();
                    let transport = Transport::Tls(Box::new(tls));
                    let progress = Arc::clone(&wire.progress);
                    let stream = Some(Stream::new(transport, progress, dialects.max_head));
                    self.set(Self::Opening { stream });
                    return Step::Changed;
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    wire.serving.observer.connection(ConnectionEvent::TlsFailed);
                    return Step::Over;
                }
            },
            StateProjection::Opening { stream } => {
                let Some(opening) = stream else {
                    return Step::Over;
                };
                let protocol = match opening.poll_protocol(cx) {
                    Poll::Pending => return Step::Waiting,
                    Poll::Ready(Err(_)) => return Step::Over,
                    Poll::Ready(Ok(protocol)) => protocol,
                };
                let Some(stream) = stream.take() else {
                    return Step::Over;
                };
                let (io, exchanges) = (TokioIo::new(stream), Exchanges(Arc::clone(wire)));
                self.set(match protocol {
                    Protocol::Http1 => Self::Http1 {
                        connection: dialects.http1.serve_connection(io, exchanges),
                    },
                    Protocol::Http2 => Self::Http2 {
                        connection: dialects.http2.serve_connection(io, exchanges),
                    },
                });
                return Step::Changed;
            }
            StateProjection::Http1 { connection } => connection.poll(cx),
            StateProjection::Http2 { connection } => connection.poll(cx),
        };
        match ended {
            Poll::Pending => Step::Waiting,
            Poll::Ready(Ok(())) => Step::Over,
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a connection failed");
                if error.is_parse() || error.is_parse_too_large() {
                    wire.serving.observer.connection(ConnectionEvent::Malformed);
                }
                Step::Over
            }
        }
    }

    /// Whether not a byte of the first request has arrived.
    fn is_silent(&self) -> bool {
        match self {
            Self::Opening { stream } => !stream.as_ref().is_some_and(Stream::has_held),
            _ => false,
        }
    }

    /// Tells the peer that no further request will be taken. A connection that has not sent anything
    /// is over.
    fn leave(self: Pin<&mut Self>) -> Step {
        match self.project() {
            // Its first request may be in the handshake's last flight: it is asked again after that.
            StateProjection::Handshake { .. } => Step::Waiting,
            StateProjection::Opening { stream } => match stream {
                Some(stream) if stream.has_held() => Step::Waiting,
                _ => Step::Over,
            },
            StateProjection::Http1 { connection } => {
                connection.graceful_shutdown();
                Step::Changed
            }
            StateProjection::Http2 { connection } => {
                connection.graceful_shutdown();
                Step::Changed
            }
        }
    }
}
