//! The numbering plans of the world: whether a number can exist, and what it is.
//!
//! The answers are those of the library's `get_number_type`, from the library's own tables; only
//! the patterns are read by [`DigitPattern`]. Each calling code is read on its first number.

use std::sync::OnceLock;

use rlibphonenumber::interfaces::AsOriginal;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberType};

use super::pattern::DigitPattern;

/// What numbers of a calling code are; nothing inside where the tables hold what is not understood.
static ZONES: [OnceLock<Option<Zone>>; 1000] = [const { OnceLock::new() }; 1000];

/// The countries and territories of one calling code, the main one first.
struct Zone(Vec<Territory>);

struct Territory {
    leading: Option<DigitPattern>,
    general: Described,
    kinds: Vec<(PhoneNumberType, Described)>,
    fixed: Described,
    mobile: Described,
    fixed_is_mobile: bool,
}

/// Numbers of certain lengths and of one pattern.
pub(super) struct Described {
    /// A bit each; any length without them.
    lengths: Option<u32>,
    pattern: Option<DigitPattern>,
}

/// What the number of these digits behind this calling code is; nothing if only the library can
/// say.
pub(super) fn kind(calling_code: i32, national: &str) -> Option<PhoneNumberType> {
    let zone = ZONES.get(usize::try_from(calling_code).ok()?)?;
    let zone = zone.get_or_init(|| Zone::read(calling_code)).as_ref()?;
    Some(zone.kind(national))
}

impl Zone {
    fn read(calling_code: i32) -> Option<Self> {
        let tables = PHONE_NUMBER_UTIL.as_original();
        let regions = tables.get_regions_for_country_calling_code(calling_code);
        let territories = regions.into_iter().flatten().map(|region| {
            let known = tables.get_metadata_for_region_or_calling_code(calling_code, region)?;
            // The types of the tables cannot be named, only looked into.
            macro_rules! described {
                ($name:ident) => {{
                    let numbers = &known.$name;
                    let pattern = numbers.national_number_pattern().pattern_base.as_deref();
                    Described::read(&numbers.original.possible_length, pattern)?
                }};
            }
            Some(Territory {
                leading: pattern(known.leading_digits().pattern_base.as_deref())?,
                general: described!(general_desc),
                kinds: vec![
                    (PhoneNumberType::PremiumRate, described!(premium_rate)),
                    (PhoneNumberType::TollFree, described!(toll_free)),
                    (PhoneNumberType::SharedCost, described!(shared_cost)),
                    (PhoneNumberType::VoIP, described!(voip)),
                    (PhoneNumberType::PersonalNumber, described!(personal_number)),
                    (PhoneNumberType::Pager, described!(pager)),
                    (PhoneNumberType::UAN, described!(uan)),
                    (PhoneNumberType::VoiceMail, described!(voicemail)),
                ],
                fixed: described!(fixed_line),
                mobile: described!(mobile),
                fixed_is_mobile: known.original.same_mobile_and_fixed_line_pattern(),
            })
        });
        territories.collect::<Option<_>>().map(Self)
    }

    fn kind(&self, national: &str) -> PhoneNumberType {
        if let [only] = self.0.as_slice() {
            return only.kind(national);
        }
        for territory in &self.0 {
            let leads = territory.leading.as_ref();
            let leads = leads.is_some_and(|leading| leading.begins(national));
            let kind = territory.kind(national);
            if leads || kind != PhoneNumberType::Unknown {
                return kind;
            }
        }
        PhoneNumberType::Unknown
    }
}

impl Territory {
    fn kind(&self, national: &str) -> PhoneNumberType {
        if !self.general.has(national) {
            return PhoneNumberType::Unknown;
        }
        let special = self.kinds.iter().find(|(_, numbers)| numbers.has(national));
        if let Some((kind, _)) = special {
            return *kind;
        }
        if self.fixed.has(national) {
            return if self.fixed_is_mobile || self.mobile.has(national) {
                PhoneNumberType::FixedLineOrMobile
            } else {
                PhoneNumberType::FixedLine
            };
        }
        if !self.fixed_is_mobile && self.mobile.has(national) {
            return PhoneNumberType::Mobile;
        }
        PhoneNumberType::Unknown
    }
}

