//! What is read as which number.

use std::collections::HashSet;

use super::*;
use crate::recipient::tests::rules;

fn strict(raw: &str, region: &str) -> Result<String, InvalidRecipient> {
    Phone::parse(raw, &rules(region, true)).map(|phone| phone.canonical().to_owned())
}

fn lenient(raw: &str, region: &str) -> Result<String, InvalidRecipient> {
    Phone::parse(raw, &rules(region, false)).map(|phone| phone.canonical().to_owned())
}

#[test]
fn every_spelling_of_a_number_is_one_number() {
    for raw in [
        "+14155550123",
        "+1 415 555 0123",
        "+1-415-555-0123",
        "+1.415.555.0123",
        "+1 (415) 555-0123",
        "(+1) 415 555 0123",
        "+ 1 415 555 0123",
        " +14155550123 ",
        "+14155550123\n",
        "0014155550123",
        "00 1 415 555 0123",
        "011 1 415 555 0123",
        "4155550123",
        "(415) 555-0123",
        "415.555.0123",
        "14155550123",
        "1 415 555 0123",
        "\u{FF0B}14155550123",
        "+\u{FF11}\u{FF14}\u{FF11}\u{FF15}\u{FF15}\u{FF15}\u{FF15}\u{FF10}\u{FF11}\u{FF12}\u{FF13}",
        "+\u{661}\u{664}\u{661}\u{665}\u{665}\u{665}\u{665}\u{660}\u{661}\u{662}\u{663}",
        "+1\u{A0}415\u{A0}555\u{A0}0123",
        "+1\u{2009}415\u{202F}555\u{3000}0123",
        "+1\u{200B}415\u{FEFF}5550123",
        "\u{202A}+14155550123\u{202C}",
        "+1\u{2011}415\u{2013}555\u{2212}0123",
        "\u{FF08}415\u{FF09}555\u{FF0E}0123",
        "tel:+14155550123",
        "TEL:+1-415-555-0123",
    ] {
        assert_eq!(strict(raw, "US"), Ok("+14155550123".into()), "{raw:?}");
        assert_eq!(lenient(raw, "US"), Ok("+14155550123".into()), "{raw:?}");
    }
}

#[test]
fn trunk_zeros_are_no_part_of_a_number_where_they_are_none() {
    for raw in [
        "+44 (0)20 7946 0018",
        "+44 20 7946 0018",
        "+44 020 7946 0018",
        "020 7946 0018",
        "0044 20 7946 0018",
        "00 44 (0) 20 7946 0018",
    ] {
        assert_eq!(strict(raw, "GB"), Ok("+442079460018".into()), "{raw}");
    }
    assert_eq!(strict("+49 (0) 30 901820", "DE"), Ok("+4930901820".into()));
    // In Italy the zero is a part of it.
    for raw in ["+39 06 6982", "06 6982", "+39 (0)6 6982"] {
        assert_eq!(strict(raw, "IT"), Ok("+39066982".into()), "{raw}");
    }
}

#[test]
fn countries_with_habits_of_their_own_have_one_form_each() {
    for raw in [
        "+54 9 11 2345 6789",
        "011 15 2345 6789",
        "+54 11 15 2345-6789",
    ] {
        assert_eq!(strict(raw, "AR"), Ok("+5491123456789".into()), "{raw}");
    }
    for raw in ["+52 55 1234 5678", "55 1234 5678"] {
        assert_eq!(strict(raw, "MX"), Ok("+525512345678".into()), "{raw}");
    }
    for raw in [
        "+55 11 96123-4567",
        "0 21 11 96123-4567",
        "(11) 96123-4567",
        "011 96123 4567",
    ] {
        assert_eq!(strict(raw, "BR"), Ok("+5511961234567".into()), "{raw}");
    }
    for raw in [
        "+7 912 345-67-89",
        "8 (912) 345-67-89",
        "810 7 912 345 67 89",
    ] {
        assert_eq!(strict(raw, "RU"), Ok("+79123456789".into()), "{raw}");
    }
    for raw in [
        "+61 412 345 678",
        "0412 345 678",
        "0011 61 412 345 678",
        "00 61 412 345 678",
    ] {
        assert_eq!(strict(raw, "AU"), Ok("+61412345678".into()), "{raw}");
    }
    assert_eq!(strict("09876543210", "IN"), Ok("+919876543210".into()));
    assert_eq!(strict("9876543210", "IN"), Ok("+919876543210".into()));
}

