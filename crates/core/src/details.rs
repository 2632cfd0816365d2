//! What a verification has to remember in a form that can be read again, sealed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::code::{Alphabet, Code, CodeFormat};
use crate::entropy::{Entropy, EntropyError};
use crate::id::VerificationId;
use crate::keys::{KeyRing, Sealed, Unsealable};
use crate::recipient::Recipient;

/// What a resend, a fallback or an answer needs of a verification beside its counters.
///
/// It names the recipient, so it only ever leaves the process sealed for one verification.
#[derive(Clone)]
pub struct Details {
    /// Whom the code goes to; nobody where the caller hands it over by itself.
    pub to: Option<Recipient>,
    /// The channels to try, in order.
    pub channels: Vec<Channel>,
    /// The language that the caller asked for.
    pub locale: Option<String>,
    /// What the caller attached and has to repeat.
    pub binding: BindingDigest,
    /// What a fresh code looks like.
    pub format: CodeFormat,
    /// How long a fresh code lives.
    pub ttl: Duration,
    /// How many guesses a fresh code bears.
    pub max_attempts: u32,
    /// What the caller wants to find again.
    pub metadata: Option<serde_json::Value>,
    /// Whether the caller asked for a long session.
    pub remember_me: bool,
    /// The code itself, where another channel may have to carry the same one later.
    pub code: Option<Code>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(rename = "c")]
    channels: Vec<Channel>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(rename = "b")]
    binding: [u8; 32],
    #[serde(rename = "a")]
    alphabet: Alphabet,
    #[serde(rename = "n")]
    length: u8,
    #[serde(rename = "s")]
    ttl_millis: u64,
    #[serde(rename = "g")]
    max_attempts: u32,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    metadata: Option<serde_json::Value>,
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    remember_me: bool,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    code: Option<Zeroizing<String>>,
}

impl Details {
    /// Seals them for one verification.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn seal(
        &self,
        id: VerificationId,
        keys: &KeyRing,
        entropy: &dyn Entropy,
    ) -> Result<Sealed, EntropyError> {
        let written = Written {
            to: self.to.as_ref().map(|to| to.canonical().to_owned()),
            channels: self.channels.clone(),
            locale: self.locale.clone(),
            binding: *self.binding.as_bytes(),
            alphabet: self.format.alphabet,
            length: self.format.length,
            ttl_millis: u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            max_attempts: self.max_attempts,
            metadata: self.metadata.clone(),
            remember_me: self.remember_me,
            code: self
                .code
                .as_ref()
                .map(|code| Zeroizing::new(code.expose().to_owned())),
        };
        // Plain data without maps of odd keys: it always has a JSON form.
        let json = Zeroizing::new(serde_json::to_vec(&written).unwrap_or_default());
        keys.seal(id.as_bytes(), &json, entropy)
    }

    /// Opens what was sealed for this verification.
    ///
    /// # Errors
    /// [`Unsealable`] when it was changed, or its key has left the ring.
    pub fn open(id: VerificationId, sealed: &Sealed, keys: &KeyRing) -> Result<Self, Unsealable> {
        let json = keys.open(id.as_bytes(), sealed)?;
        let written: Written = serde_json::from_slice(&json).map_err(|_| Unsealable)?;
        Ok(Self {
            to: written.to.as_deref().map(Recipient::from_canonical),
            channels: written.channels,
            locale: written.locale,
            binding: BindingDigest::from_bytes(written.binding),
            format: CodeFormat {
                alphabet: written.alphabet,
                length: written.length,
            },
            ttl: Duration::from_millis(written.ttl_millis),
            max_attempts: written.max_attempts,
            metadata: written.metadata,
            remember_me: written.remember_me,
            code: written
                .code
                .map(|code| Code::parse(&code))
                .transpose()
                .map_err(|_| Unsealable)?,
        })
    }
}

impl std::fmt::Debug for Details {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Details")
            .field("to", &self.to)
            .field("channels", &self.channels)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{self, SeededEntropy};
    use crate::recipient::NumberRules;

    fn details() -> Details {
        Details {
            to: Recipient::parse("+14155550123", &NumberRules::default()).ok(),
            channels: vec![Channel::Whatsapp, Channel::Sms],
            locale: Some("pt-BR".to_owned()),
            binding: BindingDigest::of_json("17").unwrap(),
            format: CodeFormat {
                alphabet: Alphabet::Alphanumeric,
                length: 8,
            },
            ttl: Duration::from_millis(90_001),
            max_attempts: 7,
            metadata: Some(serde_json::json!({"order": [1, null]})),
            remember_me: true,
            code: Code::parse("40Z718AB").ok(),
        }
    }

    const ID: VerificationId = VerificationId::from_bytes([1; 16]);

    fn sealed(details: &Details) -> Sealed {
        let entropy = SeededEntropy::new(3);
        details.seal(ID, &fakes::keys(1), &entropy).unwrap()
    }

    #[test]
    fn details_are_opened_as_they_were_sealed() {
        let before = details();
        let after = Details::open(ID, &sealed(&before), &fakes::keys(1)).unwrap();
        assert_eq!(after.to, before.to);
        assert_eq!(after.channels, before.channels);
        assert_eq!(after.locale, before.locale);
        assert!(after.binding == before.binding);
        assert_eq!(after.format, before.format);
        assert_eq!(after.ttl, before.ttl);
        assert_eq!(after.max_attempts, before.max_attempts);
        assert_eq!(after.metadata, before.metadata);
        assert_eq!(after.remember_me, before.remember_me);
        let code = |details: &Details| details.code.as_ref().map(|code| code.expose().to_owned());
        assert!(code(&after).is_some() && code(&after) == code(&before));
        let nobody = Details { to: None, ..before };
        let after = Details::open(ID, &sealed(&nobody), &fakes::keys(1)).unwrap();
        assert_eq!(after.to, None);
    }

    #[test]
    fn details_do_not_open_for_another_verification_or_under_another_key() {
        let sealed = sealed(&details());
        let other = VerificationId::from_bytes([2; 16]);
        assert!(Details::open(other, &sealed, &fakes::keys(1)).is_err());
        assert!(Details::open(ID, &sealed, &fakes::keys(2)).is_err());
    }

    #[test]
    fn neither_seal_nor_print_shows_the_recipient_or_the_code() {
        let details = details();
        let sealed = sealed(&details);
        for secret in [&b"4155550123"[..], &b"40Z718AB"[..]] {
            let held = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!held(sealed.as_bytes()));
            assert!(!held(format!("{details:?} {sealed:?}").as_bytes()));
        }
    }
}
