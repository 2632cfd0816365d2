//! Taking to the primary what was counted while it was away.
//!
//! By the steps that every store has: a send is counted by starting a verification whose code
//! nobody has, a failure by guessing at one. There they count from the return on, which is later
//! than they happened: never less strict. What was taken is written down send by send and failure
//! by failure, so that a return that fails in the middle repeats nothing but the step that failed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::memory::{CountedRecipient, Journal, SHARDS};
use watchword_core::{
    AppId, Candidate, Channel, CheckStep, CheckTarget, CodeDigest, FailureBudget, LONGEST_WINDOW,
    Purpose, RecipientIndex, SendTerms, SourceCharge, SourceIndex, StartOutcome, StartStep,
    StoreError, Timestamp, VerificationId, WhenPending, Withdrawal,
};

use super::Shared;
use super::taken::TakenOf;

/// The purpose of what is started for no other purpose than to be counted.
const COUNTED: &str = "watchword:counted-elsewhere";

/// How many parts are taken to the primary at a time.
const AT_A_TIME: usize = 16;

/// Lets nothing be refused but what is locked for good.
const ENDLESS: FailureBudget = FailureBudget {
    per_hour: u32::MAX,
    per_day: u32::MAX,
    in_a_row: u32::MAX,
};

/// A verification that counts as a send and whose code nobody has.
pub(super) fn blank(recipient: RecipientIndex, purpose: Purpose, terms: SendTerms) -> StartStep {
    let mut id = drawn();
    // Which lead to its place.
    id[..4].copy_from_slice(&recipient.as_bytes()[..4]);
    let id = uuid::Builder::from_custom_bytes(id).into_uuid();
    StartStep {
        id: VerificationId::from_bytes(*id.as_bytes()),
        app: AppId::default(),
        recipient,
        purpose,
        channel: Channel::Sms,
        // The digest of no code: to find one would be to invert SHA-256.
        digest: CodeDigest::from_parts(KeyId::from_bytes([0; 4]), [0; 32]),
        candidate: Candidate::of_nobody(),
        max_attempts: 1,
        ttl: Duration::from_secs(1),
        details: Sealed::from_bytes(&[]),
        when_pending: WhenPending::Replace,
        terms,
    }
}

/// Bytes that are not drawn twice. Nothing that they name can be checked.
fn drawn() -> [u8; 16] {
    let half = || RandomState::new().hash_one(0_u8).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&half());
    bytes[8..].copy_from_slice(&half());
    bytes
}

impl<J: Journal> Shared<J> {
    /// What is counted and refuses nothing.
    pub(super) fn free_terms(&self) -> SendTerms {
        SendTerms {
            cooldown: Duration::ZERO,
            recipient: Vec::new(),
            source: None,
            failures: Some(ENDLESS),
            horizon: self.local.look_back_of_limits().min(LONGEST_WINDOW),
        }
    }

    /// Takes everything to the primary that was counted here before `until` and was not taken there
    /// yet.
    ///
    /// After a failure no part is begun any more. Those under way end as they do: a call that was
    /// dropped may have been done, and nobody would know.
    pub(super) async fn carry_until(&self, until: Timestamp) -> Result<(), StoreError> {
        self.carry_undone().await?;
        let failed = AtomicBool::new(false);
        let failed = &failed;
        stream::iter(0..SHARDS)
            .map(|part| async move {
                if failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let carried = self.carry_part(part, until).await;
                failed.fetch_or(carried.is_err(), Ordering::Relaxed);
                carried
            })
            .buffer_unordered(AT_A_TIME)
            .fold(Ok(()), |first: Result<(), StoreError>, carried| async {
                first.and(carried)
            })
            .await
    }

    async fn carry_part(&self, part: usize, until: Timestamp) -> Result<(), StoreError> {
        let since = self.owed.lock().since;
        let counted = self.local.counted(part, since, until);
        for recipient in &counted.recipients {
            self.carry_recipient(recipient).await?;
        }
        for (source, sends) in &counted.sources {
            self.carry_source(*source, sends).await?;
        }
        Ok(())
    }

    /// What was begun to count failures by it, and counted as a send since.
    async fn carry_undone(&self) -> Result<(), StoreError> {
        loop {
            let Some(undone) = self.owed.lock().undone.last().cloned() else {
                return Ok(());
            };
            let id = undone.id;
            self.primary.withdraw(undone, self.clock.now()).await?;
            self.owed.lock().undone.retain(|undone| undone.id != id);
        }
    }

