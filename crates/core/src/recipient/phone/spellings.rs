//! Spellings of any number.

use proptest::prelude::*;

use super::*;
use crate::recipient::tests::rules;

/// A number that exists in one of many countries, and its country.
fn number() -> impl Strategy<Value = (String, String, String)> {
    let regions: Vec<_> = [
        "US", "GB", "DE", "FR", "IT", "IN", "BR", "MX", "AR", "JP", "KR", "CN", "ID", "NG", "ZA",
        "AU", "RU", "TR", "SA", "EG", "SG", "HK", "CO", "PK", "VN", "TH", "PL", "FI", "HU", "SM",
    ]
    .into_iter()
    .map(|code| rlibphonenumber::Region::from_code(code).unwrap())
    .collect();
    (
        prop::sample::select(regions),
        any::<bool>(),
        prop::collection::vec(0_u8..10, 1..6),
    )
        .prop_filter_map("no such number", |(region, mobile, tail)| {
            let kind = if mobile {
                PhoneNumberType::Mobile
            } else {
                PhoneNumberType::FixedLine
            };
            let example = PHONE_NUMBER_UTIL
                .get_example_number_for_type_and_region(region, kind)
                .ok()?;
            let mut digits = example.format_as(PhoneNumberFormat::E164).into_owned();
            digits.truncate(digits.len() - tail.len());
            digits.extend(tail.iter().map(|digit| char::from(b'0' + digit)));
            let number = rlibphonenumber::PhoneNumber::parse(&digits, None).ok()?;
            let canonical = number.format_as(PhoneNumberFormat::E164).into_owned();
            let own = number.get_region_code()? == region && number.is_valid();
            let national = number.format_as(PhoneNumberFormat::National).into_owned();
            let ordinary = matches!(
                number.get_type(),
                PhoneNumberType::Mobile
                    | PhoneNumberType::FixedLine
                    | PhoneNumberType::FixedLineOrMobile
            );
            (own && ordinary).then(|| (canonical, national, region.as_region_str().to_string()))
        })
}

/// Spells the digits of a number anew.
fn respell(number: &str, script: u32, gaps: &[String]) -> String {
    let mut spelled = String::new();
    for (position, c) in number.chars().enumerate() {
        if position > 0 {
            spelled.push_str(&gaps[position % gaps.len()]);
        }
        spelled.push(match c.to_digit(10) {
            Some(digit) => char::from_u32(script + digit).unwrap(),
            None => c,
        });
    }
    spelled
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_spelling_of_any_number_is_one_number(
        (canonical, national, region) in number(),
        script in prop::sample::select(vec![0x30_u32, 0x660, 0x6F0, 0x966, 0xFF10]),
        gaps in prop::collection::vec("[ .\u{A0}\u{2009}\u{200B}\u{2011}-]{0,2}", 1..5),
    ) {
        let international = canonical.trim_start_matches('+');
        let spellings = [
            canonical.clone(),
            format!("00{international}"),
            format!("tel:{canonical}"),
            respell(&canonical, script, &gaps),
            respell(&canonical, script, &gaps).replace('+', "\u{FF0B}"),
            format!(" ({}) ", respell(&canonical, script, &gaps)),
            format!("00 {}", respell(international, script, &gaps)),
            national.clone(),
            respell(&national, script, &gaps),
        ];
        for spelling in &spellings {
            for strict in [true, false] {
                let read = Phone::parse(spelling, &rules(&region, strict));
                let read = read.as_ref().map(Phone::canonical);
                prop_assert_eq!(read, Ok(&*canonical), "{:?} in {}, strict {}", spelling, &region, strict);
            }
        }
    }

    #[test]
    fn a_canonical_number_reads_as_itself(raw in "\\+?[0-9]{1,18}|00[0-9]{5,16}", region in prop::sample::select(vec!["", "US", "GB", "IT", "BR", "AR", "MX", "RU", "AU"]), strict: bool) {
        let rules = rules(region, strict);
        if let Ok(phone) = Phone::parse(&raw, &rules) {
            let again = Phone::parse(phone.canonical(), &rules);
            prop_assert_eq!(again.as_ref(), Ok(&phone), "{} from {}", phone.canonical(), raw);
            let digits = phone.canonical().strip_prefix('+').unwrap();
            prop_assert!((2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()));
        }
    }

    #[test]
    fn strict_and_lenient_rules_agree_where_both_take_a_number(raw in "[0-9]{6,13}", region in prop::sample::select(vec!["US", "GB", "IT", "BR", "AR", "MX", "RU", "AU", "KR", "CO"])) {
        if let Ok(phone) = Phone::parse(&raw, &rules(region, true)) {
            prop_assert_eq!(Phone::parse(&raw, &rules(region, false)), Ok(phone));
        }
    }
}
