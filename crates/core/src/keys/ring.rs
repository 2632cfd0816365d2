//! The keys in use, and those that are leaving.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::seal::{Sealed, SealingKey, Unsealable};
use super::secret::SecretKey;
use super::signing::SigningKey;
use crate::app::AppId;
use crate::binding::BindingDigest;
use crate::code::Code;
use crate::digest::{Candidate, RecipientIndex, SourceIndex};
use crate::entropy::{Entropy, EntropyError};
use crate::recipient::Recipient;

type HmacSha256 = Hmac<Sha256>;

/// Names a key of the ring without telling anything about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(u32);

impl KeyId {
    /// The id whose big-endian bytes these are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    /// Its bytes, big-endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// The keys that one secret yields.
struct Derived {
    id: KeyId,
    pepper: HmacSha256,
    fingerprint: HmacSha256,
    lasting: HmacSha256,
    audit: HmacSha256,
    sealing: SealingKey,
    signing: SigningKey,
    /// RFC 7638 thumbprint of the public key, which `kid` names.
    thumbprint: String,
}

impl Derived {
    fn new(secret: &SecretKey) -> Self {
        let hkdf = Hkdf::<Sha256>::new(Some(b"watchword/v1"), secret.expose_bytes());
        let id = *derive::<4>(&hkdf, "key id");
        let signing = SigningKey::from_bytes(&derive(&hkdf, "signing"));
        let thumbprint = thumbprint(&signing);
        Self {
            id: KeyId::from_bytes(id),
            pepper: keyed(&derive(&hkdf, "code pepper")),
            fingerprint: keyed(&derive(&hkdf, "request fingerprint")),
            lasting: keyed(&derive(&hkdf, "lasting index")),
            audit: keyed(&derive(&hkdf, "audit log")),
            sealing: SealingKey::new(&derive(&hkdf, "sealing")),
            signing,
            thumbprint,
        }
    }
}

fn derive<const N: usize>(hkdf: &Hkdf<Sha256>, label: &str) -> Zeroizing<[u8; N]> {
    let mut key = Zeroizing::new([0; N]);
    #[allow(clippy::expect_used, reason = "HKDF fails only above 8,160 bytes")]
    hkdf.expand(label.as_bytes(), key.as_mut())
        .expect("a key is short");
    key
}

fn keyed(key: &[u8; 32]) -> HmacSha256 {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
    HmacSha256::new_from_slice(key).expect("any key fits")
}

/// RFC 7638 section 3, with the members that RFC 8037 section 2 requires of an OKP key.
fn thumbprint(signing: &SigningKey) -> String {
    let x = URL_SAFE_NO_PAD.encode(signing.public());
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

/// Feeds a field so that no two sequences of fields look alike.
fn field(mac: &mut HmacSha256, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

fn finish(mac: HmacSha256) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}

fn finish_short(mac: HmacSha256) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&finish(mac)[..16]);
    short
}

/// The keys in use: the newest first, then those that are leaving.
pub struct KeyRing {
    newest: Derived,
    leaving: Vec<Derived>,
    /// Keys that another node may use before this one does.
    coming: Vec<Derived>,
    recipients: HmacSha256,
    sources: HmacSha256,
    index_id: KeyId,
}

impl KeyRing {
    /// The ring of one secret, or of several while they rotate: new first, old last.
    #[must_use]
    pub fn new(newest: &SecretKey, leaving: &[SecretKey]) -> Self {
        let oldest = leaving.last().unwrap_or(newest);
        let hkdf = Hkdf::<Sha256>::new(Some(b"watchword/v1"), oldest.expose_bytes());
        Self {
            newest: Derived::new(newest),
            leaving: leaving.iter().map(Derived::new).collect(),
            coming: Vec::new(),
            recipients: keyed(&derive(&hkdf, "recipient index")),
            sources: keyed(&derive(&hkdf, "source index")),
            index_id: KeyId::from_bytes(*derive(&hkdf, "key id")),
        }
    }

    /// The same ring, which also knows what was made under `next`, and makes nothing under it.
    ///
    /// While one node of a fleet after the other gets a new key, the first of them uses it before
    /// the others have it. So each of them has to know it first.
    #[must_use]
    pub fn expecting(mut self, next: &SecretKey) -> Self {
        let next = Derived::new(next);
        if self.by_id(next.id).is_none() {
            self.coming.push(next);
        }
        self
    }

