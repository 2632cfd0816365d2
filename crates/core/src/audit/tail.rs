//! Where one writer is in the chain.

use super::{AuditStore, Draft, Link, Page};
use crate::keys::KeyRing;
use crate::store::StoreError;

/// Puts the drafts of one writer behind the newest page, whoever else does so at the same time.
///
/// A draft that could not be written is to be brought again until it is: a store that was told to
/// add a page and did not say whether it did is looked at first, so that no page is there twice.
///
/// What others have put there is looked at before anything is written behind it: a page vouches for
/// the one before it, so that keys can leave. Behind a page that may be of anybody it goes on
/// without: entries that wait for an operator are lost when there are too many.
#[derive(Debug, Default)]
pub struct Tail {
    /// The newest page, as far as is known.
    last: Option<Link>,
    /// Whether nothing is known of who wrote that page.
    doubts: bool,
    /// A page that nothing is known of, which nobody was told yet.
    unproven: Option<u64>,
    /// The pages of the present draft that may be in the store.
    doubtful: Vec<Link>,
}

impl Tail {
    /// Adds a page with what the draft holds.
    ///
    /// # Errors
    /// The store's. The page may be there all the same; the next call, with the same draft, finds
    /// out.
    pub async fn append(
        &mut self,
        store: &dyn AuditStore,
        draft: &Draft,
        keys: &KeyRing,
    ) -> Result<(), StoreError> {
        loop {
            if self.last.is_none() {
                let last = store.last().await?;
                self.doubts = match last {
                    Some(last) => !is_proven(last, store, keys).await?,
                    None => false,
                };
                self.last = last;
                if self.is_there(store).await? {
                    self.doubtful.clear();
                    return Ok(());
                }
            }
            let page = match self.last {
                Some(last) if self.doubts => {
                    self.unproven = Some(last.number);
                    Page::behind_unproven(last, draft.clone(), keys)
                }
                last => Page::behind(last, draft.clone(), keys),
            };
            let link = page.link;
            match store.append(page).await {
                Ok(true) => {
                    self.last = Some(link);
                    self.doubts = false;
                    self.doubtful.clear();
                    return Ok(());
                }
                // Another one was quicker: another writer, or what was told before.
                Ok(false) => self.last = None,
                Err(error) => {
                    self.last = None;
                    self.doubtful.push(link);
                    return Err(error);
                }
            }
        }
    }

    /// The page that it had to write behind without knowing who wrote it, once.
    pub const fn take_unproven(&mut self) -> Option<u64> {
        self.unproven.take()
    }

