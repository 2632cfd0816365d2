//! Verifications as they lie in memory: each in one short row instead of many pieces.
//!
//! A [`Verification`] is convenient to work on, and takes some nine pieces of memory and a kilobyte
//! with all that surrounds them. It is unpacked for each step and packed again afterwards.
//!
//! This form never leaves the process; what is journaled has one of its own
//! ([`super::record`]), which later releases can read.

use std::sync::OnceLock;

use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::compact::{Reader, bytes, number};
use crate::delivery::{Delivery, DeliveryId};
use crate::digest::{CodeDigest, RecipientIndex};
use crate::id::VerificationId;
use crate::keys::{KeyId, Sealed};
use crate::purpose::Purpose;
use crate::verification::{Fallback, RETENTION, Verification};

use super::moment;
use super::record::{DELIVERY_STATUSES, STATUSES, position};

/// A verification without its handle and its recipient, which it is found by.
///
/// `expires at · flags (1) · channel and status (1) · key (0 or 4) · hash (32)`, and then what is mostly
/// short, or not there.
pub(super) struct Packed<'a>(pub(super) &'a [u8]);

const ADDRESSED: u8 = 1;
const APP: u8 = 1 << 1;
const PURPOSE: u8 = 1 << 2;
const ENDED: u8 = 1 << 3;
const FALLBACK: u8 = 1 << 4;
const DUE: u8 = 1 << 5;
/// Digest and details are under the first key of this process.
const FAMILIAR: u8 = 1 << 6;
/// The digest is under the key that the details are sealed with.
const SEALED_WITH: u8 = 1 << 7;

// Beside channel and status of a verification.
/// Its code is not the first one.
const RENEWED: u8 = 1 << 5;
const OUTDATED: u8 = 1 << 6;

// Beside channel and status of a delivery.
const NAMED: u8 = 1 << 5;
const FAULTY: u8 = 1 << 6;
/// Its provider stands in [`PROVIDERS`].
const LISTED: u8 = 1 << 7;

/// The key that was met first, which is mostly that of all rows.
static KEY: OnceLock<KeyId> = OnceLock::new();

/// Providers in the order in which they were first met. Each delivery has the name of one, and a
/// configuration has a few; should there be more, the others are spelled out.
static PROVIDERS: [OnceLock<Box<str>>; 32] = [const { OnceLock::new() }; 32];

/// The place of a provider in [`PROVIDERS`], if there is one for it.
fn listed(provider: &str) -> Option<u8> {
    let same = |known: &OnceLock<Box<str>>| **known.get_or_init(|| provider.into()) == *provider;
    let place = PROVIDERS.iter().position(same)?;
    u8::try_from(place).ok()
}

/// Packs a verification.
pub(super) fn write(out: &mut Vec<u8>, row: &Verification) {
    let due = row.fallback.and_then(|fallback| fallback.due);
    let app = Some(row.app.as_str()).filter(|app| *app != AppId::DEFAULT);
    let purpose = Some(&row.purpose).filter(|purpose| **purpose != Purpose::default());
    let (key, hash) = row.digest.parts();
    let is_sealed_with = row.details.key_id() == Some(key);
    let is_familiar = is_sealed_with && *KEY.get_or_init(|| key) == key;
    let unkeyed = row.details.parts().filter(|_| is_familiar);
    let flags = flag(row.addressed, ADDRESSED)
        | flag(is_familiar, FAMILIAR)
        | flag(is_sealed_with, SEALED_WITH)
        | flag(app.is_some(), APP)
        | flag(purpose.is_some(), PURPOSE)
        | flag(row.ended_at.is_some(), ENDED)
        | flag(row.fallback.is_some(), FALLBACK)
        | flag(due.is_some(), DUE);
    // Moments as how far they are from others: mostly a few bytes.
    let (sent, expires) = (row.sent_at.as_millis(), row.expires_at.as_millis());
    let before = |at: Timestamp| expires.wrapping_sub(at.as_millis());
    moment::write(out, row.expires_at);
    out.push(flags);
    out.push(
        position(&Channel::ALL, &row.channel)
            | position(&STATUSES, &row.status) << 2
            | flag(row.sent_at != row.created_at, RENEWED)
            | flag(row.outdated > 0, OUTDATED),
    );
    if !is_sealed_with {
        out.extend(key.to_bytes());
    }
    out.extend(hash);
    number(out, u64::from(row.attempts_left));
    number(out, before(row.sent_at));
    if row.sent_at != row.created_at {
        number(out, sent.wrapping_sub(row.created_at.as_millis()));
    }
    row.ended_at.iter().for_each(|at| number(out, before(*at)));
    app.iter().for_each(|app| bytes(out, app.as_bytes()));
    purpose
        .iter()
        .for_each(|purpose| bytes(out, purpose.as_str().as_bytes()));
    if let Some(fallback) = row.fallback {
        out.push(fallback.next);
    }
    due.iter().for_each(|at| number(out, before(*at)));
    if row.outdated > 0 {
        number(out, u64::from(row.outdated));
    }
    let details = unkeyed.map_or(row.details.as_bytes(), |(_, rest)| rest);
    bytes(out, details);
    for delivery in &row.deliveries {
        let status = position(&DELIVERY_STATUSES, &delivery.status);
        let listed = listed(&delivery.provider);
        out.extend(delivery.id.0.as_bytes());
        out.push(
            position(&Channel::ALL, &delivery.channel)
                | status << 2
                | flag(delivery.message_id.is_some(), NAMED)
                | flag(delivery.error.is_some(), FAULTY)
                | flag(listed.is_some(), LISTED),
        );
        number(out, delivery.at.as_millis().wrapping_sub(sent));
        match listed {
            Some(place) => out.push(place),
            None => bytes(out, delivery.provider.as_bytes()),
        }
        for text in [&delivery.message_id, &delivery.error]
            .into_iter()
            .flatten()
        {
            bytes(out, text.as_bytes());
        }
    }
}

