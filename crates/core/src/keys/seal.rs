//! Sealing: what must be read again, but not from a stolen store.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use zeroize::Zeroizing;

use super::ring::KeyId;
use crate::entropy::{Entropy, EntropyError, draw};

/// A sealed text: `key id (4) · nonce (12) · ciphertext · tag (16)`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sealed(Box<[u8]>);

/// A sealed text that no key of the ring opens: it was changed, moved to another place, or its
/// key has left the ring.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value cannot be opened with the keys of this server")]
pub struct Unsealable;

impl Sealed {
    /// The sealed bytes, for a store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Sealed bytes read back from a store.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn key_id(&self) -> Option<KeyId> {
        self.0.first_chunk::<4>().map(|id| KeyId::from_bytes(*id))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// One key that seals and opens.
#[derive(Clone)]
pub(super) struct SealingKey(ChaCha20Poly1305);

impl SealingKey {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(&Key::from(*key)))
    }

    /// Seals `text` for one `place`: opened anywhere else, it fails.
    pub(super) fn seal(
        &self,
        key_id: KeyId,
        place: &[u8],
        text: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Sealed, EntropyError> {
        let nonce: [u8; 12] = draw(entropy)?;
        let payload = Payload {
            msg: text,
            aad: place,
        };
        // The cipher refuses only texts of 256 GiB.
        let sealed = self
            .0
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| EntropyError)?;
        Ok(Sealed(
            [&key_id.to_bytes()[..], &nonce, &sealed].concat().into(),
        ))
    }

    pub(super) fn open(
        &self,
        place: &[u8],
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let rest = sealed.0.get(4..).ok_or(Unsealable)?;
        let (nonce, text) = rest.split_first_chunk::<12>().ok_or(Unsealable)?;
        let payload = Payload {
            msg: text,
            aad: place,
        };
        self.0
            .decrypt(&Nonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| Unsealable)
    }
}
