//! Passwords: reading them, hashing them, comparing them.
//!
//! A [`Password`] lives from parsing to hashing. What the program keeps is a [`PasswordHash`]:
//! argon2id (RFC 9106) with a salt of its own.
//!
//! **Invariant:** nothing here prints a password or a hash.

use std::fmt;

use argon2::password_hash::phc;
use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use icu_normalizer::ComposingNormalizerBorrowed;
use zeroize::Zeroizing;

use super::hash_memory::HashMemory;
use crate::entropy::{Entropy, EntropyError, draw};

/// A password as it is hashed: in Unicode's normal form C.
///
/// Any character will do, and no rule says which ones must be in it (NIST SP 800-63B-4, section
/// 3.1.1.2). Keyboards spell the same letter in different ways; the normal form makes them equal.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// The text is no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Fewer than [`Password::MIN_CHARS`].
    #[error("has fewer than {} characters", Password::MIN_CHARS)]
    TooShort,
    /// More than [`Password::MAX_BYTES`].
    #[error("has more than {} bytes", Password::MAX_BYTES)]
    TooLong,
}

impl Password {
    /// The shortest password, in Unicode code points of the normal form.
    pub const MIN_CHARS: usize = 8;
    /// The longest password, in bytes of UTF-8, as it came and in the normal form. Looked at before
    /// any work is done with it.
    pub const MAX_BYTES: usize = 1024;

    /// Reads a password. White space counts.
    ///
    /// # Errors
    /// [`InvalidPassword`], which never holds the text.
    pub fn parse(raw: &str) -> Result<Self, InvalidPassword> {
        if raw.len() > Self::MAX_BYTES {
            return Err(InvalidPassword::TooLong);
        }
        let normal = ComposingNormalizerBorrowed::new_nfc().normalize(raw);
        let normal = Zeroizing::new(normal.into_owned());
        if normal.len() > Self::MAX_BYTES {
            return Err(InvalidPassword::TooLong);
        }
        if normal.chars().count() < Self::MIN_CHARS {
            return Err(InvalidPassword::TooShort);
        }
        Ok(Self(normal))
    }

    fn expose_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// What one hash costs whoever makes it, and whoever guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    memory_kib: u32,
    passes: u32,
}

/// The cost is below what a stolen hash should bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is too little: at least 19456 KiB with 2 passes, 46080 KiB with 1, or as much in between, and \
     at most 1048576 KiB with 16 passes"
)]
pub struct WeakHashCost;

impl HashCost {
    /// So much memory, so many passes, one lane.
    ///
    /// # Errors
    /// [`WeakHashCost`] below the least of the OWASP Password Storage Cheat Sheet (19 MiB and two
    /// passes, or 46 MiB and one), and above what one server should spend on a hash.
    pub const fn new(memory_kib: u32, passes: u32) -> Result<Self, WeakHashCost> {
        let enough = (memory_kib >= 19 * 1024 && passes >= 2) || memory_kib >= 45 * 1024;
        if !enough || passes == 0 || passes > 16 || memory_kib > 1024 * 1024 {
            return Err(WeakHashCost);
        }
        Ok(Self { memory_kib, passes })
    }

    /// The memory of one hash, in KiB.
    #[must_use]
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// The passes over it.
    #[must_use]
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// Hashes a password with a fresh salt of 16 bytes. Takes some 20 milliseconds of a core:
    /// nothing for a thread that others wait for.
    ///
    /// # Errors
    /// [`HashError::Entropy`] without randomness, [`HashError::Failed`] without memory.
    pub fn hash(
        self,
        password: &Password,
        entropy: &dyn Entropy,
        memory: &mut HashMemory,
    ) -> Result<PasswordHash, HashError> {
        let salt: [u8; 16] = draw(entropy)?;
        let params = Params::new(self.memory_kib, self.passes, 1, None)?;
        let version = Version::V0x13;
        let hash = phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(&params).map_err(|_| HashError::Failed)?,
            salt: Some(Salt::new(&salt).map_err(|_| HashError::Failed)?),
            hash: Some(output(password, &salt, version, params, memory)?),
        };
        Ok(PasswordHash(Zeroizing::new(hash.to_string())))
    }
}

