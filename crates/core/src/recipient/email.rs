//! Email addresses, canonical with their domain in lower-case ASCII.

use std::fmt;
use std::hash::{Hash, Hasher};

use email_address::{EmailAddress, Options};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use zeroize::Zeroizing;

use super::InvalidRecipient;

/// An email address: the local part as it was typed, and the domain in lower-case ASCII
/// (internationalised names as punycode).
///
/// Only a plain `name@example.com` is one: no display name, no comment, no quotes, no address
/// literal, and ASCII before the `@`, which is what every mail server takes.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(Zeroizing<String>);

impl Email {
    /// RFC 5321 section 4.5.3.1.3, less the angle brackets.
    const MAX_BYTES: usize = 254;
    /// RFC 5321 section 4.5.3.1.1.
    const MAX_LOCAL_BYTES: usize = 64;

    /// Reads an address. Spaces around it and the case of its domain do not count, nor whether an
    /// internationalised domain is written in its own script or as punycode.
    ///
    /// # Errors
    /// [`InvalidRecipient`] says what is wrong with the text.
    pub fn parse(raw: &str) -> Result<Self, InvalidRecipient> {
        let raw = raw.trim();
        if raw.is_empty() {
            return Err(InvalidRecipient::Empty);
        }
        // A domain in its own script may be longer than its punycode, but not by this much.
        if raw.len() > 2 * Self::MAX_BYTES {
            return Err(InvalidRecipient::AddressTooLong);
        }
        if raw.chars().any(char::is_control) {
            return Err(InvalidRecipient::Control);
        }
        let (local, domain) = raw.rsplit_once('@').ok_or(InvalidRecipient::Address)?;
        if !local.is_ascii() {
            return Err(InvalidRecipient::LocalPart);
        }
        if local.len() > Self::MAX_LOCAL_BYTES {
            return Err(InvalidRecipient::AddressTooLong);
        }
        // Quotes would give one mailbox many spellings.
        if local.contains(['"', '\\', '(', ')', '@', ' ']) {
            return Err(InvalidRecipient::Address);
        }
        let domain = canonical_domain(domain)?;
        let address = Zeroizing::new(format!("{local}@{domain}"));
        if address.len() > Self::MAX_BYTES {
            return Err(InvalidRecipient::AddressTooLong);
        }
        let options = Options::default()
            .with_required_tld()
            .without_domain_literal()
            .without_display_text();
        EmailAddress::parse_with_options(&address, options)
            .map_err(|_| InvalidRecipient::Address)?;
        Ok(Self(address))
    }

    pub(super) fn from_canonical(canonical: &str) -> Self {
        Self(Zeroizing::new(canonical.to_owned()))
    }

    /// The address. For delivery, index and seal only.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0
    }

    /// The domain, in lower-case ASCII.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// What a person or a log may see: the first character of a local part that has at least
    /// three, four dots whatever its length, and the domain.
    #[must_use]
    pub fn masked(&self) -> String {
        let local = self.0.rsplit_once('@').map_or("", |(local, _)| local);
        let shown = if local.len() >= 3 {
            local.get(..1).unwrap_or("")
        } else {
            ""
        };
        format!("{shown}••••@{}", self.domain())
    }
}

/// A domain name with a dot, in lower-case ASCII.
fn canonical_domain(typed: &str) -> Result<String, InvalidRecipient> {
    let domain = Uts46::new()
        .to_ascii(
            typed.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        )
        .map_err(|_| InvalidRecipient::Domain)?;
    let labels = domain.split('.').collect::<Vec<_>>();
    let named = labels.len() >= 2
        && labels.iter().all(|label| !label.is_empty())
        // An address literal without its brackets.
        && labels.last().is_some_and(|top| !top.bytes().all(|b| b.is_ascii_digit()));
    if named {
        Ok(domain.into_owned())
    } else {
        Err(InvalidRecipient::Domain)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.masked())
    }
}

impl Hash for Email {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests;
