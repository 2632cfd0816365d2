//! The inbox of dev mode: keeps messages instead of sending them.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use watchword_core::routing::Outcome;
use watchword_core::{Channel, Clock, DeliveryId, Inbox, InboxMessage, Message};

use crate::provider::Provider;

/// The messages of all inbox providers, in memory.
#[derive(Debug)]
pub struct KeptMessages {
    /// Newest first.
    messages: Mutex<VecDeque<Arc<InboxMessage>>>,
    most: usize,
    revision: watch::Sender<u64>,
}

impl KeptMessages {
    /// So many messages are kept unless told otherwise.
    pub const MOST: usize = 500;

    /// Keeps the newest `most` messages.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            messages: Mutex::default(),
            most,
            revision: watch::Sender::new(0),
        }
    }

    fn keep(&self, message: InboxMessage) {
        let mut messages = self.messages.lock();
        messages.push_front(Arc::new(message));
        messages.truncate(self.most);
        drop(messages);
        self.revise();
    }

    fn revise(&self) {
        self.revision
            .send_modify(|revision| *revision = revision.wrapping_add(1));
    }
}

impl Default for KeptMessages {
    fn default() -> Self {
        Self::new(Self::MOST)
    }
}

#[async_trait]
impl Inbox for KeptMessages {
    fn messages(&self) -> Vec<Arc<InboxMessage>> {
        self.messages.lock().iter().cloned().collect()
    }

    fn clear(&self) {
        self.messages.lock().clear();
        self.revise();
    }

    fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    async fn changed(&self, seen: u64) -> u64 {
        let mut revision = self.revision.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        match revision.wait_for(|revision| *revision != seen).await {
            Ok(revision) => *revision,
            Err(_) => seen,
        }
    }
}

/// A provider that puts messages of every channel into the inbox.
pub struct InboxProvider {
    name: String,
    kept: Arc<KeptMessages>,
    clock: Arc<dyn Clock>,
}

impl InboxProvider {
    /// The kind in the configuration.
    pub const KIND: &'static str = "inbox";

    /// An inbox by this name.
    #[must_use]
    pub fn new(name: &str, kept: Arc<KeptMessages>, clock: Arc<dyn Clock>) -> Self {
        Self {
            name: name.to_owned(),
            kept,
            clock,
        }
    }
}

#[async_trait]
impl Provider for InboxProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn carries(&self, _channel: Channel) -> bool {
        true
    }

    async fn send(&self, message: &Message, _deadline: Instant) -> Outcome {
        self.kept.keep(InboxMessage {
            id: DeliveryId(message.delivery_id),
            at: self.clock.now(),
            channel: message.channel,
            provider: self.name.clone(),
            to: message.to.clone(),
            subject: message.subject.clone(),
            body: message.text.clone(),
            code: message.code.clone(),
        });
        Outcome::accepted(None)
    }
}