/// The bare hash by argon2id.
fn output(
    password: &Password,
    salt: &[u8],
    version: Version,
    params: Params,
    memory: &mut HashMemory,
) -> Result<Output, HashError> {
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut output = Zeroizing::new([0; Output::MAX_LENGTH]);
    let output = output.get_mut(..length).ok_or(HashError::Failed)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
    memory.lend(argon2.params(), |blocks| {
        argon2.hash_password_into_with_memory(password.expose_bytes(), salt, output, blocks)
    })??;
    Output::new(output).map_err(|_| HashError::Failed)
}

/// 19 MiB, two passes, one lane.
impl Default for HashCost {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
        }
    }
}

/// A salted hash in the form of the PHC: `$argon2id$v=19$m=19456,t=2,p=1$…$…`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Zeroizing<String>);

impl PasswordHash {
    /// Reads a hash, if it is one of argon2id.
    #[must_use]
    pub fn from_phc(text: &str) -> Option<Self> {
        let hash = phc::PasswordHash::new(text).ok()?;
        let argon2id = hash.algorithm.as_str() == Algorithm::Argon2id.as_str();
        (argon2id && hash.hash.is_some()).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text for a store, to be sealed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is of this password. Costs as much as it was made with, whatever the default.
    ///
    /// # Errors
    /// [`HashError::Failed`] without memory.
    pub fn is_of(&self, password: &Password, memory: &mut HashMemory) -> Result<bool, HashError> {
        let Some((made, salt, version, params)) = self.parts() else {
            return Ok(false);
        };
        // Of two outputs `==` takes as long wherever they differ.
        Ok(made == output(password, &salt, version, params, memory)?)
    }

    fn parts(&self) -> Option<(Output, Salt, Version, Params)> {
        let hash = phc::PasswordHash::new(&self.0).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from);
        Some((hash.hash?, hash.salt?, version.ok()?, params))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(redacted)")
    }
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// As many passwords as may wait are waiting. Nothing was done.
    #[error("too many passwords are waiting to be hashed")]
    Busy,
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// No memory.
    #[error("the password could not be hashed")]
    Failed,
}

impl From<argon2::Error> for HashError {
    fn from(_: argon2::Error) -> Self {
        Self::Failed
    }
}

/// What is held by somebody on the way to a [`PasswordHasher`].
pub type Announced = Box<dyn Send>;

