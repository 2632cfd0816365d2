//! A front desk for the promises: makes steps for a store, and brings many at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use uuid::Uuid;

use super::Opened;
use crate::app::AppId;
use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::code::Code;
use crate::delivery::{Delivery, DeliveryId, DeliveryStatus};
use crate::digest::{Candidate, CodeContext, CodeDigest, RecipientIndex, SourceIndex};
use crate::fakes::{self, SeededEntropy};
use crate::id::VerificationId;
use crate::keys::{KeyRing, Sealed};
use crate::limit::Quota;
use crate::policy::{FailureBudget, WhenPending};
use crate::purpose::Purpose;
use crate::recipient::Recipient;
use crate::step::{
    Charged, CheckOutcome, CheckStep, CheckTarget, Note, ResendOutcome, ResendStep, SendTerms,
    SourceCharge, StartOutcome, StartStep, Withdrawal,
};
use crate::store::Store;
use crate::verification::{Status, Verification};

/// The moment at which every promise begins.
pub(super) const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// The longest window that any order has: stores may forget what is older.
const HORIZON: Duration = Duration::from_mins(90);

/// The code that is sent unless an order names another.
pub(super) const RIGHT: &str = "402718";
/// A code that is never sent.
pub(super) const WRONG: &str = "999999";

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const MILLI: Duration = Duration::from_millis(1);

/// How many callers come at once.
pub(super) const CROWD: usize = 200;

/// What somebody wants sent, and under which terms.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) app: AppId,
    /// The last digits of a telephone number.
    pub(super) to: u32,
    pub(super) purpose: &'static str,
    pub(super) channel: Channel,
    pub(super) code: &'static str,
    pub(super) binding: &'static str,
    pub(super) attempts: u32,
    pub(super) ttl: Duration,
    pub(super) cooldown: Duration,
    pub(super) limits: Vec<Quota>,
    /// Who asks, and its limits.
    pub(super) source: Option<(u8, Vec<Quota>)>,
    pub(super) failures: Option<FailureBudget>,
    pub(super) when_pending: WhenPending,
}

/// Nothing limits this one but its attempts and the failure budget.
impl Default for Order {
    fn default() -> Self {
        Self {
            app: AppId::default(),
            to: 100,
            purpose: "login",
            channel: Channel::Sms,
            code: RIGHT,
            binding: "null",
            attempts: 5,
            ttl: MINUTE * 5,
            cooldown: Duration::ZERO,
            limits: Vec::new(),
            source: None,
            failures: Some(ENDLESS),
            when_pending: WhenPending::Replace,
        }
    }
}

impl Order {
    pub(super) fn purpose(&self) -> Purpose {
        Purpose::parse(self.purpose).expect("promises use valid purposes")
    }

    /// As [`Order::default`], under the failure budget of the default policy.
    pub(super) fn budgeted() -> Self {
        Self {
            failures: Some(FailureBudget::default()),
            ..Self::default()
        }
    }
}

/// An order whose recipient bears so many sends in ten minutes.
pub(super) fn limited(max: u32) -> Order {
    Order {
        limits: vec![quota(max, MINUTE * 10)],
        ..Order::default()
    }
}

/// A budget that no promise uses up.
pub(super) const ENDLESS: FailureBudget = FailureBudget {
    per_hour: 10_000,
    per_day: 10_000,
    in_a_row: 10_000,
};

pub(super) const fn quota(max: u32, window: Duration) -> Quota {
    Quota { max, window }
}

pub(super) fn other_app() -> AppId {
    AppId::parse("other").expect("a valid name")
}

/// Serves a store.
pub(super) struct Desk<S> {
    pub(super) store: S,
    keys: KeyRing,
    entropy: SeededEntropy,
}

impl<S: Opened> Desk<S> {
    pub(super) fn open(store: S) -> Arc<Self> {
        Arc::new(Self {
            store,
            keys: fakes::keys(1),
            entropy: SeededEntropy::new(2),
        })
    }

    pub(super) fn index(&self, order: &Order) -> RecipientIndex {
        let to = Recipient::from_canonical(&format!("+1415555{:04}", order.to));
        self.keys.recipient_index(&order.app, &to)
    }

