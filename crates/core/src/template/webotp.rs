//! The last lines of an SMS, by which phones and browsers fill a code in where it belongs.
//!
//! For browsers: `@host #code`, the format of "Origin-bound one-time codes delivered via SMS"
//! (WICG). For Android apps: the 11 characters of the SMS Retriever API.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::{Code, CodeFormat};

/// The web site that codes are for, as its host name in lower-case ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebOtpDomain(String);

impl TryFrom<String> for WebOtpDomain {
    type Error = InvalidWebOtpDomain;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let host = raw.len() <= 253 && raw.contains('.') && raw.split('.').all(label);
        if host {
            Ok(Self(raw.to_ascii_lowercase()))
        } else {
            Err(InvalidWebOtpDomain)
        }
    }
}

impl From<WebOtpDomain> for String {
    fn from(domain: WebOtpDomain) -> Self {
        domain.0
    }
}

impl fmt::Display for WebOtpDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a host name such as example.com (an internationalised one is given as punycode)")]
pub struct InvalidWebOtpDomain;

/// The hash of an Android app's signing key, as its build tools print it: 11 characters of base 64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppHash(String);

impl TryFrom<String> for AppHash {
    type Error = InvalidAppHash;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        if raw.len() == 11 && raw.bytes().all(base64) {
            Ok(Self(raw))
        } else {
            Err(InvalidAppHash)
        }
    }
}

impl From<AppHash> for String {
    fn from(hash: AppHash) -> Self {
        hash.0
    }
}

/// The text is no app hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an app hash of 11 base 64 characters")]
pub struct InvalidAppHash;

/// How many bytes [`append`] adds at most.
pub(super) fn room(domain: Option<&WebOtpDomain>, app_hash: Option<&AppHash>) -> usize {
    let longest_code = usize::from(*CodeFormat::LENGTHS.end());
    let for_app = app_hash.map_or(0, |hash| 1 + hash.0.len());
    for_app + domain.map_or(0, |domain| 4 + domain.0.len() + longest_code)
}

/// Puts the lines for apps and browsers under an SMS; the one for browsers has to be the last.
pub(super) fn append(
    text: &mut String,
    domain: Option<&WebOtpDomain>,
    app_hash: Option<&AppHash>,
    code: &Code,
) {
    if let Some(hash) = app_hash {
        text.push('\n');
        text.push_str(&hash.0);
    }
    if let Some(domain) = domain {
        text.push_str("\n@");
        text.push_str(&domain.0);
        text.push_str(" #");
        text.push_str(code.expose());
    }
}
