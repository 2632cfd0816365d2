//! The audit log: security events in a chain of pages that shows every edit.
//!
//! Entries are lines of JSON. A page holds those of a moment, and its hash covers the hash of the
//! page before it, so that nothing between two pages can be changed, taken out or put in. Beside
//! the hash stands a MAC under a key that the store does not have: whoever can write to the store
//! cannot make pages of his own. What no chain shows by itself is that its newest pages are gone;
//! whoever wants to know that keeps the name of a page elsewhere ([`Chain::expecting`]).

mod chain;
#[cfg(feature = "testing")]
pub mod conformance;
mod entry;
mod memory;
mod page;
mod proof;
mod tail;

use async_trait::async_trait;

pub use chain::{Broken, Chain, Verified};
pub use entry::Entry;
pub use memory::MemoryAudit;
pub use page::{Anchor, Draft, Link, Page};
pub use proof::Proof;
pub use tail::Tail;

use crate::clock::Timestamp;
use crate::store::StoreError;

/// Keeps the pages.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// The newest page, or what stands for those that were removed; `None` where nothing was ever
    /// written.
    async fn last(&self) -> Result<Option<Link>, StoreError>;

    /// Adds a page behind the newest one, durably. `false`, and nothing is added, if another page
    /// came first.
    async fn append(&self, page: Page) -> Result<bool, StoreError>;

    /// Up to `limit` pages whose numbers are above `after`, in their order.
    async fn pages(&self, after: u64, limit: u32) -> Result<Vec<Page>, StoreError>;

    /// What stands for the pages that were removed.
    async fn anchor(&self) -> Result<Option<Anchor>, StoreError>;

    /// Of the pages that were not removed, the one that was written last before a moment.
    async fn last_before(&self, moment: Timestamp) -> Result<Option<Link>, StoreError>;

    /// Has an anchor stand for all pages up to its own from now on: nothing here shows them any more, and
    /// [`prune`](Self::prune) gives their room back. An anchor that is older than the one that is there
    /// changes nothing; one for the same pages takes its place.
    async fn remove(&self, anchor: Anchor) -> Result<(), StoreError>;

    /// Deletes some of what was removed, as much as hinders nobody; whether there may be more.
    async fn prune(&self) -> Result<bool, StoreError>;
}
