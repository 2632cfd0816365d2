//! What a connection is doing and since when: noted by its stream and its requests, judged by the task
//! that drives it.
//!
//! Noting is a relaxed store, so a busy connection pays for no timer. Times are milliseconds since the
//! connection was accepted, plus one; 0 means "not so".

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::observer::Stall;
use super::settings::Timeouts;

/// How long a peer gets to read a refusal and close, after which the connection is dropped.
pub(super) const LINGER: Duration = Duration::from_secs(2);

const NO_MESSAGE: u64 = u64::MAX;
const UNKNOWN_LENGTH: u64 = u64::MAX - 1;

/// How much of the stream the request that was just parsed still owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Known(u64),
    /// Chunked: the end is only hyper's to see.
    Unknown,
}

/// The notes of one connection.
pub(super) struct Progress {
    accepted: Instant,
    in_flight: AtomicU32,
    asked_at: AtomicU64,
    reminders: AtomicU8,
    reminded: AtomicBool,
    head_since: AtomicU64,
    idle_since: AtomicU64,
    blocked_since: AtomicU64,
    lingering_since: AtomicU64,
    moved_at: AtomicU64,
    next_body: AtomicU64,
    http2: AtomicBool,
    partial_head: AtomicBool,
    pub(super) waker: AtomicWaker,
}

impl Progress {
    /// A connection that was just accepted and owes its first request.
    pub(super) fn new(accepted: Instant) -> Self {
        Self {
            accepted,
            in_flight: AtomicU32::new(0),
            asked_at: AtomicU64::new(1),
            reminders: AtomicU8::new(0),
            reminded: AtomicBool::new(false),
            head_since: AtomicU64::new(1),
            idle_since: AtomicU64::new(1),
            blocked_since: AtomicU64::new(0),
            lingering_since: AtomicU64::new(0),
            moved_at: AtomicU64::new(1),
            next_body: AtomicU64::new(NO_MESSAGE),
            http2: AtomicBool::new(false),
            partial_head: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.accepted);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn note_once(&self, what: &AtomicU64) {
        if what.load(Relaxed) == 0 {
            what.store(self.at(Instant::now()), Relaxed);
        }
    }

    /// The connection speaks HTTP/2, where heads share the wire with everything else.
    pub(super) fn speaks_http2(&self) {
        self.http2.store(true, Relaxed);
        self.head_since.store(0, Relaxed);
        self.idle_since.store(self.at(Instant::now()), Relaxed);
    }

    /// The TLS handshake is done; the time for the first head starts now.
    pub(super) fn greeted(&self) {
        self.head_since.store(self.at(Instant::now()), Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// Part of a head has arrived, and more is awaited.
    pub(super) fn head_is_partial(&self) {
        if !self.is_busy() {
            self.partial_head.store(true, Relaxed);
            self.note_once(&self.head_since);
        }
    }

    /// Whether the peer is in the middle of sending a head.
    pub(super) fn has_partial_head(&self) -> bool {
        self.partial_head.load(Relaxed)
    }

    /// A request was parsed.
    pub(super) fn request_started(&self, now: Instant, body: BodyLength) {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        self.partial_head.store(false, Relaxed);
        if self.http2.load(Relaxed) {
            self.moved_at.store(self.at(now), Relaxed);
        } else {
            let length = match body {
                BodyLength::Known(length) => length.min(UNKNOWN_LENGTH - 1),
                BodyLength::Unknown => UNKNOWN_LENGTH,
            };
            self.next_body.store(length, Relaxed);
            // Rounded up: a reminder must not come before the time it is about.
            self.asked_at.store(self.at(now) + 1, Relaxed);
            self.reminders.store(0, Relaxed);
            self.reminded.store(false, Relaxed);
        }
    }

    /// Time is up for something in the HTTP/1 request in flight, which is to look for itself.
    pub(super) fn remind(&self) {
        self.reminders.fetch_add(1, Relaxed);
        self.reminded.store(true, Relaxed);
    }

    /// Whether the HTTP/1 request in flight was reminded, once after each reminder.
    pub(super) fn take_reminder(&self) -> bool {
        self.reminded.load(Relaxed) && self.reminded.swap(false, Relaxed)
    }

    /// What follows on the stream, once after each request that was parsed.
    pub(super) fn take_body(&self) -> Option<BodyLength> {
        match self.next_body.load(Relaxed) {
            NO_MESSAGE => None,
            length => {
                self.next_body.store(NO_MESSAGE, Relaxed);
                Some(match length {
                    UNKNOWN_LENGTH => BodyLength::Unknown,
                    length => BodyLength::Known(length),
                })
            }
        }
    }

    /// Part of a response was handed over. Only HTTP/2 needs to know: there a peer can stop a
    /// stream by flow control while the socket stays writable.
    pub(super) fn response_moved(&self) {
        if self.http2.load(Relaxed) {
            self.moved_at.store(self.at(Instant::now()), Relaxed);
        }
    }

    /// A request ended, one way or another.
    pub(super) fn request_ended(&self, now: Instant) {
        let now = self.at(now);
        self.idle_since.store(now, Relaxed);
        self.moved_at.store(now, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn write_blocked(&self) {
        self.note_once(&self.blocked_since);
    }

    pub(super) fn wrote(&self) {
        if self.blocked_since.load(Relaxed) != 0 {
            self.blocked_since.store(0, Relaxed);
        }
    }

    pub(super) fn lingering(&self) {
        self.note_once(&self.lingering_since);
    }

    /// When the connection has stalled if nothing changes until then, and how.
    ///
    /// A [`Stall::Request`] is a reminder for the HTTP/1 request in flight: there is one at most, so
    /// the connection's timer serves it. Requests of HTTP/2 have timers of their own.
    pub(super) fn stalls_at(&self, timeouts: &Timeouts) -> Option<(Instant, Stall)> {
        let at = |since: u64, limit: Duration| {
            self.accepted + Duration::from_millis(since.saturating_sub(1)) + limit
        };
        let lingering = self.lingering_since.load(Relaxed);
        if lingering != 0 {
            return Some((at(lingering, LINGER.min(timeouts.idle)), Stall::Write));
        }
        let blocked = self.blocked_since.load(Relaxed);
        let write = (blocked != 0).then(|| (at(blocked, timeouts.write_stall), Stall::Write));
        let other = if !self.is_busy() {
            match self.head_since.load(Relaxed) {
                0 => Some((
                    at(self.idle_since.load(Relaxed), timeouts.idle),
                    Stall::Idle,
                )),
                since => Some((at(since, timeouts.header), Stall::Head)),
            }
        } else if self.http2.load(Relaxed) {
            let limit = timeouts.request.saturating_add(timeouts.write_stall);
            Some((at(self.moved_at.load(Relaxed), limit), Stall::Write))
        } else {
            let limit = match self.reminders.load(Relaxed) {
                0 => Some(timeouts.body.min(timeouts.request)),
                1 => Some(timeouts.request),
                _ => None,
            };
            limit.map(|limit| (at(self.asked_at.load(Relaxed), limit), Stall::Request))
        };
        match (write, other) {
            (Some(write), Some(other)) => Some(if write.0 <= other.0 { write } else { other }),
            (write, other) => write.or(other),
        }
    }
}
