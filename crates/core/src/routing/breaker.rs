//! A breaker per provider: whether it may be asked at all.
//!
//! Its time is the span since any fixed moment on a clock that never steps back, so that setting
//! the wall clock neither opens nor holds it.

use std::time::Duration;

/// What a hand-over tells a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The provider answered, whatever it said about the message.
    Answered,
    /// It could not be reached, or did not answer.
    Failed,
    /// An operator has to act: asking again would be in vain.
    Broken,
    /// It says that it is asked too often. That is no fault of its own and no proof that it is well:
    /// a [`Hold`](super::Hold) leaves it alone, and the breaker stays as it is.
    Paced,
    /// The hand-over was given up before it had an outcome.
    Abandoned,
}

/// Leave to ask a provider once. It goes back with [`Breaker::record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a probe that is never recorded holds the breaker until it is taken for lost"]
pub struct Permit {
    generation: u64,
}

/// What an operator sees of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// The provider is asked.
    Closed,
    /// One probe is under way; nobody else asks.
    HalfOpen,
    /// The provider is not asked.
    Open {
        /// After so long a probe may go out.
        retry_in: Duration,
    },
}

impl BreakerState {
    /// The name in health and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open { .. } => "open",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Duration },
    Probing { since: Duration },
}

/// Opens at five failures in a row, or when half of at least twenty hand-overs within 30 s failed,
/// or at once when an operator has to act. After a pause one probe goes out; if it fails, the pause
/// doubles, and any answer closes the breaker. "Too fast" is neither failure nor answer, however
/// often it comes: after it the next one may probe at once, as far as the breaker is concerned.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    /// Counts changes of state. Outcomes of hand-overs from before a change say nothing after it.
    generation: u64,
    in_a_row: u32,
    window: Window,
    /// How long it stays open the next time a probe fails.
    pause: Duration,
}

impl Breaker {
    /// So many failures in a row open it.
    pub const IN_A_ROW: u32 = 5;
    /// So many hand-overs are the least that a share of failures is taken from.
    pub const LEAST: u32 = 20;
    /// The span that the share is taken over.
    pub const WINDOW: Duration = Duration::from_secs(30);
    /// The first pause after failures.
    pub const FIRST_PAUSE: Duration = Duration::from_secs(5);
    /// The first pause when an operator has to act.
    pub const BROKEN_PAUSE: Duration = Duration::from_secs(30);
    /// The longest pause.
    pub const LONGEST_PAUSE: Duration = Duration::from_mins(5);
    /// A probe without an outcome after so long is taken for lost.
    pub const LOST_PROBE: Duration = Duration::from_mins(2);

    /// A closed one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Closed,
            generation: 0,
            in_a_row: 0,
            window: Window::new(),
            pause: Self::FIRST_PAUSE,
        }
    }

    /// Whether somebody who asked for leave now would get it.
    #[must_use]
    pub fn admits(&self, now: Duration) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::Probing { since } => now >= since + Self::LOST_PROBE,
        }
    }

    /// Asks for leave; `None` when the provider is not to be asked now.
    pub fn permit(&mut self, now: Duration) -> Option<Permit> {
        if !self.admits(now) {
            return None;
        }
        if self.state != State::Closed {
            self.enter(State::Probing { since: now });
        }
        Some(Permit {
            generation: self.generation,
        })
    }

    /// Takes note of what came of a hand-over.
    pub fn record(&mut self, permit: Permit, signal: Signal, now: Duration) {
        if permit.generation != self.generation {
            return;
        }
        match self.state {
            State::Closed => self.record_closed(signal, now),
            State::Probing { .. } => self.record_probe(signal, now),
            State::Open { .. } => {}
        }
    }

    /// What an operator sees.
    #[must_use]
    pub fn state(&self, now: Duration) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Probing { .. } => BreakerState::HalfOpen,
            State::Open { until } => BreakerState::Open {
                retry_in: until.saturating_sub(now),
            },
        }
    }

    fn record_closed(&mut self, signal: Signal, now: Duration) {
        match signal {
            Signal::Paced | Signal::Abandoned => {}
            Signal::Answered => {
                self.in_a_row = 0;
                self.window.count(now, false);
            }
            Signal::Failed => {
                self.in_a_row += 1;
                self.window.count(now, true);
                let (all, failed) = self.window.totals(now);
                let share = all >= Self::LEAST && failed * 2 >= all;
                if self.in_a_row >= Self::IN_A_ROW || share {
                    self.open(now, self.pause);
                }
            }
            Signal::Broken => {
                self.pause = Self::BROKEN_PAUSE;
                self.open(now, self.pause);
            }
        }
    }

    fn record_probe(&mut self, signal: Signal, now: Duration) {
        match signal {
            Signal::Answered => {
                self.pause = Self::FIRST_PAUSE;
                self.in_a_row = 0;
                self.window = Window::new();
                self.enter(State::Closed);
            }
            Signal::Failed | Signal::Broken => {
                self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
                self.open(now, self.pause);
            }
            // The next one may probe at once.
            Signal::Paced | Signal::Abandoned => self.open(now, Duration::ZERO),
        }
    }

    fn open(&mut self, now: Duration, pause: Duration) {
        self.enter(State::Open { until: now + pause });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

/// Hand-overs of the last 30 s, counted by the second.
#[derive(Clone, Debug)]
struct Window {
    seconds: [Tally; Self::SECONDS],
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    second: u64,
    all: u32,
    failed: u32,
}

impl Window {
    const SECONDS: usize = 30;

    const fn new() -> Self {
        let none = Tally {
            second: 0,
            all: 0,
            failed: 0,
        };
        Self {
            seconds: [none; Self::SECONDS],
        }
    }

    fn count(&mut self, now: Duration, failed: bool) {
        let second = now.as_secs();
        let place = second % Self::SECONDS as u64;
        #[allow(clippy::cast_possible_truncation, reason = "below 30")]
        let tally = &mut self.seconds[place as usize];
        if tally.second != second {
            *tally = Tally {
                second,
                all: 0,
                failed: 0,
            };
        }
        tally.all = tally.all.saturating_add(1);
        tally.failed = tally.failed.saturating_add(u32::from(failed));
    }

    fn totals(&self, now: Duration) -> (u32, u32) {
        let second = now.as_secs();
        self.seconds
            .iter()
            .filter(|tally| tally.second + Self::SECONDS as u64 > second)
            .fold((0_u32, 0_u32), |(all, failed), tally| {
                (
                    all.saturating_add(tally.all),
                    // Doubled by the caller.
                    failed.saturating_add(tally.failed).min(u32::MAX / 2),
                )
            })
    }
}

#[cfg(test)]
mod tests;
