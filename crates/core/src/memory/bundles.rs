//! Short rows by the million, a few of them in each piece of memory.
//!
//! A map takes a key, a pointer and a piece of memory for each row, and up to twice the room that
//! these need, as it grows by doubling. Here rows lie behind each other in bundles, and the number
//! of bundles grows by one at a time (linear hashing, Litwin 1980). So a row takes a few bytes more
//! than it is long, however many there are, and none ever waits until all are moved.

use crate::compact::{Reader, number};

/// What a row is found by. Nobody chooses one: they are random, or keyed digests.
pub(super) type Key = [u8; 16];

/// How a key begins. Rows whose keys begin alike lie in one bundle.
pub(super) type Beginning = [u8; 4];

/// What becomes of a row.
pub(super) enum Verdict {
    Stays,
    Goes,
    Becomes(Vec<u8>),
}

/// How long bundles are on average, at most. Shorter ones need more pointers, longer ones more
/// copying.
const LENGTH: usize = 512;

/// Rows by their keys.
#[derive(Default)]
pub(super) struct Bundles {
    /// Each `key (16) · length of the row · row`, again and again.
    bundles: Vec<Box<[u8]>>,
    /// Of all of them.
    length: usize,
}

/// Where a row lies in its bundle.
#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    /// Where its key begins.
    start: usize,
    /// Where the row itself begins.
    row: usize,
    /// Where the next one begins.
    end: usize,
}

/// Rows with different keys, which are to be put somewhere together.
#[derive(Default)]
pub(super) struct Loose {
    /// Each as in a bundle.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Loose {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    pub(super) fn add(&mut self, key: &Key, row: &[u8]) {
        let start = self.bytes.len();
        push(&mut self.bytes, key, row);
        let end = self.bytes.len();
        self.entries.push(Entry {
            key: *key,
            start,
            row: end - row.len(),
            end,
        });
    }
}

/// Puts a row behind the others of a bundle.
fn push(bundle: &mut Vec<u8>, key: &Key, row: &[u8]) {
    bundle.extend(key);
    number(bundle, row.len() as u64);
    bundle.extend(row);
}

fn entries(bundle: &[u8]) -> impl Iterator<Item = Entry> {
    let mut reader = Reader(bundle);
    std::iter::from_fn(move || {
        let start = bundle.len() - reader.0.len();
        let key = *reader.array()?;
        let row = reader.bytes()?;
        let end = bundle.len() - reader.0.len();
        Some(Entry {
            key,
            start,
            row: end - row.len(),
            end,
        })
    })
}

fn rows(bundle: &[u8]) -> impl Iterator<Item = (Key, &[u8])> {
    entries(bundle).map(|entry| (entry.key, &bundle[entry.row..entry.end]))
}

fn find(bundle: &[u8], key: &Key) -> Option<Entry> {
    entries(bundle).find(|entry| entry.key == *key)
}

/// In how many bytes a length is written.
fn width(length: usize) -> usize {
    (length.max(1).ilog2() / 7 + 1) as usize
}

/// Which of `count` bundles, of which there is one at least, has the rows whose keys begin so.
fn place([a, _, c, d]: Beginning, count: usize) -> usize {
    // Without the ten bits that may have led to this part of the store.
    let hash = u32::from_be_bytes([0, a >> 2, c, d]) as usize;
    let mask = count.next_power_of_two() - 1;
    let place = hash & mask;
    // That one is yet to be split off from the one in the lower half.
    if place < count {
        place
    } else {
        hash & (mask >> 1)
    }
}

fn beginning([a, b, c, d, ..]: &Key) -> Beginning {
    [*a, *b, *c, *d]
}

/// The bundle that number `new` is split off from.
fn parent(new: usize) -> usize {
    new ^ (1 << new.ilog2())
}

impl Bundles {
    pub(super) fn get(&self, key: &Key) -> Option<&[u8]> {
        let bundle = self
            .bundles
            .get(place(beginning(key), self.bundles.len().max(1)))?;
        find(bundle, key).map(|entry| &bundle[entry.row..entry.end])
    }

    /// Whether there never was a row, or nothing is left of those that were.
    pub(super) const fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// The rows whose keys begin so.
    pub(super) fn alike(&self, begin: Beginning) -> impl Iterator<Item = (Key, &[u8])> {
        let bundle = self.bundles.get(place(begin, self.bundles.len().max(1)));
        bundle
            .into_iter()
            .flat_map(|bundle| rows(bundle))
            .filter(move |(key, _)| beginning(key) == begin)
    }

