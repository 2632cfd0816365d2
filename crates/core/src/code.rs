//! One-time codes: drawing them and reading what a person typed.
//!
//! A [`Code`] lives from its drawing to its delivery, or from its reading to its digest. What the
//! program keeps and compares is a keyed digest, never a code.
//!
//! **Invariant:** nothing here prints or serializes a code.

pub(crate) mod spelling;

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, EntropyError, draw};

/// The symbols a code is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabet {
    /// `0` to `9`.
    #[default]
    Digits,
    /// Digits and upper-case letters without I, L, O and U, the 32 symbols of Crockford's base 32:
    /// none is mistaken for another, and typing `o` for `0` or `l` for `1` is forgiven.
    Alphanumeric,
}

impl Alphabet {
    /// How many symbols there are.
    #[must_use]
    pub const fn size(self) -> u32 {
        match self {
            Self::Digits => 10,
            Self::Alphanumeric => 32,
        }
    }

    /// How many symbols one random word is good for. Six of either alphabet fit in 32 bits.
    const SYMBOLS_IN_A_WORD: u32 = 6;
}

/// Crockford's base 32. Its first ten symbols are the digits.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What codes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CodeFormat {
    /// The symbols it is made of.
    pub alphabet: Alphabet,
    /// How many symbols, within [`CodeFormat::LENGTHS`].
    pub length: u8,
}

impl CodeFormat {
    /// The lengths that a code can have.
    pub const LENGTHS: RangeInclusive<u8> = 1..=10;
}

impl Default for CodeFormat {
    /// Six digits.
    fn default() -> Self {
        Self {
            alphabet: Alphabet::Digits,
            length: 6,
        }
    }
}

/// A code: 1 to 10 symbols out of `0`–`9` and `A`–`Z` without I, L, O and U.
///
/// It is wiped when dropped. It has no `PartialEq` on purpose: codes are compared as keyed digests.
#[derive(Clone)]
pub struct Code(Zeroizing<String>);

impl Code {
    /// Longest text that [`Code::parse`] looks at, in bytes.
    const MAX_RAW_BYTES: usize = 256;

    /// Draws a code, every one of `format` as likely as every other, leading zeros included.
    ///
    /// A length outside [`CodeFormat::LENGTHS`] is taken as the nearest one inside; policies
    /// refuse such a length before.
    ///
    /// # Errors
    /// [`EntropyError`] when the source of randomness fails. Nothing is drawn then.
    pub fn generate(format: CodeFormat, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let length = format
            .length
            .clamp(*CodeFormat::LENGTHS.start(), *CodeFormat::LENGTHS.end());
        let mut missing = u32::from(length);
        let mut code = Zeroizing::new(String::with_capacity(usize::from(length)));
        while missing > 0 {
            // Enough for two words that are needed and two that may be rejected.
            let bytes = Zeroizing::new(draw::<16>(entropy)?);
            for word in bytes.as_chunks::<4>().0 {
                let symbols = missing.min(Alphabet::SYMBOLS_IN_A_WORD);
                let Some(mut value) = uniform_below(
                    format.alphabet.size().pow(symbols),
                    u32::from_le_bytes(*word),
                ) else {
                    continue;
                };
                for _ in 0..symbols {
                    code.push(char::from(
                        SYMBOLS[(value % format.alphabet.size()) as usize],
                    ));
                    value /= format.alphabet.size();
                }
                missing -= symbols;
                if missing == 0 {
                    break;
                }
            }
        }
        Ok(Self(code))
    }

    /// Reads what a person typed or pasted.
    ///
    /// Every spelling of a code reads as the same code: decimal digits of any script become
    /// ASCII, white space, hyphens, dashes and invisible characters are left out, letters become
    /// upper case, and I, L and O are taken for the 1, 1 and 0 that they resemble. Digits that are
    /// more than digits (circled, superscript) are refused.
    ///
    /// # Errors
    /// [`InvalidCode`] when no code can be read. It never holds what was typed.
    pub fn parse(raw: &str) -> Result<Self, InvalidCode> {
        if raw.len() > Self::MAX_RAW_BYTES {
            return Err(InvalidCode::TooLong);
        }
        let longest = usize::from(*CodeFormat::LENGTHS.end());
        let mut code = Zeroizing::new(String::with_capacity(longest));
        for typed in raw.chars() {
            let Some(symbol) = symbol(typed)? else {
                continue;
            };
            if code.len() == longest {
                return Err(InvalidCode::TooLong);
            }
            code.push(symbol);
        }
        if code.is_empty() {
            Err(InvalidCode::Empty)
        } else {
            Ok(Self(code))
        }
    }

    /// The symbols themselves, for the digest and for the message. Nothing else may ask.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(redacted)")
    }
}

/// The symbol that a typed character stands for; nothing for one that is left out.
fn symbol(typed: char) -> Result<Option<char>, InvalidCode> {
    if let Some(digit) = spelling::decimal_digit(typed) {
        return Ok(Some(digit));
    }
    match typed.to_ascii_uppercase() {
        'I' | 'L' => Ok(Some('1')),
        'O' => Ok(Some('0')),
        'U' => Err(InvalidCode::Symbol),
        letter @ 'A'..='Z' => Ok(Some(letter)),
        mark if spelling::is_space(mark)
            || spelling::is_dash(mark)
            || spelling::is_invisible(mark) =>
        {
            Ok(None)
        }
        _ => Err(InvalidCode::Symbol),
    }
}

/// Maps a random word to a number below `count`, each as likely as every other; nothing for the
/// few words at the top that would favour the small numbers, and for which the caller draws again.
const fn uniform_below(count: u32, word: u32) -> Option<u32> {
    let words = 1_u64 << 32;
    let fair = words - words % count as u64;
    if (word as u64) < fair {
        Some(word % count)
    } else {
        None
    }
}

/// The text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCode {
    /// Nothing but white space and dashes.
    #[error("is empty")]
    Empty,
    /// More than 10 symbols.
    #[error("is longer than any code")]
    TooLong,
    /// A character that is in no code.
    #[error("has a character that is in no code")]
    Symbol,
}

#[cfg(test)]
mod tests;
