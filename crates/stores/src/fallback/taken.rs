//! How much of what is owed to the primary was taken there.

use std::collections::HashMap;

use watchword_core::{RecipientIndex, SourceIndex, Timestamp, Withdrawal};

/// How far the entries of a log were taken, the oldest first: all of those before a moment, and so
/// many of those at it. And which of them are not owed.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    last: Timestamp,
    at_last: usize,
    spared: Vec<Timestamp>,
}

impl Taken {
    /// Those of a log's entries, which are in order, that are owed and were not taken.
    pub(super) fn left<E: Clone>(&self, entries: &[E], at: impl Fn(&E) -> Timestamp) -> Vec<E> {
        let mut owed = entries.to_vec();
        for spared in &self.spared {
            if let Some(place) = owed.iter().rposition(|entry| at(entry) == *spared) {
                owed.remove(place);
            }
        }
        let mut at_last = 0;
        let taken = owed.iter().take_while(|entry| {
            let at = at(entry);
            at_last += usize::from(at == self.last);
            at < self.last || at == self.last && at_last <= self.at_last
        });
        owed.split_off(taken.count())
    }

    /// The next one was taken.
    pub(super) fn take(&mut self, at: Timestamp) {
        if at != self.last {
            (self.last, self.at_last) = (at, 0);
        }
        self.at_last += 1;
    }

    /// The primary has counted the entry of this moment itself.
    pub(super) fn spare(&mut self, at: Timestamp) {
        self.spared.push(at);
    }
}

/// What was taken of the entries of one recipient.
#[derive(Clone, Debug, Default)]
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
        let left =
            |taken: &Taken, entries: &[u64]| taken.left(entries, |at| Timestamp::from_millis(*at));
        let mut taken = Taken::default();
        assert_eq!(left(&taken, &[1, 2, 2, 2, 3]), [1, 2, 2, 2, 3]);
        for at in [1, 2, 2] {
            taken.take(Timestamp::from_millis(at));
        }
        assert_eq!(left(&taken, &[1, 2, 2, 2, 3]), [2, 3]);
        assert_eq!(
            left(&taken, &[2, 2, 2, 3]),
            [2, 3],
            "the oldest was forgotten"
        );
        assert_eq!(left(&taken, &[3]), [3]);
        taken.spare(Timestamp::from_millis(3));
        assert_eq!(left(&taken, &[1, 2, 2, 2, 3, 3]), [2, 3]);
    }
}
