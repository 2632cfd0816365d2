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
    /// The content with its dots doubled and its end marked (RFC 5321 section 4.5.2).
    pub(super) content: Zeroizing<String>,
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
        let broken = Outcome::new(Class::Misconfigured).with(Detail::Word("request"));
        let composed = composed.map_err(|_| broken.clone())?;
        let composed = String::from_utf8(composed.formatted()).map_err(|_| broken)?;
        let composed = Zeroizing::new(composed);
        Ok(Self {
            from: from.email.clone(),
            to,
            content: Zeroizing::new(on_the_wire(&composed)),
        })
    }
}

/// A mail as it follows DATA.
fn on_the_wire(mail: &str) -> String {
    // A few dots more than the mail has bytes, so that it is never moved and left behind.
    let mut wire = String::with_capacity(mail.len() + mail.len() / 8 + 16);
    for line in mail.strip_suffix("\r\n").unwrap_or(mail).split("\r\n") {
        if line.starts_with('.') {
            wire.push('.');
        }
        wire.push_str(line);
        wire.push_str("\r\n");
    }
    wire.push_str(".\r\n");
    wire
}

const NO_SENDER: &str =
    "is not a sender; write it like codes@example.com or \"Example <codes@example.com>\"";

/// Reads the sender that an operator configured.
pub(super) fn sender(text: &str) -> Result<Mailbox, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("has a control character");
    }
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>') {
        Some(rest) => rest.rsplit_once('<').ok_or(NO_SENDER)?,
        None => ("", text),
    };
    // A name is taken with quotes or without: a comma or dot in it needs them on the wire only.
    let name = name.trim();
    let unquoted = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .unwrap_or(name);
    if unquoted.contains(['"', '\\', '<', '>']) {
        return Err(NO_SENDER);
    }
    let name = (!unquoted.is_empty()).then(|| unquoted.to_owned());
    let address = Address::from_str(address.trim()).map_err(|_| NO_SENDER)?;
    let mailbox = Mailbox::new(name, address);
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
