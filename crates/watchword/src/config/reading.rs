//! Reading a tree of settings into types, with faults that name the setting and who set it.

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::fault::{Fault, unknown};
use super::tree::{Table, Value, What, looks_like_toml};

/// Reads `value`, which stands at `path`.
///
/// # Errors
/// The first thing that does not fit.
pub(crate) fn read<T: de::DeserializeOwned>(value: &Value, path: &str) -> Result<T, Fault> {
    let error = match T::deserialize(Reader { value }) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let mut full = path.to_owned();
    for step in error.path.iter().rev() {
        if !full.is_empty() {
            full.push('.');
        }
        full.push_str(step);
    }
    // The nearest value on the way that knows who set it.
    let mut origin = &value.origin;
    let mut place = value;
    for step in error.path.iter().rev() {
        match place.find(step) {
            Some(inner) => {
                place = inner;
                origin = &inner.origin;
            }
            None => break,
        }
    }
    Err(Fault::at(full, error.message).from(Some(origin)))
}

/// What did not fit, and the way to it, innermost step first.
#[derive(Debug)]
pub(crate) struct Misfit {
    path: Vec<String>,
    message: String,
}

impl Misfit {
    fn new(message: impl Into<String>) -> Self {
        let (path, message) = (Vec::new(), message.into());
        Self { path, message }
    }

    fn under(mut self, step: &str) -> Self {
        self.path.push(step.to_owned());
        self
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

/// Values are never quoted: they may be secret.
impl de::Error for Misfit {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
            Unexpected::Float(_) => "a fraction",
            Unexpected::Str(_) | Unexpected::Char(_) => "a text",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a table",
            _ => "something else",
        };
        Self::new(format!("is {found} where {} belongs", plain(expected)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => {
                Self::new(format!("is out of range for {}", plain(expected)))
            }
            _ => Self::new(format!("is not {}", plain(expected))),
        }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("is not one of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(unknown("key", field, expected.iter().copied())).under(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").under(field)
    }
}

/// What serde calls an expectation, in a person's words.
fn plain(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" | "i32" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") || other.contains("enum") => "a table".to_owned(),
        _ => text,
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    value: &'a Value,
}

impl<'a> Reader<'a> {
    /// The number that a loose text stands for.
    fn number(self) -> Option<i64> {
        match &self.value.what {
            What::Loose(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The list or table that a loose text stands for.
    fn structure(self) -> Option<Value> {
        let What::Loose(text) = &self.value.what else {
            return None;
        };
        if looks_like_toml(text) {
            return self.value.as_toml();
        }
        Some(self.value.split(text))
    }
}

macro_rules! texts {
    ($($method:ident)+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match &self.value.what {
                What::Loose(text) => visitor.visit_str(text),
                _ => self.deserialize_any(visitor),
            }
        }
    )+ };
}

macro_rules! numbers {
    ($($method:ident)+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.number() {
                Some(number) => visit_number(number, visitor),
                None => self.deserialize_any(visitor),
            }
        }
    )+ };
}

fn visit_number<'de, V: Visitor<'de>>(number: i64, visitor: V) -> Result<V::Value, Misfit> {
    match u64::try_from(number) {
        Ok(number) => visitor.visit_u64(number),
        Err(_) => visitor.visit_i64(number),
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Misfit;

    /// Also where the type leaves open what it wants, as one does that may be a text or a table.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if let Some(value) = self.value.as_toml() {
            return Reader { value: &value }.deserialize_any(visitor);
        }
        match &self.value.what {
            What::Text(text) | What::Loose(text) => visitor.visit_str(text),
            What::Integer(number) => visit_number(*number, visitor),
            What::Float(number) => visitor.visit_f64(*number),
            What::Truth(truth) => visitor.visit_bool(*truth),
            What::List(list) => visitor.visit_seq(Items { list, index: 0 }),
            What::Table(table) => visitor.visit_map(Entries::new(table)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if let What::Loose(text) = &self.value.what {
            return match truth(text) {
                Some(truth) => visitor.visit_bool(truth),
                None => Err(Misfit::new("is not true or false")),
            };
        }
        self.deserialize_any(visitor)
    }

    texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.structure() {
            Some(value) => Reader { value: &value }.deserialize_any(visitor),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.structure() {
            Some(value) if value.as_table().is_some() => {
                Reader { value: &value }.deserialize_any(visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.value.as_text() {
            Some(name) => visitor.visit_enum(Name(name)),
            None => Err(Misfit::new(format!(
                "is {} where a text belongs",
                self.value.what.kind()
            ))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

/// Truth as people write it into environments.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

struct Items<'a> {
    list: &'a [Value],
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        let Some(value) = self.list.get(self.index) else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        let element = seed.deserialize(Reader { value });
        element
            .map(Some)
            .map_err(|misfit| misfit.under(&index.to_string()))
    }
}

struct Entries<'a> {
    entries: std::collections::btree_map::Iter<'a, String, Value>,
    current: Option<(&'a str, &'a Value)>,
}

impl<'a> Entries<'a> {
    fn new(table: &'a Table) -> Self {
        Self {
            entries: table.iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        let Some((name, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.current = Some((name, value));
        let key = seed.deserialize(IntoDeserializer::<Misfit>::into_deserializer(name.as_str()));
        key.map(Some).map_err(|mut misfit: Misfit| {
            if misfit.path.is_empty() {
                misfit = misfit.under(name);
            }
            misfit
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some((name, value)) = self.current.take() else {
            return Err(Misfit::new("has a value without a key"));
        };
        seed.deserialize(Reader { value })
            .map_err(|misfit| misfit.under(name))
    }
}

/// An enum whose variants hold nothing.
struct Name<'n>(&'n str);

impl<'de> EnumAccess<'de> for Name<'_> {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Misfit> {
        let variant = seed.deserialize(IntoDeserializer::<Misfit>::into_deserializer(self.0))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Name<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Misfit> {
        Err(Misfit::new("is a name where a table belongs"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Misfit> {
        Err(Misfit::new("is a name where a list belongs"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Misfit> {
        Err(Misfit::new("is a name where a table belongs"))
    }
}
