//! The members of a body, asked for one by one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Fault, push_step, value};

/// The most members that a body is read with, unless it may be any object. No surface knows as many.
const MAX_MEMBERS: usize = 64;
/// The most faults that are told.
const MAX_FAULTS: usize = 16;

/// One JSON object as it came, and what turned out to be wrong with it.
pub(crate) struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    faults: Vec<Fault>,
}

impl<'a> Members<'a> {
    /// Reads a body that has to be one JSON object.
    ///
    /// # Errors
    /// When it is not. Everything else that is wrong is told by [`Self::finish`].
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Vec<Fault>> {
        let Pairs(pairs) = Pairs::read(body)?;
        if pairs.len() > MAX_MEMBERS {
            let detail = format!("has more than {MAX_MEMBERS} members");
            return Err(vec![Fault::new("", detail)]);
        }
        let mut read = Self {
            members: pairs,
            faults: Vec::new(),
        };
        let mut at = 0;
        while let Some((name, _)) = read.members.get(at) {
            if read.members[..at].iter().any(|(known, _)| known == name) {
                let (name, _) = read.members.remove(at);
                read.fault_at(&name, "appears twice");
            } else {
                at += 1;
            }
        }
        Ok(read)
    }

    /// As [`Self::read`], for a body that may be any object: as many members as there is room for in it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_any(body: &'a [u8]) -> Result<Self, Vec<Fault>> {
        let Pairs(pairs) = Pairs::read(body)?;
        let mut read = Self {
            members: Vec::with_capacity(pairs.len()),
            faults: Vec::new(),
        };
        // Comparing each with each, as above, would take thousands of them too long.
        let mut known = HashSet::with_capacity(pairs.len());
        for (name, raw) in pairs {
            if known.insert(name.clone()) {
                read.members.push((name, raw));
            } else {
                read.fault_at(&name, "appears twice");
            }
        }
        Ok(read)
    }

    /// The body of a request whose members are all optional: nothing at all will do.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_optional(body: &'a [u8]) -> Result<Self, Vec<Fault>> {
        if body.is_empty() {
            return Ok(Self {
                members: Vec::new(),
                faults: Vec::new(),
            });
        }
        Self::read(body)
    }

    /// Notes that a member is wrong.
    pub(crate) fn fault_at(&mut self, name: &str, detail: impl Into<Cow<'static, str>>) {
        let mut pointer = String::with_capacity(name.len() + 1);
        push_step(&mut pointer, name);
        self.fault(pointer, detail);
    }

    /// Notes a fault at a place.
    pub(crate) fn fault(
        &mut self,
        pointer: impl Into<String>,
        detail: impl Into<Cow<'static, str>>,
    ) {
        self.faults.push(Fault::new(pointer, detail));
    }

    /// The text of a member as it came, whatever its type.
    pub(crate) fn raw(&mut self, name: &str) -> Option<&'a str> {
        let found = self.members.iter().position(|(known, _)| known == name)?;
        Some(self.members.swap_remove(found).1.get())
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?;
        let text = text(raw);
        if let Err(detail) = text {
            self.fault_at(name, detail);
        }
        text.ok()
    }

    /// A string that has to be there.
    pub(crate) fn required_text(&mut self, name: &str) -> Option<Cow<'a, str>> {
        if !self.members.iter().any(|(known, _)| known == name) {
            self.fault_at(name, "is missing");
            return None;
        }
        self.text(name)
    }

    /// A string, read further by `parse`, whose error says what is wrong with it.
    pub(crate) fn parsed<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        self.accept(name, parse(&text))
    }

    /// As [`Self::parsed`], and it has to be there.
    pub(crate) fn required<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.required_text(name)?;
        self.accept(name, parse(&text))
    }

    fn accept<T, E: fmt::Display>(&mut self, name: &str, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault_at(name, error.to_string());
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.raw(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.fault_at(name, "is not true or false");
                None
            }
        }
    }

    /// An integer within `range`, written without fraction or exponent.
    pub(crate) fn integer(&mut self, name: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let raw = self.raw(name)?;
        let integer = raw.parse().ok().filter(|integer| range.contains(integer));
        if integer.is_none() {
            let (least, most) = range.into_inner();
            self.fault_at(name, format!("is not an integer from {least} to {most}"));
        }
        integer
    }

    /// One string, or an array of strings, each with its pointer.
    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<(String, Cow<'a, str>)>> {
        let raw = self.raw(name)?;
        let mut pointer = String::new();
        push_step(&mut pointer, name);
        if raw.starts_with('"') {
            return match text(raw) {
                Ok(text) => Some(vec![(pointer, text)]),
                Err(detail) => {
                    self.fault(pointer, detail);
                    None
                }
            };
        }
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
            self.fault(pointer, "is neither a string nor an array of strings");
            return None;
        };
        let before = self.faults.len();
        let mut texts = Vec::with_capacity(items.len().min(8));
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{pointer}/{index}");
            match text(item.get()) {
                Ok(text) => texts.push((place, text)),
                Err(detail) => self.fault(place, detail),
            }
        }
        (self.faults.len() == before).then_some(texts)
    }

    /// An object of at most so many bytes when it is written without white space.
    pub(crate) fn object(&mut self, name: &str, max_bytes: usize) -> Option<Map<String, Value>> {
        let raw = self.raw(name)?;
        let mut pointer = String::new();
        push_step(&mut pointer, name);
        if !raw.starts_with('{') {
            self.fault(pointer, "is not an object");
            return None;
        }
        let value = value::read(raw, &pointer, &mut self.faults)?;
        if value.to_string().len() > max_bytes {
            self.fault(pointer, format!("is larger than {max_bytes} bytes"));
            return None;
        }
        match value {
            Value::Object(members) => Some(members),
            _ => None, // it starts with a brace
        }
    }

    /// Ends the reading of a body that may hold more than is known here, as surfaces whose documents
    /// forbid nothing have it.
    ///
    /// # Errors
    /// Everything that is wrong with the members that were asked for, and members that come twice.
    pub(crate) fn finish_open(mut self) -> Result<(), Vec<Fault>> {
        self.members.clear();
        self.finish()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Everything that is wrong, members that nobody asked for included.
    pub(crate) fn finish(mut self) -> Result<(), Vec<Fault>> {
        for (name, _) in std::mem::take(&mut self.members) {
            self.fault_at(&name, "is not known here");
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        self.faults.truncate(MAX_FAULTS);
        Err(self.faults)
    }
}

/// The string that a JSON text spells.
fn text(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if !raw.starts_with('"') {
        return Err("is not a string");
    }
    let Name(text) =
        serde_json::from_str(raw).map_err(|_| "is not Unicode: half a surrogate pair")?;
    if text.contains('\0') {
        return Err("has a NUL character");
    }
    Ok(text)
}

/// A string that borrows from the body where it can.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        input.deserialize_str(Reader)
    }
}

