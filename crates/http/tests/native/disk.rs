//! A store whose disk can be stopped.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use watchword_core::StoreError;
use watchword_core::memory::{Journal, MemoryStore};

/// Has every record at once. While it is stopped, it says so to nobody, and all answers of its store are late.
#[derive(Clone)]
pub struct Disk(watch::Sender<bool>);

impl Default for Disk {
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Disk {
    /// A store over this disk.
    pub fn store(&self) -> Arc<MemoryStore<Self>> {
        Arc::new(MemoryStore::new(self.clone(), 1000))
    }

    pub fn stop(&self) {
        self.0.send_replace(false);
    }

    pub fn go_on(&self) {
        self.0.send_replace(true);
    }
}

#[async_trait]
impl Journal for Disk {
    const KEEPS: bool = true;

    fn append(&self, _: &[u8]) -> u64 {
        0
    }

    fn position(&self) -> u64 {
        0
    }

    async fn settle(&self, _: u64) -> Result<(), StoreError> {
        let mut watched = self.0.subscribe();
        let turns = watched.wait_for(|turns| *turns).await;
        turns.map(drop).map_err(StoreError::unavailable)
    }

    fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
