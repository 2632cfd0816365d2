//! The digests of codes, beside those that every store keeps: see `lua/place.lua`.

use sha1::{Digest as _, Sha1};
use watchword_core::{
    Candidate, Channel, CodeContext, CodeDigest, Purpose, RecipientIndex, StartStep, VerificationId,
};

use super::place::{Prefix, prefix_of};
use super::row::{Short, Told};

/// The short digest of a fresh code, whose row will have a body that begins with `head`, up to the
/// channel.
pub(super) fn short_digest(step: &StartStep, head: &[u8]) -> Short {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = Sha1::new()
        .chain_update(step.candidate.at_place(prefix_of(step.id)))
        .chain_update(&step.recipient.as_bytes()[4..])
        .chain_update(&step.id.as_bytes()[4..])
        .chain_update(head)
        .finalize();
    let mut short = Short::default();
    for (pair, byte) in short.chunks_exact_mut(2).zip(hash) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    short
}

/// What the digest of a row binds that was copied from another store.
///
/// Nobody knew its code when it was written here, so that it has no short digest, and the script of a
/// check can compare nothing: it tells what the digest binds, and is asked again.
pub(super) struct Bound {
    /// As the server told it.
    pub(super) told: Vec<u8>,
    id: VerificationId,
    recipient: RecipientIndex,
    channel: Channel,
    purpose: Purpose,
}

impl Bound {
    pub(super) fn of(mut told: Told<'_>, prefix: Prefix) -> Option<Self> {
        Some(Self {
            told: told.rest().to_vec(),
            recipient: RecipientIndex::from_bytes(told.in_place(prefix)?),
            id: VerificationId::from_bytes(told.in_place(prefix)?),
            purpose: told.purpose()?,
            channel: {
                told.name()?;
                told.channel()?
            },
        })
    }

    /// The digests that these candidates have there, each behind its key.
    pub(super) fn digests(&self, candidates: &[Candidate]) -> Vec<u8> {
        let context = CodeContext {
            id: self.id,
            recipient: self.recipient,
            channel: self.channel,
            purpose: &self.purpose,
        };
        let mut digests = Vec::with_capacity(36 * candidates.len());
        for candidate in candidates {
            let digest = CodeDigest::bind(candidate, context);
            let (key, hash) = digest.parts();
            digests.extend(key.to_bytes());
            digests.extend(hash);
        }
        digests
    }
}
