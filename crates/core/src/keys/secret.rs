//! The secret that an operator keeps.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
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
    let mut seen = [false; 256];
    bytes
        .iter()
        .for_each(|byte| seen[usize::from(*byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    let counted_up = bytes
        .windows(2)
        .all(|pair| pair[1] == pair[0].wrapping_add(1));
    let printable = bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    different >= 16 && !counted_up && !printable
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
    fn a_generated_key_is_read_back_and_never_shown() {
        let key = SecretKey::generate(&crate::fakes::SeededEntropy::new(1)).unwrap();
        let text = key.expose_base64();
        let again = SecretKey::parse(&text).unwrap();
        assert_eq!(again.expose_bytes(), key.expose_bytes());
        assert_eq!(format!("{key:?}"), "SecretKey(redacted)");
    }
}
