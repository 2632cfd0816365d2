//! Random histories of steps, played on a store and on the naive model side by side.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::Opened;
use super::answers::{of_check, of_look, of_resend, of_start, of_turn, seen};
use super::desk::{Desk, MILLI, MINUTE, Order, T0, delivery, noted};
use super::history::{Draw, Step, app, step};
use super::model::{Answer, Model};
use crate::clock::Timestamp;
use crate::id::VerificationId;
use crate::step::{CancelOutcome, Charged, Dispatched, ResendOutcome, StartOutcome};
use crate::store::Store;
use crate::verification::{Fallback, RETENTION};

/// A store and its model, and what has happened to both.
struct Play<S> {
    desk: Arc<Desk<S>>,
    model: Model,
    now: Timestamp,
    /// The latest that it ever was.
    latest: Timestamp,
    handles: Vec<(VerificationId, Order)>,
    sends: Vec<(usize, Order, Charged, bool)>,
    /// Expired when what is due was last looked for: should the clock step back now, a store need not find
    /// their turns.
    too_late: BTreeSet<usize>,
    wait: Duration,
}

impl<S: Opened> Play<S> {
    fn new(store: S) -> Self {
        Self {
            desk: Desk::open(store),
            model: Model::default(),
            now: T0,
            latest: T0,
            handles: Vec::new(),
            sends: Vec::new(),
            too_late: BTreeSet::new(),
            wait: Duration::ZERO,
        }
    }

    /// One of the newest handles; nothing before the first start.
    fn pick(&self, which: usize) -> Option<usize> {
        self.handles
            .len()
            .checked_sub(1 + which % self.handles.len().max(1))
    }

