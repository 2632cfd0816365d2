//! A JSON value without the ambiguities: no member twice, no depth without end, no NUL.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Fault, push_step};

/// The deepest nesting of arrays and objects.
pub(super) const MAX_DEPTH: usize = 16;

/// Reads the text of one value at `pointer`. What is wrong with it lands in `faults`.
pub(super) fn read(raw: &str, pointer: &str, faults: &mut Vec<Fault>) -> Option<Value> {
    let before = faults.len();
    let mut input = serde_json::Deserializer::from_str(raw);
    let reader = Reader {
        pointer: &mut pointer.to_owned(),
        faults,
        depth: 0,
    };
    let value = reader.deserialize(&mut input).ok();
    if value.is_none() && faults.len() == before {
        faults.push(Fault::new(
            pointer,
            "has a string that is not Unicode, or a number out of range",
        ));
    }
    value.filter(|_| faults.len() == before)
}

struct Reader<'a> {
    pointer: &'a mut String,
    faults: &'a mut Vec<Fault>,
    depth: usize,
}

impl Reader<'_> {
    fn fault(&mut self, detail: &'static str) {
        // Enough to act on, however many there are.
        if self.faults.len() < 16 {
            self.faults.push(Fault::new(self.pointer.clone(), detail));
        }
    }

    fn text(&mut self, text: &str) {
        if text.contains('\0') {
            self.fault("has a NUL character");
        }
    }

    /// Reads one level deeper, at `step`.
    fn within<T>(&mut self, step: &str, read: impl FnOnce(Reader<'_>) -> T) -> T {
        let length = self.pointer.len();
        push_step(self.pointer, step);
        let inner = Reader {
            pointer: self.pointer,
            faults: self.faults,
            depth: self.depth + 1,
        };
        let value = read(inner);
        self.pointer.truncate(length);
        value
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth < MAX_DEPTH {
            return Ok(());
        }
        self.fault("is nested too deeply");
        Err(E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
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

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("out of range"))
    }

    fn visit_str<E>(mut self, value: &str) -> Result<Value, E> {
        self.text(value);
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut values = Vec::new();
        loop {
            let step = values.len().to_string();
            match self.within(&step, |inner| seq.next_element_seed(inner))? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            self.text(&name);
            if members.contains_key(&name) {
                self.within(&name, |mut inner| inner.fault("appears twice"));
            }
            let value = self.within(&name, |inner| map.next_value_seed(inner))?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(raw: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let value = read(raw, "/m", &mut faults);
        assert_eq!(value.is_none(), !faults.is_empty(), "{raw}");
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn what_two_programs_would_read_differently_is_refused_with_its_place() {
        assert_eq!(
            faults(r#"{"a":{"b/c":1,"b/c":2}}"#),
            ["/m/a/b~1c appears twice"]
        );
        assert_eq!(
            faults(r#"{"a":["\u0000"]}"#),
            ["/m/a/0 has a NUL character"]
        );
        assert_eq!(faults(r#"{"a":"\ud800"}"#).len(), 1);
        assert_eq!(faults(r#"{"a":1e400}"#).len(), 1);
        let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
        assert!(faults(&deep)[0].ends_with("is nested too deeply"));
        assert!(faults(&deep[1..33]).is_empty());
        assert!(faults(r#"{"a":[1,-2,0.5,null,true,"é"]}"#).is_empty());
    }
}
