//! The functions, and what they are called with.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::postgres::bare::{
    CHECK, NOTE, START, deliveries_json, key_id, millis, quotas, slot_memory, tag,
};

/// A value for a statement.
pub type Value = Box<dyn ToSql + Send + Sync>;

/// One call of a function.
pub struct Statement {
    /// Its text, the same for each flow.
    pub text: &'static str,
    /// Its values and their types, in order.
    pub values: Vec<(Value, Type)>,
}

fn value(value: impl ToSql + Send + Sync + 'static, kind: Type) -> (Value, Type) {
    (Box::new(value), kind)
}

/// The calls of a flow, one after the other: each waits for the answer to the one before.
#[must_use]
pub fn flow(number: u64) -> Vec<Statement> {
    let flow = super::flow(number);
    let (start, check) = (&flow.start, &flow.check);
    let (terms, id) = (&start.terms, start.id);
    let place = i32::from(id.tag());
    let recipient = Uuid::from_bytes(*start.recipient.as_bytes());
    let (key, digest) = start.digest.parts();
    let (most, windows) = quotas(&terms.recipient);
    let (source_most, source_windows) = terms
        .source
        .as_ref()
        .map_or_else(Default::default, |source| quotas(&source.quotas));
    let budget = terms.failures.unwrap_or_default();
    let source = terms.source.as_ref().map(|source| *source.index.as_bytes());
    let none = || None::<i64>;
    let start = Statement {
        text: START,
        values: vec![
            value(none(), Type::INT8),
            value(place, Type::INT4),
            value(id.as_uuid(), Type::UUID),
            value(start.app.as_str().to_owned(), Type::TEXT),
            value(recipient, Type::UUID),
            value(start.purpose.as_str().to_owned(), Type::TEXT),
            value(start.channel.as_str(), Type::TEXT),
            value(key_id(key), Type::INT4),
            value(digest.to_vec(), Type::BYTEA),
            value(i64::from(start.max_attempts), Type::INT8),
            value(millis(start.ttl), Type::INT8),
            value(start.details.as_bytes().to_vec(), Type::BYTEA),
            value(false, Type::BOOL),
            value(millis(terms.cooldown), Type::INT8),
            value(most, Type::INT8_ARRAY),
            value(windows, Type::INT8_ARRAY),
            value(Some(i64::from(budget.per_hour)), Type::INT8),
            value(Some(i64::from(budget.per_day)), Type::INT8),
            value(millis(terms.horizon()), Type::INT8),
            value(slot_memory(terms, start.ttl), Type::INT8),
            value(source.as_ref().map(tag), Type::INT4),
            value(source.map(Uuid::from_bytes), Type::UUID),
            value(source_most, Type::INT8_ARRAY),
            value(source_windows, Type::INT8_ARRAY),
        ],
    };
    let note = Statement {
        text: NOTE,
        values: vec![
            value(none(), Type::INT8),
            value(0_i64, Type::INT8),
            value(place, Type::INT4),
            value(id.as_uuid(), Type::UUID),
            value(deliveries_json(&flow.note.deliveries), Type::TEXT),
            value(false, Type::BOOL),
            value(none(), Type::INT8),
            value(None::<i32>, Type::INT4),
            value(none(), Type::INT8),
            value(Vec::<Uuid>::new(), Type::UUID_ARRAY),
            value(Vec::<Uuid>::new(), Type::UUID_ARRAY),
        ],
    };
    let candidates = check.candidates.iter();
    let (keys, macs): (Vec<i32>, Vec<Vec<u8>>) = candidates
        .map(|candidate| (key_id(candidate.key), candidate.mac().to_vec()))
        .unzip();
    let check = Statement {
        text: CHECK,
        values: vec![
            value(none(), Type::INT8),
            value(place, Type::INT4),
            value(Some(id.as_uuid()), Type::UUID),
            value(None::<Uuid>, Type::UUID),
            value(None::<String>, Type::TEXT),
            value(check.app.as_str().to_owned(), Type::TEXT),
            value(keys, Type::INT4_ARRAY),
            value(macs, Type::BYTEA_ARRAY),
            value(i64::from(budget.per_hour), Type::INT8),
            value(i64::from(budget.per_day), Type::INT8),
            value(i64::from(budget.in_a_row), Type::INT8),
        ],
    };
    vec![start, note, check]
}
