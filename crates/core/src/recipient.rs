//! Recipients: whom a code is for.
//!
//! A [`Recipient`] is canonical from the moment it exists: every spelling of a phone number or an
//! email address that means the same destination is the same recipient, so all of them share one
//! budget and one limit.
//!
//! **Invariant:** nothing here prints or serializes a full recipient. Errors say what is wrong with
//! a text and never hold it.

mod email;
mod phone;
mod region;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use email::Email;
pub use phone::Phone;
pub use region::{Region, UnknownRegion};

/// The two kinds of recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientKind {
    /// A phone number.
    Phone,
    /// An email address.
    Email,
}

/// How phone numbers are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberRules {
    /// The country of numbers that name none. Without it only international numbers are read.
    pub default_region: Option<Region>,
    /// Whether a number has to be one that can exist and that codes may be sent to. If not, the
    /// shape of E.164 is enough.
    pub strict: bool,
}

/// Whom a code is for: a canonical phone number or email address.
///
/// It is wiped when dropped. `Debug` shows the masked form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// A phone number.
    Phone(Phone),
    /// An email address.
    Email(Email),
}

impl Recipient {
    /// Reads a recipient; a text with an `@` is an email address.
    ///
    /// # Errors
    /// [`InvalidRecipient`] says what is wrong with the text.
    pub fn parse(raw: &str, rules: &NumberRules) -> Result<Self, InvalidRecipient> {
        if raw.contains('@') {
            Email::parse(raw).map(Self::Email)
        } else {
            Phone::parse(raw, rules).map(Self::Phone)
        }
    }

    /// Takes back what [`Recipient::canonical`] gave. It trusts the text: only for what this
    /// program sealed itself.
    #[must_use]
    pub fn from_canonical(canonical: &str) -> Self {
        if canonical.contains('@') {
            Self::Email(Email::from_canonical(canonical))
        } else {
            Self::Phone(Phone::from_canonical(canonical))
        }
    }

    /// The full recipient: E.164 with its `+`, or the address with its domain in lower-case ASCII.
    /// For delivery, index and seal only.
    #[must_use]
    pub fn canonical(&self) -> &str {
        match self {
            Self::Phone(phone) => phone.canonical(),
            Self::Email(email) => email.canonical(),
        }
    }

    /// Which of the two it is.
    #[must_use]
    pub const fn kind(&self) -> RecipientKind {
        match self {
            Self::Phone(_) => RecipientKind::Phone,
            Self::Email(_) => RecipientKind::Email,
        }
    }

    /// The country or territory of a number; nothing for one that belongs to none, nor for an
    /// address.
    #[must_use]
    pub fn country(&self) -> Option<Region> {
        match self {
            Self::Phone(phone) => phone.country(),
            Self::Email(_) => None,
        }
    }

    /// What a person or a log may see, such as `+1••••••0123` or `a••••@example.com`.
    #[must_use]
    pub fn masked(&self) -> String {
        match self {
            Self::Phone(phone) => phone.masked(),
            Self::Email(email) => email.masked(),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(phone) => phone.fmt(f),
            Self::Email(email) => email.fmt(f),
        }
    }
}

/// The text is no recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecipient {
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Longer than any recipient.
    #[error("is too long")]
    TooLong,
    /// A control character.
    #[error("has a control character")]
    Control,
    /// A number with letters: a vanity number, an extension, or two numbers and a word.
    #[error("is not a phone number: it has letters; extensions and vanity numbers are not taken")]
    Letters,
    /// A number with a sign that is in no number, as in an extension, a parameter or a list.
    #[error(
        "is not a phone number: give one number of digits, spaces, dashes, dots and parentheses"
    )]
    Symbol,
    /// A national number, and no country to read it in.
    #[error("does not say its country: write it with + and the country code")]
    NoCountry,
    /// Not of E.164 shape: `+`, a country code, at most 15 digits.
    #[error("is not a phone number: write it with + and the country code, at most 15 digits")]
    Shape,
    /// No such number can exist.
    #[error("is not a phone number that can exist")]
    Impossible,
    /// A premium-rate, shared-cost, pager or voicemail number.
    #[error("is a premium-rate, shared-cost, pager or voicemail number, which no code is sent to")]
    Service,
    /// A number of a satellite or global network.
    #[error("is a number of a satellite or global network, which no code is sent to")]
    Network,
    /// Not an address of the plain form.
    #[error("is not an email address of the form name@example.com")]
    Address,
    /// More than 254 characters, or more than 64 before the `@`.
    #[error("is longer than an email address can be")]
    AddressTooLong,
    /// Characters beyond ASCII before the `@`.
    #[error("has characters beyond ASCII before the @")]
    LocalPart,
    /// The part behind the `@` is no domain name with a dot.
    #[error("has no domain name after the @")]
    Domain,
}

#[cfg(test)]
mod tests;
