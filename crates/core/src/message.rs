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
    /// The language that was asked for; the texts may be in another one for lack of it. For a call, the
    /// language of its text.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipient::NumberRules;

    #[test]
    fn debug_output_of_a_message_holds_neither_code_nor_texts_nor_the_full_recipient() {
        let to = Recipient::parse("+14155550123", &NumberRules::default()).unwrap();
        let secret = || SecretText::new("402718 is your code".to_owned());
        let message = Message {
            delivery_id: Uuid::nil(),
            verification_id: Uuid::nil(),
            channel: Channel::Sms,
            to,
            code: Code::parse("402718").unwrap(),
            purpose: Purpose::default(),
            locale: Locale::default(),
            expires_at: Timestamp::default(),
            subject: Some(secret()),
            text: secret(),
            html: Some(secret()),
        };
        let shown = format!("{message:?}");
        assert!(
            !shown.contains("402718") && !shown.contains("4155550123"),
            "{shown}"
        );
        assert!(shown.contains("+1••••••0123"), "{shown}");
    }
}
