//! The ports to where things are kept.

use std::error::Error;

use async_trait::async_trait;

use crate::app::AppId;
use crate::clock::Timestamp;
use crate::delivery::DeliveryId;
use crate::digest::RecipientIndex;
use crate::id::VerificationId;
use crate::keys::Sealed;
use crate::ledger::RecipientLedger;
use crate::step::{
    CancelOutcome, CheckOutcome, CheckStep, Note, ResendOutcome, ResendStep, StartOutcome,
    StartStep, Turn, Withdrawal,
};
use crate::verification::Verification;

/// The store did not do it, or we cannot know whether it did. Nothing may be sent or approved.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or cannot write.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It cannot be reached, or takes nothing at present: the step was surely not done.
    #[error("the store is unavailable")]
    NotReached(#[source] Box<dyn Error + Send + Sync>),
    /// It holds as many live verifications as the configuration allows.
    #[error("the store holds its maximum of {max} live verifications (storage.max_live)")]
    Full {
        /// The configured maximum.
        max: usize,
    },
}

impl StoreError {
    /// An unavailable store, with the reason that an operator reads in the log.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(reason.into())
    }

    /// A store that was not told of the step, with the reason that an operator reads in the log.
    pub fn not_reached(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::NotReached(reason.into())
    }

    /// The same of a step a part of which was done before.
    #[must_use]
    pub fn after_a_part(self) -> Self {
        match self {
            Self::NotReached(reason) => Self::Unavailable(reason),
            other => other,
        }
    }
}

/// Keeps verifications and the counters of their recipients and sources.
///
/// Each method is one atomic step: callers on two nodes see it happen in some order, never
/// interleaved. When it has answered, `kill -9` undoes none of it, unless its text says
/// otherwise. `now` is the caller's; a store that several nodes share may prefer a clock of its
/// own, and then says so.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Charges the limits and puts a new verification in place.
    ///
    /// The source is charged first. A refusal leaves everything as it was.
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError>;

    /// Charges the limits and puts a fresh code in place of the old one.
    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError>;

    /// Spends an attempt and compares.
    ///
    /// The attempt stays spent if the answer is lost on the way back. For one verification, at
    /// most one call ever returns [`CheckOutcome::Approved`].
    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError>;

    /// The verification with this handle, whatever its state, while it is remembered; another
    /// app's is not found.
    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError>;

    /// The newest verification of a recipient and purpose, whatever its state, while it is
    /// remembered.
    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &crate::purpose::Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError>;

    /// Ends a pending verification.
    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError>;

    /// Gives back the send that no provider could be reached for.
    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError>;

    /// Ends a verification whose recipient every channel refused, unless another code was sent for it than the one of
    /// `sent_at`. The send stays charged.
    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Notes hand-overs, and answers with the turn of the next channel if this note made it so.
    ///
    /// Seen by the next read at once. What a note says of deliveries, a crash within the store's
    /// next flush may forget; a fallback that it plans and a turn that it gives are kept as any
    /// step. A turn is given once.
    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError>;

    /// The hand-over that was noted under this name, while its verification is remembered.
    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError>;

    /// Up to `most` verifications whose fallback is due. Others may see the same ones:
    /// [`Self::fall_back`] decides. One that has expired when this looks need not be found again,
    /// should the clock step back.
    async fn overdue(&self, most: usize, now: Timestamp)
    -> Result<Vec<VerificationId>, StoreError>;

    /// Takes the turn of the next channel, if it is due and the code lives. Nobody gets the same
    /// turn again.
    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError>;

    /// Lifts the lock of a recipient and forgets its failures; whether there were any.
    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError>;

    /// Everything that is remembered of a recipient, at one moment.
    async fn remembered(
        &self,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError>;

    /// Forgets the verifications of a recipient, live ones too; how many there were. Its counters
    /// stay as they are, and so does the wait for its next send.
    async fn erase(&self, recipient: RecipientIndex, now: Timestamp) -> Result<u64, StoreError>;

    /// Whether the store would answer now. Costs little; asked by health checks.
    async fn ready(&self) -> Result<(), StoreError>;

    /// As [`Self::ready`], and how well. A store that stands in for another one says so here.
    async fn readiness(&self) -> Result<Readiness, StoreError> {
        self.ready().await.map(|()| Readiness::Ready)
    }
}

/// What a store remembers of one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Its counters.
    pub ledger: RecipientLedger,
    /// Its verifications, oldest first.
    pub verifications: Vec<Verification>,
}

impl Remembered {
    /// Leaves out what may be forgotten by `now`.
    #[must_use]
    pub fn of(
        ledger: RecipientLedger,
        verifications: impl IntoIterator<Item = Verification>,
        now: Timestamp,
    ) -> Self {
        let kept = verifications.into_iter();
        let mut verifications: Vec<_> = kept.filter(|row| !row.is_forgettable(now)).collect();
        verifications.sort_by_key(|row| (row.created_at, *row.id.as_bytes()));
        Self {
            ledger,
            verifications,
        }
    }
}

/// How well a store serves that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// As it is configured.
    Ready,
    /// A local store stands in for the one that is configured.
    Degraded,
}

/// What is known of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Nothing: the caller holds the key now, and must finish or abandon it.
    Fresh,
    /// The first request with this key is still running.
    Running,
    /// The key came with another request before.
    Different,
    /// The first request's answer, sealed.
    Done(Sealed),
}

/// Names a message by its provider's name for it, without showing that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey(pub [u8; 16]);

/// Names an idempotency key of one caller without showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey(pub [u8; 16]);

/// Keeps the answers of requests that may be repeated (`Idempotency-Key`).
#[async_trait]
pub trait ReplayStore: Send + Sync + 'static {
    /// Takes the key for a request with this fingerprint, or says what became of it before.
    ///
    /// A key whose request neither finished nor was abandoned is free again at `running_until`.
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError>;

    /// Keeps the answer until `keep_until`.
    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Frees the key, as the request came to nothing that should be repeated.
    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError>;
}
