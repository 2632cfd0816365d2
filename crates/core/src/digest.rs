//! What is kept instead of codes and recipients.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::channel::Channel;
use crate::id::{VerificationId, tag};
use crate::keys::KeyId;
use crate::purpose::Purpose;

/// The keyed index of a recipient within an app: equal recipients have equal indexes, and without
/// the secret key an index says nothing about its recipient.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecipientIndex([u8; 16]);

impl RecipientIndex {
    /// The index whose bytes these are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Where a partitioned store keeps everything of this recipient.
    #[must_use]
    pub fn tag(&self) -> u16 {
        tag(&self.0)
    }
}

impl fmt::Display for RecipientIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every token names one, and formatting byte by byte takes as long as a digest.
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 0xF)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for RecipientIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientIndex({self})")
    }
}

/// The keyed index of a client address at one surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceIndex([u8; 16]);

impl SourceIndex {
    /// The index whose bytes these are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A code under one key of the ring: what travels to the store to be compared.
///
/// It is an HMAC over app, binding and code, all that a caller brings along. The rest of what a
/// digest binds is known where the verification is kept, and joins there ([`CodeDigest::bind`]),
/// so that a check needs one step.
#[derive(Clone)]
pub struct Candidate {
    /// The key it was made with.
    pub key: KeyId,
    pub(crate) mac: [u8; 32],
}

impl Candidate {
    /// One that no code has: to find a code for it would be to invert HMAC.
    #[must_use]
    pub const fn of_nobody() -> Self {
        Self {
            key: KeyId::from_bytes([0; 4]),
            mac: [0; 32],
        }
    }

    /// The bytes of the MAC, for a store that restates [`CodeDigest::bind`] in its own language.
    #[must_use]
    pub const fn mac(&self) -> &[u8; 32] {
        &self.mac
    }

    /// What may travel to a store that binds by a hash of its own: 160 bits that are good for the
    /// recipients whose indexes, and for the verifications whose handles, begin with `place`.
    ///
    /// A code has one MAC wherever it is sent, so whoever heard what is said to a store for long
    /// enough would know those of many codes. Of this they would have to hear it for each place.
    #[must_use]
    pub fn at_place(&self, place: [u8; 4]) -> [u8; 20] {
        let hash = Sha256::new().chain_update(place).chain_update(self.mac);
        let mut short = [0; 20];
        short.copy_from_slice(&hash.finalize()[..20]);
        short
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Candidate({:?}, redacted)", self.key)
    }
}

/// What a code belongs to beside app and binding.
#[derive(Clone, Copy, Debug)]
pub struct CodeContext<'a> {
    /// The verification.
    pub id: VerificationId,
    /// Whom it was sent to.
    pub recipient: RecipientIndex,
    /// The channel it was first sent over.
    pub channel: Channel,
    /// What it authorises.
    pub purpose: &'a Purpose,
}

/// What is kept of a code: SHA-256 over a keyed MAC and the place it belongs to.
///
/// A stolen store cannot try codes against it without the pepper, and a digest moved to another
/// verification matches nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeDigest {
    key: KeyId,
    hash: [u8; 32],
}

