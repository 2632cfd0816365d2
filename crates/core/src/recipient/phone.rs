//! Phone numbers, canonical as E.164.

mod country;
mod dialling;
mod pattern;
mod plan;
#[cfg(test)]
mod spellings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};

use rlibphonenumber::{
    CountryCodeSource, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType,
};
use zeroize::Zeroizing;

use super::{InvalidRecipient, NumberRules, Region};
use crate::code::spelling;

/// A phone number in E.164 form: `+`, a country calling code, and 15 digits in all at most.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(Zeroizing<String>);

impl Phone {
    /// Longest text that [`Phone::parse`] looks at, in bytes.
    const MAX_RAW_BYTES: usize = 256;
    /// Most digits that [`Phone::parse`] looks at: E.164, an international prefix, a trunk zero.
    const MAX_DIGITS: usize = 22;

    /// Reads a number in any of its usual spellings: international with `+` or `00` or the
    /// prefix of the default region, or national if there is a default region; with spaces,
    /// dashes, dots and parentheses; with a trunk zero `(0)`; in the decimal digits of any
    /// script; after `tel:`. All of them are the same [`Phone`].
    ///
    /// # Errors
    /// [`InvalidRecipient`] for anything else: letters, extensions, parameters, two numbers, and
    /// under strict rules a number that cannot exist or that no code may be sent to.
    pub fn parse(raw: &str, rules: &NumberRules) -> Result<Self, InvalidRecipient> {
        let dialled = Dialled::read(raw)?;
        if dialled.international {
            return international(&dialled.digits, rules.strict);
        }
        let Some(region) = rules.default_region else {
            return match dialled.digits.strip_prefix("00") {
                Some(number) => international(number, rules.strict),
                None => Err(InvalidRecipient::NoCountry),
            };
        };
        national(&dialled.digits, region, rules.strict)
    }

    pub(super) fn from_canonical(canonical: &str) -> Self {
        Self(Zeroizing::new(canonical.to_owned()))
    }

    /// The number in E.164 form, with its `+`. For delivery, index and seal only.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0
    }

    /// The country calling code, such as `1` or `49`.
    #[must_use]
    pub fn calling_code(&self) -> &str {
        let digits = self.0.strip_prefix('+').unwrap_or(&self.0);
        &digits[..calling_code_length(digits).min(digits.len())]
    }

    /// The country or territory that the number belongs to; nothing for a number that cannot exist
    /// or belongs to none.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        let number = PhoneNumber::parse(self.canonical(), None).ok()?;
        Region::from_inner(number.get_region_code()?)
    }

    /// The same, at next to no cost. Within a zone that countries share it goes by the area code,
    /// even where the rest of the number cannot exist.
    #[must_use]
    pub fn country(&self) -> Option<Region> {
        country::country(self.0.strip_prefix('+').unwrap_or(&self.0))
    }

    /// What a person or a log may see: the calling code, a dot for each hidden digit, and the last
    /// four digits of a number that has at least ten without its calling code, else the last two.
    #[must_use]
    pub fn masked(&self) -> String {
        let digits = self.0.strip_prefix('+').unwrap_or(&self.0);
        // A number without digits behind its calling code, which is nobody's, shows nothing.
        let code = Some(self.calling_code())
            .filter(|code| *code != digits)
            .unwrap_or("");
        let national = digits.strip_prefix(code).unwrap_or(digits);
        let shown = if national.len() >= 10 {
            4
        } else {
            2.min(national.len() / 3)
        };
        let hidden = national.len() - shown;
        format!("+{code}{}{}", "•".repeat(hidden), &national[hidden..])
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", self.masked())
    }
}

impl Hash for Phone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// What somebody would press to dial.
struct Dialled {
    /// Whether it starts with a `+`.
    international: bool,
    digits: Zeroizing<String>,
}

impl Dialled {
    fn read(raw: &str) -> Result<Self, InvalidRecipient> {
        if raw.len() > Phone::MAX_RAW_BYTES {
            return Err(InvalidRecipient::TooLong);
        }
        let raw = raw.trim();
        let uri = raw
            .get(..4)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:"));
        let mut international = false;
        let mut digits = Zeroizing::new(String::with_capacity(Phone::MAX_DIGITS));
        for typed in raw[if uri { 4 } else { 0 }..].chars() {
            match typed {
                '+' | '\u{FF0B}' if !international && digits.is_empty() => international = true,
                '.' | '(' | ')' | '\u{FF0E}' | '\u{FF08}' | '\u{FF09}' => {}
                _ if typed.is_control() => return Err(InvalidRecipient::Control),
                _ if spelling::is_space(typed) => {}
                _ if spelling::is_dash(typed) || spelling::is_invisible(typed) => {}
                _ => match spelling::decimal_digit(typed) {
                    Some(_) if digits.len() == Phone::MAX_DIGITS => {
                        return Err(InvalidRecipient::TooLong);
                    }
                    Some(digit) => digits.push(digit),
                    None if typed.is_alphabetic() => return Err(InvalidRecipient::Letters),
                    None => return Err(InvalidRecipient::Symbol),
                },
            }
        }
        if digits.is_empty() {
            return Err(InvalidRecipient::Empty);
        }
        // A local number in a `tel:` URI needs a context (RFC 3966 section 5.1.5).
        if uri && !international {
            return Err(InvalidRecipient::NoCountry);
        }
        Ok(Self {
            international,
            digits,
        })
    }
}

