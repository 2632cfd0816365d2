//! The mail itself.

use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message as Composed};
use watchword_core::routing::{Class, Detail, Outcome};
use watchword_core::{Message, Recipient, SecretText, Timestamp};
use zeroize::Zeroizing;

/// A mail, ready for the wire. It is wiped when dropped.
pub(super) struct Mail {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Mail {
    /// Composes the mail for a message.
    ///
    /// Nothing that fills it can add a header: header texts lose their control characters and are
    /// encoded, addresses are parsed, and the rest is body.
    pub(super) fn compose(
        from: &Mailbox,
        message: &Message,
        now: Timestamp,
    ) -> Result<Self, Outcome> {
        let Recipient::Email(address) = &message.to else {
            return Err(Outcome::new(Class::Misconfigured).with(Detail::Word("wrong_channel")));
        };
        let to = Address::from_str(address.canonical())
            .map_err(|_| Outcome::new(Class::InvalidRecipient).with(Detail::Word("address")))?;
        let id = message.delivery_id.hyphenated();
        let subject = message.subject.as_ref().map_or("", SecretText::expose);
        let builder = Composed::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(header_text(subject))
            // The delivery in the id is how a bounce finds its way back.
            .message_id(Some(format!("<{id}@{}>", from.email.domain())))
            .date(UNIX_EPOCH + Duration::from_millis(now.as_millis()))
            // RFC 3834: no vacation replies.
            .raw_header(plain_header("Auto-Submitted", "auto-generated"))
            // The same for Exchange.
            .raw_header(plain_header("X-Auto-Response-Suppress", "All"));
        let text = message.text.expose().to_owned();
        let composed = match &message.html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(
                text,
                html.expose().to_owned(),
            )),
            None => builder.singlepart(
                SinglePart::builder()
                    .header(ContentType::TEXT_PLAIN)
                    .body(text),
            ),
        };
        let composed = composed
            .map_err(|_| Outcome::new(Class::Misconfigured).with(Detail::Word("request")))?;
        Ok(Self {
            from: from.email.clone(),
            to,
            bytes: Zeroizing::new(composed.formatted()),
        })
    }
}

/// Reads the sender that an operator configured.
pub(super) fn sender(text: &str) -> Result<Mailbox, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("has a control character");
    }
    let mailbox: Mailbox = text.trim().parse().map_err(
        |_| "is not a sender; write it like codes@example.com or \"Example <codes@example.com>\"",
    )?;
    if !mailbox.email.domain().is_ascii() || !mailbox.email.user().is_ascii() {
        return Err("has an address beyond ASCII; write its domain as punycode");
    }
    Ok(mailbox)
}

/// One line of plain characters.
fn header_text(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn plain_header(name: &'static str, value: &'static str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests;
