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

/// Whether the writer of a page knew the page before it for one of ours. It is part of the hash, so
/// that it can be told when the key of the page has left, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It did: who proves this page has proven the one before it.
    Vouches,
    /// It did not.
    Doubts,
}

const PAGE: &[u8] = b"page";
const ANCHOR: &[u8] = b"anchor";
/// Stands before a number, and begins as no number that a store takes.
const DOUBTS: &[u8] = b"\xffdoubts";

impl Page {
    /// Puts entries behind the page that was the last so far, and vouches for that one: the caller
    /// knows that it is one of ours.
    #[must_use]
    pub fn behind(last: Option<Link>, draft: Draft, keys: &KeyRing) -> Self {
        Self::standing_behind(last, Standing::Vouches, draft, keys)
    }

    /// Puts entries behind a page that may be of anybody, and does not vouch for it.
    #[must_use]
    pub fn behind_unproven(last: Link, draft: Draft, keys: &KeyRing) -> Self {
        Self::standing_behind(Some(last), Standing::Doubts, draft, keys)
    }

    fn standing_behind(
        last: Option<Link>,
        standing: Standing,
        draft: Draft,
        keys: &KeyRing,
    ) -> Self {
        let previous = last.map_or([0; 32], |last| last.hash);
        let number = last.map_or(1, |last| last.number + 1);
        let hash = hash(number, &previous, &draft, standing);
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

    /// Whether it holds what it held when one of our nodes wrote it, under a key of the ring.
    #[must_use]
    pub fn is_genuine(&self, keys: &KeyRing) -> bool {
        self.standing().is_some() && self.is_ours(keys) == Some(true)
    }

    /// How it stands to the page before it; `None` if it does not hold what it held when it was
    /// written.
    pub(super) fn standing(&self) -> Option<Standing> {
        let stands = |standing: &Standing| {
            hash(self.link.number, &self.previous, &self.draft, *standing) == self.link.hash
        };
        [Standing::Vouches, Standing::Doubts]
            .into_iter()
            .find(stands)
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

    /// The same under the newest key, if its own is about to leave the ring: nothing else would
    /// prove it then.
    #[must_use]
    pub fn renewed(&self, keys: &KeyRing) -> Option<Self> {
        let leaves = keys.ids().iter().skip(1).any(|id| *id == self.key);
        (leaves && self.is_genuine(keys)).then(|| Self::at(self.link, keys))
    }

    /// Whether one of our nodes made it, under a key of the ring.
    #[must_use]
    pub fn is_genuine(&self, keys: &KeyRing) -> bool {
        self.is_ours(keys) == Some(true)
    }

    /// Whether one of our nodes wrote it; `None` if its key has left the ring.
    pub(super) fn is_ours(&self, keys: &KeyRing) -> Option<bool> {
        keys.attested(self.key, &fields(ANCHOR, &self.link), &self.mac)
    }
}

fn fields(what: &[u8], link: &Link) -> Vec<u8> {
    [what, &link.number.to_be_bytes(), &link.hash].concat()
}

fn hash(number: u64, previous: &[u8; 32], draft: &Draft, standing: Standing) -> [u8; 32] {
    let mut hash = Sha256::new();
    if standing == Standing::Doubts {
        hash.update(DOUBTS);
    }
    hash.update(number.to_be_bytes());
    hash.update(previous);
    hash.update(draft.written_at.as_millis().to_be_bytes());
    hash.update(draft.entries.to_be_bytes());
    hash.update((draft.writer.len() as u64).to_be_bytes());
    hash.update(&draft.writer);
    hash.update(&draft.body);
    hash.finalize().into()
}