    /// Whether one of the doubtful pages was added.
    async fn is_there(&self, store: &dyn AuditStore) -> Result<bool, StoreError> {
        for link in &self.doubtful {
            let pages = store.pages(link.number - 1, 1).await?;
            if pages.first().is_some_and(|page| page.link == *link) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether what a store calls its newest page is of one of our nodes. If it is gone meanwhile the
/// answer is no, which does no harm where it was.
async fn is_proven(last: Link, store: &dyn AuditStore, keys: &KeyRing) -> Result<bool, StoreError> {
    let pages = store.pages(last.number.saturating_sub(1), 1).await?;
    if let Some(page) = pages.first().filter(|page| page.link == last) {
        return Ok(page.is_genuine(keys));
    }
    let anchor = store.anchor().await?;
    Ok(anchor.is_some_and(|anchor| anchor.link == last && anchor.is_genuine(keys)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::audit::{Anchor, Broken, Chain, MemoryAudit, Verified};
    use crate::clock::Timestamp;
    use crate::fakes::{self, SeededEntropy};
    use crate::keys::SecretKey;

    /// Adds pages, and loses some of its answers.
    #[derive(Default)]
    struct Mumbling {
        kept: MemoryAudit,
        /// How many answers get lost from now on.
        lost: AtomicU32,
        /// Whether those pages get lost, too.
        forgets: bool,
    }

    #[async_trait]
    impl AuditStore for Mumbling {
        async fn last(&self) -> Result<Option<Link>, StoreError> {
            self.kept.last().await
        }

        async fn append(&self, page: Page) -> Result<bool, StoreError> {
            let less = |left: u32| left.checked_sub(1);
            let loses = self
                .lost
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
            if loses.is_err() {
                return self.kept.append(page).await;
            }
            if !self.forgets {
                self.kept.append(page).await?;
            }
            Err(StoreError::unavailable("the answer is lost"))
        }

        async fn pages(&self, after: u64, limit: u32) -> Result<Vec<Page>, StoreError> {
            self.kept.pages(after, limit).await
        }

        async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
            self.kept.anchor().await
        }

        async fn last_before(&self, moment: Timestamp) -> Result<Option<Link>, StoreError> {
            self.kept.last_before(moment).await
        }

        async fn remove(&self, anchor: Anchor) -> Result<(), StoreError> {
            self.kept.remove(anchor).await
        }

        async fn prune(&self) -> Result<bool, StoreError> {
            self.kept.prune().await
        }
    }

    fn draft(body: &str) -> Draft {
        Draft {
            written_at: Timestamp::from_millis(1_790_000_000_000),
            writer: "node".to_owned(),
            entries: 1,
            body: body.as_bytes().to_vec(),
        }
    }

    async fn bodies(store: &Mumbling) -> Vec<String> {
        let pages = store.pages(0, 100).await.unwrap();
        let bodies = pages.into_iter().map(|page| page.draft.body);
        bodies
            .map(|body| String::from_utf8(body).unwrap())
            .collect()
    }

    /// Seen to fail without the look for doubtful pages.
    #[tokio::test]
    async fn a_page_whose_answer_was_lost_is_not_added_again() {
        let (store, keys) = (Mumbling::default(), fakes::keys(1));
        let (mut tail, mut other) = (Tail::default(), Tail::default());
        tail.append(&store, &draft("first"), &keys).await.unwrap();
        store.lost.store(1, Ordering::SeqCst);
        let second = draft("second");
        assert!(tail.append(&store, &second, &keys).await.is_err());
        // Somebody else goes on meanwhile.
        other.append(&store, &draft("third"), &keys).await.unwrap();
        tail.append(&store, &second, &keys).await.unwrap();
        // The same words later are another entry.
        tail.append(&store, &second, &keys).await.unwrap();
        assert_eq!(bodies(&store).await, ["first", "second", "third", "second"]);
    }

    #[tokio::test]
    async fn a_page_that_was_lost_with_its_answer_is_added() {
        let store = Mumbling {
            forgets: true,
            ..Mumbling::default()
        };
        let (keys, mut tail) = (fakes::keys(1), Tail::default());
        store.lost.store(3, Ordering::SeqCst);
        let first = draft("first");
        for _ in 0..3 {
            assert!(tail.append(&store, &first, &keys).await.is_err());
        }
        tail.append(&store, &first, &keys).await.unwrap();
        assert_eq!(bodies(&store).await, ["first"]);
    }

    fn secret(seed: u64) -> SecretKey {
        SecretKey::generate(&SeededEntropy::new(seed)).unwrap()
    }

    fn ring(newest: u64, leaving: &[u64]) -> KeyRing {
        let leaving: Vec<_> = leaving.iter().map(|seed| secret(*seed)).collect();
        KeyRing::new(&secret(newest), &leaving)
    }

    async fn verify(store: &dyn AuditStore, keys: &KeyRing) -> Result<Verified, Broken> {
        let mut chain = Chain::new(store.anchor().await.unwrap(), keys)?;
        for page in store.pages(0, 100).await.unwrap() {
            chain.follow(&page)?;
        }
        chain.end()
    }

    /// What somebody puts behind the newest page who can write to the store and has no key.
    async fn put_in(store: &dyn AuditStore) -> u64 {
        let last = store.last().await.unwrap();
        let mut page = Page::behind(last, draft("put in"), &ring(66, &[]));
        page.mac[0] ^= 1;
        let number = page.link.number;
        assert!(store.append(page).await.unwrap());
        number
    }

    /// Seen to fail where whatever the store calls its newest page is vouched for.
    #[tokio::test]
    async fn nobody_vouches_for_a_page_that_somebody_else_put_in() {
        let (store, keys) = (MemoryAudit::default(), ring(1, &[]));
        let (mut tail, mut other) = (Tail::default(), Tail::default());
        tail.append(&store, &draft("first"), &keys).await.unwrap();
        assert_eq!(put_in(&store).await, 2);
        for body in ["third", "fourth"] {
            tail.append(&store, &draft(body), &keys).await.unwrap();
        }
        assert_eq!(
            (tail.take_unproven(), tail.take_unproven()),
            (Some(2), None)
        );
        // Whoever comes later finds a page of ours.
        other.append(&store, &draft("fifth"), &keys).await.unwrap();
        assert_eq!(other.take_unproven(), None);
        assert_eq!(store.pages(0, 100).await.unwrap().len(), 5);
        let seen = verify(&store, &keys).await;
        assert!(
            matches!(seen, Err(Broken::Unproven { number: 2, .. })),
            "{seen:?}"
        );
        // Nor once the key has left under which that was said.
        let after = ring(2, &[1]);
        let mut tail = Tail::default();
        tail.append(&store, &draft("sixth"), &after).await.unwrap();
        for keys in [after, ring(2, &[])] {
            let seen = verify(&store, &keys).await;
            assert!(
                matches!(seen, Err(Broken::Unproven { number: 2, .. })),
                "{seen:?}"
            );
        }
    }

    #[tokio::test]
    async fn nobody_vouches_for_an_anchor_that_somebody_else_put_in() {
        let (store, keys) = (MemoryAudit::default(), ring(1, &[]));
        let mut tail = Tail::default();
        tail.append(&store, &draft("first"), &keys).await.unwrap();
        let last = store.last().await.unwrap().unwrap();
        let anchor = Anchor::at(last, &ring(66, &[]));
        store.remove(anchor).await.unwrap();
        let mut tail = Tail::default();
        tail.append(&store, &draft("second"), &keys).await.unwrap();
        assert_eq!(tail.take_unproven(), Some(1));
        let seen = verify(&store, &keys).await;
        assert!(
            matches!(seen, Err(Broken::UnknownRemoval { number: 1, .. })),
            "{seen:?}"
        );
    }

    #[tokio::test]
    async fn a_key_that_leaves_after_its_time_leaves_a_chain_in_order() {
        let store = MemoryAudit::default();
        for keys in [ring(1, &[]), ring(2, &[1]), ring(2, &[]), ring(3, &[2])] {
            let mut tail = Tail::default();
            tail.append(&store, &draft("a page"), &keys).await.unwrap();
            assert_eq!(tail.take_unproven(), None);
            assert_eq!(verify(&store, &keys).await.map(|seen| seen.removed), Ok(0));
        }
        assert_eq!(verify(&store, &ring(3, &[])).await.unwrap().pages, 4);
    }

    /// Entries are kept, and who lists the key again sees that all is well.
    #[tokio::test]
    async fn a_key_that_left_too_early_is_wanted_back_to_verify() {
        let store = MemoryAudit::default();
        let (early, both) = (ring(2, &[]), ring(2, &[1]));
        for keys in [ring(1, &[]), ring(2, &[])] {
            let mut tail = Tail::default();
            tail.append(&store, &draft("a page"), &keys).await.unwrap();
        }
        let seen = verify(&store, &early).await;
        assert!(
            matches!(seen, Err(Broken::Unproven { number: 1, .. })),
            "{seen:?}"
        );
        assert_eq!(verify(&store, &both).await.unwrap().pages, 2);
    }
}
