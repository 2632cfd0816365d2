//! What the `auth` surface is sent.

use utoipa::ToSchema;
use watchword_core::account::{InvalidPassword, Password};
use watchword_core::{Code, Email, InvalidRecipient, NumberRules, Phone};
use zeroize::Zeroizing;

use super::issue::{Issues, Reader, Wrong};
use crate::surfaces::dialect::Call;

/// What `POST /api/v1/auth/request-otp` takes.
#[derive(ToSchema)]
#[schema(as = AuthRequestOtp, example = json!({"mobile_number": "+14155550123", "remember_me": true}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct LoginBody {
    /// A phone number in international form, or in the national form of the server's default region.
    #[schema(max_length = 508, example = "+14155550123")]
    mobile_number: String,
    /// Whether the access token is to be good for days instead of minutes.
    #[schema(default = false)]
    remember_me: Option<bool>,
}

/// What `POST /api/v1/auth/register` takes.
#[derive(ToSchema)]
#[schema(as = AuthRegister, example = json!({
    "email": "ann@example.com", "mobile": "4155550123", "password": "correct horse"
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct RegisterBody {
    /// An email address. It stays unverified.
    #[schema(max_length = 508, example = "ann@example.com")]
    email: String,
    /// Ten digits, read in the server's default region, or a number in international form.
    #[schema(max_length = 64, example = "4155550123")]
    mobile: String,
    /// At least 8 characters and at most 1024 bytes, of whatever kind.
    #[schema(min_length = 8, max_length = 1024, example = "correct horse")]
    password: String,
}

/// What `POST /api/v1/auth/verify-otp` takes.
#[derive(ToSchema)]
#[schema(as = AuthVerifyOtp, example = json!({"mobile": "4155550123", "otp": "123456"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct VerifyBody {
    /// The number that the code went to. `mobile_number` is another name for it.
    #[schema(max_length = 508, example = "4155550123")]
    mobile: String,
    /// What the user typed.
    #[schema(min_length = 6, max_length = 6, example = "123456")]
    otp: String,
}

/// What `POST /api/v1/auth/resend-otp` takes.
#[derive(ToSchema)]
#[schema(as = AuthResendOtp, example = json!({"mobile": "4155550123"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ResendBody {
    /// The number that is being registered.
    #[schema(max_length = 508, example = "4155550123")]
    mobile: String,
}

/// A login, read.
pub(super) struct Login {
    pub(super) mobile: Phone,
    pub(super) remember_me: bool,
}

impl Login {
    pub(super) fn read(call: &Call) -> Result<Self, Issues> {
        let mut reader = Reader::new(&call.body)?;
        let mobile = reader.text("mobile_number").and_then(|typed| {
            let read = Phone::parse(&without_white_space(&typed), &call.numbers());
            read.map_err(|error| reader.wrong("mobile_number", number(error)))
                .ok()
        });
        let remember_me = reader.flag("remember_me");
        reader.finish()?;
        // Without a number there was an issue, and we are not here.
        let mobile = mobile.ok_or_else(Reader::nothing)?;
        Ok(Self {
            mobile,
            remember_me,
        })
    }
}

/// A registration, read.
pub(super) struct Register {
    pub(super) email: Email,
    pub(super) mobile: Phone,
    pub(super) password: Password,
}

impl Register {
    pub(super) fn read(call: &Call) -> Result<Self, Issues> {
        let mut reader = Reader::new(&call.body)?;
        let email = reader.text("email").and_then(|typed| {
            let read = Email::parse(&typed);
            read.map_err(|_| reader.wrong("email", Wrong::NotEmail))
                .ok()
        });
        let mobile = reader.text("mobile").and_then(|typed| {
            let read = mobile(&without_white_space(&typed), &call.numbers());
            read.map_err(|wrong| reader.wrong("mobile", wrong)).ok()
        });
        let password = reader.text("password").and_then(|typed| {
            let read = Password::parse(&typed);
            read.map_err(|error| reader.wrong("password", unfit(error)))
                .ok()
        });
        reader.finish()?;
        // Without one of them there was an issue, and we are not here.
        match (email, mobile, password) {
            (Some(email), Some(mobile), Some(password)) => Ok(Self {
                email,
                mobile,
                password,
            }),
            _ => Err(Reader::nothing()),
        }
    }
}