/// A number whose digits start with a calling code.
fn international(digits: &str, strict: bool) -> Result<Phone, InvalidRecipient> {
    if digits.starts_with('0') || digits.len() < 2 {
        return Err(InvalidRecipient::Shape);
    }
    let mut typed = Zeroizing::new(String::with_capacity(1 + digits.len()));
    typed.push('+');
    typed.push_str(digits);
    // A number that can exist is what it says. To look that up is some hundred times faster than to
    // read it as something that a person may have dialled.
    if let Some(allowed) = as_it_stands(digits, strict) {
        return allowed.and_then(|()| e164(typed));
    }
    let number = PhoneNumber::parse(&*typed, None);
    if let Ok(number) = &number
        && let Some(phone) = existing(number, strict)
    {
        return phone;
    }
    if strict {
        return Err(InvalidRecipient::Impossible);
    }
    // A number of a possible length is read as a valid one is, without its trunk zero, if that is
    // the end of it; anything else is taken as typed.
    if let Ok(number) = &number
        && number.is_possible_with_reason().is_ok()
    {
        let canonical = number.format_as(PhoneNumberFormat::E164);
        if PhoneNumber::parse(&*canonical, None).as_ref() == Ok(number) {
            return e164(Zeroizing::new(canonical.into_owned()));
        }
    }
    e164(typed)
}

/// A number as it is dialled within `region`, which may still be an international one.
fn national(digits: &str, region: Region, strict: bool) -> Result<Phone, InvalidRecipient> {
    match at_home(digits, region, strict) {
        Some(known) => known,
        None => as_dialled(digits, region, strict),
    }
}

/// The same for a number that leaves no doubt what it is, and can exist; nothing for any other.
fn at_home(digits: &str, region: Region, strict: bool) -> Option<Result<Phone, InvalidRecipient>> {
    let number = dialling::at_home(digits, region)?;
    let allowed = as_it_stands(number.strip_prefix('+')?, strict)?;
    Some(allowed.and_then(|()| e164(number)))
}

/// The same for every number.
fn as_dialled(digits: &str, region: Region, strict: bool) -> Result<Phone, InvalidRecipient> {
    let number = PHONE_NUMBER_UTIL.parse_and_keep_raw_input(digits, Some(region.inner()));
    if let Ok(number) = &number
        && let Some(phone) = existing(number, strict)
    {
        return phone;
    }
    // Many people write 00 for + wherever they are.
    if let Some(number) = digits.strip_prefix("00") {
        return international(number, strict);
    }
    if strict {
        return Err(InvalidRecipient::Impossible);
    }
    let number = number.map_err(|_| InvalidRecipient::Impossible)?;
    let canonical = number.format_as(PhoneNumberFormat::E164);
    let prefixed = number.country_code_source() == CountryCodeSource::FromNumberWithIdd;
    if prefixed || number.is_possible_with_reason().is_ok() {
        return international(canonical.trim_start_matches('+'), strict);
    }
    Err(InvalidRecipient::Impossible)
}

/// Whether the number is allowed whose digits are its calling code and every digit after it; nothing
/// where the plans do not say that it can exist.
fn as_it_stands(digits: &str, strict: bool) -> Option<Result<(), InvalidRecipient>> {
    let (code, national) = digits.split_at_checked(calling_code_length(digits))?;
    let code = code.parse().ok()?;
    let kind = plan::kind(code, national)?;
    allowed(kind, code, strict)
}

/// Whether a number of this kind is, if it can exist.
fn allowed(
    kind: PhoneNumberType,
    calling_code: i32,
    strict: bool,
) -> Option<Result<(), InvalidRecipient>> {
    if kind == PhoneNumberType::Unknown {
        return None;
    }
    let refusal = refusal(kind, calling_code).filter(|_| strict);
    Some(refusal.map_or(Ok(()), Err))
}

/// What becomes of a number if it can exist.
fn existing(number: &PhoneNumber, strict: bool) -> Option<Result<Phone, InvalidRecipient>> {
    let allowed = allowed(number.get_type(), number.country_code, strict)?;
    Some(allowed.and_then(|()| {
        e164(Zeroizing::new(
            number.format_as(PhoneNumberFormat::E164).into_owned(),
        ))
    }))
}

/// Why strict rules take no number of this kind that can exist.
fn refusal(kind: PhoneNumberType, calling_code: i32) -> Option<InvalidRecipient> {
    if GLOBAL_NETWORKS.contains(&calling_code) {
        return Some(InvalidRecipient::Network);
    }
    let service = matches!(
        kind,
        PhoneNumberType::PremiumRate
            | PhoneNumberType::SharedCost
            | PhoneNumberType::Pager
            | PhoneNumberType::VoiceMail
    );
    service.then_some(InvalidRecipient::Service)
}

/// The calling codes that belong to no country: freephone, satellites and other global networks.
const GLOBAL_NETWORKS: [i32; 9] = [800, 808, 870, 878, 881, 882, 883, 888, 979];

/// The last door: nothing that is not of E.164 shape becomes a [`Phone`].
fn e164(canonical: Zeroizing<String>) -> Result<Phone, InvalidRecipient> {
    let digits = canonical.strip_prefix('+').unwrap_or_default();
    let shape = (2..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit());
    if shape {
        Ok(Phone(canonical))
    } else {
        Err(InvalidRecipient::Shape)
    }
}

/// How many of the first digits are the calling code. ITU-T E.164 assigns them so that none is the
/// beginning of another: zones 1 and 7 have one digit, the pairs below two, all others three.
fn calling_code_length(digits: &str) -> usize {
    match digits.as_bytes() {
        [b'1' | b'7', ..] => 1,
        [b'2', b'0' | b'7', ..]
        | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
        | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
        | [b'5', b'1'..=b'8', ..]
        | [b'6', b'0'..=b'6', ..]
        | [b'8', b'1' | b'2' | b'4' | b'6', ..]
        | [b'9', b'0'..=b'5' | b'8', ..] => 2,
        _ => 3,
    }
}