    /// What a caller of an existing verification would send along.
    fn order_for(&self, place: usize, draw: &Draw) -> Order {
        let own = &self.handles[place].1;
        let anonymous = own.failures.is_none();
        let drawn = draw.order();
        Order {
            app: if draw.foreign {
                app(true)
            } else {
                own.app.clone()
            },
            to: own.to,
            purpose: own.purpose,
            failures: drawn.failures.filter(|_| !anonymous),
            limits: if anonymous {
                Vec::new()
            } else {
                drawn.limits.clone()
            },
            cooldown: if anonymous {
                Duration::ZERO
            } else {
                drawn.cooldown
            },
            ..drawn
        }
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = self.now;
        match step {
            Step::Start(draw) => {
                let mut order = draw.order();
                if draw.anonymous {
                    // Nobody's: an index that never comes again.
                    order.to = 1000 + u32::try_from(self.handles.len()).expect("few steps");
                    (order.failures, order.cooldown) = (None, Duration::ZERO);
                    order.limits.clear();
                }
                let expected = self.model.start(&order, now);
                let (id, outcome) = self.desk.try_start(&order, now).await;
                if let StartOutcome::Started(charged) = &outcome {
                    let place = self.handles.len();
                    self.handles.push((id, order.clone()));
                    self.sends.push((place, order, *charged, true));
                }
                self.compare(of_start(&outcome), expected)?;
            }
            Step::Resend { which, draw } => {
                let Some(place) = self.pick(*which) else {
                    return Ok(());
                };
                let order = self.order_for(place, draw);
                let expected = self.model.resend(place, &order, now);
                let outcome = self.desk.resend(self.handles[place].0, &order, now).await;
                if let ResendOutcome::Renewed(charged, _) = &outcome {
                    self.too_late.remove(&place);
                    self.sends.push((place, order, *charged, false));
                }
                self.compare(of_resend(&outcome), expected)?;
            }
            Step::Check { which, draw } => {
                let Some(place) = self.pick(*which) else {
                    return Ok(());
                };
                let order = Order {
                    // Whatever the caller says of the budget, to whomever it applies.
                    failures: draw.order().failures.filter(|_| !draw.keeps),
                    ..self.order_for(place, draw)
                };
                let expected = self.model.check(Some(place), &order, order.code, now);
                let id = self.handles[place].0;
                let outcome = self.desk.check(id, &order, order.code, now).await;
                self.compare(of_check(&outcome), expected)?;
            }
            Step::CheckNewest(draw) => {
                let order = draw.order();
                let expected = self.model.check(None, &order, order.code, now);
                let outcome = self.desk.check_newest(&order, order.code, now).await;
                self.compare(of_check(&outcome), expected)?;
            }
            Step::Cancel { which, foreign } => {
                let Some(place) = self.pick(*which) else {
                    return Ok(());
                };
                let (id, order) = self.handles[place].clone();
                let app = if *foreign { app(true) } else { order.app };
                let expected = self.model.cancel(place, &app, now);
                let outcome = self.desk.store.cancel(&app, id, now).await;
                let outcome = match outcome.expect("the store works") {
                    CancelOutcome::Canceled(verification) => {
                        Answer::Canceled(seen(&verification, now))
                    }
                    CancelOutcome::Ended(status) => Answer::Ended(status),
                    CancelOutcome::NotFound => Answer::NotFound,
                };
                self.compare(outcome, expected)?;
            }
            Step::Withdraw { which } => {
                let Some(newest) = self.sends.len().checked_sub(1 + which) else {
                    return Ok(());
                };
                // Providers answer, or do not, long before anything is forgotten.
                if now >= self.model.expiry(self.sends[newest].0) {
                    return Ok(());
                }
                let (place, order, charged, ends) = self.sends.remove(newest);
                let sent = Answer::Sent(charged.made_at, charged.at, charged.source_at);
                self.model
                    .withdraw(place, &order, &sent, ends, charged.made_at);
                let id = self.handles[place].0;
                self.desk.withdraw(id, &order, charged, ends).await;
            }
            Step::Fail { which, late } => {
                let Some(place) = self.pick(*which) else {
                    return Ok(());
                };
                let sent_at = self.sent_at(place, *late);
                self.model.fail(place, sent_at, now);
                let failed = self.desk.store.fail(self.handles[place].0, sent_at, now);
                failed.await.expect("the store works");
            }
            Step::Note {
                which,
                delivery: number,
                status,
                end,
            } => {
                let Some(place) = self.pick(*which) else {
                    return Ok(());
                };
                let mut note = noted(delivery(u128::from(*number), *status, now));
                let planned = end.map(|end| {
                    let next = end.next;
                    (
                        next.map(|(next, wait)| (next, wait.map(|wait| now.plus(wait)))),
                        end.late,
                    )
                });
                note.dispatched = planned.map(|(next, late)| Dispatched {
                    sent_at: self.sent_at(place, late),
                    fallback: next.map(|(next, due)| Fallback { next, due }),
                });
                let expected = self.model.note(place, (*number, *status), planned, now);
                let id = self.handles[place].0;
                let turn = self.desk.store.note(id, note, now).await;
                let turn = turn.expect("the store works");
                self.compare(of_turn(turn.as_ref(), now), expected)?;
            }
            Step::FallBack { which } => {
                let Some(place) = self.pick(*which) else {
                    return Ok(());
                };
                let expected = self.model.fall_back(place, now);
                self.fall_back(place, expected).await?;
            }
            Step::Overdue => self.overdue().await?,
            Step::Unlock(draw) => {
                let order = draw.order();
                let expected = self.model.unlock(&order, now);
                let index = self.desk.index(&order);
                let held = self.desk.store.unlock(index, now).await;
                self.compare(Answer::Unlocked(held.expect("the store works")), expected)?;
            }
            Step::Get { which, foreign } => {
                let Some(place) = self.pick(*which) else {
                    return Ok(());
                };
                let (id, mut order) = self.handles[place].clone();
                if *foreign {
                    order.app = app(true);
                }
                let expected = self.model.get(place, &order.app, now);
                let found = self.desk.get(id, &order, now).await;
                self.compare(of_look(found.as_ref(), now), expected)?;
            }
            Step::Newest(draw) => {
                let order = draw.order();
                let expected = self.model.latest(&order, now);
                let (index, purpose) = (self.desk.index(&order), order.purpose());
                let found = self
                    .desk
                    .store
                    .newest(&order.app, index, &purpose, now)
                    .await;
                let found = found.expect("the store works");
                self.compare(of_look(found.as_ref(), now), expected)?;
            }
            Step::Pass(span) => self.now = now.plus(*span),
            Step::WaitOut { short } => {
                let less = if *short { MILLI } else { Duration::ZERO };
                self.now = now.plus(self.wait.saturating_sub(less));
            }
            Step::Edge {
                which,
                forgotten,
                short,
            } => {
                let Some(place) = self.pick(*which) else {
                    return Ok(());
                };
                let late = if *forgotten {
                    RETENTION
                } else {
                    Duration::ZERO
                };
                let early = if *short { MILLI } else { Duration::ZERO };
                let edge = self.model.expiry(place).plus(late).minus(early);
                self.now = now.max(edge);
            }
            Step::Back(span) => {
                // What a store has forgotten it need not remember again.
                let floor = self.model.forgot(self.latest);
                let most = self.latest.minus(MINUTE * 3);
                self.now = now.minus(*span).max(floor).max(most).min(now);
            }
        }
        self.latest = self.latest.max(self.now);
        Ok(())
    }

