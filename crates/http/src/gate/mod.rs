//! Who gets in when there is more to do than the server can: checks before sends, and neither without
//! a bound.
//!
//! It stands in front of the handlers of its routes, so that a refusal costs no parsing, no look into
//! the store and no hash, and nothing is charged. Health and metrics are not behind it.

mod departing;
mod desk;
mod entrance;
mod rush;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use axum::response::Response;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub use departing::Departing;
use desk::Desk;
pub use desk::store_answered;
pub(crate) use desk::{Ticket, leave_store};
pub(crate) use entrance::{Entrance, Guest, Room};
use rush::{Rush, Turn};

use crate::serve::Limits;

/// As many checks as this may be in flight for each send that may.
const CHECKS_A_SEND: usize = 4;
/// Refused clients are told to wait from one to so many seconds, in turn, so that they do not come back
/// all at once.
const MOST_SECONDS: u64 = 4;
/// How often refusing is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Lets sends and checks in, or refuses them. One for all listeners of a server.
///
/// Sends are those requests that make a code: starts, resends, registrations. While threads are late for
/// them, they stand in line, and checks pass.
pub struct Gate {
    rush: Mutex<Rush>,
    /// For those in line: a permit is held until a send has worked and has to wait for something.
    turns: Arc<Semaphore>,
    /// Where the store is reached over the network: the line before that.
    desk: Option<Desk>,
    sends: Way,
    checks: Way,
    complained: Mutex<Option<Instant>>,
}

/// Stands in the extensions of a response that the gate gave: no fault, and nothing to log one by one.
#[derive(Clone, Copy, Debug)]
pub struct TurnedAway;

impl TurnedAway {
    /// The response with this in its extensions.
    pub(crate) fn by(mut response: Response) -> Response {
        response.extensions_mut().insert(Self);
        response
    }
}

/// What a request behind the gate is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It makes a code and sends it.
    Send,
    /// It checks one.
    Check,
}

/// The requests of one kind.
#[derive(Debug)]
struct Way {
    most: usize,
    in_flight: AtomicUsize,
    refused: AtomicU64,
}

/// What a [`Gate`] has done and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GateFigures {
    /// Sends that were refused so far.
    pub sends_refused: u64,
    /// Checks that were refused so far.
    pub checks_refused: u64,
    /// Sends in flight now.
    pub sends_in_flight: usize,
    /// Those of them that stand in line.
    pub sends_in_line: usize,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(Limits::default().sends_in_flight)
    }
}

impl Gate {
    /// A gate that at most `sends` sends are behind at a time, at least one, and four times as many
    /// checks.
    #[must_use]
    pub fn new(sends: usize) -> Self {
        let sends = sends.max(1);
        // Each thread finds another send in its queue when it is done with one.
        let turns = available_parallelism().map_or(1, std::num::NonZero::get) * 2;
        Self {
            rush: Mutex::default(),
            turns: Arc::new(Semaphore::new(turns)),
            desk: None,
            sends: Way::new(sends),
            checks: Way::new(sends.saturating_mul(CHECKS_A_SEND)),
            complained: Mutex::default(),
        }
    }

    /// The same before a store that is reached over the network: `at_once` sends are at it at a time, others wait for at
    /// most a second, and checks pass. A send is there until its message goes to a provider, by [`Departing`],
    /// and whoever asks the store says when it answered, by [`store_answered`].
    #[must_use]
    pub fn before_remote_store(self, at_once: usize) -> Self {
        let desk = Some(Desk::new(at_once));
        Self { desk, ..self }
    }

    /// What it has done and holds.
    #[must_use]
    pub fn figures(&self) -> GateFigures {
        GateFigures {
            sends_refused: self.sends.refused.load(Relaxed),
            checks_refused: self.checks.refused.load(Relaxed),
            sends_in_flight: self.sends.in_flight.load(Relaxed).min(self.sends.most),
            sends_in_line: self.rush.lock().in_line() + self.desk.as_ref().map_or(0, Desk::in_line),
        }
    }

    const fn way(&self, kind: Kind) -> &Way {
        match kind {
            Kind::Send => &self.sends,
            Kind::Check => &self.checks,
        }
    }

    /// Takes a check in, or says how long it should stay away. Checks stand in no line, and are looked at by
    /// their handlers: a layer would cost each of them four allocations.
    pub(crate) fn admit_check(self: &Arc<Self>) -> Result<Place, Duration> {
        self.admit(Kind::Check).map(|(place, _)| place)
    }

    /// Takes a request in, or says how long it should stay away.
    fn admit(self: &Arc<Self>, kind: Kind) -> Result<(Place, Turn), Duration> {
        let way = self.way(kind);
        let place = Place(Arc::clone(self), kind);
        let full = way.in_flight.fetch_add(1, Relaxed) >= way.most;
        let turn = match kind {
            _ if full => Turn::Refused,
            Kind::Send => self.rush.lock().arrive(Instant::now()),
            Kind::Check => Turn::AtOnce,
        };
        if turn == Turn::Refused {
            return Err(self.turn_away(kind));
        }
        Ok((place, turn))
    }

    /// Lets a send go to the store, at once or when others have left it; or says how long it should stay away.
    /// Who drops this on the way leaves the line.
    pub(crate) async fn turn_at_store(&self) -> Result<Ticket, Duration> {
        let Some(desk) = &self.desk else {
            return Ok(Ticket::default());
        };
        let turn = desk.turn().await;
        turn.ok_or_else(|| self.turn_away(Kind::Send))
    }

    /// Refuses one; how long it should stay away.
    fn turn_away(&self, kind: Kind) -> Duration {
        let before = self.way(kind).refused.fetch_add(1, Relaxed);
        self.complain();
        Duration::from_secs(1 + before % MOST_SECONDS)
    }

    /// A send came for something that there is no room for. `refusal` says so, counts as one of the gate's, and is
    /// logged as those are: not one by one.
    pub(crate) fn no_room(&self, refusal: Response) -> Response {
        self.sends.refused.fetch_add(1, Relaxed);
        self.complain();
        TurnedAway::by(refusal)
    }

    fn complain(&self) {
        let (now, mut last) = (Instant::now(), self.complained.lock());
        if last.is_none_or(|last| now >= last + COMPLAIN_EVERY) {
            *last = Some(now);
            tracing::warn!(
                gate = ?self.figures(),
                "there is more to do than this server can; requests are refused (said every 10 s at most)"
            );
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.figures().fmt(f)
    }
}

impl Way {
    const fn new(most: usize) -> Self {
        Self {
            most,
            in_flight: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

/// A request's place behind the gate, given back when dropped.
pub(crate) struct Place(Arc<Gate>, Kind);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.way(self.1).in_flight.fetch_sub(1, Relaxed);
    }
}
