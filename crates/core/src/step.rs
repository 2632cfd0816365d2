//! The atomic steps: what goes into a store, what comes out, and the rule in between.
//!
//! The functions here are the one home of each rule. A store that keeps its state in this
//! process calls them; one that restates them in its own language is held to them by the
//! model-based test.

mod fallback;

use std::time::Duration;

pub use fallback::{Dispatched, Note, Turn, fall_back, note};

use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::digest::{Candidate, CodeDigest, RecipientIndex, SourceIndex};
use crate::id::VerificationId;
use crate::keys::Sealed;
use crate::ledger::{Locked, Memory, RecipientLedger};
use crate::limit::{Quota, Standing};
use crate::policy::{FailureBudget, WhenPending};
use crate::purpose::Purpose;
use crate::verification::{Guess, RETENTION, Status, Verification};

/// What a send has to pay.
#[derive(Clone, Debug)]
pub struct SendTerms {
    /// How long after a send the same recipient and purpose have to wait.
    pub cooldown: Duration,
    /// The limits of the recipient.
    pub recipient: Vec<Quota>,
    /// The limits of who asks; `None` where nobody counts them.
    pub source: Option<SourceCharge>,
    /// The failures that the recipient bears; `None` where there is no recipient.
    pub failures: Option<FailureBudget>,
    /// The longest window or cooldown of any policy, and so how long sends are remembered.
    pub horizon: Duration,
}

impl SendTerms {
    /// How long the windows of sends are remembered, for recipients and sources alike: as long as
    /// any policy looks back, not only this one.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        let source = self.source.iter().flat_map(|charge| &charge.quotas);
        let windows = self
            .recipient
            .iter()
            .chain(source)
            .map(|quota| quota.window);
        windows.fold(self.horizon, Duration::max)
    }

    /// How long a send of a code that lives for `ttl` is remembered. No cooldown is longer than
    /// an hour.
    #[must_use]
    pub fn memory(&self, ttl: Duration) -> Memory {
        let cooldown = self.horizon.min(Duration::from_hours(1)).max(self.cooldown);
        Memory {
            send: self.horizon(),
            slot: ttl.saturating_add(RETENTION).max(cooldown),
        }
    }
}

/// The limits of who asks.
#[derive(Clone, Debug)]
pub struct SourceCharge {
    /// Whose they are.
    pub index: SourceIndex,
    /// What they are.
    pub quotas: Vec<Quota>,
}

/// A start: a verification in the making, and what its send has to pay.
#[derive(Clone, Debug)]
pub struct StartStep {
    /// Its handle.
    pub id: VerificationId,
    /// Whose it is.
    pub app: AppId,
    /// Whom it verifies.
    pub recipient: RecipientIndex,
    /// What its code authorises.
    pub purpose: Purpose,
    /// The channel that its code is first sent over.
    pub channel: Channel,
    /// What is kept of its code.
    pub digest: CodeDigest,
    /// What the digest was made of, for a store that keeps a form of its own beside it.
    pub candidate: Candidate,
    /// Guesses that its code bears.
    pub max_attempts: u32,
    /// How long its code lives.
    pub ttl: Duration,
    /// What a resend will need, sealed.
    pub details: Sealed,
    /// What a start does while a code of the same recipient and purpose lives.
    pub when_pending: WhenPending,
    /// What the send has to pay.
    pub terms: SendTerms,
}

impl StartStep {
    /// The verification that this step makes at `at`.
    #[must_use]
    pub fn open(&self, at: Timestamp) -> Verification {
        Verification {
            id: self.id,
            app: self.app.clone(),
            recipient: self.recipient,
            addressed: self.terms.failures.is_some(),
            purpose: self.purpose.clone(),
            channel: self.channel,
            status: Status::Pending,
            digest: self.digest.clone(),
            attempts_left: self.max_attempts,
            created_at: at,
            sent_at: at,
            expires_at: at,
            ended_at: None,
            details: self.details.clone(),
            deliveries: Vec::new(),
            outdated: 0,
            fallback: None,
        }
        .begun(at, self.ttl)
    }
}

/// A resend: a fresh code for a pending verification. The old one dies.
#[derive(Clone, Debug)]
pub struct ResendStep {
    /// Which verification.
    pub id: VerificationId,
    /// Whose it must be.
    pub app: AppId,
    /// The channel that the fresh code is first sent over.
    pub channel: Channel,
    /// What is kept of the fresh code.
    pub digest: CodeDigest,
    /// What the digest was made of, for a store that keeps a form of its own beside it.
    pub candidate: Candidate,
    /// Guesses that the fresh code bears: the send that bought it paid for them.
    pub max_attempts: u32,
    /// How long the fresh code lives.
    pub ttl: Duration,
    /// What the next resend will need, sealed.
    pub details: Sealed,
    /// What the send has to pay.
    pub terms: SendTerms,
}

