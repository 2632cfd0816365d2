//! Verifications as a place keeps them: see `lua/place.lua`.

use redis::Value;
use uuid::Uuid;
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::{
    AppId, Channel, CodeDigest, Delivery, DeliveryId, DeliveryStatus, Fallback, Purpose,
    RecipientIndex, Status, Timestamp, Verification, VerificationId,
};

/// In the order of their numbers.
const STATUSES: [Status; 7] = [
    Status::Pending,
    Status::Approved,
    Status::Canceled,
    Status::Expired,
    Status::Exhausted,
    Status::Superseded,
    Status::Failed,
];

/// In the order of their numbers, which is that of how far they are.
const DELIVERY_STATUSES: [DeliveryStatus; 6] = [
    DeliveryStatus::Unknown,
    DeliveryStatus::Accepted,
    DeliveryStatus::Sent,
    DeliveryStatus::Failed,
    DeliveryStatus::Delivered,
    DeliveryStatus::Read,
];

fn number_of<T: PartialEq>(all: &[T], wanted: &T) -> u8 {
    let place = all.iter().position(|known| known == wanted);
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(u8::MAX)
}

/// The number of a channel.
pub(super) fn channel_number(channel: Channel) -> u8 {
    number_of(&Channel::ALL, &channel)
}

/// The number of a status.
pub(super) fn status_number(status: Status) -> u8 {
    number_of(&STATUSES, &status)
}

/// What apps and purposes are called that nobody named. As most are, rows and calls leave it out.
const UNNAMED: &str = "default";

/// The name of an app or a purpose, as rows and calls have it.
fn kept(name: &str) -> &str {
    if name == UNNAMED { "" } else { name }
}

/// The name that rows and calls have so.
fn told(name: &str) -> &str {
    if name.is_empty() { UNNAMED } else { name }
}

/// The name of an app, as the steps compare it.
pub(super) fn app_name(app: &AppId) -> &str {
    kept(app.as_str())
}

/// A purpose behind its size.
pub(super) fn sized_purpose(purpose: &Purpose) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + purpose.as_str().len());
    push_text(&mut bytes, kept(purpose.as_str()));
    bytes
}

/// Behind its size in two bytes.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    // Purposes and names are far shorter than that.
    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Behind its size in one byte.
fn push_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(name.as_bytes());
}

/// The short digest of a code, which a script makes and compares: see `lua/place.lua`.
pub(super) type Short = [u8; 16];

/// That of a code that nobody knew when its row was written.
pub(super) const UNKNOWN: Short = [0; 16];

/// The body of a row, but for its short digest: what it does not share with other steps.
pub(super) fn body(purpose: &Purpose, app: &AppId, code: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(code.len() + 32);
    push_text(&mut bytes, kept(purpose.as_str()));
    push_name(&mut bytes, app_name(app));
    bytes.extend_from_slice(code);
    bytes
}

/// The part of a body that a fresh code replaces.
pub(super) fn code(channel: Channel, digest: &CodeDigest, details: &Sealed) -> Vec<u8> {
    let (key, hash) = digest.parts();
    let mut bytes = Vec::with_capacity(37 + details.as_bytes().len());
    bytes.push(channel_number(channel));
    bytes.extend(key.to_bytes());
    bytes.extend(hash);
    bytes.extend_from_slice(details.as_bytes());
    bytes
}

/// Deliveries, as a row has them. Of a name or a word that is longer than can be told, the end is
/// left out.
pub(super) fn deliveries(all: &[Delivery]) -> Vec<u8> {
    const LONGEST: usize = 4096;
    let cut = |text: &str, most: usize| text[..text.floor_char_boundary(most)].to_owned();
    let mut bytes = Vec::with_capacity(48 * all.len());
    for delivery in all {
        bytes.extend(delivery.id.0.as_bytes());
        bytes.push(channel_number(delivery.channel));
        bytes.push(number_of(&DELIVERY_STATUSES, &delivery.status));
        bytes.extend(&delivery.at.as_millis().to_be_bytes()[2..]);
        push_name(&mut bytes, &cut(&delivery.provider, usize::from(u8::MAX)));
        for text in [&delivery.message_id, &delivery.error] {
            let text = text.as_ref().map(|text| cut(text, LONGEST));
            let size = text.as_ref().map_or(0, |text| text.len() + 1);
            bytes.extend(u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(text.unwrap_or_default().into_bytes());
        }
    }
    bytes
}

/// What a script answers: a word, a space, and what belongs to it. What is not as it should be is
/// `None`.
pub(super) struct Told<'a> {
    pub(super) verdict: &'a str,
    rest: &'a [u8],
}

impl<'a> Told<'a> {
    /// What belongs to no word.
    pub(super) const fn bare(rest: &'a [u8]) -> Self {
        Self { verdict: "", rest }
    }

