//! The form in which a row is kept in a file, behind its key: the second one that there was.
//!
//! Later releases read it, so it never changes; what lies in memory has forms of its own
//! ([`super::packed`]). Numbers are as [`number`] writes them, texts and lists stand behind their length,
//! moments are milliseconds since 1970, and an empty text or a zero stands for what is usual or not there.

use super::names::NamedMessage;
use super::record::{Change, Class, DELIVERY_STATUSES, STATUSES, position};
use super::replays::ReplayEntry;
use super::sources::{read_log, write_log};
use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::compact::{Reader, bytes, number};
use crate::delivery::{Delivery, DeliveryId};
use crate::digest::{CodeDigest, RecipientIndex, SourceIndex};
use crate::id::VerificationId;
use crate::keys::{KeyId, Sealed};
use crate::ledger::{RecipientLedger, Slot};
use crate::limit::SlidingLog;
use crate::purpose::Purpose;
use crate::store::{MessageKey, ReplayKey};
use crate::verification::{Fallback, Verification};

pub(super) fn write_verification(out: &mut Vec<u8>, row: &Verification) {
    out.extend(row.id.as_bytes());
    out.extend(row.recipient.as_bytes());
    let app = row.app.as_str();
    text(out, if app == AppId::DEFAULT { "" } else { app });
    write_purpose(out, &row.purpose);
    out.push(u8::from(row.addressed));
    out.push(position(&Channel::ALL, &row.channel));
    out.push(position(&STATUSES, &row.status));
    let (key, hash) = row.digest.parts();
    out.extend(key.to_bytes());
    out.extend(hash);
    number(out, u64::from(row.attempts_left));
    moment(out, row.expires_at);
    before(out, row.sent_at, row.expires_at);
    before(out, row.created_at, row.sent_at);
    moment(out, row.ended_at.unwrap_or_default());
    bytes(out, row.details.as_bytes());
    number(out, u64::from(row.outdated));
    out.push(u8::from(row.fallback.is_some()));
    if let Some(fallback) = row.fallback {
        out.push(fallback.next);
        moment(out, fallback.due.unwrap_or_default());
    }
    for delivery in &row.deliveries {
        out.extend(delivery.id.0.as_bytes());
        out.push(position(&Channel::ALL, &delivery.channel));
        out.push(position(&DELIVERY_STATUSES, &delivery.status));
        before(out, delivery.at, row.expires_at);
        text(out, &delivery.provider);
        for word in [&delivery.message_id, &delivery.error] {
            out.push(u8::from(word.is_some()));
            word.iter().for_each(|word| text(out, word));
        }
    }
}

pub(super) fn write_ledger(out: &mut Vec<u8>, index: RecipientIndex, row: &RecipientLedger) {
    out.extend(index.as_bytes());
    write_log(out, &row.sends);
    write_log(out, &row.failures);
    number(out, u64::from(row.row));
    out.push(u8::from(row.locked));
    for slot in &row.slots {
        write_purpose(out, &slot.purpose);
        out.extend(slot.id.as_bytes());
        moment(out, slot.until);
        out.push(u8::from(slot.sent_at.is_some()));
        slot.sent_at
            .iter()
            .for_each(|at| before(out, *at, slot.until));
    }
}

pub(super) fn write_source(out: &mut Vec<u8>, index: SourceIndex, row: &SlidingLog) {
    out.extend(index.as_bytes());
    write_log(out, row);
}

pub(super) fn write_name(out: &mut Vec<u8>, key: MessageKey, row: &NamedMessage) {
    out.extend(key.0);
    out.extend(row.verification.as_bytes());
    out.extend(row.delivery.0.as_bytes());
    moment(out, row.until);
}

pub(super) fn write_replay(out: &mut Vec<u8>, key: ReplayKey, row: &ReplayEntry) {
    out.extend(key.0);
    out.extend(row.fingerprint);
    moment(out, row.until);
    out.push(u8::from(row.answer.is_some()));
    row.answer
        .iter()
        .for_each(|answer| bytes(out, answer.as_bytes()));
}

fn text(out: &mut Vec<u8>, text: &str) {
    bytes(out, text.as_bytes());
}

fn write_purpose(out: &mut Vec<u8>, purpose: &Purpose) {
    let is_usual = *purpose == Purpose::default();
    text(out, if is_usual { "" } else { purpose.as_str() });
}

