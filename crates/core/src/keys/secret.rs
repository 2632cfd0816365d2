//! The secret that an operator keeps.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::entropy::{Entropy, EntropyError, draw};

/// The operator's secret: 32 random bytes or more.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<Vec<u8>>);

/// The text is not a secret key that anybody should use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecretKey {
    /// Not base64.
    #[error("is not base64; make one with `watchword keygen`")]
    NotBase64,
    /// Fewer than 32 bytes.
    #[error("holds {0} bytes where 32 or more are needed; make one with `watchword keygen`")]
    Short(usize),
    /// Not random: a repeated or counted-up pattern, or printable text.
    #[error("is not random; make one with `watchword keygen`")]
    NotRandom,
}

/// The text is not a secret that a key should be made from.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakText {
    /// Fewer than 32 bytes.
    #[error("holds {0} characters where 32 or more random ones are needed")]
    Short(usize),
    /// A repeated pattern.
    #[error("is not random")]
    NotRandom,
}

/// 32 hexadecimal digits are 128 random bits, the least that nobody can try out.
const SHORTEST_TEXT: usize = 32;
/// 32 random hexadecimal digits have fewer than 8 different ones about once in 10^6; words and
/// patterns that are repeated often have.
const FEWEST_SIGNS: usize = 8;

impl SecretKey {
    /// Reads a secret key from base64, with either alphabet, with or without padding.
    ///
    /// # Errors
    /// [`WeakSecretKey`] when it is malformed, short or evidently not random. The error never
    /// carries the text.
    pub fn parse(text: &str) -> Result<Self, WeakSecretKey> {
        let text = text.trim();
        let bytes = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
            .iter()
            .find_map(|engine| engine.decode(text).ok())
            .map(Zeroizing::new)
            .ok_or(WeakSecretKey::NotBase64)?;
        if bytes.len() < 32 {
            return Err(WeakSecretKey::Short(bytes.len()));
        }
        if !looks_random(&bytes) {
            return Err(WeakSecretKey::NotRandom);
        }
        Ok(Self(bytes))
    }

    /// A secret key made from what another program has as its secret: any text, of which the bytes
    /// count as they are. What [`Self::parse`] takes is that key.
    ///
    /// # Errors
    /// [`WeakText`] when the text has fewer than 32 bytes or looks like nothing random. The error
    /// never carries the text.
    pub fn of_text(text: &str) -> Result<Self, WeakText> {
        if let Ok(key) = Self::parse(text) {
            return Ok(key);
        }
        let text = text.trim().as_bytes();
        if text.len() < SHORTEST_TEXT {
            return Err(WeakText::Short(text.len()));
        }
        if different(text) < FEWEST_SIGNS {
            return Err(WeakText::NotRandom);
        }
        let hkdf = Hkdf::<Sha256>::new(Some(b"watchword/v1"), text);
        let mut key = Zeroizing::new(vec![0; 32]);
        // HKDF gives up to 8160 bytes.
        let _ = hkdf.expand(b"secret key of a text", &mut key);
        Ok(Self(key))
    }

    /// A fresh secret key of 32 bytes.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        Ok(Self(Zeroizing::new(draw::<32>(entropy)?.to_vec())))
    }

    /// The text to put into a configuration. Whoever holds it holds everything.
    #[must_use]
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    pub(super) fn expose_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Catches what people write where a random key belongs. 32 random bytes hold fewer than 16
/// different values, or only printable characters, about never (less than once in 10^12).
fn looks_random(bytes: &[u8]) -> bool {
    let different = different(bytes);
    let counted_up = bytes
        .windows(2)
        .all(|pair| pair[1] == pair[0].wrapping_add(1));
    let printable = bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    different >= 16 && !counted_up && !printable
}

fn different(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    bytes
        .iter()
        .for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count()
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_random_keys_of_256_bits_are_taken() {
        let counted: Vec<u8> = (0..32).collect();
        let phrase = b"this is a sentence, not a secret key";
        for (bytes, why) in [
            (vec![7; 16], WeakSecretKey::Short(16)),
            (vec![0; 32], WeakSecretKey::NotRandom),
            (counted, WeakSecretKey::NotRandom),
            (phrase.to_vec(), WeakSecretKey::NotRandom),
        ] {
            assert_eq!(SecretKey::parse(&STANDARD.encode(bytes)).unwrap_err(), why);
        }
        assert_eq!(
            SecretKey::parse("a_very secret!").unwrap_err(),
            WeakSecretKey::NotBase64
        );
    }

    #[test]
    fn a_text_of_32_random_characters_makes_a_key_and_always_the_same_one() {
        let hex = "9c1d03b7e5f2a8460b7d1e9f3c5a8264";
        let made = SecretKey::of_text(hex).unwrap();
        assert_eq!(made.expose_bytes().len(), 32);
        let again = SecretKey::of_text(&format!(" {hex}\n")).unwrap();
        assert_eq!(made.expose_bytes(), again.expose_bytes());
        let other = SecretKey::of_text("8c1d03b7e5f2a8460b7d1e9f3c5a8264").unwrap();
        assert_ne!(made.expose_bytes(), other.expose_bytes());

        let ours = SecretKey::generate(&crate::fakes::SeededEntropy::new(1)).unwrap();
        let same = SecretKey::of_text(&ours.expose_base64()).unwrap();
        assert_eq!(same.expose_bytes(), ours.expose_bytes());
    }

    #[test]
    fn a_text_that_could_be_guessed_makes_no_key() {
        for (text, why) in [
            ("a_very_secret_key_for_jwt", WeakText::Short(25)),
            ("changemechangemechangemechangeme", WeakText::NotRandom),
        ] {
            assert_eq!(SecretKey::of_text(text).unwrap_err(), why);
        }
    }

    #[test]
    fn a_generated_key_is_read_back_and_never_shown() {
        let key = SecretKey::generate(&crate::fakes::SeededEntropy::new(1)).unwrap();
        let text = key.expose_base64();
        let again = SecretKey::parse(&text).unwrap();
        assert_eq!(again.expose_bytes(), key.expose_bytes());
        assert_eq!(format!("{key:?}"), "SecretKey(redacted)");
    }
}
