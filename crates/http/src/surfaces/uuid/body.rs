//! The body of a request: any JSON object, which may have to be repeated.

use serde_json::value::RawValue;
use watchword_core::BindingDigest;

use crate::json::Members;
use crate::surfaces::trouble::Trouble;

/// A JSON object as it came. Nothing at all is `{}`.
pub(super) struct Document<'a>(&'a str);

impl<'a> Document<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// `JSON_INVALID` for what is not JSON, `REQUEST_BODY_INVALID` for JSON that is no object.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Trouble> {
        let text = std::str::from_utf8(body).map_err(|_| json_invalid())?;
        if text.trim_ascii().is_empty() {
            return Ok(Self("{}"));
        }
        let value: &RawValue = serde_json::from_str(text).map_err(|_| json_invalid())?;
        if value.get().starts_with('{') {
            Ok(Self(value.get()))
        } else {
            Err(Trouble::Invalid("REQUEST_BODY_INVALID".into()))
        }
    }

    /// Its members. One that appears twice is told by [`Members::finish_open`].
    pub(super) fn members(&self) -> Result<Members<'a>, Trouble> {
        Members::read_any(self.0.as_bytes()).map_err(|_| json_invalid())
    }

    /// The digest of the whole, to be compared as a value.
    ///
    /// # Errors
    /// `JSON_INVALID` for what programs read in different ways: a member twice, half a surrogate pair,
    /// nesting without end.
    pub(super) fn binding(&self) -> Result<BindingDigest, Trouble> {
        BindingDigest::of_json(self.0).map_err(|_| json_invalid())
    }
}

pub(super) fn json_invalid() -> Trouble {
    Trouble::Invalid("JSON_INVALID".into())
}
