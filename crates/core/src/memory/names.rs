//! Messages by their providers' names for them, for receipts that bring nothing else.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::record::Change;
use crate::clock::Timestamp;
use crate::delivery::DeliveryId;
use crate::id::VerificationId;
use crate::store::MessageKey;

const PARTS: usize = 64;

/// Which hand-over a name stands for, and until when anybody cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedMessage {
    /// The verification that was handed over.
    pub verification: VerificationId,
    /// The hand-over.
    pub delivery: DeliveryId,
    /// Until when its name is remembered.
    pub until: Timestamp,
}

pub(super) struct Names(Box<[Mutex<HashMap<MessageKey, NamedMessage>>]>);

impl Default for Names {
    fn default() -> Self {
        Self((0..PARTS).map(|_| Mutex::default()).collect())
    }
}

impl Names {
    fn part(&self, key: MessageKey) -> &Mutex<HashMap<MessageKey, NamedMessage>> {
        &self.0[usize::from(key.0[0]) % PARTS]
    }

    /// Keeps a name. Whoever had it first keeps it: no provider names two messages alike.
    pub(super) fn put(
        &self,
        key: MessageKey,
        named: NamedMessage,
        now: Timestamp,
        append: impl FnOnce(MessageKey, &NamedMessage),
    ) {
        let mut part = self.part(key).lock();
        if part.get(&key).is_none_or(|known| known.until <= now) {
            append(key, &named);
            part.insert(key, named);
        }
    }

    pub(super) fn get(&self, key: MessageKey, now: Timestamp) -> Option<NamedMessage> {
        let part = self.part(key).lock();
        part.get(&key).copied().filter(|known| known.until > now)
    }

    pub(super) fn restore(&self, key: MessageKey, named: NamedMessage, now: Timestamp) {
        let mut part = self.part(key).lock();
        if named.until > now {
            part.insert(key, named);
        } else {
            part.remove(&key);
        }
    }

    pub(super) fn snapshot(&self, part: usize, out: &mut Vec<u8>) {
        if let Some(part) = self.0.get(part) {
            let part = part.lock();
            part.iter()
                .for_each(|(key, named)| Change::put_name(out, *key, named));
        }
    }

    pub(super) fn sweep(&self, part: usize, now: Timestamp) {
        if let Some(part) = self.0.get(part) {
            let mut part = part.lock();
            part.retain(|_, named| named.until > now);
            if part.capacity() > 64 && part.len() < part.capacity() / 4 {
                let room = part.len() * 2;
                part.shrink_to(room);
            }
        }
    }
}