    async fn carry_recipient(&self, counted: &CountedRecipient) -> Result<(), StoreError> {
        let index = counted.index;
        let taken = self.owed.lock().recipients.get(&index).cloned();
        let taken = taken.unwrap_or_default();
        for (at, purpose) in taken.sends.left(&counted.sends, |(at, _)| *at) {
            // One with a purpose of its own brings its cooldown along, and the code of the same
            // purpose that the primary may have is older than the one here, so it dies.
            let purpose = purpose.unwrap_or_else(|| Purpose::unnamed_at(COUNTED));
            let step = blank(index, purpose, self.free_terms());
            let id = step.id;
            let started = self.primary.start(step, self.clock.now()).await?;
            self.take(index, |taken| taken.sends.take(at));
            if let StartOutcome::Started(charged) = started {
                // Or it would be taken for the newer code while it lives.
                let failed = self.primary.fail(id, charged.made_at, self.clock.now());
                failed.await?;
            }
        }
        let left = taken.failures.left(&counted.failures, |at| *at);
        let (number, mut left) = (left.len(), left.into_iter());
        self.carry_failures(index, number, counted.locked, || {
            if let Some(at) = left.next() {
                self.take(index, |taken| taken.failures.take(at));
            }
        })
        .await
    }

    fn take(&self, recipient: RecipientIndex, take: impl FnOnce(&mut TakenOf)) {
        take(self.owed.lock().recipients.entry(recipient).or_default());
    }

    /// Counts failed checks at the primary, and locks the recipient with the last of them if they
    /// locked it here. `counted` is told of each.
    pub(super) async fn carry_failures(
        &self,
        recipient: RecipientIndex,
        failures: usize,
        locked: bool,
        counted: impl FnMut() + Send,
    ) -> Result<(), StoreError> {
        if failures == 0 {
            return Ok(());
        }
        let attempts = u32::try_from(failures).unwrap_or(u32::MAX);
        let purpose = Purpose::unnamed_at(COUNTED);
        let mut step = blank(recipient, purpose, self.free_terms());
        step.max_attempts = attempts;
        step.ttl = Duration::from_mins(5);
        let id = step.id;
        let started = self.primary.start(step, self.clock.now()).await?;
        let StartOutcome::Started(charged) = started else {
            return Ok(()); // it is locked there already
        };
        let undone = Withdrawal {
            id,
            charged,
            source: None,
            ends: true,
        };
        let ended = match self.guess(id, attempts, locked, counted).await {
            Ok(()) => {
                let undone = undone.clone();
                self.primary.withdraw(undone, self.clock.now()).await
            }
            failed => failed,
        };
        if ended.is_err() {
            self.owed.lock().undone.push(undone);
        }
        ended
    }

    /// Guesses wrong.
    async fn guess(
        &self,
        id: VerificationId,
        attempts: u32,
        locked: bool,
        mut counted: impl FnMut() + Send,
    ) -> Result<(), StoreError> {
        for number in 1..=attempts {
            let in_a_row = if locked && number == attempts {
                1
            } else {
                u32::MAX
            };
            let guess = CheckStep {
                app: AppId::default(),
                target: CheckTarget::Id(id),
                candidates: Vec::new(),
                failures: Some(FailureBudget {
                    in_a_row,
                    ..ENDLESS
                }),
            };
            self.primary.check(guess, self.clock.now()).await?;
            counted();
        }
        Ok(())
    }

    async fn carry_source(
        &self,
        source: SourceIndex,
        sends: &[Timestamp],
    ) -> Result<(), StoreError> {
        let taken = self.owed.lock().sources.get(&source).cloned();
        for at in taken.unwrap_or_default().left(sends, |at| *at) {
            let terms = SendTerms {
                source: Some(SourceCharge {
                    index: source,
                    quotas: Vec::new(),
                }),
                failures: None,
                ..self.free_terms()
            };
            let nobody = RecipientIndex::from_bytes(drawn());
            let step = blank(nobody, Purpose::unnamed_at(COUNTED), terms);
            self.primary.start(step, self.clock.now()).await?;
            let mut owed = self.owed.lock();
            owed.sources.entry(source).or_default().take(at);
        }
        Ok(())
    }
}
