//! Starts, resends, and what gives them back.

use std::sync::Arc;

use watchword_core::memory::{Elsewhere, Journal};
use watchword_core::{
    Refusal, ResendOutcome, ResendStep, SendTerms, SourceCharge, StartOutcome, StartStep, Store,
    StoreError, Timestamp, Verification, WhenPending, Withdrawal,
};

use super::Shared;
use super::carry::blank;

impl<J: Journal> Shared<J> {
    /// A start in the primary's stead; the step back, if the primary is there.
    pub(super) async fn start_here(
        &self,
        step: StartStep,
        now: Timestamp,
    ) -> Result<Result<StartOutcome, StoreError>, StartStep> {
        if !self.is_away() {
            return Err(step);
        }
        let _standing_in = self.gate.read().await;
        if !self.is_away() {
            return Err(step);
        }
        Ok(self.local.start(step, self.local_moment(now)).await)
    }

    /// A start at the primary, counted here too.
    pub(super) async fn start_there(
        self: Arc<Self>,
        step: StartStep,
        now: Timestamp,
    ) -> Result<StartOutcome, StoreError> {
        if step.when_pending == WhenPending::Refuse
            && step.terms.failures.is_some()
            && let Some(id) = self.local.newest_known(step.recipient, &step.purpose)
            && self.local.held(id).is_some_and(|held| held.is_live(now))
        {
            return Ok(StartOutcome::Refused(Refusal::Live));
        }
        let outcome = self.primary.start(step.clone(), now).await;
        let outcome = self.watched(outcome).await;
        if let Err(error @ StoreError::NotReached(_)) = outcome {
            // The primary has not heard of it, so it can be done here.
            let here = self.start_here(step, now).await;
            return here.unwrap_or(Err(error));
        }
        if let Ok(StartOutcome::Started(_)) = outcome {
            self.mirror_send(Elsewhere::from(&step), now).await;
        }
        outcome
    }

    /// A resend of what is kept here, if the primary is away.
    async fn resend_alone(
        &self,
        step: &ResendStep,
        now: Timestamp,
    ) -> Option<Result<ResendOutcome, StoreError>> {
        if !self.is_away() {
            return None;
        }
        let _standing_in = self.gate.read().await;
        if !self.is_away() {
            return None;
        }
        let now = self.local_moment(now);
        Some(self.local.resend(step.clone(), now).await)
    }

    /// A resend of what is kept here. While the primary is there, its limits are charged first.
    pub(super) async fn resend_here(
        &self,
        mut step: ResendStep,
        now: Timestamp,
    ) -> Result<ResendOutcome, StoreError> {
        if let Some(outcome) = self.resend_alone(&step, now).await {
            return outcome;
        }
        let held = self.local.held(step.id);
        let Some(held) = held.filter(|held| held.app == step.app && held.is_live(now)) else {
            return self.local.resend(step, now).await;
        };
        let mut terms = step.terms.clone();
        terms.failures = held.addressed.then(|| terms.failures.unwrap_or_default());
        let counted = blank(held.recipient, held.purpose.clone(), terms);
        let mut undone = Withdrawal {
            id: counted.id,
            charged: watchword_core::Charged {
                made_at: now,
                at: now,
                source_at: None,
                source_standing: None,
            },
            source: step.terms.source.as_ref().map(|source| source.index),
            ends: true,
        };
        let outcome = self.primary.start(counted, now).await;
        match self.watched(outcome).await {
            Ok(StartOutcome::Refused(refusal)) => return Ok(ResendOutcome::Refused(refusal)),
            Ok(StartOutcome::Started(charged)) => undone.charged = charged,
            Err(error @ StoreError::NotReached(_)) => {
                let alone = self.resend_alone(&step, now).await;
                return alone.unwrap_or(Err(error));
            }
            Err(error) => return Err(error),
        }
        step.terms = self.without_limits(&step.terms, &held);
        let outcome = self.local.resend(step, now).await;
        if matches!(outcome, Ok(ResendOutcome::Renewed(..))) {
            // Or it would be taken for the newer code. It dies by itself in a second.
            let failed = self.primary.fail(undone.id, undone.charged.made_at, now);
            let _ = failed.await;
        } else {
            self.primary.withdraw(undone, now).await?;
        }
        outcome
    }

    fn without_limits(&self, terms: &SendTerms, held: &Verification) -> SendTerms {
        let free = self.free_terms();
        SendTerms {
            source: terms.source.as_ref().map(|source| SourceCharge {
                index: source.index,
                quotas: Vec::new(),
            }),
            failures: held.addressed.then_some(free.failures).flatten(),
            horizon: terms.horizon().max(free.horizon),
            ..free
        }
    }

    /// A resend at the primary, counted here too.
    pub(super) async fn resend_there(
        self: Arc<Self>,
        step: ResendStep,
        now: Timestamp,
    ) -> Result<ResendOutcome, StoreError> {
        let outcome = self.primary.resend(step.clone(), now).await;
        let outcome = self.watched(outcome).await?;
        if let ResendOutcome::Renewed(_, renewed) = &outcome {
            let mut terms = step.terms;
            terms.failures = renewed
                .addressed
                .then(|| terms.failures.unwrap_or_default());
            let send = Elsewhere {
                id: renewed.id,
                recipient: renewed.recipient,
                purpose: &renewed.purpose,
                ttl: step.ttl,
                terms: &terms,
            };
            self.mirror_send(send, now).await;
        }
        Ok(outcome)
    }

    /// Gives back a send of the primary, there and here.
    pub(super) async fn withdraw_there(
        self: Arc<Self>,
        step: Withdrawal,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (id, source) = (step.id, step.source);
        let withdrawn = self.primary.withdraw(step, now).await;
        self.watched(withdrawn).await?;
        self.local.mirror_withdrawal(id, source);
        Ok(())
    }
}