    pub(super) fn source(&self, who: u8) -> SourceIndex {
        self.keys
            .source_index("native", &format!("198.51.100.{who}"))
    }

    fn minted(&self, order: &Order, id: VerificationId) -> (CodeDigest, Candidate) {
        let code = Code::parse(order.code).expect("promises use valid codes");
        let binding = BindingDigest::of_json(order.binding).expect("valid JSON");
        let candidate = self.keys.candidate(&order.app, &binding, &code);
        let place = CodeContext {
            id,
            recipient: self.index(order),
            channel: order.channel,
            purpose: &order.purpose(),
        };
        (CodeDigest::bind(&candidate, place), candidate)
    }

    fn terms(&self, order: &Order) -> SendTerms {
        let source = order.source.as_ref();
        SendTerms {
            cooldown: order.cooldown,
            recipient: order.limits.clone(),
            source: source.map(|(who, quotas)| SourceCharge {
                index: self.source(*who),
                quotas: quotas.clone(),
            }),
            failures: order.failures,
            horizon: HORIZON,
        }
    }

    pub(super) fn start_step(&self, order: &Order) -> StartStep {
        let recipient = self.index(order);
        let id = VerificationId::generate(&recipient, &self.entropy).expect("seeded");
        let (digest, candidate) = self.minted(order, id);
        StartStep {
            id,
            app: order.app.clone(),
            recipient,
            purpose: order.purpose(),
            channel: order.channel,
            digest,
            candidate,
            max_attempts: order.attempts,
            ttl: order.ttl,
            details: Sealed::from_bytes(b"sealed elsewhere"),
            when_pending: order.when_pending,
            terms: self.terms(order),
        }
    }

    /// Starts, whatever comes of it.
    pub(super) async fn try_start(
        &self,
        order: &Order,
        now: Timestamp,
    ) -> (VerificationId, StartOutcome) {
        let step = self.start_step(order);
        let id = step.id;
        let outcome = self.store.start(step, now).await;
        (id, outcome.expect("the store works"))
    }

    /// Starts what has to be admitted.
    pub(super) async fn start(&self, order: &Order, now: Timestamp) -> VerificationId {
        self.start_charged(order, now).await.0
    }

    pub(super) async fn start_charged(
        &self,
        order: &Order,
        now: Timestamp,
    ) -> (VerificationId, Charged) {
        match self.try_start(order, now).await {
            (id, StartOutcome::Started(charged)) => (id, charged),
            (_, refused) => panic!("a start was refused: {refused:?}"),
        }
    }

    /// Resends; the order says the fresh code, its channel and the terms.
    pub(super) async fn resend(
        &self,
        id: VerificationId,
        order: &Order,
        now: Timestamp,
    ) -> ResendOutcome {
        let (digest, candidate) = self.minted(order, id);
        let step = ResendStep {
            id,
            app: order.app.clone(),
            channel: order.channel,
            digest,
            candidate,
            max_attempts: order.attempts,
            ttl: order.ttl,
            details: Sealed::from_bytes(b"sealed again"),
            terms: self.terms(order),
        };
        let outcome = self.store.resend(step, now).await;
        outcome.expect("the store works")
    }

    /// Resends what has to be admitted.
    pub(super) async fn renew(&self, id: VerificationId, order: &Order, now: Timestamp) -> Charged {
        match self.resend(id, order, now).await {
            ResendOutcome::Renewed(charged, _) => charged,
            other => panic!("a resend was refused: {other:?}"),
        }
    }

    pub(super) async fn check_at(
        &self,
        target: CheckTarget,
        order: &Order,
        code: &str,
        now: Timestamp,
    ) -> CheckOutcome {
        let code = Code::parse(code).expect("promises use valid codes");
        let binding = BindingDigest::of_json(order.binding).expect("valid JSON");
        let step = CheckStep {
            app: order.app.clone(),
            target,
            candidates: self.keys.candidates(&order.app, &binding, &code),
            failures: order.failures,
        };
        self.store.check(step, now).await.expect("the store works")
    }

    /// Checks by handle; the order says the app, the binding and the failure budget.
    pub(super) async fn check(
        &self,
        id: VerificationId,
        order: &Order,
        code: &str,
        now: Timestamp,
    ) -> CheckOutcome {
        self.check_at(CheckTarget::Id(id), order, code, now).await
    }

