//! Idempotency keys and the answers kept under them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::journal::Journal;
use super::record::Change;
use super::store::MemoryStore;
use crate::clock::Timestamp;
use crate::keys::Sealed;
use crate::store::{Replay, ReplayKey, ReplayStore, StoreError};

const PARTS: usize = 64;

/// One idempotency key. Without an answer its request is still running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayEntry {
    /// Of the request that came with it.
    pub fingerprint: [u8; 32],
    /// The answer, once there is one.
    pub answer: Option<Sealed>,
    /// From when on the key is free again.
    pub until: Timestamp,
}

#[derive(Default)]
struct Part(HashMap<ReplayKey, ReplayEntry>);

pub(super) struct Replays {
    parts: Box<[Mutex<Part>]>,
    len: AtomicUsize,
}

impl Default for Replays {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
        }
    }
}

impl Replays {
    fn part(&self, key: ReplayKey) -> &Mutex<Part> {
        &self.parts[usize::from(key.0[0]) % PARTS]
    }

    /// Takes the key with `entry`, or says what became of it before; nothing if it is new and
    /// there are `max` keys already.
    pub(super) fn claim(
        &self,
        key: ReplayKey,
        entry: ReplayEntry,
        max: usize,
        now: Timestamp,
        append: impl FnOnce(ReplayKey, &ReplayEntry) -> u64,
    ) -> Option<(Replay, Option<u64>)> {
        let mut part = self.part(key).lock();
        if let Some(known) = part.0.get(&key).filter(|known| known.until > now) {
            let replay = match &known.answer {
                _ if known.fingerprint != entry.fingerprint => Replay::Different,
                Some(answer) => Replay::Done(answer.clone()),
                None => Replay::Running,
            };
            return Some((replay, None));
        }
        let new = !part.0.contains_key(&key);
        if new && self.len.fetch_add(1, Ordering::Relaxed) >= max {
            self.len.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let position = append(key, &entry);
        part.0.insert(key, entry);
        Some((Replay::Fresh, Some(position)))
    }

    pub(super) fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
        append: impl FnOnce(ReplayKey, &ReplayEntry) -> u64,
    ) -> Option<u64> {
        let mut part = self.part(key).lock();
        let entry = part.0.get_mut(&key)?;
        entry.answer = Some(answer);
        entry.until = keep_until;
        Some(append(key, entry))
    }

    pub(super) fn abandon(
        &self,
        key: ReplayKey,
        append: impl FnOnce(ReplayKey, &ReplayEntry) -> u64,
    ) -> Option<u64> {
        let mut part = self.part(key).lock();
        let mut entry = part.0.remove(&key)?;
        self.len.fetch_sub(1, Ordering::Relaxed);
        entry.until = Timestamp::default();
        Some(append(key, &entry))
    }

    pub(super) fn restore(&self, key: ReplayKey, entry: ReplayEntry, now: Timestamp) {
        let mut part = self.part(key).lock();
        let before = part.0.len();
        if entry.until > now {
            part.0.insert(key, entry);
        } else {
            part.0.remove(&key);
        }
        match part.0.len() {
            after if after > before => self.len.fetch_add(1, Ordering::Relaxed),
            after if after < before => self.len.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    pub(super) fn snapshot(&self, part: usize, out: &mut Vec<u8>) {
        if let Some(part) = self.parts.get(part) {
            let part = part.lock();
            part.0
                .iter()
                .for_each(|(key, entry)| Change::put_replay(out, *key, entry));
        }
    }

    pub(super) fn sweep(&self, part: usize, now: Timestamp) {
        if let Some(part) = self.parts.get(part) {
            let mut part = part.lock();
            let before = part.0.len();
            part.0.retain(|_, entry| entry.until > now);
            self.len.fetch_sub(before - part.0.len(), Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl<J: Journal> ReplayStore for MemoryStore<J> {
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError> {
        self.journal.ready()?;
        let entry = ReplayEntry {
            fingerprint,
            answer: None,
            until: running_until,
        };
        let (replay, position) = self
            .replays
            .claim(key, entry, self.max_live, now, |key, entry| {
                self.append(|out| Change::put_replay(out, key, entry))
            })
            .ok_or(StoreError::Full { max: self.max_live })?;
        self.settle(position.unwrap_or_else(|| self.journal.position()))
            .await?;
        Ok(replay)
    }

    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError> {
        let position = self.replays.finish(key, answer, keep_until, |key, entry| {
            self.append(|out| Change::put_replay(out, key, entry))
        });
        self.settle(position.unwrap_or_default()).await
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        let position = self.replays.abandon(key, |key, entry| {
            self.append(|out| Change::put_replay(out, key, entry))
        });
        self.settle(position.unwrap_or_default()).await
    }
}
