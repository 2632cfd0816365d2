//! What guessing is worth: the odds that a policy leaves to somebody who tries codes at random.
//!
//! Pure arithmetic on a policy's numbers, so that a configuration can be judged and its odds be
//! shown before anything runs.

use std::fmt;

use crate::code::CodeFormat;

/// The numbers of a policy that decide what guessing is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessingOdds {
    /// What its codes look like.
    pub format: CodeFormat,
    /// How many guesses one code stands.
    pub max_attempts: u32,
    /// How many failed checks one recipient stands in a day, over all of its verifications.
    pub failures_per_day: u32,
}

/// Whether a policy may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// More than 1 in 10,000 for each verification: never.
    Refused,
    /// More than 1 in 100,000 for each verification, or fewer than a million codes: only if the
    /// operator says so in as many words.
    NeedsConsent,
    /// Strong enough.
    Fine,
}

impl GuessingOdds {
    /// How many different codes there are.
    #[must_use]
    pub fn codes(&self) -> u64 {
        // The longest codes, 32^10, take 50 bits; anything longer is no valid format.
        u64::from(self.format.alphabet.size()).saturating_pow(u32::from(self.format.length))
    }

    /// The chance that one of the guesses that a code stands is right.
    #[must_use]
    pub fn per_verification(&self) -> f64 {
        self.within(u64::from(self.max_attempts))
    }

    /// The chance that so many guesses at one code, none made twice, hold the right one.
    #[must_use]
    pub fn within(&self, guesses: u64) -> f64 {
        (guesses as f64 / self.codes() as f64).min(1.0)
    }

    /// The chance that a recipient falls who is attacked with all the failures that a day allows,
    /// every day of a year.
    #[must_use]
    pub fn per_recipient_year(&self) -> f64 {
        let miss_one = -1.0 / self.codes() as f64;
        let guesses = f64::from(self.failures_per_day) * 365.0;
        -f64::exp_m1(f64::ln_1p(miss_one) * guesses)
    }

    /// How many verifications, of any recipients, with all guesses used, an attacker needs for one
    /// expected hit, which is a chance of 63 % for at least one.
    #[must_use]
    pub fn verifications_for_one_hit(&self) -> u64 {
        self.codes().div_ceil(u64::from(self.max_attempts.max(1)))
    }

    /// Whether a policy with these odds may be used.
    #[must_use]
    pub fn weakness(&self) -> Weakness {
        let (guesses, codes) = (u64::from(self.max_attempts), self.codes());
        if guesses.saturating_mul(10_000) > codes {
            Weakness::Refused
        } else if guesses.saturating_mul(100_000) > codes || codes < 1_000_000 {
            Weakness::NeedsConsent
        } else {
            Weakness::Fine
        }
    }
}

/// One sentence for a person: `1 in 200,000 for each code, 0.73 % a year for a recipient attacked
/// every day, one expected hit in 200,000 verifications`.
impl fmt::Display for GuessingOdds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} for each code, {} a year for a recipient attacked every day, \
             one expected hit in {} verifications",
            one_in(self.per_verification()),
            percent(self.per_recipient_year()),
            grouped(self.verifications_for_one_hit()),
        )
    }
}

/// A chance as `1 in 200,000`; the number is rounded down, so the chance is never made to look
/// smaller than it is.
#[must_use]
pub fn one_in(chance: f64) -> String {
    if chance <= 0.0 {
        return "never".to_owned();
    }
    // Half a millionth forgives what division lost; a float that is too large becomes the largest
    // integer.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let tries = (1.0 / chance + 5e-7).floor() as u64;
    format!("1 in {}", grouped(tries))
}

/// A chance in percent with two significant digits, such as `0.73 %`.
#[must_use]
pub fn percent(chance: f64) -> String {
    let percent = chance * 100.0;
    if percent <= 0.0 {
        return "0 %".to_owned();
    }
    #[expect(clippy::cast_possible_truncation)]
    let magnitude = percent.log10().floor() as i32;
    let decimals = usize::try_from(1 - magnitude).unwrap_or(0);
    format!("{percent:.decimals$} %")
}

