//! The steps of the store: how long each took, and how often one failed.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tracing::{Instrument as _, Span, field};
use watchword_core::{
    AppId, CancelOutcome, CheckOutcome, CheckStep, DeliveryId, MessageKey, Note, Purpose,
    Readiness, RecipientIndex, Remembered, ResendOutcome, ResendStep, StartOutcome, StartStep,
    Store, StoreError, TRACE, Timestamp, Turn, Verification, VerificationId, Withdrawal,
};

use super::latencies::Latencies;

/// What a store can be asked for.
#[derive(Clone, Copy)]
enum Step {
    Start,
    Resend,
    Check,
    Get,
    Newest,
    Cancel,
    Withdraw,
    Fail,
    Note,
    Locate,
    Overdue,
    FallBack,
    Unlock,
    Remembered,
    Erase,
    Ready,
}

const STEPS: [(Step, &str); 16] = [
    (Step::Start, "start"),
    (Step::Resend, "resend"),
    (Step::Check, "check"),
    (Step::Get, "get"),
    (Step::Newest, "newest"),
    (Step::Cancel, "cancel"),
    (Step::Withdraw, "withdraw"),
    (Step::Fail, "fail"),
    (Step::Note, "note"),
    (Step::Locate, "locate"),
    (Step::Overdue, "overdue"),
    (Step::FallBack, "fall_back"),
    (Step::Unlock, "unlock"),
    (Step::Remembered, "remembered"),
    (Step::Erase, "erase"),
    (Step::Ready, "ready"),
];

const ERRORS: [&str; 3] = ["unavailable", "not_reached", "full"];

const fn error_index(error: &StoreError) -> usize {
    match error {
        StoreError::Unavailable(_) => 0,
        StoreError::NotReached(_) => 1,
        StoreError::Full { .. } => 2,
    }
}

/// Seconds. A step in memory takes microseconds, a store that hangs takes seconds.
const BUCKETS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
    5.0,
];

type Durations = Latencies<{ BUCKETS.len() }>;

/// What is counted of one step, resolved when the server starts.
struct Figures {
    duration: Durations,
    errors: [Counter; ERRORS.len()],
}

/// A store whose steps are counted, timed and, within a trace, told as spans.
pub(crate) struct WatchedStore {
    store: Arc<dyn Store>,
    /// Its name among database systems (OpenTelemetry `db.system.name`).
    system: &'static str,
    steps: [Figures; STEPS.len()],
}

impl WatchedStore {
    /// Adds the metrics.
    pub(crate) fn over(
        store: Arc<dyn Store>,
        system: &'static str,
        registry: &mut Registry,
    ) -> Arc<dyn Store> {
        let latencies: fn() -> Durations = || Latencies::new(BUCKETS);
        let durations =
            Family::<[(&'static str, &'static str); 1], Durations, _>::new_with_constructor(
                latencies,
            );
        registry.register(
            "store_step_duration_seconds",
            "How long the store took for a step, failed ones included",
            durations.clone(),
        );
        let errors = Family::<[(&'static str, &'static str); 2], Counter>::default();
        registry.register(
            "store_step_errors",
            "Steps that the store did not do, or may not have done",
            errors.clone(),
        );
        let steps = STEPS.map(|(_, step)| Figures {
            duration: durations.get_or_create_owned(&[("step", step)]),
            errors: ERRORS
                .map(|reason| errors.get_or_create_owned(&[("step", step), ("reason", reason)])),
        });
        Arc::new(Self {
            store,
            system,
            steps,
        })
    }

    async fn watch<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let span = self.span(step);
        let done = if span.is_none() {
            work.await
        } else {
            work.instrument(span.clone()).await
        };
        let figures = &self.steps[step as usize];
        figures.duration.observe(began.elapsed());
        if let Err(error) = &done {
            let kind = error_index(error);
            figures.errors[kind].inc();
            span.record("otel.status_code", "ERROR");
            span.record("error.type", ERRORS[kind]);
        }
        done
    }

    /// A span of the trace that the step belongs to; none where it belongs to none.
    fn span(&self, step: Step) -> Span {
        // Not by asking whether the target is enabled: with filters of several layers, the question
        // swallows the next record of the log on this thread. Only traces make spans.
        if Span::current().is_none() {
            return Span::none();
        }
        let step = STEPS[step as usize].1;
        tracing::info_span!(
            target: TRACE,
            "store",
            otel.name = format!("store {step}"),
            otel.kind = "client",
            otel.status_code = field::Empty,
            error.type = field::Empty,
            db.system.name = self.system,
            db.operation.name = step,
        )
    }
}

#[async_trait]
impl Store for WatchedStore {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        let started = self.watch(Step::Start, self.store.start(step, now)).await?;
        watchword_http::store_answered();
        Ok(started)
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        let resent = self
            .watch(Step::Resend, self.store.resend(step, now))
            .await?;
        watchword_http::store_answered();
        Ok(resent)
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        self.watch(Step::Check, self.store.check(step, now)).await
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        self.watch(Step::Get, self.store.get(app, id, now)).await
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        let found = self.store.newest(app, recipient, purpose, now);
        self.watch(Step::Newest, found).await
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let canceled = self.store.cancel(app, id, now);
        self.watch(Step::Cancel, canceled).await
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        let withdrawn = self.store.withdraw(step, now);
        self.watch(Step::Withdraw, withdrawn).await
    }

    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.watch(Step::Fail, self.store.fail(id, sent_at, now))
            .await
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.watch(Step::Note, self.store.note(id, note, now)).await
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        self.watch(Step::Locate, self.store.locate(name, now)).await
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        let due = self.store.overdue(most, now);
        self.watch(Step::Overdue, due).await
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let turn = self.store.fall_back(id, now);
        self.watch(Step::FallBack, turn).await
    }

    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        let unlocked = self.store.unlock(recipient, now);
        self.watch(Step::Unlock, unlocked).await
    }

    async fn remembered(
        &self,
        of: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError> {
        let remembered = self.store.remembered(of, now);
        self.watch(Step::Remembered, remembered).await
    }

    async fn erase(&self, of: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        let erased = self.store.erase(of, now);
        self.watch(Step::Erase, erased).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.watch(Step::Ready, self.store.ready()).await
    }

    async fn readiness(&self) -> Result<Readiness, StoreError> {
        self.watch(Step::Ready, self.store.readiness()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_stands_in_its_own_place() {
        for (place, (step, _)) in STEPS.into_iter().enumerate() {
            assert_eq!(step as usize, place);
        }
    }
}