#[test]
fn what_is_no_single_number_is_refused() {
    use InvalidRecipient::{Control, Empty, Letters, NoCountry, Shape, Symbol, TooLong};
    for (raw, why) in [
        ("", Empty),
        ("  ", Empty),
        ("+", Empty),
        ("tel:", Empty),
        ("+14155550123;ext=1", Symbol),
        ("tel:+14155550123;phone-context=example.com", Symbol),
        ("+14155550123x123", Letters),
        ("+14155550123 ext. 5", Letters),
        ("+14155550123#5", Symbol),
        ("+14155550123,5", Symbol),
        ("+14155550123,+14155550124", Symbol),
        ("+14155550123 +14155550124", Symbol),
        ("+14155550123/24", Symbol),
        ("+14155550123+", Symbol),
        ("++14155550123", Symbol),
        ("1+4155550123", Symbol),
        ("[\"+14155550123\"]", Symbol),
        ("+1415555012%00", Symbol),
        ("%2B14155550123", Symbol),
        ("*21*14155550123#", Symbol),
        ("1-800-FLOWERS", Letters),
        ("+1 415 5550123 or 4", Letters),
        ("+1415555012\0", Control),
        ("+1415\n5550123", Control),
        ("+1415\t5550123", Control),
        ("+1415\r\n5550123", Control),
        ("+1415\x1b[31m5550123", Control),
        ("+①④①⑤⑤⑤⑤⓪①②③", Symbol),
        ("+¹4155550123", Symbol),
        ("+0014155550123", Shape),
        ("+04155550123", Shape),
        ("00 04155550123", Shape),
        ("tel:4155550123", NoCountry),
        (&"1".repeat(23), TooLong),
        (&"+1 415 555 0123 ".repeat(20), TooLong),
    ] {
        for strict in [true, false] {
            let rules = rules("US", strict);
            assert_eq!(
                Phone::parse(raw, &rules),
                Err(why),
                "{raw:?} strict {strict}"
            );
        }
    }
}

#[test]
fn a_national_number_needs_a_region() {
    assert_eq!(strict("4155550123", ""), Err(InvalidRecipient::NoCountry));
    assert_eq!(lenient("4155550123", ""), Err(InvalidRecipient::NoCountry));
    assert_eq!(strict("0014155550123", ""), Ok("+14155550123".into()));
    assert_eq!(strict("+14155550123", ""), Ok("+14155550123".into()));
}

#[test]
fn strict_rules_want_a_number_that_can_exist() {
    for raw in [
        "+1234567890",
        "+15555555555",
        "+10000000000",
        "+1415555012",
        "+141555501234",
        "+999123456789",
        "+4912",
        "+123456789012345",
    ] {
        assert_eq!(
            strict(raw, "US"),
            Err(InvalidRecipient::Impossible),
            "{raw}"
        );
    }
    assert_eq!(strict("123", "US"), Err(InvalidRecipient::Impossible));
    assert_eq!(strict("911", "US"), Err(InvalidRecipient::Impossible));
}

#[test]
fn strict_rules_refuse_numbers_that_cost_extra_or_reach_nobody() {
    let mut refused = HashSet::new();
    for region in PHONE_NUMBER_UTIL.get_supported_regions() {
        for kind in [
            PhoneNumberType::PremiumRate,
            PhoneNumberType::SharedCost,
            PhoneNumberType::Pager,
            PhoneNumberType::VoiceMail,
        ] {
            let Ok(number) = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind)
            else {
                continue;
            };
            if number.get_type() != kind {
                continue;
            }
            let number = number.format_as(PhoneNumberFormat::E164);
            assert_eq!(
                strict(&number, ""),
                Err(InvalidRecipient::Service),
                "{number}"
            );
            assert_eq!(lenient(&number, "").as_deref(), Ok(&*number));
            refused.insert(kind);
        }
    }
    assert_eq!(refused.len(), 4);
    assert_eq!(strict("+19002345678", "US"), Err(InvalidRecipient::Service));
    for code in PHONE_NUMBER_UTIL.get_supported_global_network_calling_codes() {
        let number = PHONE_NUMBER_UTIL
            .get_example_number_for_non_geo_entity(code)
            .unwrap();
        let number = number.format_as(PhoneNumberFormat::E164);
        assert_eq!(
            strict(&number, ""),
            Err(InvalidRecipient::Network),
            "{number}"
        );
    }
}

