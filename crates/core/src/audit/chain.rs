//! Going through a chain, page by page.

use super::page::{Anchor, Link, Page, Standing};
use crate::keys::{KeyId, KeyRing};

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A number is left out.
    #[error("page {expected} is missing: page {found} follows page {}", expected - 1)]
    Missing {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A page does not hold what it held when it was written.
    #[error("page {0} was changed after it was written")]
    Changed(u64),
    /// A page does not follow the page before it.
    #[error("page {0} does not belong behind the page before it: one of the two was exchanged")]
    Exchanged(u64),
    /// Nobody who has the secret key wrote it.
    #[error("page {0} was not written by a server with this secret key")]
    Forged(u64),
    /// What stands for removed pages was not written by us.
    #[error("the pages up to {0} were removed by somebody else than the retention")]
    Removed(u64),
    /// What stands for removed pages cannot be proven. The pages behind it prove which page it names,
    /// and not that ours removed what is before.
    #[error(
        "nothing shows who removed the pages up to {number}: what stands for them is under a key \
         that is not in secret_keys ({key:?}); somebody else removed them, or no server ran while \
         that key and the next one were listed (then list it again, last, and start one)"
    )]
    UnknownRemoval {
        /// The newest of them.
        number: u64,
        /// That key.
        key: KeyId,
    },
    /// The newest pages cannot be proven, as their key is not listed any more.
    #[error("pages up to {number} are under a key that is not in secret_keys ({key:?})")]
    UnknownKey {
        /// The newest of them.
        number: u64,
        /// That key.
        key: KeyId,
    },
    /// Nobody vouches for a page.
    #[error(
        "page {number} is under a key that is not in secret_keys ({key:?}), and whoever wrote the \
         page behind it did not know that key either: somebody else put it in, or its key was \
         taken off the list before another was in use (then list it again, last, to verify)"
    )]
    Unproven {
        /// The page.
        number: u64,
        /// The key that it names.
        key: KeyId,
    },
    /// The page that was expected is not there, or is another one.
    #[error("page {0} is not the one that was expected: the chain was cut off or exchanged")]
    Unexpected(u64),
}

/// A chain that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many pages were looked at.
    pub pages: u64,
    /// How many entries they hold.
    pub entries: u64,
    /// The pages up to this number were removed because they were old.
    pub removed: u64,
    /// The newest page.
    pub last: Option<Link>,
}

/// Looks at one page after the other.
pub struct Chain<'a> {
    keys: &'a KeyRing,
    last: Option<Link>,
    /// The newest page that is not proven yet, as its key has left. A later page proves
    /// it, because that page's MAC covers its hash, and its writer knew it for one of ours or says
    /// that it did not.
    unproven: Option<(u64, KeyId)>,
    expected: Option<Link>,
    seen: Verified,
}

impl<'a> Chain<'a> {
    /// A chain that begins behind the pages that were removed.
    ///
    /// # Errors
    /// When the anchor is not ours.
    pub fn new(anchor: Option<Anchor>, keys: &'a KeyRing) -> Result<Self, Broken> {
        let mut chain = Self::between(anchor.map(|anchor| anchor.link), None, keys);
        chain.seen.removed = anchor.map_or(0, |anchor| anchor.link.number);
        if let Some(anchor) = anchor {
            match anchor.is_ours(keys) {
                Some(true) => {}
                Some(false) => return Err(Broken::Removed(anchor.link.number)),
                None => {
                    return Err(Broken::UnknownRemoval {
                        number: anchor.link.number,
                        key: anchor.key,
                    });
                }
            }
        }
        Ok(chain)
    }

    /// A chain that goes on where another one was: `unproven` is what that one had not proven yet.
    pub(super) const fn between(
        last: Option<Link>,
        unproven: Option<(u64, KeyId)>,
        keys: &'a KeyRing,
    ) -> Self {
        Self {
            keys,
            last,
            unproven,
            expected: None,
            seen: Verified {
                pages: 0,
                entries: 0,
                removed: 0,
                last: None,
            },
        }
    }

    /// The newest page that is not proven yet.
    pub(super) const fn unproven(&self) -> Option<(u64, KeyId)> {
        self.unproven
    }

    /// The same, and this page has to be in it or be among those that were removed.
    #[must_use]
    pub const fn expecting(mut self, expected: Option<Link>) -> Self {
        self.expected = expected;
        self
    }

    /// Looks at the next page.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn follow(&mut self, page: &Page) -> Result<(), Broken> {
        let number = page.link.number;
        let expected = self.last.map_or(1, |last| last.number + 1);
        if number != expected {
            return Err(Broken::Missing {
                expected,
                found: number,
            });
        }
        let standing = page.standing().ok_or(Broken::Changed(number))?;
        if page.previous != self.last.map_or([0; 32], |last| last.hash) {
            return Err(Broken::Exchanged(number));
        }
        if standing == Standing::Doubts
            && let Some((number, key)) = self.unproven
        {
            return Err(Broken::Unproven { number, key });
        }
        match page.is_ours(self.keys) {
            Some(true) => self.unproven = None,
            Some(false) => return Err(Broken::Forged(number)),
            None => self.unproven = Some((number, page.key)),
        }
        if let Some(wanted) = self.expected.filter(|wanted| wanted.number == number) {
            if wanted != page.link {
                return Err(Broken::Unexpected(number));
            }
            self.expected = None;
        }
        self.last = Some(page.link);
        self.seen.pages += 1;
        self.seen.entries += u64::from(page.draft.entries);
        Ok(())
    }

    /// There are no more pages.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn end(self) -> Result<Verified, Broken> {
        if let Some((number, key)) = self.unproven {
            return Err(Broken::UnknownKey { number, key });
        }
        match self.expected {
            Some(wanted) if wanted.number > self.seen.removed => {
                return Err(Broken::Unexpected(wanted.number));
            }
            _ => {}
        }
        Ok(Verified {
            last: self.last,
            ..self.seen
        })
    }
}
