//! The journal as the store sees it: takes records, and says when they are durable.
//!
//! Records gather in a buffer while the writer's thread is busy with the group before; then all
//! of them become the next group. So groups grow by themselves with the load, and a lone step
//! waits for nothing but the disk.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use async_trait::async_trait;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::oneshot;
use watchword_core::StoreError;
use watchword_core::memory::Journal;

use super::chore::{Chore, Errand, Job, Waiting};
use super::gate::Gate;
use super::replay::Replayed;

/// So many bytes may wait to be written; beyond, steps are refused. The steps that wait for
/// them are in memory too, and nothing else should grow with a slow disk.
const MOST_WAITING: u64 = 64 << 20;

/// What a group writes at least: a page or two.
const PAGES: u64 = 8 << 10;

/// The journal of a store, in a SQLite file. Clones are the same journal.
#[derive(Clone, Default)]
pub(super) struct SqliteJournal(Arc<Shared>);

/// What the store and the writer share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// Of the newest record taken.
    position: AtomicU64,
    /// Of the newest durable record.
    durable: AtomicU64,
    refusing: AtomicBool,
    waiting_bytes: AtomicU64,
    pub(super) counts: Counts,
}

/// What is counted for metrics and for the housekeeping.
#[derive(Default)]
pub(super) struct Counts {
    /// The newest group that is durable.
    pub(super) seq: AtomicU64,
    /// Records made durable since the start.
    pub(super) records: AtomicU64,
    /// Groups made durable since the start.
    pub(super) groups: AtomicU64,
    /// Bytes of bodies made durable, those found at the start included.
    pub(super) bytes: AtomicU64,
    /// What `bytes` was at the base of the newest snapshot.
    pub(super) bytes_at_base: AtomicU64,
    pub(super) snapshot_bytes: AtomicU64,
    pub(super) snapshots: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) wal_bytes: AtomicU64,
    /// Bytes written to the log, roughly: what the checkpoints go by.
    pub(super) written: AtomicU64,
}

impl Counts {
    /// Goes on where a file stood.
    pub(super) fn resume(&self, replayed: &Replayed) {
        self.seq.store(replayed.seq, Ordering::Release);
        self.bytes.store(replayed.journal_bytes, Ordering::Release);
        let snapshot = replayed.head.bytes;
        self.snapshot_bytes.store(snapshot, Ordering::Release);
    }

    /// Bytes that a start would have to replay beside the snapshot.
    pub(super) fn journal_bytes(&self) -> u64 {
        let bytes = self.bytes.load(Ordering::Relaxed);
        bytes.saturating_sub(self.bytes_at_base.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    records: u64,
    gathering: Arc<Gate>,
    writing: Option<(u64, Arc<Gate>)>,
    fault: Option<Arc<str>>,
    chores: VecDeque<Chore>,
    stopping: bool,
}

/// Changes that become durable together.
pub(super) struct Group {
    pub(super) body: Vec<u8>,
    pub(super) records: u64,
    last: u64,
    gate: Arc<Gate>,
}

/// What the writer does next.
pub(super) struct Round {
    pub(super) group: Option<Group>,
    pub(super) chore: Option<Chore>,
}

/// Steps are refused because the journal cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be written: {0}")]
struct Refusing(Arc<str>);

fn refusing(state: &State) -> StoreError {
    let reason = state.fault.clone();
    StoreError::unavailable(Refusing(
        reason.unwrap_or_else(|| "the last write failed".into()),
    ))
}

#[async_trait]
impl Journal for SqliteJournal {
    const KEEPS: bool = true;

    fn append(&self, record: &[u8]) -> u64 {
        let shared = &self.0;
        let mut state = shared.state.lock();
        let was_empty = state.buffer.is_empty();
        state.buffer.extend_from_slice(record);
        state.records += 1;
        let position = shared.position.load(Ordering::Relaxed) + 1;
        shared.position.store(position, Ordering::Release);
        let waiting = state.buffer.len() as u64;
        shared.waiting_bytes.store(waiting, Ordering::Relaxed);
        drop(state);
        if was_empty {
            shared.work.notify_one();
        }
        position
    }

    fn position(&self) -> u64 {
        self.0.position.load(Ordering::Acquire)
    }

    async fn settle(&self, position: u64) -> Result<(), StoreError> {
        let shared = &self.0;
        if shared.is_durable(position) {
            return Ok(());
        }
        let gate = {
            let state = shared.state.lock();
            if shared.is_durable(position) {
                return Ok(());
            }
            if state.fault.is_some() {
                return Err(refusing(&state));
            }
            match &state.writing {
                Some((last, gate)) if position <= *last => Arc::clone(gate),
                _ => Arc::clone(&state.gathering),
            }
        };
        if gate.passed().await || shared.is_durable(position) {
            return Ok(());
        }
        Err(shared.refusing())
    }

    fn ready(&self) -> Result<(), StoreError> {
        let shared = &self.0;
        if shared.refusing.load(Ordering::Acquire) {
            return Err(shared.refusing());
        }
        if shared.waiting_bytes.load(Ordering::Relaxed) > MOST_WAITING {
            return Err(StoreError::unavailable("the disk is too slow for the load"));
        }
        Ok(())
    }
}

impl SqliteJournal {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Changes other tables of the file, in the transaction of the next group. It is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was changed.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let errand = Errand::new(change, Waiting::Task(tell));
        self.0.post(Chore::Inside(Box::new(errand)));
        match told.await {
            Ok(changed) => changed.map_err(StoreError::unavailable),
            Err(_) => Err(self.0.refusing()),
        }
    }
}

impl Shared {
    /// Why nothing is taken.
    fn refusing(&self) -> StoreError {
        refusing(&self.state.lock())
    }

