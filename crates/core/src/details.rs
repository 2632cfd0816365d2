//! What a verification has to remember in a form that can be read again, sealed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::code::{Alphabet, CodeFormat};
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
