//! Limits that hold exactly: at most so many events in any window.

use std::ops::RangeBounds;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::policy::span;

/// What a limit is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Sends to one recipient of one app, whoever asks for them and through whichever surface.
    Recipient,
    /// Sends that one client address (IPv6: its /64) asks for at one surface.
    Source,
}

/// At most `max` sends in any window of the given length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What is counted separately.
    pub per: Per,
    /// How many are admitted in a window.
    pub max: u32,
    /// How long the window is.
    #[serde(with = "span")]
    pub window: Duration,
}

/// One rule for a [`SlidingLog`]: at most `max` entries in any half-open window `(t, t + window]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many entries a window may hold.
    pub max: u32,
    /// How long the window is.
    pub window: Duration,
}

/// How much of a quota is left to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The quota: of several, the one that leaves least.
    pub quota: Quota,
    /// How many more entries it admits now.
    pub remaining: u32,
    /// How long until it admits more than that.
    pub until_more: Duration,
}

/// The moments at which something happened, oldest first: an exact sliding window.
///
/// Neither a fixed window nor a leaky bucket keeps "at most 3 in 10 minutes" for every window of
/// ten minutes. Remembering the moments does, at eight bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlidingLog(Moments);

/// Mostly there is one, and then nothing more than that is held: a log lies in memory for each
/// source and recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Moments {
    #[default]
    None,
    One(Timestamp),
    /// More than one. In a box, so that the others take less room.
    #[allow(clippy::box_collection, reason = "the list itself is three words")]
    Many(Box<Vec<Timestamp>>),
}

impl Moments {
    fn of(moments: Vec<Timestamp>) -> Self {
        match moments[..] {
            [] => Self::None,
            [one] => Self::One(one),
            _ => Self::Many(Box::new(moments)),
        }
    }
}

impl SlidingLog {
    /// A log that holds these moments, in any order.
    #[must_use]
    pub fn from_moments(mut moments: Vec<Timestamp>) -> Self {
        moments.sort_unstable();
        Self(Moments::of(moments))
    }

