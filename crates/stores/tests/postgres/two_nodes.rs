//! Two nodes with connections of their own are one server to everybody else.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use watchword_core::keys::Sealed;
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, DeliveryId, MessageKey, Note, Purpose,
    RecipientIndex, Replay, ReplayKey, ReplayStore, ResendOutcome, ResendStep, StartOutcome,
    StartStep, Store, StoreError, Timestamp, Turn, Verification, VerificationId, Withdrawal,
};
use watchword_stores::PostgresStore;

use crate::fixture::{Database, fresh};

/// Each call goes to the node whose turn it is.
struct Pair {
    nodes: [PostgresStore; 2],
    calls: AtomicUsize,
    _database: Database,
}

/// The pair, as something that leads to a store.
struct Nodes(Pair);

impl Nodes {
    async fn new() -> Self {
        let database = Database::migrated();
        Self(Pair {
            nodes: [database.store().await, database.store().await],
            calls: AtomicUsize::new(0),
            _database: database,
        })
    }
}

impl std::ops::Deref for Nodes {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        &self.0
    }
}

impl Pair {
    fn next(&self) -> &PostgresStore {
        &self.nodes[self.calls.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl Store for Pair {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        self.next().start(step, now).await
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        self.next().resend(step, now).await
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        self.next().check(step, now).await
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.next().get(app, id, now).await
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.next().newest(app, recipient, purpose, now).await
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        self.next().cancel(app, id, now).await
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        self.next().withdraw(step, now).await
    }

    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.next().fail(id, sent_at, now).await
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.next().note(id, note, now).await
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        self.next().locate(name, now).await
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        self.next().overdue(most, now).await
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.next().fall_back(id, now).await
    }

    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        self.next().unlock(recipient, now).await
    }

    async fn remembered(
        &self,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Result<watchword_core::Remembered, StoreError> {
        self.next().remembered(recipient, now).await
    }

    async fn erase(&self, recipient: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        self.next().erase(recipient, now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.next().ready().await
    }
}

#[async_trait]
impl ReplayStore for Pair {
    async fn claim(
        &self,
        key: ReplayKey,
        fingerprint: [u8; 32],
        running_until: Timestamp,
        now: Timestamp,
    ) -> Result<Replay, StoreError> {
        let node = self.next();
        node.claim(key, fingerprint, running_until, now).await
    }

    async fn finish(
        &self,
        key: ReplayKey,
        answer: Sealed,
        keep_until: Timestamp,
    ) -> Result<(), StoreError> {
        self.next().finish(key, answer, keep_until).await
    }

    async fn abandon(&self, key: ReplayKey) -> Result<(), StoreError> {
        self.next().abandon(key).await
    }
}

watchword_core::store_conformance! { fresh!(Nodes) =>
    checks::parallel_right_codes_yield_one_approval,
    checks::parallel_wrong_codes_get_no_more_comparisons_than_attempts,
    checks::parallel_guesses_of_all_kinds_share_the_attempts,
    limits::parallel_starts_of_one_recipient_get_exactly_its_limit,
    limits::parallel_starts_of_one_source_get_exactly_its_limit,
    sends::parallel_starts_of_one_purpose_leave_one_live,
    sends::a_check_during_a_resend_meets_one_code_and_is_counted,
    failures::parallel_failures_share_one_budget,
    fallbacks::parallel_failures_give_one_turn,
    fallbacks::parallel_takers_of_a_due_fallback_get_one_turn,
    replays::an_idempotency_key_is_claimed_once,
}
