//! One accepted connection as a byte stream, plain or TLS.
//!
//! On the way in, an HTTP/1 stream is handed over message by message: first a head, whole and
//! judged ([`HeadScan`]), then exactly its body. So the next head is known to begin where it is read,
//! and one that must be refused never reaches the parser. On the way out, stalls are noted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::head::{HeadScan, Verdict};
use super::progress::{BodyLength, Progress};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A byte that no request may begin with: hyper answers 400 and closes.
const REFUSED: u8 = 0;

/// The protocol a connection turned out to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What the next byte of the stream belongs to.
enum Reading {
    /// A head. The `usize` counts bytes of `held` that were judged complete and wait for delivery.
    Head(HeadScan, usize),
    /// A body of which this much is left.
    Body(u64),
    /// Nothing this side keeps apart: a chunked body, HTTP/2, or a refused message.
    Rest,
}

pub(super) struct Stream {
    transport: Transport,
    progress: Arc<Progress>,
    reading: Reading,
    /// Bytes that were read and not yet handed over.
    held: Vec<u8>,
    max_head: usize,
    protocol: Protocol,
    refused: bool,
    ended: bool,
    shut_down: bool,
}

impl Stream {
    pub(super) fn new(transport: Transport, progress: Arc<Progress>, max_head: usize) -> Self {
        Self {
            transport,
            progress,
            reading: Reading::Head(HeadScan::default(), 0),
            held: Vec::new(),
            max_head,
            protocol: Protocol::Http1,
            refused: false,
            ended: false,
            shut_down: false,
        }
    }

    /// Waits for as many bytes as it takes to tell HTTP/2 from HTTP/1. ALPN, where there was one, decides.
    ///
    /// # Errors
    /// The peer left first, or the connection failed.
    pub(super) fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        if let Transport::Tls(tls) = &self.transport
            && tls.get_ref().1.alpn_protocol() == Some(b"h2")
        {
            return Poll::Ready(Ok(self.speaks(Protocol::Http2)));
        }
        loop {
            let known = self.held.len().min(PREFACE.len());
            if self.held[..known] != PREFACE[..known] {
                return Poll::Ready(Ok(self.speaks(Protocol::Http1)));
            }
            if known == PREFACE.len() {
                return Poll::Ready(Ok(self.speaks(Protocol::Http2)));
            }
            let mut space = [0; 2048];
            let mut buf = ReadBuf::new(&mut space);
            ready!(self.poll_transport(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.held.extend_from_slice(buf.filled());
        }
    }

    /// Whether bytes have arrived that were not handed over.
    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    fn speaks(&mut self, protocol: Protocol) -> Protocol {
        self.protocol = protocol;
        if protocol == Protocol::Http2 {
            self.reading = Reading::Rest;
            self.progress.speaks_http2();
        }
        protocol
    }

    fn poll_transport(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }

    /// Reads into `buf` and says how many bytes came; 0 is the end of the stream.
    fn poll_fresh(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        ready!(self.poll_transport(cx, buf))?;
        let read = buf.filled().len() - before;
        self.ended |= read == 0;
        Poll::Ready(Ok(read))
    }

    /// Hands over up to `limit` held bytes and says how many those were.
    fn deliver(&mut self, buf: &mut ReadBuf<'_>, limit: usize) -> usize {
        let count = limit.min(self.held.len()).min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.drain(..count);
        count
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let Reading::Head(scan, complete) = &mut self.reading else {
                return self.poll_rest(cx, buf);
            };
            if *complete > 0 {
                let complete = *complete;
                let left = complete - self.deliver(buf, complete);
                self.reading = Reading::Head(HeadScan::default(), left);
                return Poll::Ready(Ok(()));
            }
            if !self.held.is_empty() {
                match scan.advance(&self.held) {
                    Verdict::Complete(end) if end <= self.max_head => *complete = end,
                    Verdict::Incomplete if self.held.len() <= self.max_head => {
                        let before = buf.filled().len();
                        let read = self.poll_fresh(cx, buf);
                        if read.is_pending() {
                            self.progress.head_is_partial();
                        }
                        if ready!(read)? == 0 {
                            return Poll::Ready(Ok(()));
                        }
                        self.held.extend_from_slice(&buf.filled()[before..]);
                        buf.set_filled(before);
                    }
                    Verdict::Ambiguous => return self.refuse(buf),
                    // Too large. hyper counts for itself and answers 431.
                    Verdict::Complete(_) | Verdict::Incomplete => {
                        self.refused = true;
                        self.reading = Reading::Rest;
                    }
                }
                continue;
            }
            // The usual way: a whole head arrives at once and is judged where it lies.
            let before = buf.filled().len();
            if ready!(self.poll_fresh(cx, buf))? == 0 {
                return Poll::Ready(Ok(()));
            }
            let Reading::Head(scan, _) = &mut self.reading else {
                continue;
            };
            match scan.advance(&buf.filled()[before..]) {
                Verdict::Complete(end) if end <= self.max_head => {
                    self.held.extend_from_slice(&buf.filled()[before + end..]);
                    buf.set_filled(before + end);
                    *scan = HeadScan::default();
                    return Poll::Ready(Ok(()));
                }
                Verdict::Ambiguous => {
                    buf.set_filled(before);
                    return self.refuse(buf);
                }
                Verdict::Complete(_) | Verdict::Incomplete => {
                    self.held.extend_from_slice(&buf.filled()[before..]);
                    buf.set_filled(before);
                }
            }
        }
    }

