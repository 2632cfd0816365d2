//! The steps of the memory store.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};

use super::fallbacks::Fallbacks;
use super::journal::{Journal, NoJournal};
use super::names::Names;
use super::record::Change;
use super::replays::Replays;
use super::shard::Shard;
use super::sources::Sources;
use crate::app::AppId;
use crate::clock::Timestamp;
use crate::delivery::DeliveryId;
use crate::digest::{RecipientIndex, SourceIndex};
use crate::id::VerificationId;
use crate::ledger::RecipientLedger;
use crate::policy::LONGEST_WINDOW;
use crate::purpose::Purpose;
use crate::step::{
    self, CancelOutcome, CheckOutcome, CheckStep, CheckTarget, Note, ResendOutcome, ResendStep,
    SendTerms, StartOutcome, StartStep, Turn, Withdrawal,
};
use crate::store::{MessageKey, Remembered, Store, StoreError};
use crate::verification::{Status, Verification};

/// Into how many parts the recipients are split. More mean shorter sweeps and less waiting.
pub const SHARDS: usize = 1024;
const SOURCE_SHARDS: usize = 256;

/// Which part holds the recipients, and the handles, of this tag.
pub(super) fn part_of(tag: u16) -> usize {
    usize::from(tag) % SHARDS
}

/// Which part of the sources holds the one of this index.
pub(super) fn source_part_of(index: &[u8; 16]) -> usize {
    usize::from(index[0]) % SOURCE_SHARDS
}

/// Keeps verifications, counters and idempotency keys in this process.
pub struct MemoryStore<J: Journal = NoJournal> {
    shards: Box<[Mutex<Shard>]>,
    sources: Box<[Mutex<Sources>]>,
    pub(super) replays: Replays,
    pub(super) names: Names,
    pub(super) fallbacks: Fallbacks,
    pub(super) live: AtomicUsize,
    pub(super) max_live: usize,
    /// The longest look back of any limit so far, in milliseconds; zero before the first send.
    horizon: AtomicU64,
    pub(super) journal: J,
}

impl Default for MemoryStore {
    /// A store without a journal that holds up to ten million verifications.
    fn default() -> Self {
        Self::new(NoJournal, 10_000_000)
    }
}

