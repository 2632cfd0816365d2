//! What a caller ties to a verification and has to repeat when it checks the code.
//!
//! A binding is any JSON value. It is compared as a value and kept as a digest: the order of
//! members, white space, escapes and the spelling of numbers do not count; everything else does.
//! Numbers are the exact decimals that they spell, not the nearest machine number, so
//! `9007199254740993` is not `9007199254740992`.

mod json;

use std::fmt;

use sha2::{Digest, Sha256};

/// The digest of a binding, or of there being none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct BindingDigest([u8; 32]);

impl BindingDigest {
    /// The longest binding, in bytes of JSON text.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// The deepest nesting of arrays and objects.
    pub const MAX_DEPTH: usize = 16;

    /// The digest of no binding at all. No JSON value has it, not even `null`.
    #[must_use]
    pub const fn none() -> Self {
        Self([0; 32])
    }

    /// Whether there is no binding.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }

    /// Digests one JSON value (RFC 8259), given as its text.
    ///
    /// # Errors
    /// [`InvalidBinding`] for text that is not one JSON value, and for values that other programs
    /// would read in different ways: an object with two members of one name, a string with half a
    /// surrogate pair. Also beyond [`Self::MAX_BYTES`] and [`Self::MAX_DEPTH`], and for an
    /// exponent of more than 18 digits.
    pub fn of_json(raw_json: &str) -> Result<Self, InvalidBinding> {
        let encoded = json::encode(raw_json)?;
        let mut digest = Sha256::new();
        digest.update(b"watchword binding 1\0");
        digest.update(&encoded);
        Ok(Self(digest.finalize().into()))
    }

    /// The digest from its bytes, as they were kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest. They are not keyed: whoever sees them can try values.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for BindingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() {
            "BindingDigest(none)"
        } else {
            "BindingDigest(redacted)"
        })
    }
}

/// The text is no binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct InvalidBinding {
    /// Where in the binding, as an RFC 6901 JSON pointer; empty for the whole.
    pub pointer: String,
    /// What is wrong there.
    pub fault: BindingFault,
}

/// What is wrong with a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingFault {
    /// Not JSON.
    #[error("is not JSON")]
    Syntax,
    /// Two members of one object have the same name.
    #[error("appears twice in its object")]
    Duplicate,
    /// A string holds half of a surrogate pair.
    #[error("holds half of a surrogate pair")]
    Surrogate,
    /// A number's exponent has more than 18 digits.
    #[error("is a number with an exponent that is too large")]
    Exponent,
    /// More than [`BindingDigest::MAX_DEPTH`] levels.
    #[error("is nested too deeply")]
    Depth,
    /// More than [`BindingDigest::MAX_BYTES`].
    #[error("is too large")]
    Size,
}

#[cfg(test)]
mod tests;
