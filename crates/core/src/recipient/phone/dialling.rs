//! How numbers are dialled within their own country.
//!
//! The answers are those of the library, which reads a national number with four to eight regular
//! expressions, some hundred times slower. Where a number looks as if it could be read in more than
//! one way, only the library says which.

use std::sync::OnceLock;

use rlibphonenumber::PHONE_NUMBER_UTIL;
use rlibphonenumber::interfaces::AsOriginal;
use zeroize::Zeroizing;

use super::Region;
use super::pattern::DigitPattern;
use super::plan::{self, Described};

/// By the two letters of the region; each is read on its first number.
static HABITS: [OnceLock<Option<Box<Habits>>>; 26 * 26] = [const { OnceLock::new() }; 26 * 26];

/// What people of one country or territory dial.
struct Habits {
    calling_code: String,
    /// All of its numbers.
    numbers: Described,
    /// Before a calling code.
    abroad: Option<DigitPattern>,
    /// Before a number of their own: one of these.
    trunks: Vec<Trunk>,
}

/// What may stand before a national number, and is no part of it.
struct Trunk {
    pattern: DigitPattern,
    /// Nothing comes after it: it is a number that is to be written in another way.
    is_all: bool,
    /// Some of it is to be put in another place.
    moves: bool,
}

/// The number that somebody means who dials these ASCII digits in this region, in E.164 form with
/// its `+`; nothing if only the library can say. Whether such a number can exist is another question.
pub(super) fn at_home(digits: &str, region: Region) -> Option<Zeroizing<String>> {
    let habits = HABITS.get(place(region)?)?;
    let habits = habits.get_or_init(|| Habits::read(region).map(Box::new));
    let habits = habits.as_ref()?;
    let number = habits.number(digits)?;
    let code = &habits.calling_code;
    let mut whole = Zeroizing::new(String::with_capacity(1 + code.len() + number.len()));
    whole.push('+');
    whole.push_str(code);
    whole.push_str(number);
    Some(whole)
}

fn place(region: Region) -> Option<usize> {
    let [first, second] = region.letters();
    let letter = |letter: u8| letter.checked_sub(b'A').map(usize::from);
    Some(letter(first)? * 26 + letter(second)?)
}

impl Habits {
    fn read(region: Region) -> Option<Self> {
        let tables = PHONE_NUMBER_UTIL.as_original();
        let known = tables.get_metadata_for_region(region.inner())?;
        let numbers = known.general_desc.national_number_pattern();
        let lengths = &known.general_desc.original.possible_length;
        Self::of(
            known.original.country_code().to_string(),
            Described::read(lengths, numbers.pattern_base.as_deref())?,
            plan::pattern(known.international_prefix().pattern_base.as_deref())?,
            known.national_prefix_for_parsing().original_base(),
            !known.original.national_prefix_transform_rule().is_empty(),
        )
    }

    /// `moves` says that what `trunk` captures belongs to the number, in another place.
    fn of(
        calling_code: String,
        numbers: Described,
        abroad: Option<DigitPattern>,
        trunk: &str,
        moves: bool,
    ) -> Option<Self> {
        let trunks = alternatives(trunk).into_iter();
        let trunks = trunks.filter(|one| !one.is_empty());
        let trunks = trunks.map(|one| Trunk::read(one, moves));
        Some(Self {
            calling_code,
            numbers,
            abroad,
            trunks: trunks.collect::<Option<_>>()?,
        })
    }

    /// The national number that is meant.
    fn number<'a>(&self, digits: &'a str) -> Option<&'a str> {
        if self
            .abroad
            .as_ref()
            .is_some_and(|abroad| abroad.begins(digits))
        {
            return None;
        }
        let (trunk, number) = digits.split_at(self.trunk(digits)?);
        let code = &*self.calling_code;
        // Where both could have been dialled, it does not matter which if they are the same.
        let doubt = !trunk.is_empty() && digits.starts_with(code);
        if doubt && (trunk != code || self.trunk(number) != Some(0)) {
            return None;
        }
        // What is no number of this country by its plan, or has lost what was a part of it, may be
        // another number.
        self.numbers.has(number).then_some(number)
    }

    /// How many of the first digits are no part of the number; nothing if that is in doubt.
    fn trunk(&self, digits: &str) -> Option<usize> {
        let mut found = None;
        for trunk in &self.trunks {
            for length in trunk.pattern.beginnings(digits) {
                if trunk.is_all && length < digits.len() {
                    continue;
                }
                if trunk.moves || found.is_some_and(|found| found != length) {
                    return None;
                }
                found = Some(length);
            }
        }
        Some(found.unwrap_or(0))
    }
}

impl Trunk {
    fn read(pattern: &str, moves: bool) -> Option<Self> {
        let open = pattern.strip_suffix('$');
        Some(Self {
            pattern: DigitPattern::compile(open.unwrap_or(pattern))?,
            is_all: open.is_some(),
            // Only what is captured is moved.
            moves: moves && pattern.replace("(?:", "").contains('('),
        })
    }
}

