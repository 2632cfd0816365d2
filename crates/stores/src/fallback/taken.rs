//! How much of what is owed to the primary was taken there.

use std::collections::HashMap;

use watchword_core::{RecipientIndex, SourceIndex, Timestamp, Withdrawal};

/// How far the entries of a log were taken, the oldest first: all of those before a moment, and so
/// many of those at it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    last: Timestamp,
    at_last: usize,
}

impl Taken {
    /// How many of these entries, which are in order, were taken.
    pub(super) fn of(self, entries: impl Iterator<Item = Timestamp>) -> usize {
        let mut at_last = 0;
        let taken = entries.take_while(|at| {
            at_last += usize::from(*at == self.last);
            *at < self.last || *at == self.last && at_last <= self.at_last
        });
        taken.count()
    }

    /// The next one was taken.
    pub(super) fn take(&mut self, at: Timestamp) {
        if at != self.last {
            *self = Self {
                last: at,
                at_last: 0,
            };
        }
        self.at_last += 1;
    }
}

/// What was taken of the entries of one recipient.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TakenOf {
    pub(super) sends: Taken,
    pub(super) failures: Taken,
}

/// From when on what is counted here is owed, and what was taken of it. A return that fails goes
/// on there the next time; a process that ended begins anew.
#[derive(Default)]
pub(super) struct Owed {
    pub(super) since: Timestamp,
    pub(super) recipients: HashMap<RecipientIndex, TakenOf>,
    pub(super) sources: HashMap<SourceIndex, Taken>,
    /// Sends that were counted at the primary only to count failures by them.
    pub(super) undone: Vec<Withdrawal>,
}

impl Owed {
    /// Nothing was taken yet of what is counted from then on.
    pub(super) fn begin(&mut self, since: Timestamp) {
        *self = Self {
            since,
            undone: std::mem::take(&mut self.undone),
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_told_from_what_came_afterwards() {
        let log = |moments: &[u64]| -> Vec<_> {
            let moments = moments.iter().copied();
            moments.map(Timestamp::from_millis).collect()
        };
        let mut taken = Taken::default();
        let of = |taken: Taken, entries: &[u64]| taken.of(log(entries).into_iter());
        assert_eq!(of(taken, &[1, 2, 2, 2, 3]), 0);
        for at in log(&[1, 2, 2]) {
            taken.take(at);
        }
        assert_eq!(of(taken, &[1, 2, 2, 2, 3]), 3);
        assert_eq!(of(taken, &[2, 2, 2, 3]), 2, "the oldest was forgotten");
        assert_eq!(of(taken, &[3]), 0);
        taken.take(Timestamp::from_millis(2));
        assert_eq!(of(taken, &[1, 2, 2, 2, 3]), 4);
    }
}
