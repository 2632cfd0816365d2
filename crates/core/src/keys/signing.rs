//! The key that signs result tokens, with Ed25519 (RFC 8032).

use ed25519_dalek::Signer as _;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use graviola::{signing::eddsa::Ed25519SigningKey as Quick, util::is_cpu_supported};

/// Makes signatures, by the quicker of two libraries where the processor has what that one needs
/// (on x86-64: ADX, AVX2, BMI1, AES and PCLMULQDQ; on ARM: NEON, AES, PMULL and SHA2). Ed25519 leaves
/// nothing to chance, so both make the same signature of the same message.
pub(super) struct SigningKey {
    /// Also says the public key.
    portable: ed25519_dalek::SigningKey,
    /// `None` where the processor lacks something.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    quick: Option<Quick>,
}

impl SigningKey {
    /// The key of a secret seed (RFC 8032 section 5.1.5).
    pub(super) fn from_bytes(seed: &[u8; 32]) -> Self {
        Self {
            portable: ed25519_dalek::SigningKey::from_bytes(seed),
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            quick: if is_cpu_supported() {
                Quick::from_bytes(seed).ok()
            } else {
                None
            },
        }
    }

    /// The public key (RFC 8032 section 5.1.5).
    pub(super) fn public(&self) -> [u8; 32] {
        self.portable.verifying_key().to_bytes()
    }

    /// The signature of `message` (RFC 8032 section 5.1.6).
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if let Some(quick) = &self.quick {
            return quick.sign(message);
        }
        self.portable.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::VerifyingKey;
    use proptest::prelude::*;

    use super::*;

    /// What processors without the instructions of the quick one have.
    fn portable(seed: &[u8; 32]) -> SigningKey {
        let mut key = SigningKey::from_bytes(seed);
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        {
            key.quick = None;
        }
        key
    }

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let digits = hex.as_bytes().chunks(2);
        let bytes: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        bytes.try_into().unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        // RFC 8032 section 7.1, tests 1 and 3.
        let vectors = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                &[][..],
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                &[0xaf, 0x82][..],
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ];
        for (seed, public, message, signature) in vectors {
            let seed = bytes::<32>(seed);
            for key in [SigningKey::from_bytes(&seed), portable(&seed)] {
                assert_eq!(key.public(), bytes::<32>(public));
                assert_eq!(key.sign(message), bytes::<64>(signature));
            }
        }
    }

    proptest! {
        #[test]
        fn both_libraries_make_the_same_signature_and_it_verifies(
            seed in any::<[u8; 32]>(),
            message in proptest::collection::vec(any::<u8>(), 0..700),
        ) {
            let key = SigningKey::from_bytes(&seed);
            let signature = key.sign(&message);
            prop_assert_eq!(signature, portable(&seed).sign(&message));
            let verifying = VerifyingKey::from_bytes(&key.public()).unwrap();
            prop_assert!(verifying.verify_strict(&message, &signature.into()).is_ok());
        }
    }
}