/// The members of an object in their order, twins included.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Pairs<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Vec<Fault>> {
        let whole = |detail: String| vec![Fault::new("", detail)];
        let text = std::str::from_utf8(body)
            .map_err(|error| whole(format!("is not UTF-8 at byte {}", error.valid_up_to())))?;
        serde_json::from_str(text).map_err(|error| {
            whole(match error.classify() {
                serde_json::error::Category::Data => "is not a JSON object".to_owned(),
                _ if text.trim().is_empty() => "is empty; a JSON object is wanted".to_owned(),
                _ => format!(
                    "is not JSON at line {}, column {}",
                    error.line(),
                    error.column()
                ),
            })
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    pairs.push((name, map.next_value()?));
                }
                Ok(Pairs(pairs))
            }
        }
        input.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(body: &[u8], read: impl FnOnce(&mut Members<'_>)) -> Vec<String> {
        let faults = Members::read(body).and_then(|mut members| {
            read(&mut members);
            members.finish()
        });
        let faults = faults.err().unwrap_or_default();
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn every_fault_of_a_body_is_told_with_its_place() {
        let body = br#"{"code":7,"to":"\ud800","x/y":1,"ttl":60.0,"ttl":1,"on":"yes"}"#;
        let told = faults(body, |members| {
            members.required_text("code");
            members.required_text("to");
            members.required_text("purpose");
            members.integer("ttl", 30..=600);
            members.flag("on");
        });
        assert_eq!(
            told,
            [
                "/ttl appears twice",
                "/code is not a string",
                "/to is not Unicode: half a surrogate pair",
                "/purpose is missing",
                "/ttl is not an integer from 30 to 600",
                "/on is not true or false",
                "/x~1y is not known here",
            ]
        );
    }

    #[test]
    fn what_is_not_one_json_object_is_refused_as_a_whole() {
        for (body, told) in [
            (&b""[..], "The body is empty; a JSON object is wanted"),
            (b"[]", "The body is not a JSON object"),
            (b"null", "The body is not a JSON object"),
            (b"{} {}", "The body is not JSON at line 1, column 4"),
            (b"{\"a\":1,}", "The body is not JSON at line 1, column 8"),
            (b"{\"a\":\xff}", "The body is not UTF-8 at byte 5"),
            (
                b"\xef\xbb\xbf{}",
                "The body is not JSON at line 1, column 1",
            ),
        ] {
            assert_eq!(faults(body, |_| ()), [told]);
        }
    }

    #[test]
    fn a_name_written_with_escapes_is_the_same_member() {
        let told = faults(br#"{"a":1,"\u0061":2}"#, |members| {
            members.integer("a", 0..=9);
        });
        assert_eq!(told, ["/a appears twice"]);
    }

    #[test]
    fn integers_are_plain_and_in_range() {
        for wrong in [
            "-1",
            "9223372036854775808",
            "1e2",
            "60.0",
            "\"60\"",
            "null",
            "1e400",
            "+6",
        ] {
            let body = format!("{{\"n\":{wrong}}}");
            let told = faults(body.as_bytes(), |members| {
                assert_eq!(members.integer("n", 0..=600), None);
            });
            assert_eq!(told.len(), 1, "{wrong}");
        }
        let body = br#"{"n":60}"#;
        let told = faults(body, |members| {
            assert_eq!(members.integer("n", 0..=600), Some(60));
        });
        assert!(told.is_empty());
    }

    #[test]
    fn no_fault_repeats_a_value() {
        let told = faults(br#"{"code":402718,"to":["+15550100123"]}"#, |members| {
            members.required_text("code");
            members.required_text("to");
        });
        assert!(!told.join(" ").contains("402718") && !told.join(" ").contains("555"));
    }
}