    /// The moments, oldest first.
    #[must_use]
    pub fn moments(&self) -> &[Timestamp] {
        match &self.0 {
            Moments::None => &[],
            Moments::One(at) => std::slice::from_ref(at),
            Moments::Many(moments) => moments,
        }
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Moments::None)
    }

    /// How long a new entry has to wait until every quota admits it; `None` if it may go now.
    ///
    /// Waiting that long is enough unless other entries come in between. Where the clock stepped
    /// back, the log is read as of its newest entry: it never admits more, and what was already
    /// forgotten does not show.
    #[must_use]
    pub fn wait(&self, quotas: &[Quota], now: Timestamp) -> Option<Duration> {
        quotas
            .iter()
            .filter_map(|quota| self.wait_for(*quota, now))
            .max()
    }

    fn wait_for(&self, quota: Quota, now: Timestamp) -> Option<Duration> {
        let max = usize::try_from(quota.max).unwrap_or(usize::MAX);
        if max == 0 {
            return Some(quota.window);
        }
        // The entry that has to leave the window first is the max-th from the end.
        let moments = self.moments();
        let blocking = moments[moments.len().checked_sub(max)?];
        let free_at = blocking.plus(quota.window);
        (free_at > self.as_of(now)).then(|| free_at.since(now))
    }

    /// The moment that the log is read at.
    fn as_of(&self, now: Timestamp) -> Timestamp {
        self.moments().last().map_or(now, |newest| now.max(*newest))
    }

    /// How many more entries `quota` admits at this moment.
    #[must_use]
    pub fn remaining(&self, quota: Quota, now: Timestamp) -> u32 {
        let as_of = self.as_of(now);
        let inside = self
            .moments()
            .iter()
            .rev()
            .take_while(|at| at.plus(quota.window) > as_of)
            .count();
        quota
            .max
            .saturating_sub(u32::try_from(inside).unwrap_or(u32::MAX))
    }

    /// How the log stands with the tightest of some quotas; `None` without any.
    #[must_use]
    pub fn standing(&self, quotas: &[Quota], now: Timestamp) -> Option<Standing> {
        let stand = |quota: &Quota| {
            let as_of = self.as_of(now);
            let mut moments = self.moments().iter();
            let oldest = moments.find(|at| at.plus(quota.window) > as_of);
            Standing {
                quota: *quota,
                remaining: self.remaining(*quota, now),
                until_more: oldest.map_or(Duration::ZERO, |at| at.plus(quota.window).since(now)),
            }
        };
        quotas
            .iter()
            .map(stand)
            .min_by_key(|standing| standing.remaining)
    }

    /// Remembers an entry and returns the moment it counts from: `now`, or the newest entry's if
    /// the clock stepped back, so that the log stays in order.
    pub fn record(&mut self, now: Timestamp) -> Timestamp {
        let at = self.as_of(now);
        match &mut self.0 {
            Moments::None => self.0 = Moments::One(at),
            Moments::One(before) => self.0 = Moments::Many(Box::new(vec![*before, at])),
            Moments::Many(moments) => moments.push(at),
        }
        at
    }

    /// Takes one entry of that moment back; whether there was one.
    pub fn take_back(&mut self, at: Timestamp) -> bool {
        let found = self.moments().iter().rposition(|entry| *entry == at);
        if let Some(index) = found {
            self.remove(index..=index);
        }
        found.is_some()
    }

    /// Forgets what no window of this length can still hold.
    pub fn forget(&mut self, horizon: Duration, now: Timestamp) {
        let moments = self.moments();
        let kept = moments.partition_point(|at| at.plus(horizon) <= now);
        if kept > 0 {
            self.remove(0..kept);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0 = Moments::None;
    }

    /// Removes the entries at these places, of which there is one at least.
    fn remove(&mut self, places: impl RangeBounds<usize>) {
        self.0 = match std::mem::take(&mut self.0) {
            Moments::None | Moments::One(_) => Moments::None,
            Moments::Many(mut moments) => {
                moments.drain(places);
                match moments.len() {
                    0 | 1 => Moments::of(*moments),
                    _ => Moments::Many(moments),
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn waiting_out_the_answer_is_enough_and_a_millisecond_less_is_not() {
        let mut log = SlidingLog::default();
        let quota = [Quota {
            max: 2,
            window: TEN_MINUTES,
        }];
        log.record(at(0));
        log.record(at(1000));
        assert_eq!(log.wait(&quota, at(1000)), Some(Duration::from_secs(599)));
        assert_eq!(
            log.wait(&quota, at(599_999)),
            Some(Duration::from_millis(1))
        );
        assert_eq!(log.wait(&quota, at(600_000)), None);
    }

    #[test]
    fn the_standing_is_that_of_the_tightest_quota() {
        let (short, long) = (TEN_MINUTES, TEN_MINUTES * 6);
        let quotas = [(5, short), (3, long)].map(|(max, window)| Quota { max, window });
        let mut log = SlidingLog::default();
        assert_eq!(log.standing(&[], at(0)), None);
        log.record(at(0));
        log.record(at(60_000));
        let standing = log.standing(&quotas, at(60_000)).unwrap();
        assert_eq!((standing.quota, standing.remaining), (quotas[1], 1));
        assert_eq!(standing.until_more, long - Duration::from_secs(60));
    }

    #[test]
    fn a_clock_that_steps_back_admits_nothing_more() {
        let mut log = SlidingLog::default();
        let quota = [Quota {
            max: 1,
            window: TEN_MINUTES,
        }];
        log.record(at(500_000));
        assert!(log.wait(&quota, at(0)).is_some());
    }

    proptest! {
        /// The promise itself, for random histories of attempts and steps of the clock.
        #[test]
        fn no_window_ever_holds_more_than_its_limit(
            steps in proptest::collection::vec(0u64..200_000, 1..200),
            max in 1u32..6,
            seconds in 1u64..900,
        ) {
            let window = Duration::from_secs(seconds);
            let quotas = [Quota { max, window }, Quota { max: max * 2, window: window * 5 }];
            let (mut log, mut admitted, mut now) = (SlidingLog::default(), Vec::new(), at(0));
            for step in steps {
                now = now.plus(Duration::from_millis(step));
                log.forget(window * 5, now);
                if log.wait(&quotas, now).is_none() {
                    log.record(now);
                    admitted.push(now);
                }
            }
            for quota in quotas {
                for start in &admitted {
                    let inside = admitted
                        .iter()
                        .filter(|t| **t >= *start && **t < start.plus(quota.window))
                        .count();
                    prop_assert!(inside <= quota.max as usize);
                }
            }
        }

        /// Nothing is refused that the promise would allow.
        #[test]
        fn a_refused_entry_would_have_broken_the_limit(
            steps in proptest::collection::vec(0u64..200_000, 1..100),
        ) {
            let quota = Quota { max: 3, window: TEN_MINUTES };
            let (mut log, mut admitted, mut now) = (SlidingLog::default(), Vec::new(), at(0));
            for step in steps {
                now = now.plus(Duration::from_millis(step));
                let recent = admitted
                    .iter()
                    .filter(|t: &&Timestamp| t.plus(quota.window) > now)
                    .count();
                let allowed = log.wait(&[quota], now).is_none();
                prop_assert_eq!(allowed, recent < 3);
                prop_assert_eq!(log.remaining(quota, now) as usize, 3usize.saturating_sub(recent));
                if allowed {
                    admitted.push(log.record(now));
                }
            }
        }
    }
}