/// A check: one guess at one code.
#[derive(Clone, Debug)]
pub struct CheckStep {
    /// Whose verification it must be.
    pub app: AppId,
    /// Which verification.
    pub target: CheckTarget,
    /// The typed code under each key of the ring.
    pub candidates: Vec<Candidate>,
    /// The failures that a recipient bears; `None` stands for the default budget. Whether there is
    /// a recipient is known where the verification is kept ([`Verification::addressed`]).
    pub failures: Option<FailureBudget>,
}

/// Which verification a check means.
#[derive(Clone, Debug)]
pub enum CheckTarget {
    /// The one with this handle.
    Id(VerificationId),
    /// The newest one of this recipient and purpose.
    Recipient(RecipientIndex, Purpose),
}

/// When a send began to count. Needed to give it back.
///
/// Where the clock stepped back, a send counts from its predecessor on, but a code lives from the
/// moment it was made: else it would outlive its time by as much as the clock was ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// When the code was made, by the store's clock.
    pub made_at: Timestamp,
    /// When the send began to count for the recipient.
    pub at: Timestamp,
    /// For the source.
    pub source_at: Option<Timestamp>,
    /// What the source has left, where the store says it. Only ever for whoever asked.
    pub source_standing: Option<Standing>,
}

/// Why a send is refused. Nothing was consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The source asked too often.
    SourceLimit {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The recipient was sent too much.
    RecipientLimit {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The last send is too fresh.
    Cooldown {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The failure budget of the recipient is used up.
    Locked(Locked),
    /// A code lives, and the policy wants a resend instead ([`WhenPending::Refuse`]).
    Live,
}

/// What came of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// The verification is pending, and every limit is charged.
    Started(Charged),
    /// Nothing happened.
    Refused(Refusal),
}

/// What came of a resend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResendOutcome {
    /// The fresh code is in place, and every limit is charged. As it stands now.
    Renewed(Charged, Box<Verification>),
    /// Nothing happened.
    Refused(Refusal),
    /// The verification used up its attempts.
    Exhausted,
    /// There is no pending verification with this handle.
    NotFound,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The right code, once. As it stands now.
    Approved(Box<Verification>),
    /// Not the code. The attempt is spent and the failure counted.
    Incorrect {
        /// Guesses that the code still bears.
        attempts_left: u32,
        /// Whether this failure locked the recipient until somebody unlocks it.
        locks: bool,
    },
    /// The attempts were used up before; nothing was compared.
    Exhausted,
    /// The failure budget of the recipient is used up; nothing was compared.
    Locked(Locked),
    /// There is nothing to check: unknown, expired, consumed, superseded or another app's.
    NotFound,
}

/// What came of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It is canceled, now or before. As it stands now.
    Canceled(Box<Verification>),
    /// It had another end before.
    Ended(Status),
    /// There is no such verification.
    NotFound,
}

/// A send that no provider could be reached for, to be given back.
#[derive(Clone, Debug)]
pub struct Withdrawal {
    /// Of which verification.
    pub id: VerificationId,
    /// What was charged.
    pub charged: Charged,
    /// Whose source was charged.
    pub source: Option<SourceIndex>,
    /// Whether the verification ends with it (a start) or goes on (a resend). It goes on, too, if another code was
    /// sent for it since.
    pub ends: bool,
}

/// Whether the recipient may be sent a code at `now`.
///
/// # Errors
/// The first reason why not: the lock, then the cooldown, then the limits.
pub fn admit(
    ledger: &RecipientLedger,
    purpose: &Purpose,
    terms: &SendTerms,
    now: Timestamp,
) -> Result<(), Refusal> {
    if let Some(locked) = terms.failures.and_then(|budget| ledger.lock(budget, now)) {
        return Err(Refusal::Locked(locked));
    }
    if let Some(retry_after) = ledger.cooldown(purpose, terms.cooldown, now) {
        return Err(Refusal::Cooldown { retry_after });
    }
    match ledger.sends.wait(&terms.recipient, now) {
        Some(retry_after) => Err(Refusal::RecipientLimit { retry_after }),
        None => Ok(()),
    }
}

