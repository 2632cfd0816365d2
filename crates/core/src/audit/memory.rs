//! Pages in memory: for a store that forgets everything else, too.

use async_trait::async_trait;
use parking_lot::Mutex;

use super::AuditStore;
use super::page::{Anchor, Link, Page};
use crate::clock::Timestamp;
use crate::store::StoreError;

/// Keeps pages until the process ends.
#[derive(Default)]
pub struct MemoryAudit(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    pages: Vec<Page>,
    anchor: Option<Anchor>,
}

impl Kept {
    fn last(&self) -> Option<Link> {
        let newest = self.pages.last().map(|page| page.link);
        newest.or(self.anchor.map(|anchor| anchor.link))
    }
}

#[async_trait]
impl AuditStore for MemoryAudit {
    async fn last(&self) -> Result<Option<Link>, StoreError> {
        Ok(self.0.lock().last())
    }

    async fn append(&self, page: Page) -> Result<bool, StoreError> {
        let mut kept = self.0.lock();
        let next = kept.last().map_or(1, |last| last.number + 1);
        let fits = page.link.number == next;
        if fits {
            kept.pages.push(page);
        }
        Ok(fits)
    }

    async fn pages(&self, after: u64, limit: u32) -> Result<Vec<Page>, StoreError> {
        let kept = self.0.lock();
        let pages = kept.pages.iter().filter(|page| page.link.number > after);
        Ok(pages.take(limit as usize).cloned().collect())
    }

    async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        Ok(self.0.lock().anchor)
    }

    async fn last_before(&self, moment: Timestamp) -> Result<Option<Link>, StoreError> {
        let kept = self.0.lock();
        let older = kept
            .pages
            .iter()
            .filter(|page| page.draft.written_at < moment);
        Ok(older
            .max_by_key(|page| (page.draft.written_at, page.link.number))
            .map(|page| page.link))
    }

    async fn remove(&self, anchor: Anchor) -> Result<(), StoreError> {
        let mut kept = self.0.lock();
        let known = kept.anchor.map_or(0, |known| known.link.number);
        if anchor.link.number >= known {
            kept.pages
                .retain(|page| page.link.number > anchor.link.number);
            kept.anchor = Some(anchor);
        }
        Ok(())
    }

    async fn prune(&self) -> Result<bool, StoreError> {
        Ok(false)
    }
}
