//! What scripts answer, read back.

use redis::Value;
use watchword_core::{Timestamp, VerificationId};

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
