//! Messages for tests.

use uuid::Uuid;
use watchword_core::{Channel, Code, Message, Purpose, Recipient, SecretText, Timestamp};

/// The code in every sample.
pub(crate) const CODE: &str = "402718";
/// Where the samples for phones go.
pub(crate) const NUMBER: &str = "+12015550123";
/// Where the sample mails go.
pub(crate) const ADDRESS: &str = "Ann.Lee@mail.example";
/// The id of every sample.
pub(crate) const ID: &str = "7d444840-9dc0-41d1-b245-5ffdce74fad2";

/// A text message.
pub(crate) fn sms() -> Message {
    Message {
        delivery_id: Uuid::parse_str(ID).unwrap(),
        verification_id: Uuid::nil(),
        channel: Channel::Sms,
        to: Recipient::from_canonical(NUMBER),
        code: Code::parse(CODE).unwrap(),
        purpose: Purpose::parse("login").unwrap(),
        locale: "pt-BR".parse().unwrap(),
        expires_at: Timestamp::from_millis(1_790_000_300_000),
        subject: None,
        text: SecretText::new(format!("{CODE} é o seu código")),
        html: None,
    }
}

/// A mail.
pub(crate) fn mail() -> Message {
    Message {
        channel: Channel::Email,
        to: Recipient::from_canonical(ADDRESS),
        subject: Some(SecretText::new("Seu código".to_owned())),
        html: Some(SecretText::new(format!("<p>Use <b>{CODE}</b>.</p>"))),
        ..sms()
    }
}
