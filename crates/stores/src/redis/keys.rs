//! The names of keys, read: what is kept under each.

use super::call::{DUE_SETS, Names};

/// What a key holds rows of, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Recipients whose indexes begin with these bytes, and their verifications.
    Place([u8; 4]),
    /// The failures of a recipient.
    Failures([u8; 16]),
    /// A source.
    Source([u8; 16]),
    /// A message by its provider's name.
    Name([u8; 16]),
    /// An idempotency key.
    Answer([u8; 16]),
    /// An index or a list of this program that is no row.
    Other,
}

impl Names {
    /// What all keys look like; and some of other namespaces, whose names may begin alike.
    pub(super) fn pattern(&self) -> Vec<u8> {
        format!("{}:*", self.namespace).into_bytes()
    }

    /// What is said of a copy into the namespace.
    pub(super) fn copy(&self) -> Vec<u8> {
        format!("{}:{{copy}}", self.namespace).into_bytes()
    }

    pub(super) fn place_at(&self, prefix: [u8; 4]) -> Vec<u8> {
        self.tagged(b'p', &prefix)
    }

    /// What a key is; nothing if it is none of this namespace.
    pub(super) fn kind(&self, key: &[u8]) -> Option<Key> {
        let rest = key
            .strip_prefix(self.namespace.as_bytes())?
            .strip_prefix(b":")?;
        let known = match rest {
            [b'{', a, b, c, d, b'}', letter, bytes @ ..] => {
                let tag = unhex(&[*a, *b, *c, *d])?;
                let whole = [&tag[..], bytes].concat();
                match letter {
                    b'p' => Key::Place(whole.try_into().ok()?),
                    b'f' => Key::Failures(whole.try_into().ok()?),
                    _ => return None,
                }
            }
            [letter @ (b's' | b'm' | b'i'), hex @ ..] if hex.len() == 32 => {
                let bytes = unhex(hex)?.try_into().ok()?;
                match letter {
                    b's' => Key::Source(bytes),
                    b'm' => Key::Name(bytes),
                    _ => Key::Answer(bytes),
                }
            }
            _ => Key::Other,
        };
        let own = match known {
            Key::Other => {
                let mut fixed = vec![self.api_keys(), self.api_keys_version()];
                fixed.extend((0..DUE_SETS).map(|set| self.due(set)));
                fixed.iter().any(|fixed| fixed == key)
            }
            _ => true,
        };
        own.then_some(known)
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.chunks_exact(2).map(|pair| {
        let byte = digit(pair[0])? * 16 + digit(pair[1])?;
        u8::try_from(byte).ok()
    });
    pairs.collect()
}