    /// When the code was sent that a dispatch is about: one that is late was overtaken.
    fn sent_at(&self, place: usize, late: bool) -> Timestamp {
        let sent_at = self.model.sent_at(place);
        if late { sent_at.minus(MILLI) } else { sent_at }
    }

    async fn fall_back(&mut self, place: usize, expected: Answer) -> Result<(), TestCaseError> {
        let turn = self.desk.store.fall_back(self.handles[place].0, self.now);
        let turn = turn.await.expect("the store works");
        self.compare(of_turn(turn.as_ref(), self.now), expected)
    }

    /// All that is due is seen; what else is seen gives no turn.
    async fn overdue(&mut self) -> Result<(), TestCaseError> {
        let seen = self.desk.store.overdue(1000, self.now).await;
        let seen = seen.expect("the store works");
        let places = 0..self.handles.len();
        let seen = places.filter(|place| seen.contains(&self.handles[*place].0));
        for place in seen.collect::<Vec<_>>() {
            let expected = self.model.fall_back(place, self.now);
            self.fall_back(place, expected).await?;
        }
        let all = 0..self.handles.len();
        let expired = all.filter(|place| self.model.expiry(*place) <= self.now);
        self.too_late.extend(expired);
        let mut left = self.model.due(self.now);
        left.retain(|place| !self.too_late.contains(place));
        self.compare(Answer::Due(Vec::new()), Answer::Due(left))
    }

    fn compare(&mut self, outcome: Answer, expected: Answer) -> Result<(), TestCaseError> {
        match &outcome {
            Answer::SourceLimit(wait)
            | Answer::RecipientLimit(wait)
            | Answer::Cooldown(wait)
            | Answer::Locked(Some(wait)) => self.wait = *wait,
            _ => {}
        }
        prop_assert_eq!(outcome, expected, "store and model differ, at {}", self.now);
        Ok(())
    }

    /// At the end of a history, everything that can be read is as in the model.
    async fn finish(&mut self) -> Result<(), TestCaseError> {
        self.overdue().await?;
        for place in 0..self.handles.len() {
            let (id, order) = self.handles[place].clone();
            let expected = self.model.get(place, &order.app, self.now);
            let found = self.desk.get(id, &order, self.now).await;
            self.compare(of_look(found.as_ref(), self.now), expected)?;
        }
        Ok(())
    }
}

/// Plays random histories, the clock stepping back now and then.
pub fn model_histories<S: Opened, F: Future<Output = S>>(fresh: impl Fn() -> F) {
    play_all(fresh, true, 128);
}

/// [`model_histories`], but so many where `PROPTEST_CASES` says nothing: for a store whose steps
/// travel.
pub fn model_histories_of<S: Opened, F: Future<Output = S>>(cases: u32, fresh: impl Fn() -> F) {
    play_all(fresh, true, cases);
}

/// Plays random histories under a clock that only goes forward, for a store that forgets what is
/// past as it goes.
pub fn model_histories_forward<S: Opened, F: Future<Output = S>>(fresh: impl Fn() -> F) {
    play_all(fresh, false, 128);
}

fn play_all<S: Opened, F: Future<Output = S>>(fresh: impl Fn() -> F, back: bool, cases: u32) {
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let histories = prop::collection::vec(step(back), 1..120);
    let played = TestRunner::new(config).run(&histories, |history| {
        runtime.block_on(async {
            let mut play = Play::new(fresh().await);
            for step in &history {
                play.take(step).await?;
            }
            play.finish().await
        })
    });
    if let Err(difference) = played {
        panic!("{difference}");
    }
}
