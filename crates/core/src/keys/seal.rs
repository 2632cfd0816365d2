//! Sealing: what must be read again, but not from a stolen store.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{Aead, AeadInOut, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use zeroize::Zeroizing;

use super::ring::KeyId;
use crate::entropy::{Entropy, EntropyError, draw};

/// A sealed text: `key id (4) · nonce (12) · ciphertext · tag (16)`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sealed(Arc<[u8]>);

const KEY_ID: usize = 4;
const NONCE: usize = 12;
const TAG: usize = 16;

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

    /// The sealed bytes whose key this is, which stands in front of the rest.
    pub(crate) fn from_parts(key: KeyId, rest: &[u8]) -> Self {
        let mut sealed: Arc<[u8]> = std::iter::repeat_n(0, KEY_ID + rest.len()).collect();
        let (head, tail) = Arc::make_mut(&mut sealed).split_at_mut(KEY_ID);
        head.copy_from_slice(&key.to_bytes());
        tail.copy_from_slice(rest);
        Self(sealed)
    }

    /// The key and the rest; nothing if it is too short for that.
    pub(crate) fn parts(&self) -> Option<(KeyId, &[u8])> {
        let (id, rest) = self.0.split_first_chunk::<KEY_ID>()?;
        Some((KeyId::from_bytes(*id), rest))
    }

    pub(crate) fn key_id(&self) -> Option<KeyId> {
        self.parts().map(|(key, _)| key)
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
        let nonce: [u8; NONCE] = draw(entropy)?;
        let length = KEY_ID + NONCE + text.len() + TAG;
        let mut sealed: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
        let (head, rest) = Arc::make_mut(&mut sealed).split_at_mut(KEY_ID + NONCE);
        head[..KEY_ID].copy_from_slice(&key_id.to_bytes());
        head[KEY_ID..].copy_from_slice(&nonce);
        let (body, tag) = rest.split_at_mut(text.len());
        body.copy_from_slice(text);
        // Where it lies, and nowhere else, so that no copy of it is left. The cipher refuses only texts of
        // 256 GiB.
        let made = self
            .0
            .encrypt_inout_detached(&Nonce::from(nonce), place, InOutBuf::from(body))
            .map_err(|_| EntropyError)?;
        tag.copy_from_slice(&made);
        Ok(Sealed(sealed))
    }

    pub(super) fn open(
        &self,
        place: &[u8],
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let rest = sealed.0.get(KEY_ID..).ok_or(Unsealable)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE>().ok_or(Unsealable)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::SeededEntropy;

    /// Stores hold what earlier releases sealed.
    #[test]
    fn a_seal_is_the_key_the_nonce_and_what_the_cipher_makes_of_the_text() {
        let (key, place, text) = ([7; 32], &b"place"[..], &b"a text of 23 characters"[..]);
        let sealed = SealingKey::new(&key)
            .seal(
                KeyId::from_bytes([1, 2, 3, 4]),
                place,
                text,
                &SeededEntropy::new(5),
            )
            .unwrap();
        let nonce: [u8; NONCE] = draw(&SeededEntropy::new(5)).unwrap();
        let cipher = ChaCha20Poly1305::new(&Key::from(key));
        let payload = Payload {
            msg: text,
            aad: place,
        };
        let made = cipher.encrypt(&Nonce::from(nonce), payload).unwrap();
        let expected = [&[1, 2, 3, 4][..], &nonce, &made].concat();
        assert_eq!(sealed.as_bytes(), expected);
    }
}
