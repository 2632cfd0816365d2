//! Messages: what a provider is asked to bring to a recipient.
//!
//! **Invariant:** nothing here prints or serializes a code, a text that holds one, or a full
//! recipient.

mod locale;

use std::fmt;

use uuid::Uuid;
use zeroize::Zeroizing;

pub use locale::{InvalidLocale, Locale};

use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::code::Code;
use crate::purpose::Purpose;
use crate::recipient::Recipient;

/// A text that holds a code. It is wiped when dropped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes charge of a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the provider. Nothing else may ask.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

/// One message for one recipient, ready to be handed to a provider.
///
/// `Debug` shows neither code nor texts nor the full recipient.
#[derive(Clone, Debug)]
pub struct Message {
    /// Names this hand-over. A provider that takes an idempotency key gets this one.
    pub delivery_id: Uuid,
    /// The verification that the code belongs to.
    pub verification_id: Uuid,
    /// How the message travels.
    pub channel: Channel,
    /// Whom it is for.
    pub to: Recipient,
    /// The code, for providers that have templates of their own.
    pub code: Code,
    /// What the code authorises.
    pub purpose: Purpose,
    /// The language that was asked for; the texts may be in another one for lack of it.
    pub locale: Locale,
    /// When the code ends.
    pub expires_at: Timestamp,
    /// The subject of a mail.
    pub subject: Option<SecretText>,
    /// The text as a person reads it.
    pub text: SecretText,
    /// The same as HTML, for a mail.
    pub html: Option<SecretText>,
}
