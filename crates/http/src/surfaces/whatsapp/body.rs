//! What the `whatsapp` surface is sent.

use utoipa::ToSchema;
use watchword_core::{Code, InvalidRecipient, NumberRules, Phone, Recipient};

use super::words;
use crate::json::Members;
use crate::surfaces::dialect::Call;
use crate::surfaces::trouble::Trouble;

/// What `POST /send-otp` and `POST /resend-otp` take.
#[derive(ToSchema)]
#[schema(as = WhatsappSend, example = json!({"phone_number": "+1234567890"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct SendBody {
    /// A phone number of E.164 shape, with or without its `+`.
    #[schema(max_length = 256, example = "+1234567890")]
    phone_number: String,
}

/// What `POST /verify-otp` takes.
#[derive(ToSchema)]
#[schema(as = WhatsappVerify, example = json!({"phone_number": "+1234567890", "otp": "123456"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct VerifyBody {
    /// The number that the code went to.
    #[schema(max_length = 256, example = "+1234567890")]
    phone_number: String,
    /// What the user typed.
    #[schema(min_length = 1, max_length = 256, example = "123456")]
    otp: String,
}

/// Whom a request is about.
pub(super) struct Asked {
    /// The number as the caller wrote it, which is how answers repeat it.
    pub(super) shown: String,
    pub(super) to: Recipient,
}

impl Asked {
    pub(super) fn read(call: &Call) -> Result<Self, Trouble> {
        let mut members = Members::read(&call.body)?;
        let asked = Self::of(&mut members, call)?;
        members.finish_open()?;
        Ok(asked)
    }

    fn of(members: &mut Members<'_>, call: &Call) -> Result<Self, Trouble> {
        let shown = members.text("phone_number");
        let to = shown
            .as_deref()
            .and_then(|text| number(text, &call.numbers()).ok());
        match (shown, to) {
            (Some(shown), Some(to)) => Ok(Self {
                shown: shown.into_owned(),
                to: Recipient::Phone(to),
            }),
            _ => Err(Trouble::Invalid(words::BAD_NUMBER.into())),
        }
    }
}

/// Reads a number as any surface does; and one without `+` that is none of the default region as an
/// international one, as this surface's document has it. Of the default region is what can exist
/// there, also where numbers need not exist: else `91…` would be any country's but India's.
fn number(text: &str, rules: &NumberRules) -> Result<Phone, InvalidRecipient> {
    let bare = text.trim();
    let international = (7..=15).contains(&bare.len())
        && !bare.starts_with('0')
        && bare.bytes().all(|byte| byte.is_ascii_digit());
    let existing = NumberRules {
        strict: true,
        ..*rules
    };
    match Phone::parse(text, &existing) {
        Err(
            InvalidRecipient::NoCountry | InvalidRecipient::Shape | InvalidRecipient::Impossible,
        ) if international => Phone::parse(&format!("+{bare}"), rules),
        Err(_) => Phone::parse(text, rules),
        number => number,
    }
}

/// A code that was typed.
pub(super) struct Typed {
    pub(super) asked: Asked,
    pub(super) code: Code,
}

impl Typed {
    pub(super) fn read(call: &Call) -> Result<Self, Trouble> {
        let mut members = Members::read(&call.body)?;
        let asked = Asked::of(&mut members, call)?;
        let code = members.text("otp");
        let code = code.and_then(|typed| Code::parse(&typed).ok());
        let code = code.ok_or(Trouble::Invalid(words::WRONG.into()))?;
        members.finish_open()?;
        Ok(Self { asked, code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_number_is_one_number_and_the_documents_example_is_one() {
        let loose = NumberRules::default();
        for text in [
            "+1234567890",
            "1234567890",
            "+1 234 567 890",
            "001234567890",
        ] {
            assert_eq!(
                number(text, &loose).unwrap().canonical(),
                "+1234567890",
                "{text}"
            );
        }
        let us = NumberRules {
            default_region: "US".parse().ok(),
            strict: false,
        };
        for (text, read) in [
            ("4155550123", "+14155550123"),
            ("14155550123", "+14155550123"),
            ("1234567890", "+1234567890"),
            ("919876543210", "+919876543210"),
            ("+1234567890", "+1234567890"),
        ] {
            assert_eq!(number(text, &us).unwrap().canonical(), read, "{text}");
        }
        for wrong in [
            "",
            "+",
            "abc",
            "+0123456789",
            "0123",
            "+12345678901234567",
            "12345",
        ] {
            assert!(number(wrong, &loose).is_err(), "{wrong}");
        }
    }
}
