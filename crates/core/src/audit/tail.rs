//! Where one writer is in the chain.

use super::{AuditStore, Draft, Link, Page};
use crate::keys::KeyRing;
use crate::store::StoreError;

/// Puts the drafts of one writer behind the newest page, whoever else does so at the same time.
///
/// A draft that could not be written is to be brought again until it is: a store that was told to
/// add a page and did not say whether it did is looked at first, so that no page is there twice.
#[derive(Debug, Default)]
pub struct Tail {
    /// The newest page, as far as is known.
    last: Option<Link>,
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
                self.last = store.last().await?;
                if self.is_there(store).await? {
                    self.doubtful.clear();
                    return Ok(());
                }
            }
            let page = Page::behind(self.last, draft.clone(), keys);
            let link = page.link;
            match store.append(page).await {
                Ok(true) => {
                    self.last = Some(link);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::audit::{Anchor, MemoryAudit};
    use crate::clock::Timestamp;
    use crate::fakes;

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
}