    pub(super) fn is_durable(&self, position: u64) -> bool {
        self.durable.load(Ordering::Acquire) >= position
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }

    pub(super) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes.load(Ordering::Relaxed)
    }

    /// Has the writer do something inside the transaction of its next group, and so with one flush of the disk
    /// for both, and waits until it is done. Everything appended before the call is durable then.
    ///
    /// # Errors
    /// What the work or its transaction failed with; `None` when the journal refuses or has ended: then the work
    /// was not done and never will be.
    pub(super) fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Option<rusqlite::Error>> {
        self.wait_for(work, Chore::Inside)
    }

    /// The same between two groups, outside of any transaction.
    ///
    /// # Errors
    /// As for [`Shared::inside`].
    pub(super) fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Option<rusqlite::Error>> {
        self.wait_for(work, Chore::Outside)
    }

    fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        place: fn(Box<dyn Job>) -> Chore,
    ) -> Result<T, Option<rusqlite::Error>> {
        let (tell, told) = sync_channel(1);
        let errand = Errand::new(work, Waiting::Thread(tell));
        self.post(place(Box::new(errand)));
        match told.recv() {
            Ok(answer) => answer.map_err(Some),
            Err(_) => Err(None),
        }
    }

    /// Leaves a chore to the writer; drops it, if the journal refuses.
    fn post(&self, chore: Chore) {
        let mut state = self.state.lock();
        if state.fault.is_none() {
            state.chores.push_back(chore);
            drop(state);
            self.work.notify_one();
        }
    }

    /// Waits for something to write. Nothing more comes after the journal was stopped and is
    /// written to its end.
    ///
    /// The buffer of the group is swapped with `spare`, which is empty.
    pub(super) fn next(&self, spare: &mut Vec<u8>) -> Option<Round> {
        let mut state = self.state.lock();
        while state.buffer.is_empty() && state.chores.is_empty() && !state.stopping {
            self.work.wait(&mut state);
        }
        let group = (!state.buffer.is_empty()).then(|| {
            let gate = mem::take(&mut state.gathering);
            let last = self.position.load(Ordering::Acquire);
            state.writing = Some((last, Arc::clone(&gate)));
            self.waiting_bytes.store(0, Ordering::Relaxed);
            Group {
                body: mem::replace(&mut state.buffer, mem::take(spare)),
                records: mem::take(&mut state.records),
                last,
                gate,
            }
        });
        let chore = state.chores.pop_front();
        (group.is_some() || chore.is_some()).then_some(Round { group, chore })
    }

    /// Tells everybody that a group is durable.
    pub(super) fn wrote(&self, group: &Group, seq: u64) {
        self.counts.seq.store(seq, Ordering::Release);
        let counts = &self.counts;
        counts.groups.fetch_add(1, Ordering::Relaxed);
        counts.records.fetch_add(group.records, Ordering::Relaxed);
        let bytes = group.body.len() as u64;
        counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        counts.written.fetch_add(bytes + PAGES, Ordering::Relaxed);
        {
            let mut state = self.state.lock();
            self.durable.store(group.last, Ordering::Release);
            state.writing = None;
            if state.fault.take().is_some() {
                // Its first gate was opened with bad news.
                state.gathering = Arc::default();
                self.refusing.store(false, Ordering::Release);
            }
        }
        group.gate.open(true);
    }

    /// Refuses steps and chores from now on, and tells those that wait.
    pub(super) fn refuse(&self, reason: &str) {
        let gates = {
            let mut state = self.state.lock();
            self.refusing.store(true, Ordering::Release);
            state.chores.clear();
            state.fault = Some(reason.into());
            let writing = state.writing.as_ref().map(|(_, gate)| Arc::clone(gate));
            [Some(Arc::clone(&state.gathering)), writing]
        };
        gates.iter().flatten().for_each(|gate| gate.open(false));
    }

    /// Has the writer end when everything that was taken is written, or cannot be.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.work.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }
}
