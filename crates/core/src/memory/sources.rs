//! When those who asked for sends did, each in one short row.
//!
//! This form never leaves the process; what is journaled has one of its own ([`super::record`]).

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use super::bundles::{Bundles, Loose, Verdict};
use super::moment;
use crate::clock::Timestamp;
use crate::compact::{Reader, number, written};
use crate::digest::SourceIndex;
use crate::limit::SlidingLog;

/// A log with more moments than this stays as it is: behind a proxy, one source may be everybody.
const FEW: usize = 32;

/// The sends of some sources. A source without any is not kept.
#[derive(Default)]
pub(super) struct Sources {
    quiet: Bundles,
    busy: HashMap<SourceIndex, SlidingLog>,
}

impl Sources {
    /// Lets `change` look at a log, and change it.
    pub(super) fn change<T>(
        &mut self,
        index: SourceIndex,
        change: impl FnOnce(&mut SlidingLog) -> T,
    ) -> T {
        let mut log = self.busy.remove(&index).unwrap_or_else(|| {
            let packed = self.quiet.get(index.as_bytes());
            packed.map(unpack).unwrap_or_default()
        });
        let answer = change(&mut log);
        self.put(index, log);
        answer
    }

    /// Puts a log in the place of what was known of its source.
    pub(super) fn put(&mut self, index: SourceIndex, log: SlidingLog) {
        let moments = log.moments().len();
        if moments > FEW {
            self.quiet.remove(index.as_bytes());
            self.busy.insert(index, log);
            return;
        }
        self.busy.remove(&index);
        if moments == 0 {
            self.quiet.remove(index.as_bytes());
        } else {
            let put = |packed: &[u8]| self.quiet.put(index.as_bytes(), packed);
            written(|out| pack_log(out, &log), put);
        }
    }

    /// Puts a log among others where it is short, and else in its place.
    pub(super) fn put_among(&mut self, loose: &mut Loose, index: SourceIndex, log: SlidingLog) {
        if log.is_empty() || log.moments().len() > FEW {
            self.put(index, log);
            return;
        }
        self.busy.remove(&index);
        let add = |packed: &[u8]| loose.add(index.as_bytes(), packed);
        written(|out| pack_log(out, &log), add);
    }

    pub(super) fn put_all(&mut self, loose: &Loose) {
        self.quiet.put_all(loose);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (SourceIndex, Cow<'_, SlidingLog>)> {
        let quiet = self.quiet.all();
        let quiet =
            quiet.map(|(index, log)| (SourceIndex::from_bytes(index), Cow::Owned(unpack(log))));
        let busy = self.busy.iter();
        quiet.chain(busy.map(|(index, log)| (*index, Cow::Borrowed(log))))
    }

    /// Drops those that can no longer matter.
    pub(super) fn sweep(&mut self, horizon: Duration, now: Timestamp) {
        let matters = |log: &SlidingLog| {
            let newest = log.moments().last();
            newest.is_some_and(|newest| newest.plus(horizon) > now)
        };
        self.quiet.revise(|_, packed| {
            if matters(&unpack(packed)) {
                Verdict::Stays
            } else {
                Verdict::Goes
            }
        });
        self.busy.retain(|_, log| matters(log));
    }
}

#[allow(clippy::expect_used, reason = "packed by this process, in this form")]
fn unpack(packed: &[u8]) -> SlidingLog {
    unpack_log(&mut Reader(packed)).expect("what was packed is read back")
}

/// How many moments, the first, and how much later each of the others is. Files have logs in this form, too,
/// so that it stays.
pub(super) fn write_log(out: &mut Vec<u8>, log: &SlidingLog) {
    write_log_from(0, out, log);
}

pub(super) fn read_log(reader: &mut Reader<'_>) -> Option<SlidingLog> {
    read_log_from(0, reader)
}

/// The same for the memory of this process, where the first moment is shorter.
pub(super) fn pack_log(out: &mut Vec<u8>, log: &SlidingLog) {
    let first = log.moments().first().copied();
    write_log_from(moment::origin(first.unwrap_or_default()), out, log);
}

pub(super) fn unpack_log(reader: &mut Reader<'_>) -> Option<SlidingLog> {
    read_log_from(moment::origin(Timestamp::default()), reader)
}

fn write_log_from(origin: u64, out: &mut Vec<u8>, log: &SlidingLog) {
    number(out, log.moments().len() as u64);
    let mut before = origin;
    for at in log.moments() {
        number(out, at.as_millis().wrapping_sub(before));
        before = at.as_millis();
    }
}

fn read_log_from(origin: u64, reader: &mut Reader<'_>) -> Option<SlidingLog> {
    let mut log = SlidingLog::default();
    let mut at = origin;
    for _ in 0..reader.number()? {
        at = at.wrapping_add(reader.number()?);
        log.record(Timestamp::from_millis(at));
    }
    Some(log)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log() -> impl Strategy<Value = SlidingLog> {
        let moment = prop_oneof![Just(0), Just(u64::MAX), 0..2_000_000_000_000_u64];
        let moments = prop::collection::vec(moment.prop_map(Timestamp::from_millis), 0..50);
        moments.prop_map(SlidingLog::from_moments)
    }

    const INDEX: SourceIndex = SourceIndex::from_bytes([7; 16]);

    fn known(sources: &Sources) -> Vec<(SourceIndex, SlidingLog)> {
        let all = sources.all();
        all.map(|(index, log)| (index, log.into_owned())).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_put_is_known_as_it_was(logs in prop::collection::vec(log(), 1..5)) {
            let mut sources = Sources::default();
            for log in logs {
                sources.change(INDEX, |known| *known = log.clone());
                sources.change(INDEX, |known| assert_eq!(*known, log));
                let expected: Vec<_> = (!log.is_empty()).then_some((INDEX, log)).into_iter().collect();
                prop_assert_eq!(known(&sources), expected);
            }
        }
    }

    #[test]
    fn a_source_is_forgotten_when_its_newest_send_left_every_window() {
        for sends in [2, 100] {
            let mut sources = Sources::default();
            let log = SlidingLog::from_moments((1..=sends).map(Timestamp::from_millis).collect());
            sources.put(INDEX, log.clone());
            let horizon = Duration::from_millis(1000);
            sources.sweep(horizon, Timestamp::from_millis(sends + 999));
            assert_eq!(known(&sources), [(INDEX, log)]);
            sources.sweep(horizon, Timestamp::from_millis(sends + 1000));
            assert_eq!(known(&sources), []);
        }
    }
}
