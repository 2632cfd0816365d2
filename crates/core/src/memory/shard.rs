//! One part of the state: everything of the recipients that it holds, under one lock.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::compact::{Reader, with_room};
use crate::digest::RecipientIndex;
use crate::id::VerificationId;
use crate::ledger::RecipientLedger;
use crate::verification::Verification;

use super::bundles::{Bundles, Loose, Verdict};
use super::packed::{self, Packed};
use super::place::{Place, is_empty};

/// Recipients and their verifications. Handles begin with the tag of their recipient's index, so
/// that both are always in the same shard.
#[derive(Default)]
pub(super) struct Shard {
    /// By the indexes of recipients.
    places: Bundles,
    /// Verifications that have no room in the place of their recipient, by their handles: `index · packed`.
    strays: Bundles,
}

impl Shard {
    fn place(&self, index: RecipientIndex) -> Place<'_> {
        Place::of(index, self.places.get(index.as_bytes()))
    }

    fn places(&self) -> impl Iterator<Item = (RecipientIndex, Place<'_>)> {
        let all = self.places.all();
        all.map(|(index, row)| {
            let index = RecipientIndex::from_bytes(index);
            (index, Place::of(index, Some(row)))
        })
    }

    /// What is counted for a recipient. What is changed of it counts once it is put back.
    pub(super) fn ledger(&self, index: RecipientIndex) -> Option<RecipientLedger> {
        self.place(index).ledger()
    }

    /// Puts a ledger in the place of what was known of its recipient. One that holds nothing is not kept.
    pub(super) fn put_ledger(&mut self, index: RecipientIndex, ledger: &RecipientLedger) {
        self.write(index, Some(ledger), None);
    }

    pub(super) fn ledgers(&self) -> impl Iterator<Item = (RecipientIndex, RecipientLedger)> {
        let all = self.places();
        all.filter_map(|(index, place)| Some((index, place.ledger()?)))
    }

    /// The verification as it stands. What is changed of it counts once it is put back.
    pub(super) fn verification(&self, id: VerificationId) -> Option<Verification> {
        self.find(id, |index, packed| packed.open(id, index))
    }

    /// Puts a verification in the place of what had its handle; whether nothing had.
    pub(super) fn put(&mut self, verification: &Verification) -> bool {
        self.put_with(verification, None)
    }

    /// The same, together with the ledger of its recipient, if that is given.
    pub(super) fn put_with(
        &mut self,
        verification: &Verification,
        ledger: Option<&RecipientLedger>,
    ) -> bool {
        let (id, index) = (verification.id, verification.recipient);
        let place = self.place(index);
        if place.find(&id).is_some() {
            self.write(index, ledger, Some(verification));
            return false;
        }
        let has_room = place.has_room_for(&id);
        // What lies by itself, or with somebody else, is found by its handle.
        let is_new = self.find(id, |_, _| ()).is_none();
        if !is_new {
            self.remove(id);
        }
        if has_room {
            self.write(index, ledger, Some(verification));
        } else {
            with_room(|out| {
                out.extend(index.as_bytes());
                packed::write(out, verification);
                self.strays.put(id.as_bytes(), out);
            });
            if ledger.is_some() {
                self.write(index, ledger, None);
            }
        }
        is_new
    }

    /// Puts many verifications and ledgers; how many of the former had nothing in their place. Where there is
    /// nothing at all yet, each place is written once, in empty room, and so is each bundle.
    pub(super) fn put_all(
        &mut self,
        mut verifications: Vec<Verification>,
        mut ledgers: HashMap<RecipientIndex, RecipientLedger>,
        room: &mut Loose,
    ) -> usize {
        if !(self.places.is_empty() && self.strays.is_empty()) {
            let put = |row: &&Verification| {
                let ledger = ledgers.remove(&row.recipient);
                self.put_with(row, ledger.as_ref())
            };
            let new = verifications.iter().filter(put).count();
            for (index, ledger) in ledgers {
                self.put_ledger(index, &ledger);
            }
            return new;
        }
        let mut astray = Vec::new();
        verifications.sort_unstable_by_key(|row| row.recipient);
        for theirs in verifications.chunk_by(|one, other| one.recipient == other.recipient) {
            let index = theirs[0].recipient;
            let mut row = Vec::new();
            for verification in theirs {
                let place = Place::of(index, Some(&row));
                if place.has_room_for(&verification.id) {
                    row = place.written(None, Some(verification));
                } else {
                    astray.push(verification);
                }
            }
            if let Some(ledger) = ledgers.remove(&index) {
                row = Place::of(index, Some(&row)).written(Some(&ledger), None);
            }
            if !row.is_empty() {
                room.add(index.as_bytes(), &row);
            }
        }
        for (index, ledger) in ledgers {
            let row = Place::of(index, None).written(Some(&ledger), None);
            if !is_empty(&row) {
                room.add(index.as_bytes(), &row);
            }
        }
        self.places.put_all(room);
        for row in astray {
            self.put(row);
        }
        verifications.len()
    }

    pub(super) fn has(&self, id: VerificationId) -> bool {
        self.find(id, |_, _| ()).is_some()
    }

    /// Whether there is one that is remembered at `now`.
    pub(super) fn remembers(&self, id: VerificationId, now: Timestamp) -> bool {
        let is_forgettable = self.find(id, |_, packed| packed.is_forgettable(now));
        is_forgettable == Some(false)
    }

    /// Removes one; whether it was there.
    pub(super) fn remove(&mut self, id: VerificationId) -> bool {
        let Some(owner) = self.find(id, |index, _| index) else {
            return false;
        };
        if self.strays.remove(id.as_bytes()) {
            return true;
        }
        with_room(|out| {
            let place = Place::of(owner, self.places.get(owner.as_bytes()));
            place.write_kept(out, true, |held| held.id(owner) != id);
            put(&mut self.places, owner, out);
        });
        true
    }

    pub(super) fn verifications(&self) -> impl Iterator<Item = Verification> {
        let held = self
            .places()
            .flat_map(|(index, place)| place.held().map(move |held| held.open(index)));
        let strays = self.strays.all().filter_map(|(id, row)| {
            let (index, packed) = stray(row)?;
            Some(packed.open(VerificationId::from_bytes(id), index))
        });
        held.chain(strays)
    }

    /// Drops what can no longer matter; returns how many verifications went.
    pub(super) fn sweep(&mut self, horizon: Duration, now: Timestamp) -> usize {
        let mut gone = 0;
        self.places.revise(|index, row| {
            let index = RecipientIndex::from_bytes(index);
            let place = Place::of(index, Some(row));
            let forgettable = place
                .held()
                .filter(|held| held.packed().is_forgettable(now));
            let (forgettable, ledger) = (forgettable.count(), place.ledger());
            let is_idle = ledger.as_ref().is_some_and(|it| it.is_idle(horizon, now));
            if forgettable == 0 && !is_idle {
                return Verdict::Stays;
            }
            gone += forgettable;
            let mut rest = Vec::new();
            place.write_kept(&mut rest, !is_idle, |held| {
                !held.packed().is_forgettable(now)
            });
            if is_empty(&rest) {
                Verdict::Goes
            } else {
                Verdict::Becomes(rest)
            }
        });
        self.strays.revise(|_, row| {
            if stray(row).is_some_and(|(_, packed)| !packed.is_forgettable(now)) {
                return Verdict::Stays;
            }
            gone += 1;
            Verdict::Goes
        });
        gone
    }

    /// Looks at a verification, and whose it is.
    fn find<T>(
        &self,
        id: VerificationId,
        look: impl FnOnce(RecipientIndex, Packed<'_>) -> T,
    ) -> Option<T> {
        let begin = *id.as_bytes().first_chunk()?;
        let mut alike = self.places.alike(begin).map(|(index, row)| {
            let index = RecipientIndex::from_bytes(index);
            (index, Place::of(index, Some(row)))
        });
        let held = alike.find_map(|(index, place)| Some((index, place.find(&id)?.packed())));
        let found = held.or_else(|| stray(self.strays.get(id.as_bytes())?));
        found.map(|(index, packed)| look(index, packed))
    }

    fn write(
        &mut self,
        index: RecipientIndex,
        ledger: Option<&RecipientLedger>,
        verification: Option<&Verification>,
    ) {
        with_room(|out| {
            let place = Place::of(index, self.places.get(index.as_bytes()));
            place.write(out, ledger, verification);
            put(&mut self.places, index, out);
        });
    }
}