    pub(super) fn of(answer: &'a Value) -> Option<Self> {
        let Value::BulkString(bytes) = answer else {
            return None;
        };
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        Some(Self {
            verdict: str::from_utf8(&bytes[..space]).ok()?,
            rest: &bytes[space + 1..],
        })
    }

    /// What is left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn two(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn four(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Three bytes, of a size.
    fn size(&mut self) -> Option<usize> {
        let [a, b, c] = self.array()?;
        usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()
    }

    /// Six bytes.
    pub(super) fn millis(&mut self) -> Option<u64> {
        let [a, b, c, d, e, f] = self.array()?;
        Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    pub(super) fn moment(&mut self) -> Option<Timestamp> {
        self.millis().map(Timestamp::from_millis)
    }

    /// A moment, of which 0 is none.
    pub(super) fn maybe_moment(&mut self) -> Option<Option<Timestamp>> {
        let at = self.millis()?;
        Some((at > 0).then(|| Timestamp::from_millis(at)))
    }

    pub(super) fn status(&mut self) -> Option<Status> {
        STATUSES.get(usize::from(self.byte()?)).copied()
    }

    pub(super) fn channel(&mut self) -> Option<Channel> {
        Channel::ALL.get(usize::from(self.byte()?)).copied()
    }

    pub(super) fn name(&mut self) -> Option<&'a str> {
        let size = self.byte()?;
        str::from_utf8(self.take(size.into())?).ok()
    }

    pub(super) fn purpose(&mut self) -> Option<Purpose> {
        let size = self.two()?;
        let name = str::from_utf8(self.take(size.into())?).ok()?;
        Purpose::parse(told(name)).ok()
    }

    /// A text whose size is one more than it is; of none, it is 0.
    fn maybe_text(&mut self) -> Option<Option<String>> {
        let Some(size) = self.two()?.checked_sub(1) else {
            return Some(None);
        };
        let text = str::from_utf8(self.take(size.into())?).ok()?;
        Some(Some(text.to_owned()))
    }

    /// The 16 bytes of which the place says the first four.
    pub(super) fn in_place(&mut self, place: [u8; 4]) -> Option<[u8; 16]> {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&place);
        bytes[4..].copy_from_slice(&self.array::<12>()?);
        Some(bytes)
    }

    /// A verification, in the place that the key says: the rest of the recipient's index, and the
    /// row.
    pub(super) fn verification(self, place: [u8; 4]) -> Option<Verification> {
        self.row(place).map(|(verification, _)| verification)
    }

    /// The same, and its short digest.
    pub(super) fn row(mut self, place: [u8; 4]) -> Option<(Verification, Short)> {
        let recipient = RecipientIndex::from_bytes(self.in_place(place)?);
        self.size()?;
        let id = VerificationId::from_bytes(self.in_place(place)?);
        let addressed = self.byte()? > 0;
        let (status, attempts_left) = (self.status()?, self.four()?);
        let (created_at, sent_at, expires_at) = (self.moment()?, self.moment()?, self.moment()?);
        let ended_at = self.maybe_moment()?;
        let _slot: [u8; 12] = self.array()?;
        let outdated = u16::from(self.byte()?);
        let (next, due) = (self.two()?.checked_sub(1), self.maybe_moment()?);
        let (count, body) = (self.byte()?, self.size()?);
        let mut tail = Self {
            verdict: self.verdict,
            rest: self.rest.get(body..)?,
        };
        let short;
        (self.rest, short) = self.rest[..body].split_last_chunk()?;
        let (purpose, app) = (self.purpose()?, self.name()?);
        let verification = Verification {
            id,
            app: AppId::parse(told(app)).ok()?,
            recipient,
            addressed,
            purpose,
            channel: self.channel()?,
            status,
            digest: CodeDigest::from_parts(KeyId::from_bytes(self.array()?), self.array()?),
            attempts_left,
            created_at,
            sent_at,
            expires_at,
            ended_at,
            details: Sealed::from_bytes(self.rest),
            deliveries: (0..count).map(|_| tail.delivery()).collect::<Option<_>>()?,
            outdated,
            fallback: match next {
                Some(next) => Some(Fallback {
                    next: u8::try_from(next).ok()?,
                    due,
                }),
                None => None,
            },
        };
        Some((verification, *short))
    }

    fn delivery(&mut self) -> Option<Delivery> {
        Some(Delivery {
            id: DeliveryId(Uuid::from_bytes(self.array()?)),
            channel: self.channel()?,
            status: *DELIVERY_STATUSES.get(usize::from(self.byte()?))?,
            at: self.moment()?,
            provider: self.name()?.to_owned(),
            message_id: self.maybe_text()?,
            error: self.maybe_text()?,
        })
    }
}