/// A code that was typed.
pub(super) struct Typed {
    pub(super) mobile: Phone,
    /// The number as it was sent, without white space.
    pub(super) spelling: Zeroizing<String>,
    /// The code; none where what was typed cannot be one.
    pub(super) code: Option<Code>,
}

impl Typed {
    pub(super) fn read(call: &Call) -> Result<Self, Issues> {
        let mut reader = Reader::new(&call.body)?;
        let read = reader.text_of_either(["mobile", "mobile_number"]);
        let number = read.and_then(|(name, typed)| {
            let typed = without_white_space(&typed);
            let rules = call.numbers();
            // Each name is read as the request that it is named after reads it.
            let read = match name {
                "mobile" => mobile(&typed, &rules),
                _ => Phone::parse(&typed, &rules).map_err(number),
            };
            match read {
                Ok(phone) => Some((phone, typed)),
                Err(wrong) => {
                    reader.wrong(name, wrong);
                    None
                }
            }
        });
        let length = usize::from(call.policy().code.length);
        let code = reader.text("otp").and_then(|typed| {
            let code = Code::parse(&typed).ok();
            let typed = code.as_ref().map_or(typed.trim(), Code::expose);
            match typed.chars().count() {
                short if short < length => reader.wrong("otp", Wrong::TooShort(length)),
                long if long > length => reader.wrong("otp", Wrong::TooLong(length)),
                _ => return code,
            }
            None
        });
        reader.finish()?;
        // Without a number there was an issue, and we are not here.
        let (mobile, spelling) = number.ok_or_else(Reader::nothing)?;
        Ok(Self {
            mobile,
            spelling,
            code,
        })
    }
}

/// Why a resend means no number.
pub(super) enum Unusable {
    Issues(Issues),
    /// It is there, and is not one.
    NoNumber,
}

/// The number that a resend is for; none where it is not there, or empty.
pub(super) fn resent(call: &Call) -> Result<Option<Phone>, Unusable> {
    let mut reader = Reader::new(&call.body).map_err(Unusable::Issues)?;
    let raw = reader.raw("mobile");
    // What Python takes for nothing.
    let nothing = [r#""""#, "null", "false", "0", "0.0", "[]", "{}"];
    let typed = match raw {
        None => None,
        Some(raw) if nothing.contains(&raw) => None,
        Some(raw) => reader.required("mobile", Some(raw)),
    };
    reader.finish().map_err(Unusable::Issues)?;
    let typed = typed.map(|typed| without_white_space(&typed));
    match typed.filter(|typed| !typed.is_empty()) {
        None => Ok(None),
        Some(typed) => match mobile(&typed, &call.numbers()) {
            Ok(phone) => Ok(Some(phone)),
            Err(_) => Err(Unusable::NoNumber),
        },
    }
}

fn without_white_space(typed: &str) -> Zeroizing<String> {
    let kept = typed.chars().filter(|c| !c.is_whitespace());
    Zeroizing::new(kept.collect())
}

/// Ten digits in the default region, or a number that says its country.
fn mobile(typed: &str, rules: &NumberRules) -> Result<Phone, Wrong> {
    let digit = |c: char| c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric());
    let national = typed.chars().count() == 10 && typed.chars().all(digit);
    let international = typed.starts_with(['+', '\u{ff0b}']) || typed.starts_with("00");
    if national && rules.default_region.is_none() && !typed.starts_with("00") {
        let text = "Mobile number does not say its country: write it with + and the country code";
        return Err(Wrong::Value(text.into()));
    }
    if !national && !international {
        return Err(Wrong::Value("Mobile number must be 10 digits.".into()));
    }
    Phone::parse(typed, rules).map_err(number)
}

fn number(error: InvalidRecipient) -> Wrong {
    Wrong::Value(format!("Mobile number {error}").into())
}

fn unfit(error: InvalidPassword) -> Wrong {
    match error {
        InvalidPassword::TooShort => Wrong::TooShort(Password::MIN_CHARS),
        InvalidPassword::TooLong => Wrong::TooLong(Password::MAX_BYTES),
    }
}