    /// The ids of the keys in use, newest first, without those that are only expected. A store remembers them, so that a server with a foreign
    /// secret is refused instead of finding every code wrong.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.in_use().map(|key| key.id).collect()
    }

    /// The key that indexes recipients: the last of the ring.
    #[must_use]
    pub const fn index_id(&self) -> KeyId {
        self.index_id
    }

    fn in_use(&self) -> impl Iterator<Item = &Derived> {
        std::iter::once(&self.newest).chain(&self.leaving)
    }

    fn all(&self) -> impl Iterator<Item = &Derived> {
        self.in_use().chain(&self.coming)
    }

    fn by_id(&self, id: KeyId) -> Option<&Derived> {
        self.all().find(|key| key.id == id)
    }

    /// Where everything of this recipient within `app` is kept.
    #[must_use]
    pub fn recipient_index(&self, app: &AppId, recipient: &Recipient) -> RecipientIndex {
        let mut mac = self.recipients.clone();
        field(&mut mac, app.as_str().as_bytes());
        // The case of a local part is kept for delivery, but a mailbox hardly ever tells cases
        // apart: were counters to, every variant would buy a guesser a budget of its own.
        let spelling = recipient.canonical();
        if spelling.bytes().any(|byte| byte.is_ascii_uppercase()) {
            field(&mut mac, spelling.to_ascii_lowercase().as_bytes());
        } else {
            field(&mut mac, spelling.as_bytes());
        }
        RecipientIndex::from_bytes(finish_short(mac))
    }

    /// Where the sends of a client address at one surface are counted.
    #[must_use]
    pub fn source_index(&self, surface: &str, source: &str) -> SourceIndex {
        let mut mac = self.sources.clone();
        field(&mut mac, surface.as_bytes());
        field(&mut mac, source.as_bytes());
        SourceIndex::from_bytes(finish_short(mac))
    }

    /// The newest candidate for a code that is about to be sent.
    #[must_use]
    pub fn candidate(&self, app: &AppId, binding: &BindingDigest, code: &Code) -> Candidate {
        candidate_under(&self.newest, app, binding, code)
    }

    /// A candidate under each key, for a code that somebody typed.
    #[must_use]
    pub fn candidates(&self, app: &AppId, binding: &BindingDigest, code: &Code) -> Vec<Candidate> {
        self.all()
            .map(|key| candidate_under(key, app, binding, code))
            .collect()
    }

    /// A keyed fingerprint of a request: what an idempotency key compares. A plain hash of a
    /// check would give its code away to a million tries.
    #[must_use]
    pub fn fingerprint(&self, fields: &[&[u8]]) -> [u8; 32] {
        // The oldest key, so that a replay is recognised across a rotation.
        let mut mac = self
            .leaving
            .last()
            .unwrap_or(&self.newest)
            .fingerprint
            .clone();
        fields.iter().for_each(|bytes| field(&mut mac, bytes));
        finish(mac)
    }

    /// Where something that outlives every key is kept: its index under each key of the ring, newest
    /// first. Unlike counters, which begin anew once their key has left, it is indexed again under
    /// each new key while the old one is still listed.
    #[must_use]
    pub fn lasting_indexes(&self, fields: &[&[u8]]) -> Vec<(KeyId, [u8; 16])> {
        let index = |key: &Derived| {
            let mut mac = key.lasting.clone();
            fields.iter().for_each(|bytes| field(&mut mac, bytes));
            (key.id, finish_short(mac))
        };
        self.all().map(index).collect()
    }

    /// Attests under the newest key that this is of one of our nodes.
    #[must_use]
    pub(crate) fn attest(&self, statement: &[u8]) -> (KeyId, [u8; 32]) {
        let mut mac = self.newest.audit.clone();
        field(&mut mac, statement);
        (self.newest.id, finish(mac))
    }

    /// Whether an attestation is of one of our nodes; `None` if its key is not in the ring.
    #[must_use]
    pub(crate) fn attested(&self, key: KeyId, statement: &[u8], shown: &[u8; 32]) -> Option<bool> {
        let mut mac = self.by_id(key)?.audit.clone();
        field(&mut mac, statement);
        Some(finish(mac).ct_eq(shown).into())
    }

    /// Seals `text` for one `place`, under the newest key.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn seal(
        &self,
        place: &[u8],
        text: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Sealed, EntropyError> {
        self.newest
            .sealing
            .seal(self.newest.id, place, text, entropy)
    }

    /// Opens what was sealed for `place` under any key of the ring.
    ///
    /// # Errors
    /// [`Unsealable`].
    pub fn open(&self, place: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let key = sealed
            .key_id()
            .and_then(|id| self.by_id(id))
            .ok_or(Unsealable)?;
        key.sealing.open(place, sealed)
    }

    /// The id of the signing key in use, for a token's `kid`.
    #[must_use]
    pub fn signing_key_id(&self) -> &str {
        &self.newest.thumbprint
    }

    /// An Ed25519 signature (RFC 8032) under the newest key.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.newest.signing.sign(message)
    }

    /// The public keys as a JWK set (RFC 7517 section 5, RFC 8037 section 2), newest first.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .all()
            .map(|key| {
                let x = URL_SAFE_NO_PAD.encode(key.signing.public());
                serde_json::json!({
                    "kty": "OKP", "crv": "Ed25519", "x": x,
                    "kid": key.thumbprint, "use": "sig", "alg": "EdDSA",
                })
            })
            .collect();
        serde_json::json!({ "keys": keys })
    }
}

