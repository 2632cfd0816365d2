//! The secrets that callbacks are proven with.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secret::Secret;
use crate::settings::Fault;

/// A secret that both sides know; two of them while one replaces the other.
pub(crate) struct Proofs(Vec<Secret>);

impl Proofs {
    /// Reads the setting called `setting`: one secret, or two with a space between.
    pub(crate) fn read(setting: &'static str, given: &Secret) -> Result<Self, Fault> {
        let wrong = |fault: &str| Err((setting, fault.to_owned()));
        let text = given.expose().trim();
        if text.chars().any(|sign| sign.is_control() && sign != '\t') {
            return wrong("has control characters");
        }
        let secrets: Vec<_> = text.split_whitespace().collect();
        match secrets.len() {
            0 => wrong("is empty; leave it out, or give it"),
            1 | 2 => Ok(Self(
                secrets
                    .into_iter()
                    .map(|one| Secret::new(one.to_owned()))
                    .collect(),
            )),
            _ => wrong("has more than two parts; it is one, or two with a space between"),
        }
    }

    /// The one that is used first.
    pub(crate) fn first(&self) -> Option<&Secret> {
        self.0.first()
    }

    /// Whether any of them passes a test. All are tried.
    pub(crate) fn any(&self, mut test: impl FnMut(&str) -> bool) -> bool {
        self.0
            .iter()
            .fold(false, |passed, secret| test(secret.expose()) | passed)
    }

    /// The length of the shortest, in bytes.
    pub(crate) fn shortest(&self) -> usize {
        let lengths = self.0.iter().map(|secret| secret.expose().len());
        lengths.min().unwrap_or_default()
    }
}

/// Whether two texts are the same. How long it takes tells neither where they differ nor how long
/// the secret one is.
pub(crate) fn same(known: &str, given: &str) -> bool {
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    digest(known)
        .as_slice()
        .ct_eq(digest(given).as_slice())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Proofs, Fault> {
        Proofs::read("auth_token", &Secret::new(text.to_owned()))
    }

    #[test]
    fn while_one_secret_replaces_another_both_count() {
        let both = read(" new\told ").unwrap();
        assert_eq!(both.first().map(Secret::expose), Some("new"));
        for given in ["new", "old"] {
            assert!(both.any(|known| same(known, given)), "{given}");
        }
        for given in ["", "ne", "neww", "new old"] {
            assert!(!both.any(|known| same(known, given)), "{given}");
        }
        assert_eq!(both.shortest(), 3);
    }

    #[test]
    fn no_secret_three_secrets_and_odd_signs_are_faults_that_show_nothing() {
        for text in ["", " ", "hunter2 hunter2 hunter2", "hunter\u{1}2"] {
            let (setting, fault) = read(text).err().unwrap();
            assert_eq!(setting, "auth_token");
            assert!(!fault.contains("hunter"), "{fault}");
        }
    }
}
