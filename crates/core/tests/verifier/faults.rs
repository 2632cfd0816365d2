//! When the store or the source of randomness fails, nothing is sent and nothing approved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use watchword_core::fakes::{self, BrokenEntropy, SeededEntropy};
use watchword_core::memory::MemoryStore;
use watchword_core::{
    AppId, CancelError, CancelOutcome, CheckError, CheckOutcome, CheckStep, DeliveryId, Entropy,
    EntropyError, Event, Failure, MessageKey, Note, Purpose, RecipientIndex, ResendOutcome,
    ResendStep, SendError, StartOutcome, StartStep, Status, Store, StoreError, Timestamp, Turn,
    Verdict, Verification, VerificationId, Withdrawal,
};

use crate::server::{NUMBER, Server, generous, number, request};

/// When a step fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fails {
    /// Nothing was done.
    Before,
    /// It was done, and the answer got lost.
    After,
}

/// A store whose steps can be told to fail, each by its name.
#[derive(Default)]
struct Brittle {
    store: MemoryStore,
    fails: Mutex<Option<(&'static str, Fails)>>,
}

impl Brittle {
    fn fail(&self, step: &'static str, when: Fails) {
        *self.fails.lock() = Some((step, when));
    }

    fn mend(&self) {
        *self.fails.lock() = None;
    }

    fn pass(&self, step: &str, now: Fails) -> Result<(), StoreError> {
        match *self.fails.lock() {
            Some((broken, when)) if broken == step && when == now => {
                Err(StoreError::unavailable("the wire was cut"))
            }
            _ => Ok(()),
        }
    }
}

macro_rules! brittle {
    ($self:ident, $name:literal, $step:expr) => {{
        $self.pass($name, Fails::Before)?;
        let answer = $step.await;
        $self.pass($name, Fails::After)?;
        answer
    }};
}

#[async_trait]
impl Store for Brittle {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        brittle!(self, "start", self.store.start(step, now))
    }
    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        brittle!(self, "resend", self.store.resend(step, now))
    }
    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        brittle!(self, "check", self.store.check(step, now))
    }
    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        brittle!(self, "get", self.store.get(app, id, now))
    }
    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        brittle!(
            self,
            "newest",
            self.store.newest(app, recipient, purpose, now)
        )
    }
    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        brittle!(self, "cancel", self.store.cancel(app, id, now))
    }
    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        brittle!(self, "withdraw", self.store.withdraw(step, now))
    }
    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        brittle!(self, "fail", self.store.fail(id, sent_at, now))
    }
    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        brittle!(self, "note", self.store.note(id, note, now))
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        brittle!(self, "locate", self.store.locate(name, now))
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        brittle!(self, "overdue", self.store.overdue(most, now))
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        brittle!(self, "fall_back", self.store.fall_back(id, now))
    }
    async fn unlock(&self, index: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        brittle!(self, "unlock", self.store.unlock(index, now))
    }

    async fn remembered(
        &self,
        index: RecipientIndex,
        now: Timestamp,
    ) -> Result<watchword_core::Remembered, StoreError> {
        brittle!(self, "remembered", self.store.remembered(index, now))
    }

    async fn erase(&self, index: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        brittle!(self, "erase", self.store.erase(index, now))
    }
    async fn ready(&self) -> Result<(), StoreError> {
        brittle!(self, "ready", self.store.ready())
    }
}

fn server() -> (Arc<Brittle>, Arc<Server>) {
    let brittle = Arc::new(Brittle::default());
    (brittle.clone(), Server::over(brittle))
}

const BOTH: [Fails; 2] = [Fails::Before, Fails::After];

#[tokio::test]
async fn a_start_that_is_not_kept_for_sure_sends_nothing() {
    for when in BOTH {
        let (brittle, server) = server();
        brittle.fail("start", when);
        let failed = server.verifier.start(request(generous())).await;
        let Err(SendError::Failure(Failure::Store(StoreError::Unavailable(_)))) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(server.pigeon.count(), 0);
        assert_eq!(server.diary.take(), [Event::StoreFailed]);
    }
}

#[tokio::test]
async fn a_resend_that_is_not_kept_for_sure_sends_nothing() {
    for step in ["get", "resend"] {
        for when in BOTH {
            let (brittle, server) = server();
            let id = server.start(request(generous())).await;
            brittle.fail(step, when);
            let failed = server.resend(id).await;
            assert!(matches!(failed, Err(SendError::Failure(_))), "{failed:?}");
            assert_eq!(server.pigeon.count(), 1);
        }
    }
}

#[tokio::test]
async fn a_check_that_is_not_kept_for_sure_approves_nothing_and_stays_counted() {
    for when in BOTH {
        let (brittle, server) = server();
        let id = server.start(request(generous())).await;
        brittle.fail("check", when);
        for code in [server.wrong(id), server.code(id)] {
            let failed = server.check(id, code).await;
            let Err(CheckError::Failure(Failure::Store(_))) = failed else {
                panic!("{failed:?}");
            };
        }
        brittle.mend();
        let outcome = server.check(id, server.code(id)).await;
        match when {
            Fails::Before => assert!(outcome.is_ok(), "{outcome:?}"),
            // The answer was lost, the approval was not: it is not given twice.
            Fails::After => assert!(matches!(outcome, Err(CheckError::NotFound))),
        }
    }
}