/// A whole number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Alphabet;

    fn odds(
        alphabet: Alphabet,
        length: u8,
        max_attempts: u32,
        failures_per_day: u32,
    ) -> GuessingOdds {
        GuessingOdds {
            format: CodeFormat { alphabet, length },
            max_attempts,
            failures_per_day,
        }
    }

    #[test]
    fn the_odds_of_one_code_are_its_guesses_among_all_codes() {
        let one_code = |length, attempts| {
            one_in(odds(Alphabet::Digits, length, attempts, 20).per_verification())
        };
        assert_eq!(one_code(6, 5), "1 in 200,000");
        assert_eq!(one_code(4, 5), "1 in 2,000");
        assert_eq!(one_code(8, 5), "1 in 20,000,000");
        assert_eq!(one_code(6, 3), "1 in 333,333");
        assert_eq!(one_code(1, 60), "1 in 1");
        assert_eq!(one_code(6, 0), "never");
        assert_eq!(odds(Alphabet::Alphanumeric, 8, 5, 20).codes(), 1 << 40);
    }

    #[test]
    fn a_year_of_attacks_on_one_recipient_is_worth_what_the_daily_failures_allow() {
        let year = |failures| percent(odds(Alphabet::Digits, 6, 5, failures).per_recipient_year());
        assert_eq!(year(10), "0.36 %");
        assert_eq!(year(20), "0.73 %");
        assert_eq!(year(100), "3.6 %");
        assert_eq!(year(600), "20 %");
        assert_eq!(year(0), "0 %");
        let common = odds(Alphabet::Digits, 6, 5, 600).per_recipient_year();
        assert!((common - 0.197).abs() < 0.0005, "{common}");
    }

    #[test]
    fn a_recipients_lock_after_a_hundred_failures_leaves_one_in_ten_thousand() {
        assert_eq!(
            one_in(odds(Alphabet::Digits, 6, 5, 20).within(100)),
            "1 in 10,000"
        );
    }

    #[test]
    fn one_expected_hit_takes_the_codes_divided_by_the_guesses() {
        let usual = odds(Alphabet::Digits, 6, 5, 20);
        assert_eq!(usual.verifications_for_one_hit(), 200_000);
        assert_eq!(
            odds(Alphabet::Digits, 6, 1, 20).verifications_for_one_hit(),
            1_000_000
        );
        let at_least_one = 1.0 - (1.0 - usual.per_verification()).powi(200_000);
        assert!((at_least_one - 0.632).abs() < 0.001, "{at_least_one}");
    }

    #[test]
    fn weak_policies_are_refused_or_need_consent() {
        let weakness = |length, attempts| odds(Alphabet::Digits, length, attempts, 20).weakness();
        assert_eq!(weakness(6, 5), Weakness::Fine);
        assert_eq!(weakness(6, 10), Weakness::Fine);
        assert_eq!(weakness(6, 11), Weakness::NeedsConsent);
        assert_eq!(weakness(6, 100), Weakness::NeedsConsent);
        assert_eq!(weakness(6, 101), Weakness::Refused);
        assert_eq!(weakness(5, 1), Weakness::NeedsConsent);
        assert_eq!(weakness(5, 5), Weakness::NeedsConsent);
        assert_eq!(weakness(4, 1), Weakness::NeedsConsent);
        assert_eq!(weakness(4, 5), Weakness::Refused);
        assert_eq!(
            odds(Alphabet::Alphanumeric, 4, 5, 20).weakness(),
            Weakness::Fine
        );
        assert_eq!(
            odds(Alphabet::Alphanumeric, 3, 3, 20).weakness(),
            Weakness::NeedsConsent
        );
    }

    #[test]
    fn the_odds_read_as_one_sentence() {
        assert_eq!(
            odds(Alphabet::Digits, 6, 5, 20).to_string(),
            "1 in 200,000 for each code, 0.73 % a year for a recipient attacked every day, \
             one expected hit in 200,000 verifications"
        );
    }
}
