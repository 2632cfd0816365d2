//! What is remembered of recipients, each in one short piece, as verifications are.
//!
//! This form never leaves the process; what is journaled has one of its own ([`super::record`]).

use std::time::Duration;

use super::bundles::{Bundles, Loose};
use super::sources::{read_log, write_log};
use crate::clock::Timestamp;
use crate::compact::{Reader, bytes, number, written};
use crate::digest::RecipientIndex;
use crate::id::VerificationId;
use crate::ledger::{RecipientLedger, Slot};
use crate::limit::SlidingLog;
use crate::purpose::Purpose;

/// The ledgers of some recipients. One that holds nothing is not kept.
#[derive(Default)]
pub(super) struct Ledgers(Bundles);

impl Ledgers {
    /// The ledger as it stands. What is changed of it counts once it is put back.
    pub(super) fn open(&self, index: RecipientIndex) -> RecipientLedger {
        self.get(index).unwrap_or_default()
    }

    pub(super) fn get(&self, index: RecipientIndex) -> Option<RecipientLedger> {
        let packed = self.0.get(index.as_bytes());
        packed.map(|packed| unpack(index, packed))
    }

    pub(super) fn put(&mut self, index: RecipientIndex, ledger: &RecipientLedger) {
        if *ledger == RecipientLedger::default() {
            self.remove(index);
            return;
        }
        let put = |packed: &[u8]| self.0.put(index.as_bytes(), packed);
        written(|out| write(out, index, ledger), put);
    }

    /// Puts a ledger that holds something among others.
    pub(super) fn put_among(loose: &mut Loose, index: RecipientIndex, ledger: &RecipientLedger) {
        let add = |packed: &[u8]| loose.add(index.as_bytes(), packed);
        written(|out| write(out, index, ledger), add);
    }

    pub(super) fn put_all(&mut self, loose: &Loose) {
        self.0.put_all(loose);
    }

