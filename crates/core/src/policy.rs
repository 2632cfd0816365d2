//! Policies: how long, how many, how often.

use std::time::Duration;

use serde::Deserialize;

use crate::code::{Alphabet, CodeFormat};
use crate::countries::Countries;
use crate::limit::{Limit, Per, Quota};
use crate::odds::{GuessingOdds, Weakness};

/// What one surface, or one app, demands of its codes and callers.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What a code looks like.
    pub code: CodeFormat,
    /// How long a code lives.
    pub ttl: Duration,
    /// How many guesses one code bears.
    pub max_attempts: u32,
    /// How long after a send the same recipient and purpose have to wait for the next.
    pub resend_cooldown: Duration,
    /// How often may be sent.
    pub limits: Vec<Limit>,
    /// Which countries' numbers are sent codes.
    pub countries: Countries,
    /// How many wrong guesses one recipient bears, whatever the code.
    pub failures: FailureBudget,
    /// What a new start does while a code of the same recipient and purpose lives.
    pub when_pending: WhenPending,
}

/// How many failed checks one recipient of one app bears across all its codes.
///
/// NIST SP 800-63B-4 section 3.2.2 allows at most 100 in a row; the other two are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureBudget {
    /// In any window of an hour.
    pub per_hour: u32,
    /// In any window of a day.
    pub per_day: u32,
    /// Without a success in between; then the recipient is locked until unlocked.
    pub in_a_row: u32,
}

impl FailureBudget {
    /// The longest window that failures are remembered for.
    pub const HORIZON: Duration = Duration::from_hours(24);

    /// The two windows as quotas of a sliding log.
    #[must_use]
    pub const fn quotas(self) -> [Quota; 2] {
        [
            Quota {
                max: self.per_hour,
                window: Duration::from_hours(1),
            },
            Quota {
                max: self.per_day,
                window: Self::HORIZON,
            },
        ]
    }
}

impl Default for FailureBudget {
    fn default() -> Self {
        Self {
            per_hour: 10,
            per_day: 20,
            in_a_row: 100,
        }
    }
}

/// What a new start does while a code of the same recipient and purpose lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenPending {
    /// The new one takes the place of the old one, whose code dies.
    Replace,
    /// The new one is refused; a resend is wanted.
    Refuse,
}

impl Default for Policy {
    fn default() -> Self {
        let window = Duration::from_mins(10);
        Self {
            code: CodeFormat {
                alphabet: Alphabet::Digits,
                length: 6,
            },
            ttl: Duration::from_mins(5),
            max_attempts: 5,
            resend_cooldown: Duration::from_secs(30),
            limits: vec![
                Limit {
                    per: Per::Recipient,
                    max: 3,
                    window,
                },
                Limit {
                    per: Per::Source,
                    max: 30,
                    window,
                },
            ],
            countries: Countries::default(),
            failures: FailureBudget::default(),
            when_pending: WhenPending::Replace,
        }
    }
}

