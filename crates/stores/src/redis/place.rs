//! A place and the failures beside it, read and written as a whole: see `lua/place.lua` and
//! `lua/failures.lua`.
//!
//! For moving rows from one store to another, while nobody works on them: so that reading and
//! writing need not be one step. And for [erasing](super::recipients), which exchanges the whole.

use std::time::Duration;

use watchword_core::{
    AppId, Channel, CheckTarget, CodeDigest, RETENTION, RecipientIndex, RecipientLedger,
    SlidingLog, Slot, Status, Timestamp, Verification, VerificationId, keys,
};

use super::row::{Short, Told, UNKNOWN, body, code, deliveries, status_number};

/// What is before the sends of a record, and before the body of a row.
const RECORD_SIZE: usize = 23;
const HEAD_SIZE: usize = 70;

/// Kinds of rows.
const NOBODYS: u8 = 0;
const SOMEBODYS: u8 = 1;
const NEWEST: u8 = 2;

/// The bytes that a recipient's index shares with the handles of its verifications.
pub(super) type Prefix = [u8; 4];

pub(super) fn first_four(bytes: &[u8; 16]) -> Prefix {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

/// What a handle and the index of its recipient begin with.
pub(super) fn prefix_of(id: VerificationId) -> Prefix {
    first_four(id.as_bytes())
}

/// The same of what is checked.
pub(super) fn target_prefix(target: &CheckTarget) -> Prefix {
    match target {
        CheckTarget::Id(id) => prefix_of(*id),
        CheckTarget::Recipient(recipient, _) => first_four(recipient.as_bytes()),
    }
}

/// All that is kept under one key.
#[derive(Default)]
pub(super) struct Place {
    pub(super) records: Vec<Record>,
}

/// What is kept of one recipient, but its failures.
pub(super) struct Record {
    pub(super) recipient: RecipientIndex,
    pub(super) horizon: Duration,
    pub(super) sends: SlidingLog,
    pub(super) rows: Vec<Kept>,
}

/// A verification, and whether it is the newest of its purpose: when it was sent as that, and until
/// when it is remembered as that.
pub(super) struct Kept {
    pub(super) verification: Verification,
    /// What a check compares, if its code was known when the row was written.
    pub(super) short: Short,
    pub(super) newest: Option<(Option<Timestamp>, Timestamp)>,
}

fn six(bytes: &[u8], at: usize) -> Option<u64> {
    let [a, b, c, d, e, f] = bytes.get(at..at + 6)?.try_into().ok()?;
    Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

fn put_six(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend(&number.to_be_bytes()[2..]);
}

fn size(bytes: &[u8], at: usize) -> Option<usize> {
    let [a, b, c] = bytes.get(at..at + 3)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()
}

fn put_size(bytes: &mut Vec<u8>, size: usize) {
    bytes.extend(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes()[1..]);
}

fn moment(millis: u64) -> Option<Timestamp> {
    (millis > 0).then(|| Timestamp::from_millis(millis))
}

/// Moments of six bytes each. One of 0 is none.
pub(super) fn log(bytes: &[u8]) -> Option<SlidingLog> {
    let moments = (0..bytes.len()).step_by(6).map(|at| six(bytes, at));
    let moments = moments.collect::<Option<Vec<_>>>()?;
    Some(SlidingLog::from_moments(
        moments.into_iter().filter_map(moment).collect(),
    ))
}

pub(super) fn put_log(bytes: &mut Vec<u8>, log: &SlidingLog) {
    let moments = log.moments().iter();
    moments.for_each(|at| put_six(bytes, at.as_millis()));
}

impl Place {
    pub(super) fn read(prefix: Prefix, bytes: &[u8]) -> Option<Self> {
        let (mut records, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let till = at + size(bytes, at)?;
            records.push(Record::read(prefix, bytes.get(at..till)?)?);
            at = till;
        }
        Some(Self { records })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.records
            .iter()
            .for_each(|record| record.write(&mut bytes));
        bytes
    }

    /// The record of a recipient; made where there is none.
    pub(super) fn record(&mut self, recipient: RecipientIndex) -> &mut Record {
        let known = self
            .records
            .iter()
            .position(|known| known.recipient == recipient);
        let at = known.unwrap_or_else(|| {
            self.records.push(Record {
                recipient,
                horizon: Duration::ZERO,
                sends: SlidingLog::default(),
                rows: Vec::new(),
            });
            self.records.len() - 1
        });
        &mut self.records[at]
    }

    /// Until when anything in it matters.
    pub(super) fn until(&self) -> Timestamp {
        let each = self.records.iter().flat_map(|record| {
            let newest = record.sends.moments().last();
            let sends = newest.map(|newest| newest.plus(record.horizon));
            let rows = record.rows.iter().flat_map(|row| {
                let slot = row.newest.map(|(_, until)| until);
                [Some(row.verification.expires_at.plus(RETENTION)), slot]
            });
            rows.chain([sends]).flatten()
        });
        each.max().unwrap_or_default()
    }
}

impl Record {
    fn read(prefix: Prefix, bytes: &[u8]) -> Option<Self> {
        let mut recipient = [0; 16];
        recipient[..4].copy_from_slice(&prefix);
        recipient[4..].copy_from_slice(bytes.get(3..15)?);
        let sends = usize::from(u16::from_be_bytes(bytes.get(21..23)?.try_into().ok()?));
        let mut at = RECORD_SIZE + 6 * sends;
        let mut record = Self {
            recipient: RecipientIndex::from_bytes(recipient),
            horizon: Duration::from_millis(six(bytes, 15)?),
            sends: log(bytes.get(RECORD_SIZE..at)?)?,
            rows: Vec::new(),
        };
        while at < bytes.len() {
            let row = bytes.get(at..at + size(bytes, at)?)?;
            let told = [&recipient[4..], row].concat();
            let (verification, short) = Told::bare(&told).row(prefix)?;
            record.rows.push(Kept {
                verification,
                short,
                newest: match *row.get(15)? {
                    NEWEST => Some((moment(six(row, 45)?), Timestamp::from_millis(six(row, 51)?))),
                    _ => None,
                },
            });
            at += row.len();
        }
        Some(record)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        put_size(bytes, 0);
        bytes.extend(&self.recipient.as_bytes()[4..]);
        put_six(
            bytes,
            u64::try_from(self.horizon.as_millis()).unwrap_or(u64::MAX),
        );
        let sends = self.sends.moments().len();
        bytes.extend(u16::try_from(sends).unwrap_or(u16::MAX).to_be_bytes());
        put_log(bytes, &self.sends);
        self.rows.iter().for_each(|row| row.write(bytes));
        let whole = bytes.len() - start;
        let mut head = Vec::new();
        put_size(&mut head, whole);
        bytes[start..start + 3].copy_from_slice(&head);
    }

    /// Puts a verification in. What is known of it as the newest of its purpose stays.
    pub(super) fn put(&mut self, verification: Verification) {
        let known = self
            .rows
            .iter_mut()
            .find(|row| row.verification.id == verification.id);
        match known {
            Some(known) => known.verification = verification,
            None => self.rows.push(Kept {
                verification,
                short: UNKNOWN,
                newest: None,
            }),
        }
    }

    /// Which verifications are the newest of their purposes.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let slot = |row: &Kept| {
            let (sent_at, until) = row.newest?;
            Some(Slot {
                purpose: row.verification.purpose.clone(),
                id: row.verification.id,
                sent_at,
                until,
            })
        };
        self.rows.iter().filter_map(slot).collect()
    }

    /// Says which ones are. One that is remembered as that for longer than it can be read is kept
    /// as one that has expired long ago.
    pub(super) fn put_slots(&mut self, slots: &[Slot]) {
        self.rows.iter_mut().for_each(|row| row.newest = None);
        for slot in slots {
            let known = self
                .rows
                .iter()
                .position(|row| row.verification.id == slot.id);
            let at = known.unwrap_or_else(|| {
                self.rows.push(Kept {
                    verification: past(self.recipient, slot),
                    short: UNKNOWN,
                    newest: None,
                });
                self.rows.len() - 1
            });
            self.rows[at].newest = Some((slot.sent_at, slot.until));
        }
    }
}

