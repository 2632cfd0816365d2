//! A history that moves from one store to another comes out as if it had stayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Mutex;
use watchword_core::moving::{copy, count};
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, DeliveryId, MessageKey, Note, Purpose,
    RecipientIndex, ResendOutcome, ResendStep, StartOutcome, StartStep, Store, StoreError,
    Timestamp, Turn, Verification, VerificationId, Withdrawal,
};

use crate::ALONE;
use crate::fixture::{Database, if_installed};
use crate::home::{Home, cluster, server};

/// How many histories each pair of stores is asked for.
const CASES: u32 = 24;

/// A store that is moved once, before one of its steps.
struct Moving {
    homes: [Home; 2],
    /// Before which step. Each history has another one.
    before: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    steps: usize,
    moved: bool,
    latest: Timestamp,
}

static HISTORIES: AtomicUsize = AtomicUsize::new(0);

impl Moving {
    fn between(from: Home, to: Home) -> Self {
        let number = HISTORIES.fetch_add(1, Ordering::Relaxed);
        Self {
            homes: [from, to],
            before: 3 + number * 17 % 60,
            state: Mutex::default(),
        }
    }

    async fn at(&self, now: Timestamp) -> Arc<dyn Store> {
        let mut state = self.state.lock().await;
        state.latest = state.latest.max(now);
        state.steps += 1;
        let [from, to] = &self.homes;
        if !state.moved && state.steps >= self.before {
            state.moved = true;
            let at = state.latest;
            let copied = copy(&*from.rows, &*to.rows, at, &|_| {}).await.unwrap();
            let found = count(&*to.rows, at).await.unwrap();
            assert_eq!(copied.differences(&found), []);
            let again = count(&*from.rows, at).await.unwrap();
            assert_eq!(again, copied, "reading changes nothing");
        }
        Arc::clone(if state.moved { &to.store } else { &from.store })
    }
}

#[async_trait]
impl Store for Moving {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        self.at(now).await.start(step, now).await
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        self.at(now).await.resend(step, now).await
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        self.at(now).await.check(step, now).await
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.at(now).await.get(app, id, now).await
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.at(now)
            .await
            .newest(app, recipient, purpose, now)
            .await
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        self.at(now).await.cancel(app, id, now).await
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        self.at(now).await.withdraw(step, now).await
    }

    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.at(now).await.fail(id, sent_at, now).await
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.at(now).await.note(id, note, now).await
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        self.at(now).await.locate(name, now).await
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        self.at(now).await.overdue(most, now).await
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.at(now).await.fall_back(id, now).await
    }

    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        self.at(now).await.unlock(recipient, now).await
    }

    async fn remembered(
        &self,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Result<watchword_core::Remembered, StoreError> {
        self.at(now).await.remembered(recipient, now).await
    }

    async fn erase(&self, recipient: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        self.at(now).await.erase(recipient, now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.homes[0].store.ready().await
    }
}

fn play<F: Future<Output = Home>, T: Future<Output = Home>>(
    from: impl Fn() -> F,
    to: impl Fn() -> T,
) {
    watchword_core::conformance::model_histories_of(CASES, || async {
        Arc::new(Moving::between(from().await, to().await))
    });
}

/// Databases for the histories of one test.
fn database() -> Arc<Database> {
    Arc::new(Database::migrated())
}

#[test]
fn a_history_goes_on_from_sqlite_in_sqlite() {
    let _alone = ALONE.blocking_lock();
    play(Home::sqlite, Home::sqlite);
}

#[test]
fn a_history_goes_on_from_sqlite_in_postgresql() {
    let _alone = ALONE.blocking_lock();
    if_installed(|| {
        let database = database();
        play(Home::sqlite, || Home::postgres(Arc::clone(&database)));
    });
}

#[test]
fn a_history_goes_on_from_postgresql_in_sqlite() {
    let _alone = ALONE.blocking_lock();
    if_installed(|| {
        let database = database();
        play(|| Home::postgres(Arc::clone(&database)), Home::sqlite);
    });
}

#[test]
fn a_history_goes_on_from_postgresql_in_postgresql() {
    let _alone = ALONE.blocking_lock();
    if_installed(|| {
        let (from, to) = (database(), database());
        play(
            || Home::postgres(Arc::clone(&from)),
            || Home::postgres(Arc::clone(&to)),
        );
    });
}

#[test]
fn a_history_goes_on_from_sqlite_in_redis() {
    let _alone = ALONE.blocking_lock();
    if let Some(redis) = server() {
        play(Home::sqlite, || Home::redis(redis.url()));
    }
}

#[test]
fn a_history_goes_on_from_redis_in_sqlite() {
    let _alone = ALONE.blocking_lock();
    if let Some(redis) = server() {
        play(|| Home::redis(redis.url()), Home::sqlite);
    }
}

#[test]
fn a_history_goes_on_from_redis_in_postgresql() {
    let _alone = ALONE.blocking_lock();
    if let Some(redis) = server() {
        if_installed(|| {
            let database = database();
            play(
                || Home::redis(redis.url()),
                || Home::postgres(Arc::clone(&database)),
            );
        });
    }
}

#[test]
fn a_history_goes_on_from_postgresql_in_redis() {
    let _alone = ALONE.blocking_lock();
    if let Some(redis) = server() {
        if_installed(|| {
            let database = database();
            play(
                || Home::postgres(Arc::clone(&database)),
                || Home::redis(redis.url()),
            );
        });
    }
}

#[test]
fn a_history_goes_on_from_redis_in_a_cluster() {
    let _alone = ALONE.blocking_lock();
    if let (Some(redis), Some(cluster)) = (server(), cluster()) {
        play(|| Home::redis(redis.url()), || Home::redis(cluster.url()));
    }
}

#[test]
fn a_history_goes_on_from_a_cluster_in_redis() {
    let _alone = ALONE.blocking_lock();
    if let (Some(redis), Some(cluster)) = (server(), cluster()) {
        play(|| Home::redis(cluster.url()), || Home::redis(redis.url()));
    }
}

#[test]
fn a_history_goes_on_from_redis_in_redis() {
    let _alone = ALONE.blocking_lock();
    if let Some(redis) = server() {
        play(|| Home::redis(redis.url()), || Home::redis(redis.url()));
    }
}

#[test]
fn a_history_goes_on_from_a_cluster_in_postgresql() {
    let _alone = ALONE.blocking_lock();
    if let Some(cluster) = cluster() {
        if_installed(|| {
            let database = database();
            play(
                || Home::redis(cluster.url()),
                || Home::postgres(Arc::clone(&database)),
            );
        });
    }
}

#[test]
fn a_history_goes_on_from_postgresql_in_a_cluster() {
    let _alone = ALONE.blocking_lock();
    if let Some(cluster) = cluster() {
        if_installed(|| {
            let database = database();
            play(
                || Home::postgres(Arc::clone(&database)),
                || Home::redis(cluster.url()),
            );
        });
    }
}