    fn refuse(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.refused = true;
        self.held.clear();
        self.reading = Reading::Rest;
        buf.put_slice(&[REFUSED]);
        Poll::Ready(Ok(()))
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        left: u64,
    ) -> Poll<io::Result<()>> {
        let limit = usize::try_from(left).unwrap_or(usize::MAX);
        let count = if !self.held.is_empty() {
            self.deliver(buf, limit)
        } else if limit < buf.remaining() {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(limit));
            let count = ready!(self.poll_fresh(cx, &mut part))?;
            buf.advance(count);
            count
        } else {
            ready!(self.poll_fresh(cx, buf))?
        };
        self.reading = match left.saturating_sub(count as u64) {
            0 => Reading::Head(HeadScan::default(), 0),
            left => Reading::Body(left),
        };
        Poll::Ready(Ok(()))
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return self.poll_fresh(cx, buf).map_ok(drop);
        }
        self.deliver(buf, usize::MAX);
        Poll::Ready(Ok(()))
    }

    /// Whether the peer is in the middle of a message that will not be read: closing now would reset the
    /// connection and take the answer with it.
    fn must_linger(&self) -> bool {
        self.protocol == Protocol::Http1
            && !self.ended
            && (self.refused || !matches!(self.reading, Reading::Head(..)))
    }

    fn noted<T>(&self, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match write {
            Poll::Pending => self.progress.write_blocked(),
            Poll::Ready(_) => self.progress.wrote(),
        }
        write
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some(body) = this.progress.take_body() {
            this.reading = match body {
                BodyLength::Known(0) => Reading::Head(HeadScan::default(), 0),
                BodyLength::Known(length) => Reading::Body(length),
                BodyLength::Unknown => Reading::Rest,
            };
        }
        match this.reading {
            Reading::Head(..) => this.poll_head(cx, buf),
            Reading::Body(left) => this.poll_body(cx, buf, left),
            Reading::Rest => this.poll_rest(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Transport::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, buf),
        };
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Transport::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, bufs),
        };
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(cx), // does nothing
            Transport::Tls(tls) => {
                let flushed = Pin::new(&mut **tls).poll_flush(cx);
                self.noted(flushed)
            }
        }
    }

    /// Says goodbye, and where the peer is still sending, hears it out for a moment so that it gets to
    /// read the answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.shut_down {
            let goodbye = match &mut this.transport {
                Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
                Transport::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
            };
            ready!(this.noted(goodbye))?;
            this.shut_down = true;
        }
        while this.must_linger() {
            let mut space = [0; 4096];
            let mut buf = ReadBuf::new(&mut space);
            let read = this.poll_fresh(cx, &mut buf);
            if read.is_pending() {
                this.progress.lingering();
            }
            if ready!(read).is_err() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
