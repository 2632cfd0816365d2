//! What a code authorises.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What a code authorises: `login`, `signup`, or any free text. A code is good for its purpose only.
///
/// 1 to 64 characters without control characters; white space around it does not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Purpose(Cow<'static, str>);

impl Purpose {
    /// The longest purpose, in characters.
    pub const MAX_CHARS: usize = 64;

    const DEFAULT: &str = "default";

    /// Reads a purpose.
    ///
    /// # Errors
    /// [`InvalidPurpose`] says what is wrong with it.
    pub fn parse(raw: &str) -> Result<Self, InvalidPurpose> {
        let purpose = raw.trim();
        if purpose.is_empty() {
            return Err(InvalidPurpose::Empty);
        }
        if purpose.chars().nth(Self::MAX_CHARS).is_some() {
            return Err(InvalidPurpose::TooLong);
        }
        if purpose.chars().any(char::is_control) {
            return Err(InvalidPurpose::Control);
        }
        // By far the most frequent one, and each verification in memory holds it.
        if purpose == Self::DEFAULT {
            return Ok(Self::default());
        }
        Ok(Self(Cow::Owned(purpose.to_owned())))
    }

    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The purpose of codes whose callers name none, at a place that keeps them apart from others:
    /// a surface, or a surface and a channel. Messages do not name it.
    #[must_use]
    pub fn unnamed_at(place: &str) -> Self {
        Self(Cow::Owned(format!("{}/{place}", Self::DEFAULT)))
    }

    /// Whether nobody said what the code is for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        let rest = self.0.strip_prefix(Self::DEFAULT);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Default for Purpose {
    /// `default`, for callers that name none.
    fn default() -> Self {
        Self(Cow::Borrowed(Self::DEFAULT))
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Purpose {
    type Err = InvalidPurpose;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        Self::parse(raw)
    }
}

/// The text is no purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPurpose {
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// More than [`Purpose::MAX_CHARS`].
    #[error("is longer than 64 characters")]
    TooLong,
    /// A line end or another control character.
    #[error("has a control character")]
    Control,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_purpose_does_not_count() {
        assert_eq!(Purpose::parse(" login\n"), Purpose::parse("login"));
        assert_eq!(
            Purpose::parse("pay 10 € to Acme").map(|p| p.to_string()),
            Ok("pay 10 € to Acme".into())
        );
    }

    #[test]
    fn sixty_four_characters_are_the_most() {
        assert!(Purpose::parse(&"é".repeat(64)).is_ok());
        assert_eq!(
            Purpose::parse(&"é".repeat(65)),
            Err(InvalidPurpose::TooLong)
        );
    }

    #[test]
    fn empty_purposes_and_control_characters_are_refused() {
        assert_eq!(Purpose::parse(" \t "), Err(InvalidPurpose::Empty));
        for raw in ["log\nin", "log\0in", "log\u{85}in", "log\x1b[31min"] {
            assert_eq!(Purpose::parse(raw), Err(InvalidPurpose::Control), "{raw:?}");
        }
    }

    #[test]
    fn a_caller_that_names_no_purpose_gets_the_default_one() {
        assert!(Purpose::default().is_default());
        assert_eq!(Purpose::parse("default"), Ok(Purpose::default()));
    }

    #[test]
    fn a_place_keeps_its_unnamed_codes_apart_and_no_message_names_it() {
        let (sms, whatsapp) = (
            Purpose::unnamed_at("otp/sms"),
            Purpose::unnamed_at("whatsapp"),
        );
        assert!(sms != whatsapp && sms != Purpose::default());
        assert!(sms.is_default() && whatsapp.is_default());
        assert!(!Purpose::parse("defaults").is_ok_and(|purpose| purpose.is_default()));
    }
}