/// A verification of which only the slot is known any more.
pub(super) fn past(recipient: RecipientIndex, slot: &Slot) -> Verification {
    Verification {
        id: slot.id,
        app: AppId::default(),
        recipient,
        addressed: true,
        purpose: slot.purpose.clone(),
        channel: Channel::Sms,
        status: Status::Expired,
        digest: CodeDigest::from_parts(keys::KeyId::from_bytes([0; 4]), [0; 32]),
        attempts_left: 0,
        created_at: Timestamp::default(),
        sent_at: Timestamp::default(),
        expires_at: Timestamp::default(),
        ended_at: None,
        details: keys::Sealed::default(),
        deliveries: Vec::new(),
        outdated: 0,
        fallback: None,
    }
}

impl Kept {
    fn write(&self, bytes: &mut Vec<u8>) {
        let row = &self.verification;
        let sent = code(row.channel, &row.digest, &row.details);
        let mut body = body(&row.purpose, &row.app, &sent);
        body.extend(self.short);
        let deliveries = deliveries(&row.deliveries);
        put_size(bytes, HEAD_SIZE + body.len() + deliveries.len());
        bytes.extend(&row.id.as_bytes()[4..]);
        bytes.push(match (self.newest, row.addressed) {
            (Some(_), _) => NEWEST,
            (None, true) => SOMEBODYS,
            (None, false) => NOBODYS,
        });
        bytes.push(status_number(row.status));
        bytes.extend(row.attempts_left.to_be_bytes());
        let (sent_at, until) = self.newest.unwrap_or_default();
        let moments = [row.created_at, row.sent_at, row.expires_at].map(Some);
        let slot = [row.ended_at, sent_at, Some(until)];
        for at in moments.into_iter().chain(slot) {
            put_six(bytes, at.unwrap_or_default().as_millis());
        }
        bytes.push(u8::try_from(row.outdated).unwrap_or(u8::MAX));
        let next = row
            .fallback
            .map_or(0, |fallback| u16::from(fallback.next) + 1);
        bytes.extend(next.to_be_bytes());
        let due = row.fallback.and_then(|fallback| fallback.due);
        put_six(bytes, due.unwrap_or_default().as_millis());
        bytes.push(u8::try_from(row.deliveries.len()).unwrap_or(u8::MAX));
        put_size(bytes, body.len());
        bytes.extend(body);
        bytes.extend(deliveries);
    }
}

/// The failures of a recipient, in a ledger of its own; a ledger without any is nobody's.
pub(super) fn read_failures(bytes: &[u8]) -> Option<RecipientLedger> {
    let (head, moments) = bytes.split_at_checked(5)?;
    Some(RecipientLedger {
        failures: log(moments)?,
        row: u32::from_be_bytes(head[1..].try_into().ok()?),
        locked: head[0] == 1,
        ..RecipientLedger::default()
    })
}

/// The failures of a ledger, if there are any. Without a moment they would be none of the steps'
/// own, so a lock that has none gets one that counts for nothing.
pub(super) fn write_failures(ledger: &RecipientLedger) -> Option<Vec<u8>> {
    if !ledger.locked && ledger.row == 0 && ledger.failures.is_empty() {
        return None;
    }
    let mut bytes = vec![u8::from(ledger.locked)];
    bytes.extend(ledger.row.to_be_bytes());
    if ledger.failures.is_empty() {
        put_six(&mut bytes, 0);
    }
    put_log(&mut bytes, &ledger.failures);
    Some(bytes)
}
