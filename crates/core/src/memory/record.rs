//! The form in which changes are journaled: each is the new image of one row.
//!
//! Images, not commands: putting one back twice is harmless, a snapshot may be taken while steps
//! go on, and a later release may change a rule without re-playing history under it.

use super::names::NamedMessage;
use super::replays::ReplayEntry;
use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, DeliveryId};
use crate::digest::{CodeDigest, RecipientIndex, SourceIndex};
use crate::id::VerificationId;
use crate::keys::{KeyId, Sealed};
use crate::ledger::{RecipientLedger, Slot};
use crate::limit::SlidingLog;
use crate::purpose::Purpose;
use crate::store::{MessageKey, ReplayKey};
use crate::verification::{Fallback, Status, Verification};

/// The version of this form. A store writes it beside its records and refuses a foreign one.
pub const FORMAT: u32 = 1;

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

const VERIFICATION: u8 = 1;
const LEDGER: u8 = 2;
const SOURCE: u8 = 3;
const REPLAY: u8 = 4;
const NAME: u8 = 5;

pub(super) const STATUSES: [Status; 7] = [
    Status::Pending,
    Status::Approved,
    Status::Canceled,
    Status::Expired,
    Status::Exhausted,
    Status::Superseded,
    Status::Failed,
];

impl Change {
    pub(super) fn put(out: &mut Vec<u8>, row: &Verification) {
        framed(out, VERIFICATION, |out| {
            out.extend(row.id.as_bytes());
            out.extend(row.recipient.as_bytes());
            out.push(u8::from(row.addressed));
            bytes(out, row.app.as_str().as_bytes());
            bytes(out, row.purpose.as_str().as_bytes());
            out.push(position(&Channel::ALL, &row.channel));
            out.push(position(&STATUSES, &row.status));
            let (key, hash) = row.digest.parts();
            out.extend(key.to_bytes());
            out.extend(hash);
            out.extend(row.attempts_left.to_le_bytes());
            [row.created_at, row.sent_at, row.expires_at]
                .iter()
                .for_each(|at| moment(out, *at));
            moment(out, row.ended_at.unwrap_or_default());
            bytes(out, row.details.as_bytes());
            // Deliveries are few and grow new members: JSON keeps them readable across releases.
            let deliveries = if row.deliveries.is_empty() {
                Vec::new()
            } else {
                serde_json::to_vec(&row.deliveries).unwrap_or_default()
            };
            bytes(out, &deliveries);
            out.extend(row.outdated.to_le_bytes());
            out.push(u8::from(row.fallback.is_some()));
            out.push(row.fallback.map_or(0, |fallback| fallback.next));
            let due = row.fallback.and_then(|fallback| fallback.due);
            moment(out, due.unwrap_or_default());
        });
    }

    pub(super) fn put_ledger(out: &mut Vec<u8>, index: RecipientIndex, row: &RecipientLedger) {
        framed(out, LEDGER, |out| {
            out.extend(index.as_bytes());
            log(out, &row.sends);
            log(out, &row.failures);
            out.extend(row.row.to_le_bytes());
            out.push(u8::from(row.locked));
            length(out, row.slots.len());
            for slot in &row.slots {
                bytes(out, slot.purpose.as_str().as_bytes());
                out.extend(slot.id.as_bytes());
                moment(out, slot.sent_at.unwrap_or_default());
                moment(out, slot.until);
            }
        });
    }

    pub(super) fn put_source(out: &mut Vec<u8>, index: SourceIndex, row: &SlidingLog) {
        framed(out, SOURCE, |out| {
            out.extend(index.as_bytes());
            log(out, row);
        });
    }

    pub(super) fn put_name(out: &mut Vec<u8>, key: MessageKey, row: &NamedMessage) {
        framed(out, NAME, |out| {
            out.extend(key.0);
            out.extend(row.verification.as_bytes());
            out.extend(row.delivery.0.as_bytes());
            moment(out, row.until);
        });
    }

    pub(super) fn put_replay(out: &mut Vec<u8>, key: ReplayKey, row: &ReplayEntry) {
        framed(out, REPLAY, |out| {
            out.extend(key.0);
            out.extend(row.fingerprint);
            moment(out, row.until);
            out.push(u8::from(row.answer.is_some()));
            bytes(
                out,
                row.answer.as_ref().map_or(&[], |answer| answer.as_bytes()),
            );
        });
    }
}