impl<J: Journal> MemoryStore<J> {
    /// An empty store over `journal` that holds at most `max_live` verifications.
    pub fn new(journal: J, max_live: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            sources: (0..SOURCE_SHARDS).map(|_| Mutex::default()).collect(),
            replays: Replays::default(),
            names: Names::default(),
            fallbacks: Fallbacks::default(),
            live: AtomicUsize::new(0),
            max_live,
            horizon: AtomicU64::new(0),
            journal,
        }
    }

    /// The journal under the store.
    pub const fn journal(&self) -> &J {
        &self.journal
    }

    /// How many verifications are held, ended ones that are still remembered included.
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether no verification is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the whole state of one of [`SHARDS`] parts to `out`, in the form of a record, and
    /// says up to which position of the journal it is current. Holds up only that part.
    pub fn snapshot(&self, part: usize, out: &mut Vec<u8>) -> u64 {
        // Before anything is read: what is appended meanwhile may or may not be in the image, so
        // it has to be replayed over it.
        let position = self.journal.position();
        let shard = self.shards[part].lock();
        shard
            .verifications()
            .for_each(|verification| Change::put(out, &verification));
        shard
            .ledgers()
            .for_each(|(index, ledger)| Change::put_ledger(out, index, &ledger));
        drop(shard);
        // The smaller maps ride along with the first parts.
        if let Some(sources) = self.sources.get(part) {
            let sources = sources.lock();
            sources
                .all()
                .for_each(|(index, log)| Change::put_source(out, index, &log));
        }
        self.replays.snapshot(part, out);
        self.names.snapshot(part, out);
        position
    }

    /// Drops what has expired in one of [`SHARDS`] parts. Holds up only that part; to be called
    /// for one part after the other, for ever.
    pub fn sweep(&self, part: usize, now: Timestamp) {
        let horizon = self.horizon();
        let gone = self.shards[part].lock().sweep(horizon, now);
        self.live.fetch_sub(gone, Ordering::Relaxed);
        if let Some(sources) = self.sources.get(part) {
            sources.lock().sweep(horizon, now);
        }
        self.replays.sweep(part, now);
        self.names.sweep(part, now);
    }

    /// How far back a limit may look. Before the first send says so, the most that a policy may.
    pub(super) fn horizon(&self) -> Duration {
        match self.horizon.load(Ordering::Relaxed) {
            0 => LONGEST_WINDOW,
            millis => Duration::from_millis(millis),
        }
    }

    /// Learns from the terms of a send how far back limits look. Whoever asked nobody at all is
    /// forgotten after that long, and not after a week.
    pub(super) fn look_back(&self, terms: &SendTerms) {
        let millis = u64::try_from(terms.horizon().as_millis()).unwrap_or(u64::MAX);
        // Zero would stand for not knowing yet.
        let millis = millis.max(1);
        if self.horizon.load(Ordering::Relaxed) < millis {
            self.horizon.fetch_max(millis, Ordering::Relaxed);
        }
    }

    pub(super) fn shard(&self, tag: u16) -> MutexGuard<'_, Shard> {
        self.shards[part_of(tag)].lock()
    }

    pub(super) fn part(&self, part: usize) -> MutexGuard<'_, Shard> {
        self.shards[part % SHARDS].lock()
    }

    pub(super) fn source_part(&self, part: usize) -> Option<MutexGuard<'_, Sources>> {
        self.sources.get(part).map(Mutex::lock)
    }

    pub(super) fn source(&self, index: SourceIndex) -> MutexGuard<'_, Sources> {
        self.sources[source_part_of(index.as_bytes())].lock()
    }

    pub(super) fn append(&self, encode: impl FnOnce(&mut Vec<u8>)) -> u64 {
        if !J::KEEPS {
            return 0;
        }
        let mut record = Vec::with_capacity(512);
        encode(&mut record);
        self.journal.append(&record)
    }

    /// Everything seen so far has to be durable before it is told to anybody.
    pub(super) async fn settle(&self, position: u64) -> Result<(), StoreError> {
        self.journal.settle(position).await
    }

    fn check_now(&self, step: &CheckStep, now: Timestamp) -> (CheckOutcome, u64) {
        let mut shard = match &step.target {
            CheckTarget::Id(id) => self.shard(id.tag()),
            CheckTarget::Recipient(recipient, _) => self.shard(recipient.tag()),
        };
        let id = match &step.target {
            CheckTarget::Id(id) => Some(*id),
            CheckTarget::Recipient(recipient, purpose) => shard
                .ledger(*recipient)
                .as_ref()
                .and_then(|ledger| ledger.slot(purpose))
                .map(|slot| slot.id),
        };
        let Some(mut verification) = id.and_then(|id| shard.verification(id)) else {
            return (CheckOutcome::NotFound, self.journal.position());
        };
        let recipient = verification.recipient;
        let mut ledger = shard.ledger(recipient).unwrap_or_default();
        let outcome = step::check(&mut ledger, Some(&mut verification), step, now);
        let changed = matches!(
            outcome,
            CheckOutcome::Approved(_) | CheckOutcome::Incorrect { .. }
        );
        let position = if changed {
            shard.put_with(&verification, Some(&ledger));
            self.append(|out| {
                Change::put(out, &verification);
                if verification.addressed {
                    Change::put_ledger(out, recipient, &ledger);
                }
            })
        } else {
            shard.put_ledger(recipient, &ledger);
            self.journal.position()
        };
        (outcome, position)
    }

    /// Changes one verification; what `change` answers, and where its record is.
    fn alter<T>(
        &self,
        id: VerificationId,
        change: impl FnOnce(Option<&mut Verification>, Option<&mut RecipientLedger>) -> (T, bool),
    ) -> (T, u64) {
        let mut shard = self.shard(id.tag());
        let mut verification = shard.verification(id);
        let recipient = verification.as_ref().map(|found| found.recipient);
        let mut ledger = recipient.and_then(|index| shard.ledger(index));
        let (answer, changed) = change(verification.as_mut(), ledger.as_mut());
        let position = if changed {
            if let Some(changed) = &verification {
                shard.put_with(changed, ledger.as_ref());
            }
            let ledger = recipient.zip(ledger);
            self.append(|out| {
                verification
                    .iter()
                    .for_each(|changed| Change::put(out, changed));
                ledger
                    .iter()
                    .for_each(|(index, changed)| Change::put_ledger(out, *index, changed));
            })
        } else {
            self.journal.position()
        };
        (answer, position)
    }
}

