//! The country of a number, for counting: asked at every send.

use std::sync::OnceLock;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber};

use super::{Region, calling_code_length};

/// Whose the area codes of the zones 1 and 7 are, as far as they were asked for. Matching a number
/// against the patterns of its country takes longer than all else that counting does, and in these
/// zones, which several countries share, three digits decide.
static AREAS: [[OnceLock<Region>; 1000]; 2] = [const { [const { OnceLock::new() }; 1000] }; 2];

/// The country or territory of a number, given by its digits from the calling code on.
pub(super) fn country(digits: &str) -> Option<Region> {
    let zone = match digits.as_bytes().first() {
        Some(b'1') => Some(0),
        Some(b'7') => Some(1),
        _ => None,
    };
    let area = digits.get(1..4).and_then(|area| area.parse().ok());
    let known = zone
        .zip(area)
        .map(|(zone, area): (usize, usize)| &AREAS[zone][area]);
    if let Some(region) = known.and_then(OnceLock::get) {
        return Some(*region);
    }
    let (code, national) = digits.split_at_checked(calling_code_length(digits))?;
    let zeros = national.bytes().take_while(|digit| *digit == b'0').count();
    let number = PhoneNumber {
        country_code: code.parse().ok()?,
        national_number: national.parse().ok()?,
        italian_leading_zero: (zeros > 0).then_some(true),
        number_of_leading_zeros: (zeros > 1).then(|| i32::try_from(zeros)).transpose().ok()?,
        ..PhoneNumber::default()
    };
    // No pattern is looked at where the calling code is one country's.
    let region = PHONE_NUMBER_UTIL.get_region_for_number(&number)?;
    let region = Region::from_inner(region)?;
    if let Some(place) = known {
        let _ = place.set(region);
    }
    Some(region)
}

#[cfg(test)]
mod tests {
    use super::super::Phone;

    #[test]
    fn the_country_by_area_code_is_the_country_by_pattern() {
        for (number, country) in [
            ("+12015550123", Some("US")),
            ("+12015550124", Some("US")),
            ("+14165550123", Some("CA")),
            ("+18765550123", Some("JM")),
            ("+18765550124", Some("JM")),
            ("+79123456789", Some("RU")),
            ("+77012345678", Some("KZ")),
            ("+447400123456", Some("GB")),
            ("+447797712345", Some("JE")),
            ("+4915123456789", Some("DE")),
            ("+88213123456", None),
        ] {
            let phone = Phone::from_canonical(number);
            let found = phone.country();
            assert_eq!(
                found.map(|it| it.to_string()).as_deref(),
                country,
                "{number}"
            );
            assert_eq!(found, phone.region(), "{number}");
        }
    }
}
