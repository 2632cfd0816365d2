//! JSON with one meaning: no member twice, no depth without end.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting of arrays and objects. Meta's own is about 10.
const MAX_DEPTH: usize = 32;

/// Reads a body that was proven to be from the provider; nothing if it is not JSON in UTF-8, names
/// a member twice, or is nested too deeply.
pub(crate) fn parse(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let mut input = serde_json::Deserializer::from_str(text);
    let value = Reader { depth: 0 }.deserialize(&mut input).ok()?;
    input.end().ok()?;
    Some(value)
}

struct Reader {
    depth: usize,
}

impl Reader {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        if self.depth < MAX_DEPTH {
            return Ok(Self {
                depth: self.depth + 1,
            });
        }
        Err(E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        number.ok_or_else(|| E::custom("out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self.deeper()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.deeper()?)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_two_meanings_or_none_is_not_read() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for text in [
            String::new(),
            "{".to_owned(),
            "{} {}".to_owned(),
            "{\"a\":1}\0".to_owned(),
            "{\"a\":\"\0\"}".to_owned(),
            r#"{"a":1,"a":1}"#.to_owned(),
            r#"{"a":[{"b":1,"\u0062":2}]}"#.to_owned(),
            r#"{"a":1e999}"#.to_owned(),
            r#"{"a":"\ud800"}"#.to_owned(),
            nested(MAX_DEPTH + 1),
            nested(100_000),
            "{\"a\":".repeat(100_000),
        ] {
            let start: String = text.chars().take(40).collect();
            assert_eq!(parse(text.as_bytes()), None, "{start}");
        }
        assert_eq!(parse(b"{\"a\":\"\xff\"}"), None);
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_some());
    }

    #[test]
    fn ordinary_json_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,2.5,1e3,99999999999999999999,true,null,"\u00e4\u0000"],"b":{}}"#;
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes()), Some(plain));
    }
}