/// Hashes passwords, a few at a time, away from the threads that serve requests.
#[async_trait]
pub trait PasswordHasher: Send + Sync + 'static {
    /// Whoever will bring a password asks here first, before anything is looked up, and holds what it gets
    /// until the password is hashed. So a flood of them costs nothing but the refusals.
    ///
    /// # Errors
    /// [`HashError::Busy`] when as many are on their way as may be.
    fn announce(&self) -> Result<Announced, HashError> {
        Ok(Box::new(()))
    }

    /// Whether there is room for one more now: what is certain to be refused need not even be read. Another
    /// one may be quicker.
    fn has_room(&self) -> bool {
        true
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`HashError`].
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError>;

    /// Whether the hash is of this password.
    ///
    /// # Errors
    /// [`HashError`].
    async fn matches(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{BrokenEntropy, SeededEntropy};

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    fn hashed(text: &str, entropy: &dyn Entropy) -> PasswordHash {
        let mut memory = HashMemory::default();
        let hash = HashCost::default().hash(&password(text), entropy, &mut memory);
        hash.unwrap()
    }

    fn is_of(hash: &PasswordHash, text: &str) -> bool {
        let mut memory = HashMemory::default();
        hash.is_of(&password(text), &mut memory).unwrap()
    }

    #[test]
    fn a_hash_names_its_cost_and_is_of_its_own_password_only() {
        let entropy = SeededEntropy::new(1);
        let hash = hashed("correct horse", &entropy);
        let costs = "$argon2id$v=19$m=19456,t=2,p=1$";
        assert!(hash.expose().starts_with(costs), "{}", hash.expose());
        assert!(is_of(&hash, "correct horse"));
        assert!(!is_of(&hash, "correct horse "));
        let again = hashed("correct horse", &entropy);
        assert!(again != hash, "the salt repeats");
        let read = PasswordHash::from_phc(hash.expose()).unwrap();
        assert!(is_of(&read, "correct horse"));
    }

    /// The vector of RFC 9106 needs a secret and data; this one is of the reference
    /// implementation's `argon2id` test (t=2, m=65536, p=1, "password", "somesalt").
    #[test]
    fn a_hash_of_the_reference_implementation_is_recognised() {
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
                   $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash::from_phc(phc).unwrap();
        assert!(is_of(&hash, "password"));
        assert!(!is_of(&hash, "passwort"));
    }

    #[test]
    fn what_was_hashed_before_in_the_same_memory_changes_nothing() {
        let entropy = SeededEntropy::new(1);
        let mut memory = HashMemory::default();
        // As somebody configured it before.
        let costly = HashCost::new(46 * 1024, 1).unwrap();
        let before = costly.hash(&password("correct pony"), &entropy, &mut memory);
        let hash = HashCost::default().hash(&password("correct horse"), &entropy, &mut memory);
        let (before, hash) = (before.unwrap(), hash.unwrap());
        assert!(is_of(&hash, "correct horse"));
        for (hash, text) in [(&before, "correct pony"), (&hash, "correct horse")] {
            assert!(hash.is_of(&password(text), &mut memory).unwrap(), "{text}");
            assert!(!hash.is_of(&password("12345678"), &mut memory).unwrap());
        }
    }

    #[test]
    fn only_hashes_of_argon2id_are_read() {
        for text in [
            "",
            "password",
            "$2b$12$abcdefghijklmnopqrstuu",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
        ] {
            assert!(PasswordHash::from_phc(text).is_none(), "{text}");
        }
    }

    #[test]
    fn eight_characters_of_any_kind_are_a_password() {
        assert_eq!(
            Password::parse("1234567").unwrap_err(),
            InvalidPassword::TooShort
        );
        for text in [
            "12345678",
            "        ",
            "пароль12",
            "密密密密密密密密",
            "🐎🐎🐎🐎🐎🐎🐎🐎",
        ] {
            assert!(Password::parse(text).is_ok(), "{text}");
        }
        // Seven letters and a combining mark are seven letters.
        assert_eq!(
            Password::parse("abcdefe\u{301}").unwrap_err(),
            InvalidPassword::TooShort
        );
        assert!(Password::parse(&"x".repeat(1024)).is_ok());
        assert_eq!(
            Password::parse(&"x".repeat(1025)).unwrap_err(),
            InvalidPassword::TooLong
        );
    }

    #[test]
    fn a_letter_is_the_same_in_whatever_way_a_keyboard_spells_it() {
        let entropy = SeededEntropy::new(1);
        let hash = hashed("cafe\u{301} noir", &entropy);
        assert!(is_of(&hash, "caf\u{e9} noir"));
    }

    #[test]
    fn nothing_below_the_floor_is_configured() {
        assert!(HashCost::new(19_456, 2).is_ok());
        assert!(HashCost::new(47_104, 1).is_ok());
        for (memory, passes) in [
            (19_455, 2),
            (19_456, 1),
            (8, 100),
            (u32::MAX, 2),
            (47_104, 0),
        ] {
            assert_eq!(
                HashCost::new(memory, passes),
                Err(WeakHashCost),
                "{memory} {passes}"
            );
        }
    }

    #[test]
    fn without_randomness_there_is_no_hash() {
        let mut memory = HashMemory::default();
        let refused = HashCost::default().hash(&password("12345678"), &BrokenEntropy, &mut memory);
        assert!(matches!(refused, Err(HashError::Entropy(_))));
    }

    #[test]
    fn neither_password_nor_hash_is_printed() {
        let secret = password("correct horse");
        let hash = hashed("correct horse", &SeededEntropy::new(1));
        let printed = format!("{secret:?} {hash:?}");
        assert_eq!(printed, "Password(redacted) PasswordHash(redacted)");
    }
}