/// Keeps the row of a place, unless it holds nothing.
fn put(places: &mut Bundles, index: RecipientIndex, row: &[u8]) {
    if is_empty(row) {
        places.remove(index.as_bytes());
    } else {
        places.put(index.as_bytes(), row);
    }
}

fn stray(row: &[u8]) -> Option<(RecipientIndex, Packed<'_>)> {
    let mut reader = Reader(row);
    let index = RecipientIndex::from_bytes(*reader.array()?);
    Some((index, Packed(reader.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fakes;
    use crate::ledger::Slot;
    use crate::purpose::Purpose;
    use crate::verification::RETENTION;

    const HORIZON: Duration = Duration::from_mins(10);

    /// Three recipients, of whom the first two begin alike.
    fn index(recipient: u8) -> RecipientIndex {
        let mut index = [7; 16];
        index[3] = recipient / 2;
        index[15] = recipient;
        RecipientIndex::from_bytes(index)
    }

    /// Handles of which one in eight does not begin as its recipient's index does.
    fn handle(recipient: u8, number: u8) -> VerificationId {
        let mut id = *index(recipient).as_bytes();
        id[2] += u8::from(number % 8 == 7);
        id[14] = number;
        VerificationId::from_bytes(id)
    }

    fn verification(recipient: u8, number: u8, details: usize, until: u64) -> Verification {
        Verification {
            id: handle(recipient, number),
            recipient: index(recipient),
            details: crate::keys::Sealed::from_bytes(&vec![number; details]),
            expires_at: Timestamp::from_millis(until),
            ..fakes::pending(Timestamp::from_millis(1000))
        }
    }

    fn ledger(recipient: u8, numbers: &[u8], sends: u64) -> RecipientLedger {
        let slot = |number: &u8| Slot {
            purpose: Purpose::parse(&format!("purpose-{number}")).unwrap(),
            id: handle(recipient, *number),
            sent_at: None,
            until: Timestamp::from_millis(sends),
        };
        let mut ledger = RecipientLedger {
            slots: numbers.iter().map(slot).collect(),
            ..RecipientLedger::default()
        };
        for at in 0..sends % 4 {
            ledger.sends.record(Timestamp::from_millis(sends + at));
        }
        ledger
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(Verification),
        PutLedger(RecipientIndex, RecipientLedger),
        PutWith(Verification, RecipientLedger),
        PutAll(Vec<Verification>, Vec<(RecipientIndex, RecipientLedger)>),
        Remove(VerificationId),
        Sweep(Timestamp),
    }

    fn step() -> impl Strategy<Value = Step> {
        let until = 1_000_000..3_000_000_u64;
        let row = (0..3_u8, 0..24_u8, 0..300_usize, until.clone()).prop_map(
            |(recipient, number, details, until)| verification(recipient, number, details, until),
        );
        let slots = prop::collection::vec(0..24_u8, 0..4);
        let both = (0..3_u8, 0..24_u8, slots, until.clone());
        let both = both.prop_map(|(recipient, number, slots, until)| {
            let row = verification(recipient, number, 40, until);
            (row, ledger(recipient, &slots, until))
        });
        let rows = prop::collection::vec(row.clone(), 0..30);
        let ledgers = prop::collection::vec(both.clone(), 0..3);
        let all = (rows, ledgers).prop_map(|(mut rows, ledgers)| {
            rows.sort_by_key(|row| row.id);
            rows.dedup_by_key(|row| row.id);
            let ledgers = ledgers
                .into_iter()
                .map(|(row, ledger)| (row.recipient, ledger));
            Step::PutAll(rows, ledgers.collect())
        });
        prop_oneof![
            2 => all,
            5 => row.prop_map(Step::Put),
            3 => both.clone().prop_map(|(row, ledger)| Step::PutLedger(row.recipient, ledger)),
            5 => both.prop_map(|(row, ledger)| Step::PutWith(row, ledger)),
            1 => (0..3_u8).prop_map(|it| Step::PutLedger(index(it), RecipientLedger::default())),
            2 => (0..3_u8, 0..24_u8).prop_map(|(recipient, number)| Step::Remove(handle(recipient, number))),
            1 => until.prop_map(|at| Step::Sweep(Timestamp::from_millis(at).plus(RETENTION))),
        ]
    }

    proptest! {
        #[test]
        fn a_shard_holds_what_two_maps_hold(steps in prop::collection::vec(step(), 0..120)) {
            let mut shard = Shard::default();
            let mut rows = HashMap::<VerificationId, Verification>::new();
            let mut ledgers = HashMap::<RecipientIndex, RecipientLedger>::new();
            for step in steps {
                match step {
                    Step::Put(row) => {
                        prop_assert_eq!(shard.put(&row), rows.insert(row.id, row).is_none());
                    }
                    Step::PutLedger(index, ledger) => {
                        shard.put_ledger(index, &ledger);
                        ledgers.insert(index, ledger);
                    }
                    Step::PutWith(row, ledger) => {
                        let is_new = shard.put_with(&row, Some(&ledger));
                        ledgers.insert(row.recipient, ledger);
                        prop_assert_eq!(is_new, rows.insert(row.id, row).is_none());
                    }
                    Step::PutAll(new, known) => {
                        let count = new.iter().filter(|row| !rows.contains_key(&row.id)).count();
                        prop_assert_eq!(shard.put_all(new.clone(), known.iter().cloned().collect(), &mut Loose::default()), count);
                        rows.extend(new.into_iter().map(|row| (row.id, row)));
                        ledgers.extend(known);
                    }
                    Step::Remove(id) => {
                        prop_assert_eq!(shard.remove(id), rows.remove(&id).is_some());
                    }
                    Step::Sweep(now) => {
                        let before = rows.len();
                        rows.retain(|_, row| !row.is_forgettable(now));
                        ledgers.retain(|_, ledger| !ledger.is_idle(HORIZON, now));
                        prop_assert_eq!(shard.sweep(HORIZON, now), before - rows.len());
                    }
                }
                ledgers.retain(|_, ledger| *ledger != RecipientLedger::default());
                for (recipient, number) in (0..3).flat_map(|it| (0..24).map(move |number| (it, number))) {
                    let id = handle(recipient, number);
                    prop_assert_eq!(shard.verification(id), rows.get(&id).cloned());
                    prop_assert_eq!(shard.has(id), rows.contains_key(&id));
                }
                for recipient in 0..3 {
                    let index = index(recipient);
                    prop_assert_eq!(shard.ledger(index), ledgers.get(&index).cloned());
                }
                let all: HashMap<_, _> = shard.verifications().map(|row| (row.id, row)).collect();
                prop_assert_eq!(&all, &rows);
                let all: HashMap<_, _> = shard.ledgers().collect();
                prop_assert_eq!(&all, &ledgers);
            }
        }
    }

    #[test]
    fn many_verifications_of_one_recipient_do_not_pile_up_in_its_place() {
        let mut shard = Shard::default();
        for number in 0..=255_u8 {
            let mut row = verification(0, 0, 40, 1_000_000);
            let mut id = *row.id.as_bytes();
            id[10] = number;
            row.id = VerificationId::from_bytes(id);
            assert!(shard.put(&row));
        }
        assert_eq!(shard.verifications().count(), 256);
        let longest = shard.places.all().map(|(_, row)| row.len()).max();
        assert!(longest.unwrap() < 2048, "{longest:?}");
    }
}