    /// Puts a row in the place of what had its key; whether nothing had.
    pub(super) fn put(&mut self, key: &Key, row: &[u8]) -> bool {
        if self.bundles.is_empty() {
            self.bundles.push(Box::default());
        }
        let place = place(beginning(key), self.bundles.len());
        let bundle = &mut self.bundles[place];
        let known = find(bundle, key);
        let (start, end) = match known {
            Some(known) if known.end - known.row == row.len() => {
                bundle[known.row..known.end].copy_from_slice(row);
                return false;
            }
            Some(known) => (known.start, known.end),
            None => (bundle.len(), bundle.len()),
        };
        let rest = bundle.len() - (end - start);
        let mut changed = Vec::with_capacity(rest + key.len() + width(row.len()) + row.len());
        changed.extend(&bundle[..start]);
        push(&mut changed, key, row);
        changed.extend(&bundle[end..]);
        self.replace(place, changed);
        while self.length > self.bundles.len() * LENGTH {
            self.split();
        }
        known.is_none()
    }

    /// Puts many rows; how many of them had no row in their place. Where there is nothing at all yet,
    /// each bundle is put together once, instead of anew with each of its rows.
    pub(super) fn put_all(&mut self, loose: &Loose) -> usize {
        let Loose { bytes, entries } = loose;
        if !self.bundles.is_empty() {
            let put = |entry: &&Entry| self.put(&entry.key, &bytes[entry.row..entry.end]);
            return entries.iter().filter(put).count();
        }
        let count = bytes.len().div_ceil(LENGTH);
        let placed = entries
            .iter()
            .map(|entry| (place(beginning(&entry.key), count), entry));
        let mut placed: Vec<_> = placed.collect();
        placed.sort_unstable_by_key(|(place, _)| *place);
        self.bundles.resize_with(count, Box::default);
        for rows in placed.chunk_by(|(one, _), (other, _)| one == other) {
            let length = rows.iter().map(|(_, entry)| entry.end - entry.start).sum();
            let mut bundle = Vec::with_capacity(length);
            for (_, entry) in rows {
                bundle.extend(&bytes[entry.start..entry.end]);
            }
            self.bundles[rows[0].0] = bundle.into();
        }
        self.length = bytes.len();
        entries.len()
    }

