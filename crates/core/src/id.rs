//! Handles: what a caller holds of a verification.

use std::fmt;

use uuid::Uuid;

use crate::digest::RecipientIndex;
use crate::entropy::{Entropy, EntropyError, draw};

/// The handle of a verification: a UUID of version 8 (RFC 9562 section 5.8).
///
/// Its first 32 bits are those of the recipient's index, so that a partitioned store finds the
/// place of a verification, and of its recipient's counters, from the handle alone; 90 more come
/// from the entropy source. Nobody without the secret key can tell the first from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerificationId(Uuid);

/// How many bytes a handle and the index of its recipient share.
const PLACE: usize = 4;

impl VerificationId {
    /// A fresh handle that leads to the place of `recipient`.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(
        recipient: &RecipientIndex,
        entropy: &dyn Entropy,
    ) -> Result<Self, EntropyError> {
        let mut bytes: [u8; 16] = draw(entropy)?;
        bytes[..PLACE].copy_from_slice(&recipient.as_bytes()[..PLACE]);
        Ok(Self(uuid::Builder::from_custom_bytes(bytes).into_uuid()))
    }

    /// Reads a handle in any of the usual spellings of a UUID. One that this server did not make
    /// is read too: nothing will be found under it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The handle whose bytes these are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes of the handle.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Where a partitioned store keeps this verification and its recipient's counters.
    #[must_use]
    pub fn tag(&self) -> u16 {
        tag(self.0.as_bytes())
    }

    /// As a plain UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

/// The first 16 bits, which an index and the handles of its recipient share.
pub(crate) fn tag(bytes: &[u8; 16]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

impl fmt::Display for VerificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::fakes::SeededEntropy;

    const INDEX: RecipientIndex = RecipientIndex::from_bytes([0xA7; 16]);

    #[test]
    fn a_handle_leads_to_the_place_of_its_recipient_and_is_a_uuid() {
        let entropy = SeededEntropy::new(1);
        let id = VerificationId::generate(&INDEX, &entropy).unwrap();
        assert_eq!(id.tag(), INDEX.tag());
        assert_eq!(id.as_bytes()[..4], INDEX.as_bytes()[..4]);
        assert_eq!(id.as_uuid().get_version_num(), 8);
        assert_eq!(id.as_uuid().get_variant(), uuid::Variant::RFC4122);
        assert_eq!(VerificationId::parse(&id.to_string()), Some(id));
        assert_eq!(VerificationId::from_bytes(*id.as_bytes()), id);
        assert_eq!(VerificationId::parse("no uuid"), None);
    }

    /// Handles carry authority, so all that is neither the place nor the version has to be chance.
    #[test]
    fn every_free_bit_of_a_handle_is_drawn() {
        let entropy = SeededEntropy::new(1);
        let (mut ones, mut zeros) = ([0_u8; 16], [0_u8; 16]);
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let id = VerificationId::generate(&INDEX, &entropy).unwrap();
            assert!(seen.insert(id));
            for (at, byte) in id.as_bytes().iter().enumerate() {
                ones[at] |= byte;
                zeros[at] |= !byte;
            }
        }
        let both: u32 = ones
            .iter()
            .zip(zeros)
            .map(|(one, zero)| (one & zero).count_ones())
            .sum();
        assert_eq!(both, 90);
    }
}