/// A policy that must not be used, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidPolicy {
    /// The setting to change.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Policy {
    /// The longest life of a code that authenticates (NIST SP 800-63B-4 section 3.1.3.2).
    pub const MAX_TTL: Duration = Duration::from_mins(10);

    /// The quotas of one kind of limit.
    #[must_use]
    pub fn quotas(&self, per: Per) -> Vec<Quota> {
        let of_kind = self.limits.iter().filter(|limit| limit.per == per);
        of_kind
            .map(|limit| Quota {
                max: limit.max,
                window: limit.window,
            })
            .collect()
    }

    /// What guessing is worth under this policy.
    #[must_use]
    pub const fn odds(&self) -> GuessingOdds {
        GuessingOdds {
            format: self.code,
            max_attempts: self.max_attempts,
            failures_per_day: self.failures.per_day,
        }
    }

    /// Refuses what no operator should run.
    ///
    /// # Errors
    /// Names the first setting that is out of range. Codes that one in 10,000 tries guesses are
    /// always refused; those that one in 100,000 guesses need `allow_weak_codes`.
    pub fn validate(&self, allow_weak_codes: bool) -> Result<(), InvalidPolicy> {
        let refuse = |field, reason: &str| {
            Err(InvalidPolicy {
                field,
                reason: reason.to_owned(),
            })
        };
        if !(1..=10).contains(&self.code.length) {
            return refuse("code_length", "must be from 1 to 10");
        }
        if !(1..=100).contains(&self.max_attempts) {
            return refuse("max_attempts", "must be from 1 to 100");
        }
        if self.ttl < Duration::from_secs(1) || self.ttl > Duration::from_hours(1) {
            return refuse("ttl", "must be from 1s to 1h");
        }
        if self.resend_cooldown > Duration::from_hours(1) {
            return refuse("resend_cooldown", "must be at most 1h");
        }
        let budget = self.failures;
        if budget.per_hour == 0 || budget.per_day == 0 || !(1..=100).contains(&budget.in_a_row) {
            return refuse(
                "failures",
                "per_hour and per_day start at 1, in_a_row is 1 to 100",
            );
        }
        for limit in &self.limits {
            if limit.max == 0 || limit.max > 100_000 {
                return refuse("limits", "max must be from 1 to 100000");
            }
            if limit.window < Duration::from_secs(1) || limit.window > LONGEST_WINDOW {
                return refuse("limits", "window must be from 1s to 7d");
            }
        }
        match self.odds().weakness() {
            Weakness::Fine => Ok(()),
            Weakness::NeedsConsent if allow_weak_codes => Ok(()),
            Weakness::NeedsConsent => refuse(
                "code_length",
                "codes this short are guessed too easily in so many attempts; make them longer, \
                 allow fewer attempts, or set allow_weak_codes = true",
            ),
            Weakness::Refused => refuse(
                "code_length",
                "codes this short are guessed once in fewer than 10,000 verifications; make them \
                 longer or allow fewer attempts",
            ),
        }
    }
}

/// The longest window a limit may have, and so how long sends are remembered.
pub const LONGEST_WINDOW: Duration = Duration::from_hours(24 * 7);

/// The settings of a policy that one layer of the configuration changes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyPatch {
    /// See [`CodeFormat::length`].
    pub code_length: Option<u8>,
    /// See [`CodeFormat::alphabet`].
    pub alphabet: Option<Alphabet>,
    /// See [`Policy::ttl`].
    #[serde(with = "span::option")]
    pub ttl: Option<Duration>,
    /// See [`Policy::max_attempts`].
    pub max_attempts: Option<u32>,
    /// See [`Policy::resend_cooldown`].
    #[serde(with = "span::option")]
    pub resend_cooldown: Option<Duration>,
    /// Replaces the whole list.
    pub limits: Option<Vec<Limit>>,
    /// Replaces the whole list. See [`Countries`].
    pub countries: Option<Countries>,
    /// See [`FailureBudget`].
    pub failures_per_hour: Option<u32>,
    /// See [`FailureBudget`].
    pub failures_per_day: Option<u32>,
    /// See [`FailureBudget`].
    pub failures_in_a_row: Option<u32>,
}

impl PolicyPatch {
    /// `base` with what this layer changes.
    #[must_use]
    pub fn over(&self, base: &Policy) -> Policy {
        Policy {
            code: CodeFormat {
                length: self.code_length.unwrap_or(base.code.length),
                alphabet: self.alphabet.unwrap_or(base.code.alphabet),
            },
            ttl: self.ttl.unwrap_or(base.ttl),
            max_attempts: self.max_attempts.unwrap_or(base.max_attempts),
            resend_cooldown: self.resend_cooldown.unwrap_or(base.resend_cooldown),
            limits: self.limits.clone().unwrap_or_else(|| base.limits.clone()),
            countries: self
                .countries
                .clone()
                .unwrap_or_else(|| base.countries.clone()),
            failures: FailureBudget {
                per_hour: self.failures_per_hour.unwrap_or(base.failures.per_hour),
                per_day: self.failures_per_day.unwrap_or(base.failures.per_day),
                in_a_row: self.failures_in_a_row.unwrap_or(base.failures.in_a_row),
            },
            when_pending: base.when_pending,
        }
    }
}