/// The alternatives of a pattern, as far as they are not within a group.
fn alternatives(pattern: &str) -> Vec<&str> {
    let mut depth = 0;
    let bar = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == '|' && depth == 0
    };
    pattern.split(bar).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::plan::tests::examples;
    use super::super::{as_dialled, at_home};
    use super::*;

    /// Every region, and numbers behind its calling code, its neighbours' among them.
    fn known() -> Vec<(Region, Vec<String>)> {
        let examples = examples();
        let regions = PHONE_NUMBER_UTIL.get_supported_regions();
        let regions = regions.filter_map(Region::from_inner).map(|region| {
            let code = PHONE_NUMBER_UTIL.get_country_code_for_region(region.inner());
            let own = examples.iter().filter(|(of, _)| Some(*of) == code);
            (region, own.map(|(_, digits)| digits.clone()).collect())
        });
        regions.collect()
    }

    /// What stands before numbers where they are dialled, or could be taken for it.
    fn before(region: Region, choice: usize) -> String {
        let known = PHONE_NUMBER_UTIL
            .as_original()
            .get_metadata_for_region(region.inner());
        let known = known.unwrap();
        let code = known.original.country_code();
        let trunk = known.original.national_prefix();
        match choice {
            0 | 1 => String::new(),
            2 | 3 => trunk.to_owned(),
            4 => code.to_string(),
            5 => format!("00{code}"),
            6 => format!("{trunk}{code}"),
            7 => format!("{code}{trunk}"),
            8 => "0".to_owned(),
            9 => format!("{trunk}{trunk}"),
            10 => format!("011{code}"),
            _ => "15".to_owned(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16384, ..ProptestConfig::default() })]

        /// Examples with some of their digits changed, as numbers at random are hardly ever valid.
        #[test]
        fn what_is_read_quickly_is_what_the_library_reads(
            (region, examples) in prop::sample::select(known()),
            which: prop::sample::Index,
            prefix in 0_usize..12,
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..10), 0..5),
            more in "[0-9]{0,2}",
            less in 0_usize..2,
            strict: bool,
        ) {
            prop_assume!(!examples.is_empty());
            let mut digits = which.get(&examples).clone().into_bytes();
            for (place, digit) in changes {
                let place = place.index(digits.len());
                digits[place] = b'0' + digit;
            }
            digits.truncate(digits.len() - less);
            digits.extend(more.bytes());
            let dialled = before(region, prefix) + std::str::from_utf8(&digits).unwrap();
            if let Some(quick) = at_home(&dialled, region, strict) {
                prop_assert_eq!(quick, as_dialled(&dialled, region, strict), "{} in {:?}", dialled, region);
            }
        }
    }

    /// What somebody means who dials this in a country with such habits.
    fn meant(code: &str, numbers: &str, trunk: &str, digits: &'static str) -> Option<String> {
        let numbers = Described::read(&[], Some(&format!("^(?:{numbers})$"))).unwrap();
        let abroad = DigitPattern::compile("00");
        let habits = Habits::of(code.to_owned(), numbers, abroad, trunk, true).unwrap();
        habits.number(digits).map(str::to_owned)
    }

    #[test]
    fn a_trunk_prefix_goes_and_a_number_without_it_stays() {
        assert_eq!(meant("49", r"\d{3}", "0", "0234").as_deref(), Some("234"));
        assert_eq!(meant("49", r"\d{3}", "0", "234").as_deref(), Some("234"));
        assert_eq!(meant("49", r"\d{3}", "", "234").as_deref(), Some("234"));
        assert_eq!(meant("39", r"0\d{2}", "", "034").as_deref(), Some("034"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_left_to_the_library() {
        for (code, numbers, trunk, digits, why) in [
            ("49", r"\d{4,5}", "0", "00234", "dialled to go abroad"),
            ("49", r"2\d{2}", "0", "0345", "no number of this country"),
            ("49", r"2\d{2}", "0", "345", "no number of this country"),
            ("49", r"\d{2,3}", "0|01", "0123", "two prefixes"),
            ("49", r"\d{3}", "0(1)?", "0234", "a prefix that may move"),
            (
                "1",
                r"\d{3}",
                "1",
                "1134",
                "the prefix twice, or the calling code before it",
            ),
            (
                "12",
                r"\d{3}",
                "1",
                "1234",
                "the prefix, or the calling code",
            ),
            (
                "49",
                r"\d{2}",
                "(2\\d)$|0",
                "21",
                "a number without its area code",
            ),
        ] {
            assert_eq!(meant(code, numbers, trunk, digits), None, "{why}");
        }
        assert_eq!(meant("1", r"\d{3}", "1", "1234").as_deref(), Some("234"));
        let longer = meant("49", r"\d{3}", "(2\\d)$|0", "215");
        assert_eq!(longer.as_deref(), Some("215"), "not all of it");
    }

    /// Left are a nine that is dialled as a zero and a fifteen, and carriers that are dialled, too.
    #[test]
    fn the_mobile_numbers_of_all_countries_but_three_are_read_quickly_as_they_are_dialled() {
        let mut slow = Vec::new();
        for (region, _) in known() {
            let mobile = rlibphonenumber::PhoneNumberType::Mobile;
            let example =
                PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region.inner(), mobile);
            let Ok(example) = example else { continue };
            let digits = example.get_national_significant_number();
            for dialled in [digits.clone(), before(region, 2) + &digits] {
                if at_home(&dialled, region, true).is_none() {
                    slow.push(format!("{} {dialled}", String::from(region)));
                }
            }
        }
        slow.sort();
        let known = [
            "AR 091123456789",
            "AR 91123456789",
            "BR 011961234567",
            "CO 03211234567",
        ];
        assert_eq!(slow, known);
    }
}
