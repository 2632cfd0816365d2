//! Holds: how long a provider that says "too fast" is left alone.
//!
//! A [`Hold`] is for everybody, a [`PairHolds`] for one recipient at a time. Neither is a fault of
//! the provider, so neither moves its breaker. Time is the breaker's: the span since any fixed
//! moment on a clock that never steps back.

use std::collections::HashMap;
use std::time::Duration;

/// How long to wait after the `in_a_row`-th "too fast" (from 0) of a provider that does not say how
/// long: 1 s, doubled each time up to [`Hold::LONGEST_BACKOFF`], of which `draw` (of all values
/// alike) chooses from the upper half, so that many who were turned away do not come back at once.
#[must_use]
pub fn backoff(in_a_row: u32, draw: u32) -> Duration {
    let whole = Duration::from_secs(1 << in_a_row.min(6)).min(Hold::LONGEST_BACKOFF);
    let half = whole / 2;
    half + half.mul_f64(f64::from(draw) / f64::from(u32::MAX))
}

/// Whether a provider asked everybody to leave it alone.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    until: Duration,
    in_a_row: u32,
}

impl Hold {
    /// No wait that is worked out here is longer.
    pub const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
    /// No wait that a provider asks for is kept longer.
    pub const LONGEST: Duration = Duration::from_hours(1);

    /// How long it lasts yet, if it does.
    #[must_use]
    pub fn left(&self, now: Duration) -> Option<Duration> {
        self.until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Takes note of "too fast". A wait of zero is none that could be kept; as without one, it is
    /// [`backoff`] then.
    ///
    /// While the hold lasts, another such answer is to somebody who asked before it: it may
    /// lengthen the hold to what it asks for, and does not count.
    pub fn throttled(&mut self, retry_after: Option<Duration>, draw: u32, now: Duration) {
        let asked = retry_after.filter(|wait| !wait.is_zero());
        if self.left(now).is_some() {
            let wait = asked.unwrap_or_default().min(Self::LONGEST);
            self.until = self.until.max(now + wait);
            return;
        }
        let wait = match asked {
            Some(wait) => wait.min(Self::LONGEST),
            None => backoff(self.in_a_row, draw),
        };
        self.until = now + wait;
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// Takes note of any other answer. While the hold lasts, it is to somebody who asked before.
    pub fn answered(&mut self, now: Duration) {
        if self.left(now).is_none() {
            *self = Self::default();
        }
    }
}

/// Whom a provider asked to be left alone about.
///
/// Recipients are named by a number that nobody can turn back: a hash whose key is secret. At most
/// [`PairHolds::MOST`] are known at a time; beyond that the one that ends first is forgotten.
#[derive(Clone, Debug, Default)]
pub struct PairHolds {
    pairs: HashMap<u64, Pair>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    until: Duration,
    times: u32,
}

impl PairHolds {
    /// So many recipients are known at most.
    pub const MOST: usize = 4096;
    /// No hold is longer.
    pub const LONGEST: Duration = Duration::from_hours(1);
    /// So long after its hold ended, a recipient is forgotten.
    pub const MEMORY: Duration = Duration::from_mins(10);

    /// How long a recipient's hold lasts yet, if it does.
    #[must_use]
    pub fn left(&self, recipient: u64, now: Duration) -> Option<Duration> {
        let until = self.pairs.get(&recipient)?.until;
        until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Takes note of "too many to this recipient": 4^n s, n from 0 (Meta's page "About the
    /// platform" on pair rate limits), or what the provider asks for where that is longer.
    ///
    /// While the hold lasts, another such answer is to somebody who asked before it, as for
    /// [`Hold::throttled`].
    pub fn throttled(&mut self, recipient: u64, retry_after: Option<Duration>, now: Duration) {
        let asked = retry_after.unwrap_or_default().min(Self::LONGEST);
        let known = self.pairs.get(&recipient).copied();
        let known = known.filter(|pair| now < pair.until + Self::MEMORY);
        let pair = match known {
            Some(pair) if now < pair.until => Pair {
                until: pair.until.max(now + asked),
                ..pair
            },
            _ => {
                let times = known.map_or(0, |pair| pair.times);
                let wait = Duration::from_secs(1 << (2 * times.min(6))).min(Self::LONGEST);
                Pair {
                    until: now + wait.max(asked),
                    times: times.saturating_add(1),
                }
            }
        };
        if !self.pairs.contains_key(&recipient) {
            self.make_room(now);
        }
        self.pairs.insert(recipient, pair);
    }

    /// Takes note that the provider took a message to this recipient.
    pub fn accepted(&mut self, recipient: u64, now: Duration) {
        if self.left(recipient, now).is_none() {
            self.pairs.remove(&recipient);
        }
    }

    fn make_room(&mut self, now: Duration) {
        if self.pairs.len() < Self::MOST {
            return;
        }
        self.pairs.retain(|_, pair| now < pair.until + Self::MEMORY);
        if self.pairs.len() < Self::MOST {
            return;
        }
        let first = self.pairs.iter().min_by_key(|(_, pair)| pair.until);
        if let Some(recipient) = first.map(|(recipient, _)| *recipient) {
            self.pairs.remove(&recipient);
        }
    }
}

#[cfg(test)]
mod tests;
