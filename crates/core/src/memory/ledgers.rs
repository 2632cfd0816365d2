//! What is counted for a recipient, in one short piece, as a verification is.
//!
//! This form never leaves the process; what is journaled has one of its own ([`super::record`]).

use super::sources::{pack_log, unpack_log};
use crate::clock::Timestamp;
use crate::compact::{Reader, bytes, number};
use crate::digest::RecipientIndex;
use crate::id::VerificationId;
use crate::ledger::{RecipientLedger, Slot};
use crate::limit::SlidingLog;
use crate::purpose::Purpose;

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
/// Its verification lies beside the ledger; by what number, the three bits from [`NUMBER`] on tell.
const BESIDE: u8 = 1 << 4;
const NUMBER: u32 = 5;
/// So many verifications can be told by their numbers.
pub(super) const MOST_BESIDE: usize = 8;

/// Packs the ledger of `index`; `beside` tells which of the verifications beside it has a handle.
pub(super) fn write(
    out: &mut Vec<u8>,
    index: RecipientIndex,
    ledger: &RecipientLedger,
    beside: impl Fn(VerificationId) -> Option<usize>,
) {
    let flag = |there: bool, flag: u8| if there { flag } else { 0 };
    let has_failures = !ledger.failures.is_empty();
    let flags = flag(ledger.locked, LOCKED) | flag(ledger.row > 0, ROW);
    out.push(flags | flag(has_failures, FAILURES));
    pack_log(out, &ledger.sends);
    if ledger.row > 0 {
        number(out, u64::from(ledger.row));
    }
    if has_failures {
        pack_log(out, &ledger.failures);
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
        let place = beside(slot.id).and_then(|place| u8::try_from(place).ok());
        if let Some(place) = place.filter(|place| usize::from(*place) < MOST_BESIDE) {
            out.push(flags | BESIDE | place << NUMBER);
        } else {
            out.push(flags);
            out.extend(&id[if is_related { 4 } else { 0 }..]);
        }
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

/// What was packed; `beside` tells the handle of a verification beside it.
pub(super) fn read(
    index: RecipientIndex,
    reader: &mut Reader<'_>,
    beside: impl Fn(usize) -> Option<VerificationId>,
) -> Option<RecipientLedger> {
    let flags = reader.byte()?;
    let mut ledger = RecipientLedger {
        locked: flags & LOCKED != 0,
        sends: unpack_log(reader)?,
        ..RecipientLedger::default()
    };
    if flags & ROW != 0 {
        ledger.row = u32::try_from(reader.number()?).ok()?;
    }
    if flags & FAILURES != 0 {
        ledger.failures = unpack_log(reader)?;
    }
    let newest = newest(&ledger.sends);
    while !reader.0.is_empty() {
        let flags = reader.byte()?;
        let mut id = *index.as_bytes();
        if flags & BESIDE != 0 {
            id = *beside(usize::from(flags >> NUMBER))?.as_bytes();
        } else if flags & RELATED != 0 {
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
    use std::time::Duration;

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
        let id = prop_oneof![(0..10_u8).prop_map(|byte| [byte; 16]), any::<[u8; 16]>()];
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

    const INDEX: RecipientIndex = RecipientIndex::from_bytes([7; 16]);

    fn handle(number: usize) -> VerificationId {
        VerificationId::from_bytes([u8::try_from(number).unwrap(); 16])
    }

    proptest! {
        #[test]
        fn whatever_is_packed_is_unpacked_as_it_was(ledger in ledger(), beside in 0..10_usize) {
            let number = |id| (0..beside).find(|number| handle(*number) == id);
            let mut packed = Vec::new();
            write(&mut packed, INDEX, &ledger, number);
            prop_assert_eq!(read(INDEX, &mut Reader(&packed), |number| Some(handle(number))), Some(ledger));
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
        ledger.count_send(&Purpose::default(), handle(7), memory, at);
        let mut packed = Vec::new();
        write(&mut packed, INDEX, &ledger, |_| None);
        assert!(packed.len() <= 24, "{}", packed.len());
        packed.clear();
        write(&mut packed, INDEX, &ledger, |_| Some(0));
        assert!(packed.len() <= 12, "{}", packed.len());
    }
}