#[async_trait]
impl<J: Journal> Store for MemoryStore<J> {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        self.journal.ready()?;
        let (outcome, position) = self.start_now(&step, now)?;
        self.settle(position).await?;
        Ok(outcome)
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        self.journal.ready()?;
        let (outcome, position) = self.resend_now(&step, now);
        self.settle(position).await?;
        Ok(outcome)
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        self.journal.ready()?;
        let (outcome, position) = self.check_now(&step, now);
        self.settle(position).await?;
        Ok(outcome)
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.journal.ready()?;
        let (found, position) = {
            let shard = self.shard(id.tag());
            let remembered = shard.remembers(id, now);
            let found = remembered.then(|| shard.verification(id)).flatten();
            (
                found.filter(|found| found.app == *app),
                self.journal.position(),
            )
        };
        self.settle(position).await?;
        Ok(found)
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        let id = {
            let shard = self.shard(recipient.tag());
            let ledger = shard.ledger(recipient);
            ledger
                .as_ref()
                .and_then(|ledger| ledger.slot(purpose))
                .map(|slot| slot.id)
        };
        match id {
            Some(id) => self.get(app, id, now).await,
            None => self.ready().await.map(|()| None),
        }
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        self.journal.ready()?;
        let (outcome, position) = self.alter(id, |verification, _| {
            let outcome = step::cancel(verification, app, now);
            let changed = matches!(outcome, CancelOutcome::Canceled(_));
            (outcome, changed)
        });
        self.settle(position).await?;
        Ok(outcome)
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        self.journal.ready()?;
        if let (Some(index), Some(at)) = (step.source, step.charged.source_at) {
            self.give_back(index, at);
        }
        let ((), position) = self.alter(step.id, |verification, ledger| {
            let Some(verification) = verification else {
                return ((), false);
            };
            if let Some(ledger) = ledger {
                ledger.take_back_send(&verification.purpose, step.id, step.charged.at);
            }
            if step.ends && verification.sent_at == step.charged.made_at {
                verification.end(Status::Failed, now);
            }
            ((), true)
        });
        self.settle(position.max(self.journal.position())).await
    }

    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.journal.ready()?;
        let ((), position) = self.alter(id, |verification, _| {
            let sent_last = verification.filter(|found| found.sent_at == sent_at);
            let ended = sent_last.is_some_and(|found| found.end(Status::Failed, now));
            ((), ended)
        });
        self.settle(position).await
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.journal.ready()?;
        let (turn, position) = self.note_now(id, &note, now);
        if let Some(position) = position {
            self.settle(position).await?;
        }
        Ok(turn)
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        self.journal.ready()?;
        Ok(self.locate_now(name, now))
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        self.journal.ready()?;
        Ok(self.overdue_now(most, now))
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.journal.ready()?;
        let (turn, position) = self.fall_back_now(id, now);
        self.settle(position).await?;
        Ok(turn)
    }

    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        self.journal.ready()?;
        let (unlocked, position) = {
            let mut shard = self.shard(recipient.tag());
            match shard.ledger(recipient) {
                Some(mut ledger) => {
                    let held = ledger.holds_failures(now);
                    ledger.unlock();
                    shard.put_ledger(recipient, &ledger);
                    let record = |out: &mut Vec<u8>| Change::put_ledger(out, recipient, &ledger);
                    (held, self.append(record))
                }
                None => (false, self.journal.position()),
            }
        };
        self.settle(position).await?;
        Ok(unlocked)
    }

    async fn remembered(
        &self,
        of: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError> {
        self.remembered_of(of, now).await
    }

    async fn erase(&self, of: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        self.erase_all_of(of, now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.journal.ready()
    }
}