#[tokio::test]
async fn a_guess_whose_answer_is_lost_is_paid_for() {
    let (brittle, server) = server();
    let id = server.start(request(generous())).await;
    brittle.fail("check", Fails::After);
    for _ in 0..5 {
        assert!(server.check(id, server.wrong(id)).await.is_err());
    }
    brittle.mend();
    let outcome = server.check(id, server.code(id)).await;
    assert!(matches!(outcome, Err(CheckError::Exhausted)), "{outcome:?}");
}

#[tokio::test]
async fn a_message_that_is_out_is_answered_even_if_its_delivery_cannot_be_noted() {
    let (brittle, server) = server();
    brittle.fail("note", Fails::Before);
    let id = server.start(request(generous())).await;
    assert!(server.diary.take().contains(&Event::StoreFailed));
    assert!(server.check(id, server.code(id)).await.is_ok());
}

#[tokio::test]
async fn a_send_that_failed_says_so_even_if_nothing_can_be_given_back() {
    for (verdict, step) in [
        (Verdict::Unavailable, "withdraw"),
        (Verdict::Refused, "fail"),
    ] {
        let (brittle, server) = server();
        server.pigeon.answer(Some(verdict));
        brittle.fail(step, Fails::Before);
        let failed = server.verifier.start(request(generous())).await;
        assert!(matches!(failed, Err(SendError::Failure(_))), "{failed:?}");
    }
}

#[tokio::test]
async fn looking_canceling_and_unlocking_say_when_the_store_fails() {
    let (brittle, server) = server();
    let app = AppId::default();
    let id = server.start(request(generous())).await;
    brittle.fail("get", Fails::Before);
    assert!(server.verifier.get(&app, id).await.is_err());
    brittle.fail("cancel", Fails::Before);
    let failed = server.verifier.cancel(&app, id).await;
    assert!(matches!(failed, Err(CancelError::Failure(_))));
    brittle.fail("unlock", Fails::Before);
    assert!(
        server
            .verifier
            .unlock(&app, &number(NUMBER), None)
            .await
            .is_err()
    );
    brittle.fail("ready", Fails::Before);
    assert!(server.verifier.ready().await.is_err());
    brittle.mend();
    assert!(server.verifier.ready().await.is_ok());
    assert_eq!(server.row(id).await.unwrap().status, Status::Pending);
}

#[tokio::test]
async fn a_full_store_is_an_error_of_its_own() {
    let store = MemoryStore::new(watchword_core::memory::NoJournal, 1);
    let server = Server::over(Arc::new(store));
    server.start(request(generous())).await;
    let mut other = request(generous());
    other.to = Some(number("+14155550199"));
    let failed = server.verifier.start(other).await;
    let Err(SendError::Failure(Failure::Store(StoreError::Full { max: 1 }))) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(server.pigeon.count(), 1);
}

#[tokio::test]
async fn without_randomness_nothing_is_kept_and_nothing_sent() {
    let store = Arc::new(MemoryStore::default());
    let server = Server::with(store.clone(), Arc::new(BrokenEntropy), fakes::keys(1));
    for to in [Some(number(NUMBER)), None] {
        let mut asked = request(generous());
        asked.to = to;
        let failed = server.verifier.start(asked).await;
        let Err(SendError::Failure(Failure::Entropy(_))) = failed else {
            panic!("{failed:?}");
        };
    }
    assert!(store.is_empty());
    assert_eq!(server.pigeon.count(), 0);
}

/// Randomness that ends after so many draws.
struct Ending(SeededEntropy, AtomicU64);

impl Entropy for Ending {
    fn fill(&self, dest: &mut [u8]) -> Result<(), EntropyError> {
        let left = self.1.load(Ordering::SeqCst);
        let left = left.checked_sub(1).ok_or(EntropyError)?;
        self.1.store(left, Ordering::SeqCst);
        self.0.fill(dest)
    }
}

#[tokio::test]
async fn randomness_that_ends_anywhere_within_a_send_ends_the_send() {
    let mut started = 0;
    for draws in 0..8 {
        let store = Arc::new(MemoryStore::default());
        let entropy = Ending(SeededEntropy::new(7), AtomicU64::new(draws));
        let server = Server::with(store.clone(), Arc::new(entropy), fakes::keys(1));
        match server.verifier.start(request(generous())).await {
            Ok(sent) => {
                started += 1;
                let id = sent.overview.verification.id;
                let old = server.code(id);
                if server.resend(id).await.is_err() {
                    assert_eq!(server.pigeon.count(), 1);
                    assert!(server.check(id, old).await.is_ok(), "it changed nothing");
                }
            }
            Err(_) => assert_eq!((store.len(), server.pigeon.count()), (0, 0)),
        }
    }
    assert!((1..8).contains(&started));
}