impl Described {
    pub(super) fn read(lengths: &[i32], base: Option<&str>) -> Option<Self> {
        let bit = |length: &i32| {
            u32::try_from(*length)
                .ok()
                .and_then(|at| 1_u32.checked_shl(at))
        };
        let lengths = (!lengths.is_empty())
            .then(|| lengths.iter().filter_map(bit).fold(0, |all, bit| all | bit));
        Some(Self {
            lengths,
            pattern: pattern(base)?,
        })
    }

    pub(super) fn has(&self, national: &str) -> bool {
        let fits = self
            .lengths
            .is_none_or(|lengths| lengths.checked_shr(len(national)).unwrap_or(0) & 1 == 1);
        let pattern = self.pattern.as_ref();
        fits && pattern.is_some_and(|pattern| pattern.matches(national))
    }
}

fn len(national: &str) -> u32 {
    u32::try_from(national.len()).unwrap_or(u32::MAX)
}

/// The library keeps each pattern as `^(?:…)$`.
#[allow(
    clippy::option_option,
    reason = "not understood, or understood and not there"
)]
pub(super) fn pattern(base: Option<&str>) -> Option<Option<DigitPattern>> {
    let Some(base) = base else {
        return Some(None);
    };
    let inner = base.strip_prefix("^(?:")?.strip_suffix(")$")?;
    DigitPattern::compile(inner).map(Some)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use rlibphonenumber::PhoneNumber;

    use super::*;

    /// What the library says of a calling code and digits behind it.
    fn by_the_library(calling_code: i32, national: &str) -> PhoneNumberType {
        let zeros = national.bytes().take_while(|digit| *digit == b'0').count();
        let number = PhoneNumber {
            country_code: calling_code,
            national_number: national.parse().unwrap(),
            italian_leading_zero: (zeros > 0).then_some(true),
            number_of_leading_zeros: (zeros > 1).then(|| i32::try_from(zeros).unwrap()),
            ..PhoneNumber::default()
        };
        number.get_type()
    }

    /// The digits of an example of every kind of number of every country and network.
    pub(in super::super) fn examples() -> Vec<(i32, String)> {
        const KINDS: [PhoneNumberType; 10] = [
            PhoneNumberType::FixedLine,
            PhoneNumberType::Mobile,
            PhoneNumberType::TollFree,
            PhoneNumberType::PremiumRate,
            PhoneNumberType::SharedCost,
            PhoneNumberType::VoIP,
            PhoneNumberType::PersonalNumber,
            PhoneNumberType::Pager,
            PhoneNumberType::UAN,
            PhoneNumberType::VoiceMail,
        ];
        let regions = PHONE_NUMBER_UTIL.get_supported_regions();
        let countries = regions.flat_map(|region| {
            KINDS.iter().filter_map(move |kind| {
                let example =
                    PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, *kind);
                example.ok()
            })
        });
        let networks = PHONE_NUMBER_UTIL.get_supported_global_network_calling_codes();
        let networks = networks.filter_map(|code| {
            PHONE_NUMBER_UTIL
                .get_example_number_for_non_geo_entity(code)
                .ok()
        });
        let digits = |number: PhoneNumber| {
            (
                number.country_code,
                number.get_national_significant_number(),
            )
        };
        let mut all: Vec<_> = countries.chain(networks).map(digits).collect();
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn the_plan_of_every_country_is_understood() {
        for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
            assert!(kind(code, "1").is_some(), "{code}");
        }
    }

    #[test]
    fn examples_are_what_the_library_says_and_no_more_or_less_digits_are() {
        for (code, digits) in examples() {
            let longer = format!("{digits}0");
            for national in [&digits, &longer, &digits[1..], &digits[..digits.len() - 1]] {
                let known = by_the_library(code, national);
                assert_eq!(kind(code, national), Some(known), "+{code} {national}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        /// Examples with some of their digits changed, as numbers at random are hardly ever valid.
        #[test]
        fn numbers_are_what_the_library_says(
            (code, example) in prop::sample::select(examples()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..10), 0..6),
            more in "[0-9]{0,2}",
            less in 0_usize..2,
        ) {
            let mut digits = example.into_bytes();
            for (place, digit) in changes {
                let place = place.index(digits.len());
                digits[place] = b'0' + digit;
            }
            digits.truncate(digits.len() - less);
            digits.extend(more.bytes());
            let national = String::from_utf8(digits).unwrap();
            prop_assert_eq!(kind(code, &national), Some(by_the_library(code, &national)));
        }
    }
}
