//! Whether a page is of one of our nodes, before everything up to it is removed.

use super::chain::{Broken, Chain};
use super::page::{Anchor, Link, Page};
use crate::keys::{KeyId, KeyRing};

/// Proves a page, so that what it says of its age may be believed: by its MAC, or, where its key
/// has left the ring, by the pages behind it up to one whose key has not.
///
/// Those may be many; it can be gone on with whenever there is time.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    page: Link,
    last: Link,
    unproven: Option<(u64, KeyId)>,
}

impl Proof {
    /// Begins with a page. Often this is all that there is to do.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(page: &Page, keys: &KeyRing) -> Result<Self, Broken> {
        let before = page.link.number.checked_sub(1).filter(|number| *number > 0);
        let before = before.map(|number| Link {
            number,
            hash: page.previous,
        });
        let mut chain = Chain::between(before, None, keys);
        chain.follow(page)?;
        Ok(Self {
            page: page.link,
            last: page.link,
            unproven: chain.unproven(),
        })
    }

    /// Goes on with the pages behind the [last](Self::last) one, as far as that is needed.
    ///
    /// # Errors
    /// What is wrong with them, or that there are none.
    pub fn go_on(&mut self, pages: &[Page], keys: &KeyRing) -> Result<(), Broken> {
        for page in pages {
            if self.unproven.is_none() {
                return Ok(());
            }
            let mut chain = Chain::between(Some(self.last), self.unproven, keys);
            chain.follow(page)?;
            (self.last, self.unproven) = (page.link, chain.unproven());
        }
        match self.unproven {
            Some((number, key)) if pages.is_empty() => Err(Broken::UnknownKey { number, key }),
            _ => Ok(()),
        }
    }

    /// The number of the page that is to be proven.
    #[must_use]
    pub const fn page(&self) -> u64 {
        self.page.number
    }

    /// The number of the page that was looked at last.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last.number
    }

    /// What stands for all pages up to this one; `None` as long as it is not proven.
    #[must_use]
    pub fn anchor(&self, keys: &KeyRing) -> Option<Anchor> {
        self.unproven.is_none().then(|| Anchor::at(self.page, keys))
    }
}