/// The changes of one lane in a record, in order. Every row belongs to one lane, so that lanes can
/// be read side by side.
pub(super) fn changes(
    record: &[u8],
    lane: Lane,
) -> impl Iterator<Item = Result<Change, CorruptRecord>> {
    let mut reader = Reader { record, at: 0 };
    let next = move || loop {
        if reader.at >= record.len() {
            return None;
        }
        match reader.skip_foreign(lane) {
            Ok(true) => {}
            Ok(false) => return Some(reader.change()),
            Err(corrupt) => return Some(Err(corrupt)),
        }
    };
    std::iter::from_fn(next).scan(false, |failed, change| {
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

fn framed(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
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

fn length(out: &mut Vec<u8>, len: usize) {
    out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend(bytes);
}

fn moment(out: &mut Vec<u8>, at: Timestamp) {
    out.extend(at.as_millis().to_le_bytes());
}

fn log(out: &mut Vec<u8>, log: &SlidingLog) {
    length(out, log.moments().len());
    log.moments().iter().for_each(|at| moment(out, *at));
}

struct Reader<'a> {
    record: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn corrupt<T>(&self) -> Result<T, CorruptRecord> {
        Err(CorruptRecord { at: self.at })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CorruptRecord> {
        let end = self
            .at
            .checked_add(len)
            .filter(|end| *end <= self.record.len());
        let Some(end) = end else {
            return self.corrupt();
        };
        let taken = &self.record[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CorruptRecord> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, CorruptRecord> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, CorruptRecord> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn bool(&mut self) -> Result<bool, CorruptRecord> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => self.corrupt(),
        }
    }

    fn moment(&mut self) -> Result<Timestamp, CorruptRecord> {
        Ok(Timestamp::from_millis(u64::from_le_bytes(self.array()?)))
    }

    /// A moment whose zero stands for none.
    fn maybe_moment(&mut self) -> Result<Option<Timestamp>, CorruptRecord> {
        Ok(Some(self.moment()?).filter(|at| *at != Timestamp::default()))
    }

    fn bytes(&mut self) -> Result<&'a [u8], CorruptRecord> {
        let len = self.u32()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Result<&'a str, CorruptRecord> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| CorruptRecord { at })
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T, CorruptRecord> {
        let index = usize::from(self.u8()?);
        all.get(index).copied().map_or_else(|| self.corrupt(), Ok)
    }

    fn log(&mut self) -> Result<SlidingLog, CorruptRecord> {
        let len = self.u32()?;
        let moments = (0..len).map(|_| self.moment()).collect::<Result<_, _>>()?;
        Ok(SlidingLog::from_moments(moments))
    }

    fn purpose(&mut self) -> Result<Purpose, CorruptRecord> {
        let at = self.at;
        Purpose::parse(self.text()?).map_err(|_| CorruptRecord { at })
    }

    /// Steps over the next change if another lane has it; whether it did. Every change begins
    /// with the key of its row.
    fn skip_foreign(&mut self, lane: Lane) -> Result<bool, CorruptRecord> {
        let start = self.at;
        self.u8()?;
        let size = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let body = self.take(size)?;
        if body.first().is_some_and(|key| !lane.has(*key)) {
            return Ok(true);
        }
        self.at = start;
        Ok(false)
    }

    fn change(&mut self) -> Result<Change, CorruptRecord> {
        let kind = self.u8()?;
        let size = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let end = self.at.saturating_add(size);
        let change = match kind {
            VERIFICATION => Change::Verification(Box::new(self.verification(end)?)),
            LEDGER => Change::Ledger(RecipientIndex::from_bytes(self.array()?), self.ledger()?),
            SOURCE => Change::Source(SourceIndex::from_bytes(self.array()?), self.log()?),
            REPLAY => Change::Replay(ReplayKey(self.array()?), self.replay()?),
            NAME => Change::Name(MessageKey(self.array()?), self.name()?),
            _ => return self.corrupt(),
        };
        if self.at == end {
            Ok(change)
        } else {
            self.corrupt()
        }
    }

    fn verification(&mut self, end: usize) -> Result<Verification, CorruptRecord> {
        let mut row = Verification {
            id: VerificationId::from_bytes(self.array()?),
            recipient: RecipientIndex::from_bytes(self.array()?),
            addressed: self.bool()?,
            app: AppId::parse(self.text()?).or_else(|_| self.corrupt())?,
            purpose: self.purpose()?,
            channel: self.one_of(&Channel::ALL)?,
            status: self.one_of(&STATUSES)?,
            digest: CodeDigest::from_parts(KeyId::from_bytes(self.array()?), self.array()?),
            attempts_left: self.u32()?,
            created_at: self.moment()?,
            sent_at: self.moment()?,
            expires_at: self.moment()?,
            ended_at: self.maybe_moment()?,
            details: Sealed::from_bytes(self.bytes()?),
            deliveries: self.deliveries()?,
            outdated: 0,
            fallback: None,
        };
        // Rows from before there were fallbacks end here.
        if self.at < end {
            row.outdated = u16::from_le_bytes(self.array()?);
            row.fallback = self.fallback()?;
        }
        Ok(row)
    }

    fn fallback(&mut self) -> Result<Option<Fallback>, CorruptRecord> {
        let planned = self.bool()?;
        let next = self.u8()?;
        let due = self.maybe_moment()?;
        Ok(planned.then_some(Fallback { next, due }))
    }

    fn name(&mut self) -> Result<NamedMessage, CorruptRecord> {
        Ok(NamedMessage {
            verification: VerificationId::from_bytes(self.array()?),
            delivery: DeliveryId(uuid::Uuid::from_bytes(self.array()?)),
            until: self.moment()?,
        })
    }

    fn deliveries(&mut self) -> Result<Vec<Delivery>, CorruptRecord> {
        match self.bytes()? {
            [] => Ok(Vec::new()),
            json => serde_json::from_slice(json).or_else(|_| self.corrupt()),
        }
    }

    fn ledger(&mut self) -> Result<RecipientLedger, CorruptRecord> {
        Ok(RecipientLedger {
            sends: self.log()?,
            failures: self.log()?,
            row: self.u32()?,
            locked: self.bool()?,
            slots: (0..self.u32()?)
                .map(|_| {
                    Ok(Slot {
                        purpose: self.purpose()?,
                        id: VerificationId::from_bytes(self.array()?),
                        sent_at: self.maybe_moment()?,
                        until: self.moment()?,
                    })
                })
                .collect::<Result<_, _>>()?,
        })
    }

    fn replay(&mut self) -> Result<ReplayEntry, CorruptRecord> {
        let fingerprint = self.array()?;
        let until = self.moment()?;
        let answered = self.bool()?;
        let answer = Sealed::from_bytes(self.bytes()?);
        Ok(ReplayEntry {
            fingerprint,
            answer: answered.then_some(answer),
            until,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fakes;
    use crate::ledger::Memory;

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
}
