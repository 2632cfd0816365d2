//! Verifications as they lie in memory: each in one short piece instead of many.
//!
//! A [`Verification`] is convenient to work on, and takes some nine pieces of memory and a kilobyte
//! with all that surrounds them. It is unpacked for each step and packed again afterwards.
//!
//! This form never leaves the process; what is journaled has one of its own
//! ([`super::record`]), which later releases can read.

use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, DeliveryId, DeliveryStatus};
use crate::digest::{CodeDigest, RecipientIndex};
use crate::id::VerificationId;
use crate::keys::{KeyId, Sealed};
use crate::purpose::Purpose;
use crate::verification::{Fallback, RETENTION, Verification};

use super::record::{STATUSES, position};

/// A verification without its handle, which it is found by.
///
/// `expires at (8) · flags (1) · channel (1) · status (1) · recipient (16) · key (4) · hash (32)`,
/// and then what is of varying length.
pub(super) struct Packed(Box<[u8]>);

const ADDRESSED: u8 = 1;
const APP: u8 = 1 << 1;
const PURPOSE: u8 = 1 << 2;
const ENDED: u8 = 1 << 3;
const FALLBACK: u8 = 1 << 4;
const DUE: u8 = 1 << 5;

const DELIVERY_STATUSES: [DeliveryStatus; 6] = [
    DeliveryStatus::Unknown,
    DeliveryStatus::Accepted,
    DeliveryStatus::Sent,
    DeliveryStatus::Failed,
    DeliveryStatus::Delivered,
    DeliveryStatus::Read,
];

impl Packed {
    pub(super) fn of(row: &Verification) -> Self {
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        let due = row.fallback.and_then(|fallback| fallback.due);
        let app = Some(row.app.as_str()).filter(|app| *app != AppId::DEFAULT);
        let purpose = Some(&row.purpose).filter(|purpose| **purpose != Purpose::default());
        let flags = flag(row.addressed, ADDRESSED)
            | flag(app.is_some(), APP)
            | flag(purpose.is_some(), PURPOSE)
            | flag(row.ended_at.is_some(), ENDED)
            | flag(row.fallback.is_some(), FALLBACK)
            | flag(due.is_some(), DUE);
        let mut out = Vec::with_capacity(256);
        let expires = row.expires_at.as_millis();
        out.extend(expires.to_le_bytes());
        out.extend([
            flags,
            position(&Channel::ALL, &row.channel),
            position(&STATUSES, &row.status),
        ]);
        out.extend(row.recipient.as_bytes());
        let (key, hash) = row.digest.parts();
        out.extend(key.to_bytes());
        out.extend(hash);
        number(&mut out, u64::from(row.attempts_left));
        // Moments as how long before the end they are: mostly three bytes.
        let before = |at: Timestamp| expires.wrapping_sub(at.as_millis());
        number(&mut out, before(row.created_at));
        number(&mut out, before(row.sent_at));
        row.ended_at
            .iter()
            .for_each(|at| number(&mut out, before(*at)));
        app.iter().for_each(|app| bytes(&mut out, app.as_bytes()));
        purpose
            .iter()
            .for_each(|purpose| bytes(&mut out, purpose.as_str().as_bytes()));
        if let Some(fallback) = row.fallback {
            out.push(fallback.next);
        }
        due.iter().for_each(|at| number(&mut out, at.as_millis()));
        number(&mut out, u64::from(row.outdated));
        bytes(&mut out, row.details.as_bytes());
        for delivery in &row.deliveries {
            out.extend(delivery.id.0.as_bytes());
            out.push(position(&Channel::ALL, &delivery.channel));
            out.push(position(&DELIVERY_STATUSES, &delivery.status));
            number(&mut out, before(delivery.at));
            bytes(&mut out, delivery.provider.as_bytes());
            maybe(&mut out, delivery.message_id.as_deref());
            maybe(&mut out, delivery.error.as_deref());
        }
        Self(out.as_slice().into())
    }

    /// The verification that was packed under this handle.
    #[allow(clippy::expect_used, reason = "packed by this process, in this form")]
    pub(super) fn open(&self, id: VerificationId) -> Verification {
        Reader(&self.0)
            .row(id)
            .expect("what was packed is read back")
    }

