//! A store that loads, thinks and saves: what everybody writes first. It keeps every rule as long
//! as callers come one after the other, and has to fail the promises about crowds. Were it to
//! pass them, they would prove nothing.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::task::yield_now;
use watchword_core::conformance::{checks, failures, fallbacks, limits, sends};
use watchword_core::step::{self, check, resend, start};
use watchword_core::{
    AppId, CancelOutcome, Charged, CheckOutcome, CheckStep, CheckTarget, DeliveryId, MessageKey,
    Note, Purpose, RecipientIndex, RecipientLedger, Refusal, ResendOutcome, ResendStep, SlidingLog,
    SourceCharge, SourceIndex, StartOutcome, StartStep, Store, StoreError, Timestamp, Turn,
    Verification, VerificationId, Withdrawal,
};

#[derive(Clone, Default)]
struct Tables {
    verifications: HashMap<VerificationId, Verification>,
    ledgers: HashMap<RecipientIndex, RecipientLedger>,
    sources: HashMap<SourceIndex, SlidingLog>,
}

#[derive(Default)]
struct NaiveStore(Mutex<Tables>);

impl NaiveStore {
    fn ledger(&self, index: RecipientIndex) -> RecipientLedger {
        let tables = self.0.lock();
        tables.ledgers.get(&index).cloned().unwrap_or_default()
    }

    fn row(&self, id: VerificationId) -> Option<Verification> {
        self.0.lock().verifications.get(&id).cloned()
    }

    fn save(&self, row: Verification, ledger: RecipientLedger) {
        let mut tables = self.0.lock();
        tables.ledgers.insert(row.recipient, ledger);
        tables.verifications.insert(row.id, row);
    }

    async fn charge(
        &self,
        charge: Option<&SourceCharge>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        let Some(charge) = charge else {
            return Ok(None);
        };
        let log = self.0.lock().sources.get(&charge.index).cloned();
        let mut log = log.unwrap_or_default();
        yield_now().await;
        if let Some(retry_after) = log.wait(&charge.quotas, now) {
            return Err(Refusal::SourceLimit { retry_after });
        }
        let at = log.record(now);
        self.0.lock().sources.insert(charge.index, log);
        Ok(Some(at))
    }

    fn charged(now: Timestamp, at: Timestamp, source_at: Option<Timestamp>) -> Charged {
        Charged {
            made_at: now,
            at,
            source_at,
            source_standing: None,
        }
    }
}

