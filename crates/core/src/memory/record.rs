//! The form in which changes are journaled: each is the new image of one row.
//!
//! Images, not commands: putting one back twice is harmless, a snapshot may be taken while steps
//! go on, and a later release may change a rule without re-playing history under it.

use super::names::NamedMessage;
use super::replays::ReplayEntry;
use super::{first_form, second_form};
use crate::compact::Reader;
use crate::delivery::DeliveryStatus;
use crate::digest::{RecipientIndex, SourceIndex};
use crate::ledger::RecipientLedger;
use crate::limit::SlidingLog;
use crate::store::{MessageKey, ReplayKey};
use crate::verification::{Status, Verification};

/// The version of this form. A store writes it beside its records, and refuses those of a form that
/// is not in [`READABLE`].
pub const FORMAT: u32 = 2;

/// The forms that can be read. Records of several may stand in one file.
pub const READABLE: [u32; 2] = [1, FORMAT];

/// A record that cannot be read: torn, overwritten, or of a foreign version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record is corrupt at byte {at}")]
pub struct CorruptRecord {
    /// Where in the record reading failed.
    pub at: usize,
}

/// The new image of one row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Verification(Box<Verification>),
    Ledger(RecipientIndex, RecipientLedger),
    Source(SourceIndex, SlidingLog),
    Replay(ReplayKey, ReplayEntry),
    Name(MessageKey, NamedMessage),
}

/// What a row is about, by the number that a file has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Verification = 1,
    Ledger,
    Source,
    Replay,
    Name,
}

const CLASSES: [Class; 5] = [
    Class::Verification,
    Class::Ledger,
    Class::Source,
    Class::Replay,
    Class::Name,
];

/// Beside the class of an image: it is in the second form.
const SECOND: u8 = 1 << 4;

/// In the order of the numbers that files have for them, as those below.
pub(super) const STATUSES: [Status; 7] = [
    Status::Pending,
    Status::Approved,
    Status::Canceled,
    Status::Expired,
    Status::Exhausted,
    Status::Superseded,
    Status::Failed,
];

pub(super) const DELIVERY_STATUSES: [DeliveryStatus; 6] = [
    DeliveryStatus::Unknown,
    DeliveryStatus::Accepted,
    DeliveryStatus::Sent,
    DeliveryStatus::Failed,
    DeliveryStatus::Delivered,
    DeliveryStatus::Read,
];

impl Change {
    pub(super) fn put(out: &mut Vec<u8>, row: &Verification) {
        framed(out, Class::Verification, |out| {
            second_form::write_verification(out, row);
        });
    }

    pub(super) fn put_ledger(out: &mut Vec<u8>, index: RecipientIndex, row: &RecipientLedger) {
        framed(out, Class::Ledger, |out| {
            second_form::write_ledger(out, index, row);
        });
    }

    pub(super) fn put_source(out: &mut Vec<u8>, index: SourceIndex, row: &SlidingLog) {
        framed(out, Class::Source, |out| {
            second_form::write_source(out, index, row);
        });
    }

    pub(super) fn put_name(out: &mut Vec<u8>, key: MessageKey, row: &NamedMessage) {
        framed(out, Class::Name, |out| {
            second_form::write_name(out, key, row);
        });
    }

    pub(super) fn put_replay(out: &mut Vec<u8>, key: ReplayKey, row: &ReplayEntry) {
        framed(out, Class::Replay, |out| {
            second_form::write_replay(out, key, row);
        });
    }
}

/// One image in a record: `kind (1) · length (4) · key (16) · row`.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    class: Class,
    is_first_form: bool,
    key: [u8; 16],
    /// The key, too.
    body: &'a [u8],
    /// Where in the record that begins.
    at: usize,
}

impl Image<'_> {
    /// What tells the row from all others. Rows of one recipient are neighbours in this order.
    pub(super) const fn row(&self) -> (Class, [u8; 16]) {
        (self.class, self.key)
    }

    pub(super) fn open(&self) -> Result<Change, CorruptRecord> {
        if self.is_first_form {
            return first_form::read(self.class, self.body).map_err(|corrupt| CorruptRecord {
                at: self.at + corrupt.at,
            });
        }
        let mut reader = Reader(self.body);
        let change = second_form::read(self.class, &mut reader);
        change.filter(|_| reader.0.is_empty()).ok_or(CorruptRecord {
            at: self.at + self.body.len() - reader.0.len(),
        })
    }
}

/// The images of one lane in a record, in order, and nothing behind one that cannot be read. Every
/// row belongs to one lane, so that lanes can be read side by side.
pub(super) fn images(
    record: &[u8],
    lane: Lane,
) -> impl Iterator<Item = Result<Image<'_>, CorruptRecord>> {
    let mut rest = record;
    let next = move || {
        if rest.is_empty() {
            return None;
        }
        let at = record.len() - rest.len();
        let image = image(&mut rest, at);
        if image.is_none() {
            rest = &[];
        }
        Some(image.ok_or(CorruptRecord { at }))
    };
    std::iter::from_fn(next)
        .filter(move |image| image.as_ref().map_or(true, |image| lane.has(image.key[0])))
}

