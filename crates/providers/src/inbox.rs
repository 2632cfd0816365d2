//! The inbox of dev mode: keeps messages instead of sending them.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use watchword_core::routing::Outcome;
use watchword_core::{Channel, Clock, DeliveryId, Inbox, InboxMessage, Message, Recipient};

use crate::provider::Provider;

/// The messages of all inbox providers, in memory.
#[derive(Debug)]
pub struct KeptMessages {
    /// Newest first, each under the hash of its recipient: looking for those of one reads a few
    /// kilobytes in a row instead of following hundreds of pointers under the lock.
    messages: Mutex<VecDeque<(u64, Arc<InboxMessage>)>>,
    hasher: RandomState,
    most: usize,
    revision: AtomicU64,
    revised: Notify,
}

impl KeptMessages {
    /// So many messages are kept unless told otherwise.
    pub const MOST: usize = 500;

    /// Keeps the newest `most` messages.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            messages: Mutex::default(),
            hasher: RandomState::new(),
            most,
            revision: AtomicU64::new(0),
            revised: Notify::new(),
        }
    }

    fn keep(&self, message: InboxMessage) {
        let entry = (self.hash(&message.to), Arc::new(message));
        let mut messages = self.messages.lock();
        messages.push_front(entry);
        // One at most: each message makes room for itself.
        let oldest = if messages.len() > self.most {
            messages.pop_back()
        } else {
            None
        };
        drop(messages);
        drop(oldest);
        self.revise();
    }

    fn hash(&self, to: &Recipient) -> u64 {
        self.hasher.hash_one(to.canonical())
    }

    fn revise(&self) {
        self.revision.fetch_add(1, SeqCst);
        self.revised.notify_waiters();
    }
}

impl Default for KeptMessages {
    fn default() -> Self {
        Self::new(Self::MOST)
    }
}

#[async_trait]
impl Inbox for KeptMessages {
    fn messages(&self, to: Option<&Recipient>) -> Vec<Arc<InboxMessage>> {
        let Some(to) = to else {
            let messages = self.messages.lock();
            return messages.iter().map(|(_, one)| Arc::clone(one)).collect();
        };
        let hash = self.hash(to);
        let messages = self.messages.lock();
        let wanted = messages
            .iter()
            .filter(|(of, message)| *of == hash && message.to == *to);
        wanted.map(|(_, one)| Arc::clone(one)).collect()
    }

    fn clear(&self) {
        let cleared = std::mem::take(&mut *self.messages.lock());
        drop(cleared);
        self.revise();
    }

    fn revision(&self) -> u64 {
        self.revision.load(SeqCst)
    }

    async fn changed(&self, seen: u64) -> u64 {
        loop {
            // Made before the look, so that it hears of a change right after that.
            let revised = self.revised.notified();
            let revision = self.revision();
            if revision != seen {
                return revision;
            }
            revised.await;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use watchword_core::fakes::SetClock;

    use super::*;
    use crate::samples;

    fn inbox(most: usize) -> (Arc<KeptMessages>, InboxProvider) {
        let kept = Arc::new(KeptMessages::new(most));
        let clock = Arc::new(SetClock::default());
        let provider = InboxProvider::new("box", Arc::clone(&kept), clock);
        (kept, provider)
    }

    #[tokio::test]
    async fn the_newest_messages_are_kept_newest_first() {
        let (kept, provider) = inbox(2);
        for body in ["first", "second", "third"] {
            let mut message = samples::sms();
            message.text = watchword_core::SecretText::new(body.to_owned());
            let outcome = provider.send(&message, Instant::now()).await;
            assert_eq!(outcome, Outcome::accepted(None));
        }
        let messages = kept.messages(None);
        let bodies: Vec<_> = messages.iter().map(|one| one.body.expose()).collect();
        assert_eq!(bodies, ["third", "second"]);
        let newest = &messages[0];
        assert_eq!(newest.code.expose(), samples::CODE);
        assert_eq!(newest.to.canonical(), samples::NUMBER);
        assert_eq!(newest.id.0.to_string(), samples::ID);
        assert_eq!(
            (newest.channel, newest.provider.as_str()),
            (Channel::Sms, "box")
        );
        assert_eq!(newest.at, SetClock::default().now());
        kept.clear();
        assert!(kept.messages(None).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_watches_hears_of_every_change() {
        let (kept, provider) = inbox(2);
        let seen = kept.revision();
        let idle = tokio::time::timeout(Duration::from_secs(60), kept.changed(seen)).await;
        assert!(idle.is_err());
        let watch = kept.changed(seen);
        let act = async {
            provider.send(&samples::sms(), Instant::now()).await;
        };
        let (after_send, ()) = tokio::join!(watch, act);
        assert_ne!(after_send, seen);
        kept.clear();
        assert_ne!(kept.changed(after_send).await, after_send);
    }

    #[tokio::test]
    async fn debug_output_of_the_inbox_shows_no_secret() {
        let (kept, provider) = inbox(2);
        provider.send(&samples::mail(), Instant::now()).await;
        let shown = format!("{kept:?}");
        assert!(!shown.contains(samples::CODE), "{shown}");
        assert!(!shown.contains(samples::ADDRESS), "{shown}");
    }
}
