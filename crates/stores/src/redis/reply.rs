//! What scripts answer, read back.

use redis::Value;
use uuid::Uuid;
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::{
    AppId, Channel, CodeDigest, Delivery, DeliveryId, DeliveryStatus, Fallback, Purpose,
    RecipientIndex, Status, Timestamp, Verification, VerificationId,
};

pub(super) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        Value::SimpleString(text) => Some(text.clone().into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        value => String::from_utf8(bytes(value)?).ok(),
    }
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        value => text(value)?.parse().ok(),
    }
}

/// The parts of an answer, one after the other. What is not as it should be is `None`.
pub(super) struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    pub(super) fn of(answer: Value) -> Option<Self> {
        list(answer).map(|values| Self(values.into_iter()))
    }

    pub(super) fn value(&mut self) -> Option<Value> {
        self.0.next()
    }

    pub(super) fn text(&mut self) -> Option<String> {
        text(&self.value()?)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        bytes(&self.value()?)?.try_into().ok()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        integer(&self.value()?).and_then(|number| u64::try_from(number).ok())
    }

    pub(super) fn moment(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_millis)
    }

    /// Something that may be absent: the outer `None` is an answer that cannot be read.
    pub(super) fn maybe<T>(&mut self, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
        match self.value()? {
            Value::Nil => Some(None),
            value => read(&value).map(Some),
        }
    }

    pub(super) fn maybe_moment(&mut self) -> Option<Option<Timestamp>> {
        self.maybe(|value| {
            let millis = u64::try_from(integer(value)?).ok()?;
            Some(Timestamp::from_millis(millis))
        })
    }

    pub(super) fn id(&mut self) -> Option<VerificationId> {
        self.array().map(VerificationId::from_bytes)
    }
}

const STATUSES: [Status; 7] = [
    Status::Pending,
    Status::Approved,
    Status::Canceled,
    Status::Expired,
    Status::Exhausted,
    Status::Superseded,
    Status::Failed,
];

const DELIVERY_STATUSES: [DeliveryStatus; 6] = [
    DeliveryStatus::Unknown,
    DeliveryStatus::Accepted,
    DeliveryStatus::Sent,
    DeliveryStatus::Failed,
    DeliveryStatus::Delivered,
    DeliveryStatus::Read,
];

pub(super) fn status(name: &str) -> Option<Status> {
    STATUSES.into_iter().find(|status| status.as_str() == name)
}

/// A verification, in the order of `told` in `row.lua`.
pub(super) fn verification(answer: Value) -> Option<Verification> {
    let mut parts = Parts::of(answer)?;
    let mut row = Verification {
        id: parts.id()?,
        app: AppId::parse(&parts.text()?).ok()?,
        recipient: RecipientIndex::from_bytes(parts.array()?),
        addressed: parts.number()? == 1,
        purpose: Purpose::parse(&parts.text()?).ok()?,
        channel: parts.text()?.parse::<Channel>().ok()?,
        status: status(&parts.text()?)?,
        digest: CodeDigest::from_parts(KeyId::from_bytes(parts.array()?), parts.array()?),
        attempts_left: u32::try_from(parts.number()?).ok()?,
        created_at: parts.moment()?,
        sent_at: parts.moment()?,
        expires_at: parts.moment()?,
        ended_at: parts.maybe_moment()?,
        details: Sealed::from_bytes(&bytes(&parts.value()?)?),
        deliveries: Vec::new(),
        outdated: 0,
        fallback: None,
    };
    let deliveries = list(parts.value()?)?.into_iter();
    row.deliveries = deliveries.map(delivery).collect::<Option<_>>()?;
    row.outdated = u16::try_from(parts.number()?).ok()?;
    let next = parts.maybe(|next| u8::try_from(integer(next)?).ok())?;
    let due = parts.maybe_moment()?;
    row.fallback = next.map(|next| Fallback { next, due });
    Some(row)
}

fn delivery(value: Value) -> Option<Delivery> {
    let mut parts = Parts::of(value)?;
    Some(Delivery {
        id: DeliveryId(Uuid::from_bytes(parts.array()?)),
        channel: parts.text()?.parse().ok()?,
        provider: parts.text()?,
        status: {
            let name = parts.text()?;
            let named = |status: &DeliveryStatus| status.as_str() == name;
            DELIVERY_STATUSES.into_iter().find(named)?
        },
        at: parts.moment()?,
        message_id: parts.maybe(text)?,
        error: parts.maybe(text)?,
    })
}