    /// Checks by recipient and purpose.
    pub(super) async fn check_newest(
        &self,
        order: &Order,
        code: &str,
        now: Timestamp,
    ) -> CheckOutcome {
        let target = CheckTarget::Recipient(self.index(order), order.purpose());
        self.check_at(target, order, code, now).await
    }

    pub(super) async fn get(
        &self,
        id: VerificationId,
        order: &Order,
        now: Timestamp,
    ) -> Option<Verification> {
        let found = self.store.get(&order.app, id, now).await;
        found.expect("the store works")
    }

    /// Where a verification stands, if it is remembered.
    pub(super) async fn status(
        &self,
        id: VerificationId,
        order: &Order,
        now: Timestamp,
    ) -> Option<Status> {
        let found = self.get(id, order, now).await;
        found.map(|found| found.status_at(now))
    }

    /// Gives a send back that no provider could be reached for.
    pub(super) async fn withdraw(
        &self,
        id: VerificationId,
        order: &Order,
        charged: Charged,
        ends: bool,
    ) {
        let source = order.source.as_ref().map(|(who, _)| self.source(*who));
        let step = Withdrawal {
            id,
            charged,
            source,
            ends,
        };
        let withdrawn = self.store.withdraw(step, charged.made_at).await;
        withdrawn.expect("the store works");
    }

    /// Asserts how many failed checks of the order's recipient the past hour holds, without
    /// adding one that counts. Costs a verification of its own.
    pub(super) async fn assert_failures(&self, order: &Order, failures: u32, now: Timestamp) {
        let probe = |per_hour| Order {
            purpose: "probe",
            failures: Some(FailureBudget {
                per_hour,
                ..ENDLESS
            }),
            ..order.clone()
        };
        let id = self.start(&probe(failures + 1), now).await;
        if failures > 0 {
            let outcome = self.check(id, &probe(failures), WRONG, now).await;
            let locked = matches!(outcome, CheckOutcome::Locked(_));
            assert!(locked, "{failures} failures were not all counted");
        }
        let outcome = self.check(id, &probe(failures + 1), RIGHT, now).await;
        let approved = matches!(outcome, CheckOutcome::Approved(_));
        assert!(
            approved,
            "more than {failures} failures were counted: {outcome:?}"
        );
    }
}

/// A hand-over of the first provider, as far as it came.
pub(super) fn delivery(number: u128, status: DeliveryStatus, at: Timestamp) -> Delivery {
    Delivery {
        id: DeliveryId(Uuid::from_u128(number)),
        channel: Channel::Sms,
        provider: "first".to_owned(),
        status,
        at,
        message_id: None,
        error: None,
    }
}

/// What a provider reports.
pub(super) fn noted(delivery: Delivery) -> Note {
    Note {
        deliveries: vec![delivery],
        ..Note::default()
    }
}

/// Lets `count` callers loose at the same moment, and collects what each of them gets.
pub(super) async fn crowd<F, T>(count: usize, caller: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let gate = Arc::new(Barrier::new(count));
    let callers: Vec<_> = (0..count)
        .map(|number| {
            let (gate, call) = (Arc::clone(&gate), caller(number));
            tokio::spawn(async move {
                gate.wait().await;
                call.await
            })
        })
        .collect();
    let mut outcomes = Vec::with_capacity(count);
    for caller in callers {
        outcomes.push(caller.await.expect("no caller panics"));
    }
    outcomes
}

/// How many of the outcomes are like this.
pub(super) fn count<T>(outcomes: &[T], like: impl Fn(&T) -> bool) -> usize {
    outcomes.iter().filter(|outcome| like(outcome)).count()
}

pub(super) const fn approved(outcome: &CheckOutcome) -> bool {
    matches!(outcome, CheckOutcome::Approved(_))
}

pub(super) const fn incorrect(outcome: &CheckOutcome) -> bool {
    matches!(outcome, CheckOutcome::Incorrect { .. })
}

pub(super) const fn locked(outcome: &CheckOutcome) -> bool {
    matches!(outcome, CheckOutcome::Locked(_))
}

pub(super) const fn started(outcome: &StartOutcome) -> bool {
    matches!(outcome, StartOutcome::Started(_))
}