fn moment(out: &mut Vec<u8>, at: Timestamp) {
    number(out, at.as_millis());
}

/// How long before another a moment was: mostly that is shorter.
fn before(out: &mut Vec<u8>, at: Timestamp, later: Timestamp) {
    number(out, later.as_millis().wrapping_sub(at.as_millis()));
}

/// The row of this kind, key and all; nothing where the bytes are not what was written.
pub(super) fn read(class: Class, reader: &mut Reader<'_>) -> Option<Change> {
    Some(match class {
        Class::Verification => Change::Verification(Box::new(verification(reader)?)),
        Class::Ledger => Change::Ledger(recipient(reader)?, ledger(reader)?),
        Class::Source => {
            Change::Source(SourceIndex::from_bytes(*reader.array()?), read_log(reader)?)
        }
        Class::Replay => Change::Replay(ReplayKey(*reader.array()?), replay(reader)?),
        Class::Name => Change::Name(MessageKey(*reader.array()?), name(reader)?),
    })
}

fn verification(reader: &mut Reader<'_>) -> Option<Verification> {
    let (id, recipient) = (handle(reader)?, recipient(reader)?);
    let app = match reader.text()? {
        "" => AppId::default(),
        app => AppId::parse(app).ok()?,
    };
    let (purpose, addressed) = (purpose(reader)?, flag(reader)?);
    let (channel, status) = (one_of(&Channel::ALL, reader)?, one_of(&STATUSES, reader)?);
    let key = KeyId::from_bytes(*reader.array()?);
    let digest = CodeDigest::from_parts(key, *reader.array()?);
    let attempts_left = u32::try_from(reader.number()?).ok()?;
    let expires_at = read_moment(reader)?;
    let sent_at = read_before(reader, expires_at)?;
    let created_at = read_before(reader, sent_at)?;
    let ended_at = maybe(read_moment(reader)?);
    let details = Sealed::from_bytes(reader.bytes()?);
    let outdated = u16::try_from(reader.number()?).ok()?;
    let fallback = match flag(reader)? {
        true => Some(Fallback {
            next: reader.byte()?,
            due: maybe(read_moment(reader)?),
        }),
        false => None,
    };
    let mut deliveries = Vec::new();
    while !reader.0.is_empty() {
        deliveries.reserve_exact(1);
        deliveries.push(Delivery {
            id: delivery_id(reader)?,
            channel: one_of(&Channel::ALL, reader)?,
            status: one_of(&DELIVERY_STATUSES, reader)?,
            at: read_before(reader, expires_at)?,
            provider: reader.text()?.to_owned(),
            message_id: maybe_text(reader)?,
            error: maybe_text(reader)?,
        });
    }
    Some(Verification {
        id,
        app,
        recipient,
        addressed,
        purpose,
        channel,
        status,
        digest,
        attempts_left,
        created_at,
        sent_at,
        expires_at,
        ended_at,
        details,
        deliveries,
        outdated,
        fallback,
    })
}

fn ledger(reader: &mut Reader<'_>) -> Option<RecipientLedger> {
    let (sends, failures) = (read_log(reader)?, read_log(reader)?);
    let (row, locked) = (u32::try_from(reader.number()?).ok()?, flag(reader)?);
    let mut slots = Vec::new();
    while !reader.0.is_empty() {
        let (purpose, id) = (purpose(reader)?, handle(reader)?);
        let until = read_moment(reader)?;
        let sent_at = match flag(reader)? {
            true => Some(read_before(reader, until)?),
            false => None,
        };
        slots.reserve_exact(1);
        slots.push(Slot {
            purpose,
            id,
            sent_at,
            until,
        });
    }
    Some(RecipientLedger {
        sends,
        failures,
        row,
        locked,
        slots,
    })
}

fn replay(reader: &mut Reader<'_>) -> Option<ReplayEntry> {
    Some(ReplayEntry {
        fingerprint: *reader.array()?,
        until: read_moment(reader)?,
        answer: match flag(reader)? {
            true => Some(Sealed::from_bytes(reader.bytes()?)),
            false => None,
        },
    })
}

fn name(reader: &mut Reader<'_>) -> Option<NamedMessage> {
    Some(NamedMessage {
        verification: handle(reader)?,
        delivery: delivery_id(reader)?,
        until: read_moment(reader)?,
    })
}

fn handle(reader: &mut Reader<'_>) -> Option<VerificationId> {
    Some(VerificationId::from_bytes(*reader.array()?))
}