#[async_trait]
impl Store for NaiveStore {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        let source_at = match self.charge(step.terms.source.as_ref(), now).await {
            Ok(source_at) => source_at,
            Err(refusal) => return Ok(StartOutcome::Refused(refusal)),
        };
        let mut ledger = self.ledger(step.recipient);
        let mut old = ledger
            .slot(&step.purpose)
            .and_then(|slot| self.row(slot.id));
        yield_now().await;
        match start(&mut ledger, old.as_mut(), &step, now) {
            Ok((row, at)) => {
                if let Some(old) = old {
                    self.0.lock().verifications.insert(old.id, old);
                }
                self.save(row, ledger);
                Ok(StartOutcome::Started(Self::charged(now, at, source_at)))
            }
            Err(refusal) => Ok(StartOutcome::Refused(refusal)),
        }
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        let Some(mut row) = self.row(step.id) else {
            return Ok(ResendOutcome::NotFound);
        };
        let mut ledger = self.ledger(row.recipient);
        yield_now().await;
        Ok(match resend(&mut ledger, Some(&mut row), &step, now) {
            Ok(at) => {
                self.save(row.clone(), ledger);
                ResendOutcome::Renewed(Self::charged(now, at, None), Box::new(row))
            }
            Err(outcome) => outcome,
        })
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        let id = match &step.target {
            CheckTarget::Id(id) => Some(*id),
            CheckTarget::Recipient(index, purpose) => {
                self.ledger(*index).slot(purpose).map(|slot| slot.id)
            }
        };
        let Some(mut row) = id.and_then(|id| self.row(id)) else {
            return Ok(CheckOutcome::NotFound);
        };
        let mut ledger = self.ledger(row.recipient);
        yield_now().await;
        let outcome = check(&mut ledger, Some(&mut row), &step, now);
        self.save(row, ledger);
        Ok(outcome)
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        _now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        Ok(self.row(id).filter(|row| row.app == *app))
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        match self.ledger(recipient).slot(purpose) {
            Some(slot) => self.get(app, slot.id, now).await,
            None => Ok(None),
        }
    }

    async fn cancel(
        &self,
        _app: &AppId,
        _id: VerificationId,
        _now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        Ok(CancelOutcome::NotFound)
    }

    async fn withdraw(&self, _step: Withdrawal, _now: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn fail(
        &self,
        _id: VerificationId,
        _sent_at: Timestamp,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let Some(mut row) = self.row(id) else {
            return Ok(None);
        };
        let ledger = self.ledger(row.recipient);
        yield_now().await;
        let (_, next) = step::note(&mut row, &note, now);
        self.save(row.clone(), ledger);
        Ok(next.map(|next| Turn {
            verification: Box::new(row),
            next,
        }))
    }
    async fn locate(
        &self,
        _name: MessageKey,
        _now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        Ok(None)
    }
    async fn overdue(
        &self,
        _most: usize,
        _now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        Ok(Vec::new())
    }
    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let Some(mut row) = self.row(id) else {
            return Ok(None);
        };
        let ledger = self.ledger(row.recipient);
        yield_now().await;
        let next = step::fall_back(&mut row, now);
        self.save(row.clone(), ledger);
        Ok(next.map(|next| Turn {
            verification: Box::new(row),
            next,
        }))
    }

    async fn unlock(&self, _index: RecipientIndex, _now: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn remembered(
        &self,
        _index: RecipientIndex,
        _now: Timestamp,
    ) -> Result<watchword_core::Remembered, StoreError> {
        Ok(watchword_core::Remembered::default())
    }

    async fn erase(&self, _index: RecipientIndex, _now: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn store() -> Arc<NaiveStore> {
    Arc::default()
}

/// The control of the controls: what it fails below is the crowd, not the rule.
#[tokio::test]
async fn one_after_the_other_it_keeps_the_rules() {
    checks::a_right_code_is_approved_once(store()).await;
    checks::a_code_is_good_for_its_own_place_only(store()).await;
    limits::recipients_and_sources_are_limited_apart(store()).await;
    limits::a_limit_ends_to_the_millisecond(store()).await;
    failures::ten_failures_an_hour_are_the_most(store()).await;
    sends::a_resend_kills_the_old_code_and_buys_new_attempts(store()).await;
}

#[tokio::test]
#[should_panic(expected = "approvals")]
async fn it_approves_a_crowd() {
    checks::parallel_right_codes_yield_one_approval(store()).await;
}

#[tokio::test]
#[should_panic(expected = "compared guesses")]
async fn it_compares_a_crowd_of_guesses() {
    checks::parallel_wrong_codes_get_no_more_comparisons_than_attempts(store()).await;
}

#[tokio::test]
#[should_panic(expected = "compared guesses")]
async fn it_loses_failures_of_a_crowd() {
    failures::parallel_failures_share_one_budget(store()).await;
}

#[tokio::test]
#[should_panic(expected = "admitted starts")]
async fn it_sends_to_one_recipient_for_a_crowd() {
    limits::parallel_starts_of_one_recipient_get_exactly_its_limit(store()).await;
}

#[tokio::test]
#[should_panic(expected = "admitted starts")]
async fn it_sends_for_a_crowd_from_one_source() {
    limits::parallel_starts_of_one_source_get_exactly_its_limit(store()).await;
}

#[tokio::test]
#[should_panic(expected = "Superseded")]
async fn it_leaves_a_crowd_of_codes_alive() {
    sends::parallel_starts_of_one_purpose_leave_one_live(store()).await;
}

#[tokio::test]
#[should_panic(expected = "turns were given")]
async fn it_gives_a_turn_to_a_crowd_that_hears_of_a_failure() {
    fallbacks::parallel_failures_give_one_turn(store()).await;
}

#[tokio::test]
#[should_panic(expected = "turns were given")]
async fn it_gives_a_turn_to_a_crowd_that_looks_after_what_is_due() {
    fallbacks::parallel_takers_of_a_due_fallback_get_one_turn(store()).await;
}

#[tokio::test]
#[should_panic]
async fn it_mixes_up_a_check_and_a_resend() {
    sends::a_check_during_a_resend_meets_one_code_and_is_counted(store()).await;
}