const fn flag(there: bool, flag: u8) -> u8 {
    if there { flag } else { 0 }
}

impl Packed<'_> {
    /// The verification that was packed, under its handle.
    #[allow(clippy::expect_used, reason = "packed by this process, in this form")]
    pub(super) fn open(&self, id: VerificationId, recipient: RecipientIndex) -> Verification {
        row(&mut Reader(self.0), id, recipient).expect("what was packed is read back")
    }

    /// As [`Verification::is_forgettable`], without unpacking.
    pub(super) fn is_forgettable(&self, now: Timestamp) -> bool {
        let expires = moment::read(&mut Reader(self.0)).unwrap_or_default();
        now >= expires.plus(RETENTION)
    }
}

fn row(
    reader: &mut Reader<'_>,
    id: VerificationId,
    recipient: RecipientIndex,
) -> Option<Verification> {
    let expires_at = moment::read(reader)?;
    let expires = expires_at.as_millis();
    let [flags, kind] = *reader.array()?;
    let has = |flag: u8| flags & flag != 0;
    let own_key = if has(SEALED_WITH) {
        None
    } else {
        Some(*reader.array()?)
    };
    let hash = *reader.array()?;
    let attempts_left = u32::try_from(reader.number()?).ok()?;
    let sent_at = before(reader, expires)?;
    let sent = sent_at.as_millis();
    let created_at = if kind & RENEWED != 0 {
        before(reader, sent)?
    } else {
        sent_at
    };
    let ended_at = if has(ENDED) {
        Some(before(reader, expires)?)
    } else {
        None
    };
    let app = if has(APP) {
        AppId::parse(reader.text()?).ok()?
    } else {
        AppId::default()
    };
    let purpose = if has(PURPOSE) {
        Purpose::parse(reader.text()?).ok()?
    } else {
        Purpose::default()
    };
    let fallback = if has(FALLBACK) {
        let [next] = *reader.array()?;
        let due = if has(DUE) {
            Some(before(reader, expires)?)
        } else {
            None
        };
        Some(Fallback { next, due })
    } else {
        None
    };
    let outdated = if kind & OUTDATED != 0 {
        u16::try_from(reader.number()?).ok()?
    } else {
        0
    };
    let details = reader.bytes()?;
    let details = if has(FAMILIAR) {
        Sealed::from_parts(*KEY.get()?, details)
    } else {
        Sealed::from_bytes(details)
    };
    let key = match own_key {
        Some(key) => KeyId::from_bytes(key),
        None => details.key_id()?,
    };
    let mut deliveries = Vec::new();
    while !reader.0.is_empty() {
        deliveries.reserve_exact(1);
        deliveries.push(delivery(reader, sent)?);
    }
    Some(Verification {
        id,
        app,
        recipient,
        addressed: has(ADDRESSED),
        purpose,
        channel: *Channel::ALL.get(usize::from(kind & 3))?,
        status: *STATUSES.get(usize::from(kind >> 2 & 7))?,
        digest: CodeDigest::from_parts(key, hash),
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

fn delivery(reader: &mut Reader<'_>, sent: u64) -> Option<Delivery> {
    let id = DeliveryId(uuid::Uuid::from_bytes(*reader.array()?));
    let kind = reader.byte()?;
    let at = sent.wrapping_add(reader.number()?);
    let provider = if kind & LISTED != 0 {
        PROVIDERS.get(usize::from(reader.byte()?))?.get()?
    } else {
        reader.text()?
    };
    let mut text = |flag: u8| -> Option<Option<String>> {
        let there = kind & flag != 0;
        there
            .then(|| reader.text().map(str::to_owned))
            .map_or(Some(None), |text| text.map(Some))
    };
    Some(Delivery {
        id,
        channel: *Channel::ALL.get(usize::from(kind & 3))?,
        status: *DELIVERY_STATUSES.get(usize::from(kind >> 2 & 7))?,
        at: Timestamp::from_millis(at),
        provider: provider.to_owned(),
        message_id: text(NAMED)?,
        error: text(FAULTY)?,
    })
}

/// A moment that was told from a later one.
fn before(reader: &mut Reader<'_>, later: u64) -> Option<Timestamp> {
    let millis = later.wrapping_sub(reader.number()?);
    Some(Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fakes;
    use crate::verification::Status;

    fn moment() -> impl Strategy<Value = Timestamp> {
        prop_oneof![
            Just(Timestamp::default()),
            Just(Timestamp::from_millis(u64::MAX)),
            (0_u64..2_000_000_000_000).prop_map(Timestamp::from_millis),
        ]
    }

    fn delivery() -> impl Strategy<Value = Delivery> {
        let text = || prop::option::of("[a-zé]{0,200}");
        let place = (prop::sample::select(Channel::ALL.to_vec()), 0..6_usize);
        let named = (any::<u128>(), "[a-z]{0,20}", text(), text());
        (place, named, moment()).prop_map(
            |((channel, status), (id, provider, message_id, error), at)| Delivery {
                id: DeliveryId(uuid::Uuid::from_u128(id)),
                channel,
                provider,
                status: DELIVERY_STATUSES[status],
                at,
                message_id,
                error,
            },
        )
    }

    fn row() -> impl Strategy<Value = Verification> {
        let moments = (moment(), moment(), moment(), prop::option::of(moment()));
        let texts = (
            prop::sample::select(vec!["default", "shop-1"]),
            prop::sample::select(vec!["default", "pay 10 € to Acme"]),
        );
        let counts = (any::<u32>(), any::<u16>(), any::<bool>());
        let fallback = prop::option::of((any::<u8>(), prop::option::of(moment())));
        let rest = (
            prop::sample::select(STATUSES.to_vec()),
            prop::sample::select(Channel::ALL.to_vec()),
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(delivery(), 0..4),
        );
        (moments, texts, counts, fallback, rest, any::<[u8; 32]>()).prop_map(
            |(
                (created_at, sent_at, expires_at, ended_at),
                (app, purpose),
                (attempts_left, outdated, addressed),
                fallback,
                (status, channel, details, deliveries),
                bytes,
            )| {
                let some = fakes::pending(created_at);
                let mut index = [0; 16];
                index.copy_from_slice(&bytes[..16]);
                Verification {
                    app: AppId::parse(app).unwrap(),
                    recipient: RecipientIndex::from_bytes(index),
                    addressed,
                    purpose: Purpose::parse(purpose).unwrap(),
                    channel,
                    status,
                    digest: CodeDigest::from_parts(some.digest.parts().0, bytes),
                    attempts_left,
                    sent_at,
                    expires_at,
                    ended_at,
                    details: Sealed::from_bytes(&details),
                    deliveries,
                    outdated,
                    fallback: fallback.map(|(next, due)| Fallback { next, due }),
                    ..some
                }
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_packed_is_unpacked_as_it_was(row in row(), at in moment()) {
            let mut packed = Vec::new();
            write(&mut packed, &row);
            let packed = Packed(&packed);
            prop_assert_eq!(packed.is_forgettable(at), row.is_forgettable(at));
            prop_assert_eq!(packed.open(row.id, row.recipient), row);
        }
    }

    #[test]
    fn an_ordinary_verification_is_short() {
        let mut row = fakes::pending(Timestamp::from_millis(1_790_000_000_000));
        assert_eq!(row.status, Status::Pending);
        let (key, _) = row.digest.parts();
        row.details = Sealed::from_bytes(&[&key.to_bytes()[..], &[7; 52]].concat());
        row.deliveries[0].message_id = None;
        let mut packed = Vec::new();
        write(&mut packed, &row);
        assert!(packed.len() <= 118, "{}", packed.len());
    }
}