    pub(super) fn remove(&mut self, index: RecipientIndex) {
        self.0.remove(index.as_bytes());
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (RecipientIndex, RecipientLedger)> {
        let all = self.0.all();
        all.map(|(index, packed)| {
            let index = RecipientIndex::from_bytes(index);
            (index, unpack(index, packed))
        })
    }

    /// Drops those that can no longer matter.
    pub(super) fn sweep(&mut self, horizon: Duration, now: Timestamp) {
        self.0.retain(|index, packed| {
            let index = RecipientIndex::from_bytes(index);
            !unpack(index, packed).is_idle(horizon, now)
        });
    }
}

// What a ledger holds.
const LOCKED: u8 = 1;
const ROW: u8 = 1 << 1;
const FAILURES: u8 = 1 << 2;

// What a slot holds.
const PURPOSE: u8 = 1;
const SENT: u8 = 1 << 1;
/// That was the newest send.
const NEWEST: u8 = 1 << 3;
/// Its handle begins as the recipient's index does.
const RELATED: u8 = 1 << 2;

fn write(out: &mut Vec<u8>, index: RecipientIndex, ledger: &RecipientLedger) {
    let flag = |there: bool, flag: u8| if there { flag } else { 0 };
    let has_failures = !ledger.failures.is_empty();
    let flags = flag(ledger.locked, LOCKED) | flag(ledger.row > 0, ROW);
    out.push(flags | flag(has_failures, FAILURES));
    write_log(out, &ledger.sends);
    if ledger.row > 0 {
        number(out, u64::from(ledger.row));
    }
    if has_failures {
        write_log(out, &ledger.failures);
    }
    let newest = newest(&ledger.sends);
    for slot in &ledger.slots {
        let (id, owner) = (slot.id.as_bytes(), index.as_bytes());
        let is_related = id[..4] == owner[..4];
        let purpose = Some(&slot.purpose).filter(|purpose| **purpose != Purpose::default());
        let sent_at = slot.sent_at.map(Timestamp::as_millis);
        let is_newest = sent_at == Some(newest);
        let flags = flag(purpose.is_some(), PURPOSE) | flag(is_newest, NEWEST);
        let flags = flags | flag(sent_at.is_some(), SENT) | flag(is_related, RELATED);
        out.push(flags);
        out.extend(&id[if is_related { 4 } else { 0 }..]);
        if let Some(purpose) = purpose {
            bytes(out, purpose.as_str().as_bytes());
        }
        if let Some(sent_at) = sent_at.filter(|_| !is_newest) {
            number(out, newest.wrapping_sub(sent_at));
        }
        number(out, slot.until.as_millis().wrapping_sub(newest));
    }
}

/// What the moments of slots are told from: mostly, they are those of the newest send.
fn newest(sends: &SlidingLog) -> u64 {
    sends.moments().last().map_or(0, |at| at.as_millis())
}

#[allow(clippy::expect_used, reason = "packed by this process, in this form")]
fn unpack(index: RecipientIndex, packed: &[u8]) -> RecipientLedger {
    read(index, &mut Reader(packed)).expect("what was packed is read back")
}

fn read(index: RecipientIndex, reader: &mut Reader<'_>) -> Option<RecipientLedger> {
    let flags = reader.byte()?;
    let mut ledger = RecipientLedger {
        locked: flags & LOCKED != 0,
        sends: read_log(reader)?,
        ..RecipientLedger::default()
    };
    if flags & ROW != 0 {
        ledger.row = u32::try_from(reader.number()?).ok()?;
    }
    if flags & FAILURES != 0 {
        ledger.failures = read_log(reader)?;
    }
    let newest = newest(&ledger.sends);
    while !reader.0.is_empty() {
        let flags = reader.byte()?;
        let mut id = *index.as_bytes();
        if flags & RELATED != 0 {
            id[4..].copy_from_slice(reader.array::<12>()?);
        } else {
            id = *reader.array()?;
        }
        let purpose = if flags & PURPOSE != 0 {
            Purpose::parse(reader.text()?).ok()?
        } else {
            Purpose::default()
        };
        let sent_at = match (flags & SENT != 0, flags & NEWEST != 0) {
            (false, _) => None,
            (true, true) => Some(newest),
            (true, false) => Some(newest.wrapping_sub(reader.number()?)),
        };
        let until = newest.wrapping_add(reader.number()?);
        // Mostly there is one.
        ledger.slots.reserve_exact(1);
        ledger.slots.push(Slot {
            purpose,
            id: VerificationId::from_bytes(id),
            sent_at: sent_at.map(Timestamp::from_millis),
            until: Timestamp::from_millis(until),
        });
    }
    Some(ledger)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment() -> impl Strategy<Value = Timestamp> {
        prop_oneof![
            Just(Timestamp::default()),
            Just(Timestamp::from_millis(u64::MAX)),
            (0_u64..2_000_000_000_000).prop_map(Timestamp::from_millis),
        ]
    }

    fn log() -> impl Strategy<Value = SlidingLog> {
        prop::collection::vec(moment(), 0..5).prop_map(SlidingLog::from_moments)
    }

    fn slot() -> impl Strategy<Value = Slot> {
        let purpose = prop::sample::select(vec!["default", "pay 10 € to Acme"]);
        let id = prop_oneof![Just([7; 16]), any::<[u8; 16]>()];
        let moments = (prop::option::of(moment()), moment());
        (purpose, id, moments).prop_map(|(purpose, id, (sent_at, until))| Slot {
            purpose: Purpose::parse(purpose).unwrap(),
            id: VerificationId::from_bytes(id),
            sent_at,
            until,
        })
    }

    fn ledger() -> impl Strategy<Value = RecipientLedger> {
        let counts = (prop_oneof![Just(0), any::<u32>()], any::<bool>());
        let slots = prop::collection::vec(slot(), 0..4);
        (log(), log(), counts, slots).prop_map(|(sends, failures, (row, locked), slots)| {
            RecipientLedger {
                sends,
                failures,
                row,
                locked,
                slots,
            }
        })
    }

    proptest! {
        #[test]
        fn whatever_is_put_is_opened_as_it_was(first in ledger(), second in ledger()) {
            let (index, mut ledgers) = (RecipientIndex::from_bytes([7; 16]), Ledgers::default());
            for ledger in [&first, &second, &second] {
                ledgers.put(index, ledger);
                prop_assert_eq!(&ledgers.open(index), ledger);
            }
            ledgers.put(index, &RecipientLedger::default());
            prop_assert!(ledgers.get(index).is_none());
        }
    }

    #[test]
    fn the_ledger_of_one_send_is_short() {
        let at = Timestamp::from_millis(1_790_000_000_000);
        let mut ledger = RecipientLedger::default();
        let memory = crate::ledger::Memory {
            send: Duration::from_mins(10),
            slot: Duration::from_mins(10),
        };
        let id = VerificationId::from_bytes([7; 16]);
        ledger.count_send(&Purpose::default(), id, memory, at);
        let mut ledgers = Ledgers::default();
        let index = RecipientIndex::from_bytes([7; 16]);
        ledgers.put(index, &ledger);
        let size = ledgers.0.get(index.as_bytes()).unwrap().len();
        assert!(size <= 24, "{size}");
    }
}