impl CodeDigest {
    /// The digest of a code at the place where it belongs.
    ///
    /// The input is `mac (32) · id (16) · recipient (16) · length of channel (1) · channel ·
    /// length of purpose in bytes (2, big-endian) · purpose`.
    #[must_use]
    pub fn bind(candidate: &Candidate, place: CodeContext<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(candidate.mac);
        hash.update(place.id.as_bytes());
        hash.update(place.recipient.as_bytes());
        let channel = place.channel.as_str().as_bytes();
        // A channel's name and a purpose are far shorter than their length fields can say.
        hash.update([u8::try_from(channel.len()).unwrap_or(u8::MAX)]);
        hash.update(channel);
        let purpose = place.purpose.as_str().as_bytes();
        hash.update(
            u16::try_from(purpose.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        hash.update(purpose);
        Self {
            key: candidate.key,
            hash: hash.finalize().into(),
        }
    }

    /// A digest read back from a store.
    #[must_use]
    pub const fn from_parts(key: KeyId, hash: [u8; 32]) -> Self {
        Self { key, hash }
    }

    /// The key it was made with, and its bytes.
    #[must_use]
    pub const fn parts(&self) -> (KeyId, &[u8; 32]) {
        (self.key, &self.hash)
    }

    /// Whether one of the candidates, made under each key of the ring, is this code at this
    /// place. Takes as long for a wrong code as for the right one.
    #[must_use]
    pub fn matches(&self, candidates: &[Candidate], place: CodeContext<'_>) -> bool {
        candidates
            .iter()
            .filter(|candidate| candidate.key == self.key)
            .any(|candidate| {
                let hash = Self::bind(candidate, place).hash;
                bool::from(self.hash.ct_eq(&hash))
            })
    }
}

impl fmt::Debug for CodeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeDigest({:?}, redacted)", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::AppId;
    use crate::binding::BindingDigest;
    use crate::code::Code;
    use crate::fakes;
    use crate::verification::Verification;

    fn candidates(app: &str, json: &str, code: &str, seed: u64) -> Vec<Candidate> {
        let app = AppId::parse(app).unwrap();
        let binding = BindingDigest::of_json(json).unwrap();
        fakes::keys(seed).candidates(&app, &binding, &Code::parse(code).unwrap())
    }

    fn bound() -> (Verification, CodeDigest) {
        let mut row = fakes::pending(crate::clock::Timestamp::from_millis(1));
        row.channel = Channel::Voice;
        let candidate = candidates("default", "17", "402718", 1).remove(0);
        let digest = CodeDigest::bind(&candidate, row.context());
        (row, digest)
    }

    #[test]
    fn a_digest_matches_its_own_code_binding_app_and_key_only() {
        let (row, digest) = bound();
        let matches = |app, json, code, seed| {
            digest.matches(&candidates(app, json, code, seed), row.context())
        };
        assert!(matches("default", "17", "402718", 1));
        assert!(!matches("default", "17", "402719", 1), "code");
        assert!(!matches("default", "18", "402718", 1), "binding");
        assert!(!matches("other", "17", "402718", 1), "app");
        assert!(!matches("default", "17", "402718", 2), "key");
        assert!(!digest.matches(&[], row.context()));
    }

    #[test]
    fn a_digest_that_was_moved_to_another_place_matches_nothing() {
        let (row, digest) = bound();
        let right = candidates("default", "17", "402718", 1);
        let moved = |change: fn(&mut Verification)| {
            let mut other = row.clone();
            change(&mut other);
            digest.matches(&right, other.context())
        };
        assert!(moved(|_| {}));
        let id = |row: &mut Verification| row.id = VerificationId::from_bytes([9; 16]);
        assert!(!moved(id));
        let recipient =
            |row: &mut Verification| row.recipient = RecipientIndex::from_bytes([9; 16]);
        assert!(!moved(recipient));
        // As long as the right ones, so that their lengths do not give them away.
        assert!(!moved(|row| row.channel = Channel::Email));
        assert!(!moved(
            |row| row.purpose = Purpose::parse("defaulx").unwrap()
        ));
    }

    #[test]
    fn a_digest_is_read_back_as_it_was_and_any_changed_bit_is_noticed() {
        let (row, digest) = bound();
        let right = candidates("default", "17", "402718", 1);
        let (key, hash) = digest.parts();
        let again = CodeDigest::from_parts(key, *hash);
        assert!(again == digest && again.matches(&right, row.context()));
        for bit in 0..256 {
            let mut changed = *hash;
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = CodeDigest::from_parts(key, changed);
            assert!(!changed.matches(&right, row.context()), "bit {bit}");
        }
    }

    #[test]
    fn what_travels_of_a_code_is_another_for_each_code_key_and_place() {
        let at = |code, seed, place| candidates("default", "17", code, seed)[0].at_place(place);
        let said = at("402718", 1, [1, 2, 3, 4]);
        assert_eq!(said, at("402718", 1, [1, 2, 3, 4]));
        assert_ne!(said, at("402718", 1, [1, 2, 3, 5]), "place");
        assert_ne!(said, at("402719", 1, [1, 2, 3, 4]), "code");
        assert_ne!(said, at("402718", 2, [1, 2, 3, 4]), "key");
        let (_, digest) = bound();
        assert_ne!(said[..], digest.parts().1[..20]);
    }

    #[test]
    fn what_a_digest_is_made_of_does_not_print() {
        let (_, digest) = bound();
        let candidate = candidates("default", "17", "402718", 1).remove(0);
        assert!(format!("{digest:?}").contains("redacted"));
        assert!(format!("{candidate:?}").contains("redacted"));
    }
}