/// The recipient's part of a start. `pending` is the newest verification of the same purpose.
/// Changes `ledger` and `pending` and returns the new verification and the moment that its send
/// counts from, or changes nothing.
///
/// # Errors
/// Why the start is refused.
pub fn start(
    ledger: &mut RecipientLedger,
    pending: Option<&mut Verification>,
    step: &StartStep,
    now: Timestamp,
) -> Result<(Verification, Timestamp), Refusal> {
    let live = pending.as_ref().is_some_and(|old| old.is_live(now));
    if live && step.when_pending == WhenPending::Refuse {
        return Err(Refusal::Live);
    }
    admit(ledger, &step.purpose, &step.terms, now)?;
    if let Some(old) = pending
        && !old.end(Status::Superseded, now)
        && old.status == Status::Pending
    {
        // Its life is over. Said for good, so that no clock that steps back revives it beside
        // the new one.
        old.status = Status::Expired;
    }
    let at = if step.terms.failures.is_some() {
        ledger.count_send(&step.purpose, step.id, step.terms.memory(step.ttl), now)
    } else {
        now // nobody's, so nothing to remember
    };
    Ok((step.open(now), at))
}

/// What a resend does where its verification is kept. Returns when the send began to count.
///
/// # Errors
/// What it came to instead; nothing was changed.
pub fn resend(
    ledger: &mut RecipientLedger,
    verification: Option<&mut Verification>,
    step: &ResendStep,
    now: Timestamp,
) -> Result<Timestamp, ResendOutcome> {
    let verification = verification
        .filter(|found| found.app == step.app && !found.is_forgettable(now))
        .ok_or(ResendOutcome::NotFound)?;
    match verification.status_at(now) {
        Status::Pending => {}
        Status::Exhausted => return Err(ResendOutcome::Exhausted),
        _ => return Err(ResendOutcome::NotFound),
    }
    admit(ledger, &verification.purpose, &step.terms, now).map_err(ResendOutcome::Refused)?;
    let at = if verification.addressed {
        let memory = step.terms.memory(step.ttl);
        ledger.count_send(&verification.purpose, step.id, memory, now)
    } else {
        now
    };
    verification.channel = step.channel;
    verification.digest = step.digest.clone();
    verification.attempts_left = step.max_attempts;
    verification.sent_at = now;
    verification.expires_at = now.plus(step.ttl);
    verification.details = step.details.clone();
    verification.outdate();
    Ok(at)
}

/// What a check does where its verification is kept. The guess is paid for, by the verification
/// and by the recipient, in the same step in which it is compared.
pub fn check(
    ledger: &mut RecipientLedger,
    verification: Option<&mut Verification>,
    step: &CheckStep,
    now: Timestamp,
) -> CheckOutcome {
    let found = verification.filter(|found| found.app == step.app && !found.is_forgettable(now));
    let Some(verification) = found else {
        return CheckOutcome::NotFound;
    };
    match verification.status_at(now) {
        Status::Pending => {}
        Status::Exhausted => return CheckOutcome::Exhausted,
        _ => return CheckOutcome::NotFound,
    }
    let addressed = verification.addressed;
    let budget = addressed.then(|| step.failures.unwrap_or_default());
    if let Some(locked) = budget.and_then(|budget| ledger.lock(budget, now)) {
        return CheckOutcome::Locked(locked);
    }
    match verification.guess(&step.candidates, now) {
        Guess::Right => {
            ledger.count_success();
            CheckOutcome::Approved(Box::new(verification.clone()))
        }
        Guess::Wrong { attempts_left } => {
            if let Some(budget) = budget {
                ledger.count_failure(budget, now);
            }
            let locks = budget.is_some() && ledger.locked;
            CheckOutcome::Incorrect {
                attempts_left,
                locks,
            }
        }
        Guess::Exhausted => CheckOutcome::Exhausted,
        Guess::Gone => CheckOutcome::NotFound,
    }
}

/// What a cancellation does.
pub fn cancel(
    verification: Option<&mut Verification>,
    app: &AppId,
    now: Timestamp,
) -> CancelOutcome {
    let found = verification.filter(|found| found.app == *app && !found.is_forgettable(now));
    let Some(verification) = found else {
        return CancelOutcome::NotFound;
    };
    verification.end(Status::Canceled, now);
    match verification.status_at(now) {
        Status::Canceled => CancelOutcome::Canceled(Box::new(verification.clone())),
        Status::Expired | Status::Superseded => CancelOutcome::NotFound,
        status => CancelOutcome::Ended(status),
    }
}