    /// Removes a row; whether it was there.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let place = place(beginning(key), self.bundles.len().max(1));
        let Some(bundle) = self.bundles.get(place) else {
            return false;
        };
        let known = find(bundle, key);
        if let Some(Entry { start, end, .. }) = known {
            let changed = [&bundle[..start], &bundle[end..]].concat();
            self.replace(place, changed);
        }
        known.is_some()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Key, &[u8])> {
        self.bundles.iter().flat_map(|bundle| rows(bundle))
    }

    /// Goes through all rows, and does with each what `judge` says.
    pub(super) fn revise(&mut self, mut judge: impl FnMut(Key, &[u8]) -> Verdict) {
        for place in 0..self.bundles.len() {
            let bundle = &self.bundles[place];
            let mut kept = Vec::new();
            // Up to where rows were looked at and are not among the kept ones.
            let mut from = 0;
            for entry in entries(bundle) {
                let verdict = judge(entry.key, &bundle[entry.row..entry.end]);
                if !matches!(verdict, Verdict::Stays) {
                    kept.extend(&bundle[from..entry.start]);
                    from = entry.end;
                }
                if let Verdict::Becomes(row) = verdict {
                    push(&mut kept, &entry.key, &row);
                }
            }
            if from > 0 {
                kept.extend(&bundle[from..]);
                self.replace(place, kept);
            }
        }
        // Half full: what comes next does not split what was just put together.
        while self.bundles.len() > 1 && self.length * 2 < self.bundles.len() * LENGTH {
            self.merge();
        }
    }

    fn replace(&mut self, place: usize, bundle: Vec<u8>) {
        self.length = self.length + bundle.len() - self.bundles[place].len();
        self.bundles[place] = bundle.into();
    }

    /// Makes one bundle more.
    fn split(&mut self) {
        let new = self.bundles.len();
        let parent = parent(new);
        let (mut kept, mut moved) = (Vec::new(), Vec::new());
        let bundle = &self.bundles[parent];
        for entry in entries(bundle) {
            let part = if place(beginning(&entry.key), new + 1) == new {
                &mut moved
            } else {
                &mut kept
            };
            part.extend(&bundle[entry.start..entry.end]);
        }
        if self.bundles.capacity() == new {
            // Not twice as many: they are what is held beside the rows.
            self.bundles.reserve_exact(new / 8 + 1);
        }
        self.bundles[parent] = kept.into();
        self.bundles.push(moved.into());
    }

    /// Makes one bundle fewer, of two at least.
    fn merge(&mut self) {
        if let Some(last) = self.bundles.pop() {
            let parent = parent(self.bundles.len());
            self.bundles[parent] = [&self.bundles[parent][..], &last].concat().into();
        }
        if self.bundles.capacity() > self.bundles.len() * 2 {
            self.bundles.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u32) -> Key {
        // As random as those of the store are, within one of its parts.
        let mut key = [7; 16];
        key[2..6].copy_from_slice(&number.wrapping_mul(0x9E37_79B9).to_be_bytes());
        key
    }

    #[test]
    fn there_is_room_for_a_row_and_for_nothing_more() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut out = Vec::new();
            number(&mut out, length as u64);
            assert_eq!(out.len(), width(length), "{length}");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u32, usize),
        Remove(u32),
        Revise(usize),
        PutAll(Vec<(u32, usize)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..60_u32, 0..400_usize).prop_map(|(key, length)| Step::Put(key, length)),
            2 => (0..60_u32).prop_map(Step::Remove),
            1 => (0..400_usize).prop_map(Step::Revise),
            1 => prop::collection::hash_map(0..60_u32, 0..400_usize, 0..40)
                .prop_map(|rows| Step::PutAll(rows.into_iter().collect())),
        ]
    }

    proptest! {
        #[test]
        fn rows_are_found_as_in_a_map(steps in prop::collection::vec(step(), 0..200)) {
            let (mut bundles, mut map) = (Bundles::default(), HashMap::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Put(at, length) => {
                        let row = vec![number.to_le_bytes()[0]; length];
                        let new = bundles.put(&key(at), &row);
                        prop_assert_eq!(new, map.insert(key(at), row).is_none());
                    }
                    Step::PutAll(rows) => {
                        let mut loose = Loose::default();
                        let mut new = 0;
                        for (at, length) in rows {
                            let row = vec![number.to_le_bytes()[0]; length];
                            loose.add(&key(at), &row);
                            new += usize::from(map.insert(key(at), row).is_none());
                        }
                        prop_assert_eq!(bundles.put_all(&loose), new);
                    }
                    Step::Remove(at) => {
                        let removed = bundles.remove(&key(at));
                        prop_assert_eq!(removed, map.remove(&key(at)).is_some());
                    }
                    Step::Revise(shorter) => {
                        map.retain(|_, row| row.len() < shorter);
                        let halve = |row: &[u8]| row[..row.len() / 2].to_vec();
                        map.values_mut().filter(|row| row.len() % 2 == 1).for_each(|row| *row = halve(row));
                        bundles.revise(|_, row| match row.len() {
                            length if length >= shorter => Verdict::Goes,
                            length if length % 2 == 1 => Verdict::Becomes(halve(row)),
                            _ => Verdict::Stays,
                        });
                    }
                }
                for at in 0..60 {
                    let known = map.get(&key(at)).map(Vec::as_slice);
                    prop_assert_eq!(bundles.get(&key(at)), known);
                    let alike = bundles.alike(beginning(&key(at)));
                    let mut same = alike.filter(|(other, _)| *other == key(at));
                    prop_assert_eq!(same.next().map(|(_, row)| row), known);
                }
                let all: HashMap<_, _> = bundles.all().map(|(key, row)| (key, row.to_vec())).collect();
                prop_assert_eq!(&all, &map);
                let length: usize = bundles.bundles.iter().map(|bundle| bundle.len()).sum();
                prop_assert_eq!(bundles.length, length);
            }
        }
    }

    #[test]
    fn rows_that_come_together_lie_as_well_as_those_that_came_one_by_one() {
        let mut loose = Loose::default();
        (0..10_000).for_each(|number| loose.add(&key(number), &[0; 100]));
        let mut bundles = Bundles::default();
        assert_eq!(bundles.put_all(&loose), 10_000);
        let longest = bundles.bundles.iter().map(|bundle| bundle.len()).max();
        assert!(longest.unwrap() <= 8 * LENGTH, "{longest:?}");
        let (count, room) = (bundles.bundles.len(), bundles.bundles.capacity());
        assert!(bundles.length <= count * LENGTH && room == count);
        assert!(bundles.length > (count - 1) * LENGTH);
    }

    #[test]
    fn bundles_stay_short_as_they_grow_and_are_few_after_a_flood() {
        let mut bundles = Bundles::default();
        for number in 0..10_000 {
            assert!(bundles.put(&key(number), &[0; 100]));
            let longest = bundles.bundles.iter().map(|bundle| bundle.len()).max();
            assert!(longest.unwrap() <= 8 * LENGTH, "{longest:?} at {number}");
        }
        let (count, room) = (bundles.bundles.len(), bundles.bundles.capacity());
        assert!(bundles.length <= count * LENGTH && room <= count + count / 8 + 1);
        let mut kept = 0;
        bundles.revise(|_, _| {
            kept += 1;
            if kept <= 100 {
                Verdict::Stays
            } else {
                Verdict::Goes
            }
        });
        assert_eq!(bundles.all().count(), 100);
        assert!(bundles.bundles.len() <= 2 * 100 * 118 / LENGTH + 1);
        assert!(bundles.bundles.capacity() <= 2 * bundles.bundles.len() + 1);
    }
}