/// The first image of `rest`, which begins at `at` of its record.
fn image<'a>(rest: &mut &'a [u8], at: usize) -> Option<Image<'a>> {
    let (&[kind, a, b, c, d], behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    let (body, behind) = behind.split_at_checked(length)?;
    let class = kind & (SECOND - 1);
    let is_known = kind & !(2 * SECOND - 1) == 0;
    let class = CLASSES.into_iter().find(|known| *known as u8 == class)?;
    *rest = behind;
    is_known.then_some(Image {
        class,
        is_first_form: kind & SECOND == 0,
        key: *body.first_chunk()?,
        body,
        at: at + 5,
    })
}

/// The changes of one lane in a record, in order, and nothing behind one that cannot be read.
pub(super) fn changes(
    record: &[u8],
    lane: Lane,
) -> impl Iterator<Item = Result<Change, CorruptRecord>> {
    let all = images(record, lane).map(|image| image?.open());
    all.scan(false, |failed, change| {
        let stop = *failed;
        *failed = change.is_err();
        (!stop).then_some(change)
    })
}

/// One of several shares of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Which one, counted from 0.
    pub number: usize,
    /// How many there are; at least 1.
    pub of: usize,
}

impl Lane {
    /// Every row.
    pub const ALL: Self = Self { number: 0, of: 1 };

    fn has(self, first_byte_of_key: u8) -> bool {
        usize::from(first_byte_of_key) % self.of.max(1) == self.number
    }
}

fn framed(out: &mut Vec<u8>, class: Class, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(class as u8 | SECOND);
    let start = out.len();
    out.extend([0; 4]);
    body(out);
    let size = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_le_bytes());
}

pub(super) fn position<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter()
        .position(|other| other == one)
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::delivery::DeliveryId;
    use crate::fakes;
    use crate::keys::Sealed;
    use crate::ledger::Memory;
    use crate::verification::Fallback;

    fn image() -> (Vec<u8>, Vec<Change>) {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let mut row = fakes::pending(at);
        row.outdated = 1;
        row.fallback = Some(Fallback {
            next: 1,
            due: Some(at),
        });
        let mut ledger = RecipientLedger::default();
        let memory = Memory {
            send: Duration::from_mins(10),
            slot: Duration::from_mins(10),
        };
        ledger.count_send(&row.purpose, row.id, memory, at);
        ledger.count_failure(crate::policy::FailureBudget::default(), at);
        let source = SourceIndex::from_bytes([3; 16]);
        let entry = ReplayEntry {
            fingerprint: [5; 32],
            answer: Some(Sealed::from_bytes(b"sealed")),
            until: at,
        };
        let mut out = Vec::new();
        Change::put(&mut out, &row);
        Change::put_ledger(&mut out, row.recipient, &ledger);
        Change::put_source(&mut out, source, &ledger.sends);
        Change::put_replay(&mut out, ReplayKey([4; 16]), &entry);
        let name = NamedMessage {
            verification: row.id,
            delivery: DeliveryId(row.id.as_uuid()),
            until: at,
        };
        Change::put_name(&mut out, MessageKey([6; 16]), &name);
        let sends = ledger.sends.clone();
        let all = vec![
            Change::Ledger(row.recipient, ledger),
            Change::Source(source, sends),
            Change::Replay(ReplayKey([4; 16]), entry),
            Change::Name(MessageKey([6; 16]), name),
        ];
        let mut changes = vec![Change::Verification(Box::new(row))];
        changes.extend(all);
        (out, changes)
    }

    #[test]
    fn every_row_is_read_back_as_it_was() {
        let (record, expected) = image();
        let read: Vec<_> = changes(&record, Lane::ALL)
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(read, expected);
    }

    #[test]
    fn the_form_of_files_stays_as_it_is() {
        let written: String = image().0.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected: String = include_str!("second_form.hex").split_whitespace().collect();
        assert_eq!(written, expected, "raise the form, and read this one still");
    }

    #[test]
    fn every_row_is_in_exactly_one_lane() {
        let (record, mut expected) = image();
        for number in 0..3 {
            let lane = Lane { number, of: 3 };
            for change in changes(&record, lane) {
                let change = change.unwrap();
                expected.remove(expected.iter().position(|one| *one == change).unwrap());
            }
        }
        assert!(expected.is_empty(), "{expected:?}");
    }

    #[test]
    fn a_torn_record_is_named_wherever_it_is_torn() {
        let (record, expected) = image();
        let mut clean = 0;
        for end in 0..record.len() {
            let read: Result<Vec<_>, _> = changes(&record[..end], Lane::ALL).collect();
            clean += usize::from(read.is_ok());
        }
        assert_eq!(
            clean,
            expected.len(),
            "only a cut between two changes reads without an error"
        );
    }

    #[test]
    fn nothing_of_a_kind_that_is_not_known_is_read() {
        let (record, _) = image();
        for kind in [0, 6, SECOND, SECOND + 6, 2 * SECOND + 1, 255] {
            let changed = [&[kind], &record[1..]].concat();
            let read: Result<Vec<_>, _> = changes(&changed, Lane::ALL).collect();
            assert_eq!(read, Err(CorruptRecord { at: 0 }), "{kind}");
        }
    }

    #[test]
    fn a_row_that_goes_on_behind_its_end_is_refused() {
        let (mut record, _) = image();
        let length = record[1] + 1;
        record[1] = length;
        let read: Result<Vec<_>, _> = changes(&record, Lane::ALL).collect();
        assert!(read.is_err());
    }
}