#[test]
fn every_countrys_mobile_numbers_are_taken() {
    let mut taken = 0;
    for region in PHONE_NUMBER_UTIL.get_supported_regions() {
        let Ok(number) = PHONE_NUMBER_UTIL
            .get_example_number_for_type_and_region(region, PhoneNumberType::Mobile)
        else {
            continue;
        };
        let canonical = number.format_as(PhoneNumberFormat::E164).into_owned();
        let own = region.as_region_str().to_string();
        let national = number.format_as(PhoneNumberFormat::National);
        let international = number.format_as(PhoneNumberFormat::International);
        for raw in [&*canonical, &national, &international] {
            assert_eq!(strict(raw, &own), Ok(canonical.clone()), "{raw} in {own}");
            assert_eq!(lenient(raw, &own), Ok(canonical.clone()), "{raw} in {own}");
        }
        taken += 1;
    }
    assert!(taken > 200, "{taken}");
}

#[test]
fn lenient_rules_want_the_shape_of_e_164_only() {
    for raw in [
        "+1234567890",
        "+1 (234) 567-890",
        "001234567890",
        "\u{FF0B}1234567890",
        "+1 234 567 890",
    ] {
        for region in ["", "US", "IN", "GB"] {
            assert_eq!(
                lenient(raw, region),
                Ok("+1234567890".into()),
                "{raw} in {region:?}"
            );
        }
    }
    assert_eq!(lenient("0111234567890", "US"), Ok("+1234567890".into()));
    assert_eq!(lenient("+999123456789", ""), Ok("+999123456789".into()));
    assert_eq!(lenient("+11234567890", ""), Ok("+11234567890".into()));
    assert_eq!(lenient("+12", ""), Ok("+12".into()));
    assert_eq!(lenient("+1", ""), Err(InvalidRecipient::Shape));
    assert_eq!(
        lenient("+123456789012345", ""),
        Ok("+123456789012345".into())
    );
    assert_eq!(
        lenient("+1234567890123456", ""),
        Err(InvalidRecipient::Shape)
    );
    assert_eq!(lenient("+0123456789", ""), Err(InvalidRecipient::Shape));
    assert_eq!(lenient("1234", "US"), Err(InvalidRecipient::Impossible));
    assert_eq!(lenient("5555555555", "US"), Ok("+15555555555".into()));
}

#[test]
fn a_number_knows_its_country() {
    let number = |raw| Phone::parse(raw, &rules("", false)).unwrap();
    for (raw, code, region) in [
        ("+14155550123", "1", Some("US")),
        ("+14165550123", "1", Some("CA")),
        ("+4930901820", "49", Some("DE")),
        ("+79123456789", "7", Some("RU")),
        ("+77012345678", "7", Some("KZ")),
        ("+35312345678", "353", Some("IE")),
        ("+881612345678", "881", None),
        ("+999123456789", "999", None),
    ] {
        let region = region.map(|code| code.parse::<Region>().unwrap());
        assert_eq!(
            (number(raw).calling_code(), number(raw).region()),
            (code, region),
            "{raw}"
        );
    }
}

#[test]
fn the_calling_codes_are_those_of_the_numbering_plan() {
    for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
        let phone = Phone::from_canonical(&format!("+{code}5550123"));
        assert_eq!(phone.calling_code(), code.to_string());
    }
}

/// Everything that any library logs.
struct LogBook(parking_lot::Mutex<String>);

impl log::Log for LogBook {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0
            .lock()
            .push_str(&format!("{} {}\n", record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[test]
fn no_log_of_any_level_holds_a_number() {
    static LOG_BOOK: LogBook = LogBook(parking_lot::Mutex::new(String::new()));
    log::set_logger(&LOG_BOOK).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    log::error!("the log book is open");
    for raw in [
        "+442079460765",
        "020 7946 0765",
        "+44 2079460765 12345",
        "+999 2079460765",
        "2079460765",
    ] {
        for strict in [true, false] {
            let _ = Phone::parse(raw, &rules("GB", strict)).map(|phone| phone.region());
        }
    }
    let written = LOG_BOOK.0.lock().clone();
    assert!(written.contains("the log book is open"));
    assert!(!written.contains("2079460765"), "{written}");
}
