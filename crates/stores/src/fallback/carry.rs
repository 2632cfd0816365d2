//! Taking to the primary what was counted while it was away.
//!
//! By the steps that every store has: a send is counted by starting a verification whose code
//! nobody has, a failure by guessing at one. There they count from the return on, which is later
//! than they happened: never less strict.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::memory::{CountedRecipient, Journal, SHARDS};
use watchword_core::{
    AppId, Candidate, Channel, CheckStep, CheckTarget, CodeDigest, FailureBudget, LONGEST_WINDOW,
    Purpose, RecipientIndex, SendTerms, SourceCharge, SourceIndex, StartOutcome, StartStep,
    StoreError, Timestamp, VerificationId, WhenPending, Withdrawal,
};

use super::Shared;

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

/// From when on the counts of each part are owed.
pub(super) struct Owed(Vec<Timestamp>);

impl Owed {
    pub(super) fn since(since: Timestamp) -> Self {
        Self(vec![since; SHARDS])
    }
}

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

    /// Takes everything to the primary that was counted here before `until`, once.
    pub(super) async fn carry_until(&self, until: Timestamp) -> Result<(), StoreError> {
        stream::iter(0..SHARDS)
            .map(|part| self.carry_part(part, until))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await
    }

    async fn carry_part(&self, part: usize, until: Timestamp) -> Result<(), StoreError> {
        let since = self.owed.lock().0[part];
        let counted = self.local.counted(part, since, until);
        for recipient in &counted.recipients {
            self.carry_recipient(recipient).await?;
        }
        for (source, sends) in counted.sources {
            self.carry_source(source, sends).await?;
        }
        self.owed.lock().0[part] = until;
        Ok(())
    }

    async fn carry_recipient(&self, counted: &CountedRecipient) -> Result<(), StoreError> {
        let unnamed = Purpose::unnamed_at(COUNTED);
        let rest = counted.sends.saturating_sub(counted.purposes.len());
        // Those with a purpose of their own last: their cooldown goes along, and the code of the
        // same purpose that the primary may have is older than the one here, so it dies.
        let purposes = std::iter::repeat_n(&unnamed, rest).chain(&counted.purposes);
        for purpose in purposes {
            let step = blank(counted.index, purpose.clone(), self.free_terms());
            let id = step.id;
            self.primary.start(step, self.clock.now()).await?;
            // Or it would be taken for the newer code while it lives.
            self.primary.fail(id, self.clock.now()).await?;
        }
        self.carry_failures(counted.index, counted.failures, counted.locked)
            .await
    }

    /// Counts failed checks at the primary, and locks the recipient with the last of them if they
    /// locked it here.
    pub(super) async fn carry_failures(
        &self,
        recipient: RecipientIndex,
        failures: usize,
        locked: bool,
    ) -> Result<(), StoreError> {
        if failures == 0 {
            return Ok(());
        }
        let attempts = u32::try_from(failures).unwrap_or(u32::MAX);
        let purpose = Purpose::unnamed_at(COUNTED);
        let mut step = blank(recipient, purpose, self.free_terms());
        step.max_attempts = attempts;
        step.ttl = Duration::from_mins(5);
        let (id, app) = (step.id, step.app.clone());
        let started = self.primary.start(step, self.clock.now()).await?;
        let StartOutcome::Started(charged) = started else {
            return Ok(()); // it is locked there already
        };
        for number in 1..=attempts {
            let in_a_row = if locked && number == attempts {
                1
            } else {
                u32::MAX
            };
            let guess = CheckStep {
                app: app.clone(),
                target: CheckTarget::Id(id),
                candidates: Vec::new(),
                failures: Some(FailureBudget {
                    in_a_row,
                    ..ENDLESS
                }),
            };
            self.primary.check(guess, self.clock.now()).await?;
        }
        let undone = Withdrawal {
            id,
            charged,
            source: None,
            ends: true,
        };
        self.primary.withdraw(undone, self.clock.now()).await
    }

    async fn carry_source(&self, source: SourceIndex, sends: usize) -> Result<(), StoreError> {
        for _ in 0..sends {
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
        }
        Ok(())
    }
}