/// Spans in a configuration: `"30s"`, `"5m"`, `"1h"`, `"7d"`, `"1m 30s"`, or whole seconds.
pub mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Reads a span from a text such as `5m` or `90`.
    ///
    /// # Errors
    /// A sentence that shows the accepted forms.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let wrong =
            || format!("{text:?} is not a span of time; write it like \"30s\", \"5m\" or \"1h\"");
        let mut total = Duration::ZERO;
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if compact.is_empty() {
            return Err(wrong());
        }
        let mut rest = compact.as_str();
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let count: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            let tail = &rest[digits..];
            let letters = tail
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(tail.len());
            let unit_millis = match &tail[..letters] {
                "ms" => 1,
                "" | "s" => 1000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(wrong()),
            };
            let millis = count.checked_mul(unit_millis).ok_or_else(wrong)?;
            total = total
                .checked_add(Duration::from_millis(millis))
                .ok_or_else(wrong)?;
            rest = &tail[letters..];
        }
        Ok(total)
    }

    /// Writes a span the way [`parse`] reads it, in the largest unit that divides it.
    #[must_use]
    pub fn format(span: Duration) -> String {
        let millis = span.as_millis();
        for (unit, size) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1000),
        ] {
            if millis != 0 && millis.is_multiple_of(size) {
                return format!("{}{unit}", millis / size);
            }
        }
        if millis == 0 {
            "0s".to_owned()
        } else {
            format!("{millis}ms")
        }
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        Seconds(u64),
        Text(String),
    }

    impl Raw {
        fn read<E: serde::de::Error>(self) -> Result<Duration, E> {
            match self {
                Self::Seconds(seconds) => Ok(Duration::from_secs(seconds)),
                Self::Text(text) => parse(&text).map_err(E::custom),
            }
        }
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        Raw::deserialize(input)?.read()
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(span: &Duration, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&format(*span))
    }

    /// The same for settings that may be absent.
    pub mod option {
        use super::{Deserialize, Deserializer, Duration, Raw};

        /// For `#[serde(with)]`.
        ///
        /// # Errors
        /// As [`super::parse`].
        pub fn deserialize<'de, D: Deserializer<'de>>(
            input: D,
        ) -> Result<Option<Duration>, D::Error> {
            Option::<Raw>::deserialize(input)?
                .map(Raw::read)
                .transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, millis) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("90", 90_000),
            ("1m 30s", 90_000),
            ("7d", 604_800_000),
        ] {
            let span = span::parse(text).unwrap();
            assert_eq!(span.as_millis(), millis, "{text}");
            assert_eq!(span::parse(&span::format(span)).unwrap(), span, "{text}");
        }
        for wrong in [
            "",
            "m",
            "-5m",
            "5x",
            "1.5h",
            "5 apples",
            "99999999999999999999d",
        ] {
            assert!(span::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_policy_is_valid_and_four_digits_are_not() {
        let policy = Policy::default();
        assert_eq!(policy.validate(false), Ok(()));
        let four = PolicyPatch {
            code_length: Some(4),
            ..PolicyPatch::default()
        }
        .over(&policy);
        assert!(
            four.validate(true).is_err(),
            "5 of 10,000 is worse than 1 in 10,000"
        );
        let patch = PolicyPatch {
            code_length: Some(5),
            ..PolicyPatch::default()
        };
        let five = patch.over(&policy);
        assert!(five.validate(false).is_err());
        assert_eq!(five.validate(true), Ok(()));
    }
}
