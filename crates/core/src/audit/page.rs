//! Pages, and how they hang together.

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::keys::{KeyId, KeyRing};

/// Names a page: where in the chain it is, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number; the first page is 1.
    pub number: u64,
    /// SHA-256 over everything in it and the hash before it.
    pub hash: [u8; 32],
}

/// Entries that wait for their place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// When the page is written.
    pub written_at: Timestamp,
    /// Which process writes it.
    pub writer: String,
    /// How many entries it holds.
    pub entries: u32,
    /// The entries, a line of JSON each.
    pub body: Vec<u8>,
}

/// A page of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its number and hash.
    pub link: Link,
    /// The hash of the page before it; zeros for the first.
    pub previous: [u8; 32],
    /// What it holds.
    pub draft: Draft,
    /// The key of the MAC.
    pub key: KeyId,
    /// HMAC-SHA256 over number and hash.
    pub mac: [u8; 32],
}

/// Stands for pages that were removed because they were old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The newest of them.
    pub link: Link,
    /// The key of the MAC.
    pub key: KeyId,
    /// HMAC-SHA256 over number and hash, and over that this is an anchor.
    pub mac: [u8; 32],
}

const PAGE: &[u8] = b"page";
const ANCHOR: &[u8] = b"anchor";

impl Page {
    /// Puts entries behind the page that was the last so far.
    #[must_use]
    pub fn behind(last: Option<Link>, draft: Draft, keys: &KeyRing) -> Self {
        let previous = last.map_or([0; 32], |last| last.hash);
        let number = last.map_or(1, |last| last.number + 1);
        let hash = hash(number, &previous, &draft);
        let link = Link { number, hash };
        let (key, mac) = keys.attest(&fields(PAGE, &link));
        Self {
            link,
            previous,
            draft,
            key,
            mac,
        }
    }

    /// Whether it holds what it held when it was written.
    pub(super) fn is_intact(&self) -> bool {
        hash(self.link.number, &self.previous, &self.draft) == self.link.hash
    }

    /// Whether one of our nodes wrote it; `None` if its key has left the ring.
    pub(super) fn is_ours(&self, keys: &KeyRing) -> Option<bool> {
        keys.attested(self.key, &fields(PAGE, &self.link), &self.mac)
    }
}

impl Anchor {
    /// An anchor in the place of all pages up to this one.
    #[must_use]
    pub fn at(link: Link, keys: &KeyRing) -> Self {
        let (key, mac) = keys.attest(&fields(ANCHOR, &link));
        Self { link, key, mac }
    }

    /// Whether one of our nodes wrote it; `None` if its key has left the ring.
    pub(super) fn is_ours(&self, keys: &KeyRing) -> Option<bool> {
        keys.attested(self.key, &fields(ANCHOR, &self.link), &self.mac)
    }
}

fn fields(what: &[u8], link: &Link) -> Vec<u8> {
    [what, &link.number.to_be_bytes(), &link.hash].concat()
}

fn hash(number: u64, previous: &[u8; 32], draft: &Draft) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(number.to_be_bytes());
    hash.update(previous);
    hash.update(draft.written_at.as_millis().to_be_bytes());
    hash.update(draft.entries.to_be_bytes());
    hash.update((draft.writer.len() as u64).to_be_bytes());
    hash.update(&draft.writer);
    hash.update(&draft.body);
    hash.finalize().into()
}