fn candidate_under(key: &Derived, app: &AppId, binding: &BindingDigest, code: &Code) -> Candidate {
    let mut mac = key.pepper.clone();
    field(&mut mac, app.as_str().as_bytes());
    // No binding is nothing: what is left fits into one block of the hash, as mostly there is none.
    let binding = Some(binding).filter(|binding| !binding.is_none());
    field(&mut mac, binding.map_or(&[], |binding| binding.as_bytes()));
    field(&mut mac, code.expose().as_bytes());
    Candidate {
        key: key.id,
        mac: finish(mac),
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys, redacted)", 1 + self.leaving.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::SeededEntropy;
    use crate::recipient::NumberRules;

    fn secret(seed: u64) -> SecretKey {
        SecretKey::generate(&SeededEntropy::new(seed)).unwrap()
    }

    #[test]
    fn two_nodes_with_one_secret_agree_and_another_secret_does_not() {
        let (one, two) = (KeyRing::new(&secret(1), &[]), KeyRing::new(&secret(1), &[]));
        let other = KeyRing::new(&secret(2), &[]);
        let fields: &[&[u8]] = &[b"a", b"bc"];
        assert_eq!(one.ids(), two.ids());
        assert_eq!(one.fingerprint(fields), two.fingerprint(fields));
        assert_eq!(one.jwks(), two.jwks());
        assert_ne!(one.fingerprint(fields), other.fingerprint(fields));
        assert_ne!(one.jwks(), other.jwks());
    }

    #[test]
    fn every_case_of_an_address_shares_its_counters() {
        let ring = KeyRing::new(&secret(1), &[]);
        let index = |text: &str| {
            let read = Recipient::parse(text, &NumberRules::default()).unwrap();
            ring.recipient_index(&AppId::default(), &read)
        };
        assert_eq!(index("Victim@Example.org"), index("vIctim@example.org"));
        assert_ne!(index("victim@example.org"), index("victim2@example.org"));
    }

    #[test]
    fn moving_a_boundary_between_fields_changes_the_fingerprint() {
        let ring = KeyRing::new(&secret(1), &[]);
        assert_ne!(
            ring.fingerprint(&[b"ab", b"c"]),
            ring.fingerprint(&[b"a", b"bc"])
        );
    }

    #[test]
    fn after_a_rotation_old_seals_open_and_indexes_stay() {
        let entropy = SeededEntropy::new(9);
        let before = KeyRing::new(&secret(1), &[]);
        let during = KeyRing::new(&secret(2), &[secret(1)]);
        let after = KeyRing::new(&secret(2), &[]);
        let sealed = before.seal(b"place", b"text", &entropy).unwrap();
        assert_eq!(during.open(b"place", &sealed).unwrap().as_slice(), b"text");
        assert_eq!(
            during.source_index("native", "::"),
            before.source_index("native", "::")
        );
        assert_eq!(during.fingerprint(&[b"x"]), before.fingerprint(&[b"x"]));
        assert_eq!(after.open(b"place", &sealed).unwrap_err(), Unsealable);
        assert_eq!(during.signing_key_id(), after.signing_key_id());
    }

    #[test]
    fn a_ring_that_expects_a_key_knows_what_others_make_under_it_and_makes_nothing() {
        let entropy = SeededEntropy::new(9);
        let before = KeyRing::new(&secret(1), &[]);
        let expecting = KeyRing::new(&secret(1), &[]).expecting(&secret(2));
        let during = KeyRing::new(&secret(2), &[secret(1)]).expecting(&secret(2));
        let sealed = during.seal(b"place", b"text", &entropy).unwrap();
        assert_eq!(
            expecting.open(b"place", &sealed).unwrap().as_slice(),
            b"text"
        );
        assert_eq!(before.open(b"place", &sealed).unwrap_err(), Unsealable);
        let code = Code::parse("402718").unwrap();
        let (app, nothing) = (AppId::default(), BindingDigest::default());
        let theirs = during.candidate(&app, &nothing, &code);
        let known = |ring: &KeyRing| {
            let candidates = ring.candidates(&app, &nothing, &code);
            candidates
                .iter()
                .any(|one| (one.key, one.mac) == (theirs.key, theirs.mac))
        };
        assert!(known(&expecting) && !known(&before));
        assert_eq!(expecting.ids(), before.ids());
        assert_eq!(expecting.index_id(), during.index_id());
        assert_eq!(expecting.signing_key_id(), before.signing_key_id());
        assert_eq!(
            expecting.candidate(&app, &nothing, &code).mac,
            before.candidate(&app, &nothing, &code).mac
        );
        // A key that is in use already is not expected any more.
        assert_eq!(during.candidates(&app, &nothing, &code).len(), 2);
    }

    #[test]
    fn a_sealed_value_opens_at_its_own_place_only_and_unchanged() {
        let ring = KeyRing::new(&secret(1), &[]);
        let sealed = ring.seal(b"here", b"text", &SeededEntropy::new(1)).unwrap();
        assert!(ring.open(b"there", &sealed).is_err());
        for index in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[index] ^= 1;
            assert!(
                ring.open(b"here", &Sealed::from_bytes(&bytes)).is_err(),
                "byte {index}"
            );
        }
        assert!(ring.open(b"here", &Sealed::from_bytes(b"short")).is_err());
    }
}