fn delivery_id(reader: &mut Reader<'_>) -> Option<DeliveryId> {
    Some(DeliveryId(uuid::Uuid::from_bytes(*reader.array()?)))
}

fn recipient(reader: &mut Reader<'_>) -> Option<RecipientIndex> {
    Some(RecipientIndex::from_bytes(*reader.array()?))
}

fn purpose(reader: &mut Reader<'_>) -> Option<Purpose> {
    match reader.text()? {
        "" => Some(Purpose::default()),
        purpose => Purpose::parse(purpose).ok(),
    }
}

fn flag(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.byte()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn one_of<T: Copy>(all: &[T], reader: &mut Reader<'_>) -> Option<T> {
    all.get(usize::from(reader.byte()?)).copied()
}

fn maybe_text(reader: &mut Reader<'_>) -> Option<Option<String>> {
    Some(match flag(reader)? {
        true => Some(reader.text()?.to_owned()),
        false => None,
    })
}

fn read_moment(reader: &mut Reader<'_>) -> Option<Timestamp> {
    reader.number().map(Timestamp::from_millis)
}

/// A zero stands for none.
fn maybe(at: Timestamp) -> Option<Timestamp> {
    Some(at).filter(|at| *at != Timestamp::default())
}

fn read_before(reader: &mut Reader<'_>, later: Timestamp) -> Option<Timestamp> {
    let millis = later.as_millis().wrapping_sub(reader.number()?);
    Some(Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::super::record::{Lane, changes};
    use super::*;
    use crate::delivery::DeliveryStatus;
    use crate::fakes;

    fn read_back(change: &Change) -> Vec<Change> {
        let mut out = Vec::new();
        match change {
            Change::Verification(row) => Change::put(&mut out, row),
            Change::Ledger(index, row) => Change::put_ledger(&mut out, *index, row),
            Change::Source(index, row) => Change::put_source(&mut out, *index, row),
            Change::Replay(key, row) => Change::put_replay(&mut out, *key, row),
            Change::Name(key, row) => Change::put_name(&mut out, *key, row),
        }
        changes(&out, Lane::ALL).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn what_is_unusual_is_kept_as_well() {
        let at = Timestamp::from_millis(1_790_000_000_000);
        let later = Timestamp::from_millis(at.as_millis() + 9_000);
        let mut row = fakes::pending(at);
        row.app = AppId::parse("shop-1").unwrap();
        row.purpose = Purpose::parse("pay 10 € to Acme").unwrap();
        row.addressed = false;
        row.channel = Channel::Voice;
        row.status = crate::verification::Status::Failed;
        row.attempts_left = u32::MAX;
        (row.sent_at, row.ended_at) = (later, Some(later));
        row.expires_at = Timestamp::from_millis(1);
        row.outdated = u16::MAX;
        row.fallback = Some(Fallback { next: 3, due: None });
        let mut failed = row.deliveries[0].clone();
        (failed.message_id, failed.error) = (None, Some("rejected 63016".to_owned()));
        failed.status = DeliveryStatus::Failed;
        row.deliveries.push(failed);
        let slot = |purpose: &str, sent_at| Slot {
            purpose: Purpose::parse(purpose).unwrap(),
            id: row.id,
            sent_at,
            until: later,
        };
        let ledger = RecipientLedger {
            sends: SlidingLog::from_moments(vec![at, later, later]),
            failures: SlidingLog::from_moments(vec![later]),
            row: 7,
            locked: true,
            slots: vec![slot("default", Some(at)), slot("login", None)],
        };
        let running = ReplayEntry {
            fingerprint: [5; 32],
            answer: None,
            until: at,
        };
        for change in [
            Change::Ledger(row.recipient, ledger),
            Change::Verification(Box::new(row)),
            Change::Source(SourceIndex::from_bytes([3; 16]), SlidingLog::default()),
            Change::Replay(ReplayKey([4; 16]), running),
        ] {
            assert_eq!(read_back(&change), [change]);
        }
    }

    #[test]
    fn an_ordinary_verification_is_short() {
        let mut row = fakes::pending(Timestamp::from_millis(1_790_000_000_000));
        row.details = Sealed::from_bytes(&[7; 56]);
        let mut out = Vec::new();
        write_verification(&mut out, &row);
        assert!(out.len() <= 184, "{}", out.len());
    }
}
