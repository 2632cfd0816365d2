//! What a stand-in was told to do.

use serde::{Deserialize, Serialize};

use crate::family::Family;

/// What a stand-in does with the messages that it gets. As JSON: `{"mode": "refuse", "code": 21211}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Mode {
    /// Takes them, and reports each until it was delivered.
    #[default]
    Accept,
    /// Takes them, and never says more.
    AcceptWithoutReceipts,
    /// Takes them, and reports later that each failed.
    AcceptThenFail {
        /// The provider's number; that of an unreachable recipient unless given.
        #[serde(default)]
        code: Option<u32>,
    },
    /// Takes them, and reports everything twice and the last first.
    DisorderedReceipts,
    /// Takes them, and answers only after so long.
    Slow {
        /// Milliseconds.
        millis: u64,
    },
    /// Refuses them.
    Refuse {
        /// The provider's number; that of an unreachable recipient unless given.
        #[serde(default)]
        code: Option<u32>,
        /// The HTTP status; the number's usual one unless given.
        #[serde(default)]
        status: Option<u16>,
    },
    /// Refuses them as too fast, with `Retry-After`.
    Throttle {
        /// Seconds.
        retry_after: u64,
    },
    /// Reads them, and never answers.
    Hang,
    /// Reads them, and closes the connection without an answer.
    Close,
    /// Answers 200 with something that is not of the API.
    Garbage,
    /// Answers 200 (as for a message taken) with an error in the body.
    ErrorInside {
        /// The provider's number; that of an unreachable recipient unless given.
        #[serde(default)]
        code: Option<u32>,
    },
}

/// What the last two digits of a number ask for.
pub(crate) const BY_DIGITS: [(u8, &str); 13] = [
    (1, "refuses: the recipient cannot be reached"),
    (2, "refuses: the credentials are wrong"),
    (3, "refuses: it is down"),
    (4, "throttles, Retry-After 2"),
    (5, "never answers"),
    (6, "closes the connection without an answer"),
    (7, "answers after 3 seconds"),
    (8, "answers 200 with garbage"),
    (9, "answers 200 with an error inside"),
    (10, "accepts, and reports later that it failed"),
    (11, "accepts, and sends no receipts"),
    (12, "accepts, and sends receipts twice and out of order"),
    (13, "throttles, Retry-After 600"),
];

impl Mode {
    /// What the last four digits of a recipient's number ask for: `9`, the digit of a family (`0`
    /// all, `1` Twilio, `2` Meta, `3` Gupshup), and two digits for what to do:
    ///
    /// `01` refuse as unreachable, `02` refuse for its credentials, `03` be down, `04` throttle
    /// for 2 seconds, `05` hang, `06` close, `07` answer after 3 seconds, `08` garbage, `09` an
    /// error inside a 200, `10` accept then fail, `11` accept without receipts, `12` receipts
    /// doubled and out of order, `13` throttle for 10 minutes.
    ///
    /// So `+12015559205` hangs at Meta, and every other family takes it. A number that asks for
    /// nothing leaves what the stand-in was told.
    #[must_use]
    pub fn of_number(family: Family, number: &str) -> Option<Self> {
        let last = number.as_bytes().last_chunk::<4>()?;
        let [b'9', of, tens, ones] = *last else {
            return None;
        };
        if of != b'0' && of != family.digit() || !tens.is_ascii_digit() || !ones.is_ascii_digit() {
            return None;
        }
        let refuse = |code| Self::Refuse {
            code: Some(code),
            status: None,
        };
        Some(match (tens - b'0') * 10 + (ones - b'0') {
            1 => refuse(family.unreachable()),
            2 => refuse(family.unauthorized()),
            3 => refuse(family.down()),
            4 => Self::Throttle { retry_after: 2 },
            5 => Self::Hang,
            6 => Self::Close,
            7 => Self::Slow { millis: 3000 },
            8 => Self::Garbage,
            9 => Self::ErrorInside { code: None },
            10 => Self::AcceptThenFail { code: None },
            11 => Self::AcceptWithoutReceipts,
            12 => Self::DisorderedReceipts,
            13 => Self::Throttle { retry_after: 600 },
            _ => return None,
        })
    }

    /// A table of [`Mode::of_number`] for people.
    #[must_use]
    pub fn table() -> String {
        let rows = BY_DIGITS.map(|(digits, what)| format!("  …9F{digits:02}  {what}\n"));
        rows.concat()
    }

    /// Whether a message is taken.
    pub(crate) const fn takes(self) -> bool {
        matches!(
            self,
            Self::Accept
                | Self::AcceptWithoutReceipts
                | Self::AcceptThenFail { .. }
                | Self::DisorderedReceipts
                | Self::Slow { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_digits_of_a_number_say_what_one_family_or_all_do() {
        let of = |family, number| Mode::of_number(family, number);
        assert_eq!(of(Family::Meta, "+12015559205"), Some(Mode::Hang));
        assert_eq!(of(Family::Twilio, "+12015559205"), None);
        for family in Family::ALL {
            assert_eq!(of(family, "+12015559006"), Some(Mode::Close));
            for number in ["+12015550123", "+12015559000", "+12015559099", "", "905"] {
                assert_eq!(of(family, number), None, "{number}");
            }
        }
    }

    #[test]
    fn everything_in_the_table_is_something_that_a_number_asks_for() {
        for (digits, what) in BY_DIGITS {
            let number = format!("+12015590{digits:02}");
            assert!(Mode::of_number(Family::Meta, &number).is_some(), "{what}");
            assert!(Mode::table().contains(what));
        }
    }

    #[test]
    fn a_mode_is_written_as_json_with_its_name() {
        let json = |text| serde_json::from_str::<Mode>(text);
        assert_eq!(json(r#"{"mode":"hang"}"#).unwrap(), Mode::Hang);
        assert_eq!(
            json(r#"{"mode":"refuse","code":21211}"#).unwrap(),
            Mode::Refuse {
                code: Some(21_211),
                status: None
            }
        );
        assert!(json(r#"{"mode":"refuse","cod":21211}"#).is_err());
        assert!(json(r#"{"mode":"explode"}"#).is_err());
    }
}