    /// As [`Verification::is_forgettable`], without unpacking.
    pub(super) fn is_forgettable(&self, now: Timestamp) -> bool {
        let expires = self.0.first_chunk().copied().unwrap_or_default();
        now >= Timestamp::from_millis(u64::from_le_bytes(expires)).plus(RETENTION)
    }
}

/// Seven bits a byte, the lowest first; the last byte has its top bit clear.
fn number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Nothing is 0, and a text is one more than its length before it.
fn maybe(out: &mut Vec<u8>, text: Option<&str>) {
    number(out, text.map_or(0, |text| text.len() as u64 + 1));
    out.extend(text.unwrap_or_default().as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn row(&mut self, id: VerificationId) -> Option<Verification> {
        let expires = u64::from_le_bytes(*self.array()?);
        let [flags, channel, status] = *self.array()?;
        let recipient = RecipientIndex::from_bytes(*self.array()?);
        let key = KeyId::from_bytes(*self.array()?);
        let digest = CodeDigest::from_parts(key, *self.array()?);
        let has = |flag: u8| flags & flag != 0;
        let attempts_left = u32::try_from(self.number()?).ok()?;
        let (created_at, sent_at) = (self.before(expires)?, self.before(expires)?);
        let ended_at = if has(ENDED) {
            Some(self.before(expires)?)
        } else {
            None
        };
        let app = if has(APP) {
            AppId::parse(self.text()?).ok()?
        } else {
            AppId::default()
        };
        let purpose = if has(PURPOSE) {
            Purpose::parse(self.text()?).ok()?
        } else {
            Purpose::default()
        };
        let fallback = if has(FALLBACK) {
            let [next] = *self.array()?;
            let due = if has(DUE) {
                Some(Timestamp::from_millis(self.number()?))
            } else {
                None
            };
            Some(Fallback { next, due })
        } else {
            None
        };
        let outdated = u16::try_from(self.number()?).ok()?;
        let details = Sealed::from_bytes(self.bytes()?);
        let mut deliveries = Vec::new();
        while !self.0.is_empty() {
            deliveries.reserve_exact(1);
            deliveries.push(self.delivery(expires)?);
        }
        Some(Verification {
            id,
            app,
            recipient,
            addressed: has(ADDRESSED),
            purpose,
            channel: *Channel::ALL.get(usize::from(channel))?,
            status: *STATUSES.get(usize::from(status))?,
            digest,
            attempts_left,
            created_at,
            sent_at,
            expires_at: Timestamp::from_millis(expires),
            ended_at,
            details,
            deliveries,
            outdated,
            fallback,
        })
    }

    fn delivery(&mut self, expires: u64) -> Option<Delivery> {
        let id = DeliveryId(uuid::Uuid::from_bytes(*self.array()?));
        let [channel, status] = *self.array()?;
        Some(Delivery {
            id,
            channel: *Channel::ALL.get(usize::from(channel))?,
            status: *DELIVERY_STATUSES.get(usize::from(status))?,
            at: self.before(expires)?,
            provider: self.text()?.to_owned(),
            message_id: self.maybe()?,
            error: self.maybe()?,
        })
    }

    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.array()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn before(&mut self, expires: u64) -> Option<Timestamp> {
        let millis = expires.wrapping_sub(self.number()?);
        Some(Timestamp::from_millis(millis))
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let length = usize::try_from(length).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    #[allow(
        clippy::option_option,
        reason = "not readable, or readable and not there"
    )]
    fn maybe(&mut self) -> Option<Option<String>> {
        let Some(length) = self.number()?.checked_sub(1) else {
            return Some(None);
        };
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        Some(Some(text.to_owned()))
    }
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
            let packed = Packed::of(&row);
            prop_assert_eq!(packed.is_forgettable(at), row.is_forgettable(at));
            let open = packed.open(row.id);
            prop_assert_eq!(open, row);
        }
    }

    #[test]
    fn an_ordinary_verification_is_short() {
        let mut row = fakes::pending(Timestamp::from_millis(1_790_000_000_000));
        assert_eq!(row.status, Status::Pending);
        row.details = Sealed::from_bytes(&[7; 56]);
        row.deliveries[0].message_id = None;
        let size = Packed::of(&row).0.len();
        assert!(size <= 168, "{size}");
    }
}
