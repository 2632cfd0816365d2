//! Where changes go to become durable.

use async_trait::async_trait;

use crate::store::StoreError;

/// Takes every change of a [`super::MemoryStore`], in order, and says when it is durable.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Whether changes are worth encoding at all.
    const KEEPS: bool;

    /// Takes one record, and returns its position. Called while the changed shard is held, so
    /// that records of one recipient stay in order: it must not block.
    fn append(&self, record: &[u8]) -> u64;

    /// The position of the newest record taken.
    fn position(&self) -> u64;

    /// Waits until every record up to `position` is durable.
    ///
    /// # Errors
    /// When they could not be written. They may still become durable later.
    async fn settle(&self, position: u64) -> Result<(), StoreError>;

    /// Whether records could be written now. A step asks before it changes anything.
    ///
    /// # Errors
    /// When the last attempt to write failed.
    fn ready(&self) -> Result<(), StoreError>;
}

/// No journal: what the process forgets is gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    const KEEPS: bool = false;

    fn append(&self, _record: &[u8]) -> u64 {
        0
    }

    fn position(&self) -> u64 {
        0
    }

    async fn settle(&self, _position: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
