//! The steps of the memory store that send, and what they charge.

use std::sync::atomic::Ordering;

use super::journal::Journal;
use super::record::Change;
use super::store::MemoryStore;
use crate::clock::Timestamp;
use crate::digest::SourceIndex;
use crate::step::{
    self, Charged, Refusal, ResendOutcome, ResendStep, SendTerms, StartOutcome, StartStep,
};
use crate::store::StoreError;

/// What the recipient's part of a send came to.
struct Admitted<T> {
    /// When the send counts from.
    at: Timestamp,
    /// Where its record is.
    position: u64,
    value: T,
}

impl<J: Journal> MemoryStore<J> {
    /// Lets `send` do the recipient's part of a send, and charges the source if that went well.
    ///
    /// The source is asked first and held until the end: a refusal of the recipient was never a
    /// charge of the source, not even for a moment.
    fn charge<T, R>(
        &self,
        terms: &SendTerms,
        now: Timestamp,
        refused: impl FnOnce(Refusal) -> R,
        send: impl FnOnce() -> Result<Admitted<T>, R>,
    ) -> Result<(Charged, Admitted<T>), R> {
        self.look_back(terms);
        let Some(charge) = &terms.source else {
            let admitted = send()?;
            let charged = Charged {
                made_at: now,
                at: admitted.at,
                source_at: None,
                source_standing: None,
            };
            return Ok((charged, admitted));
        };
        self.source(charge.index).change(charge.index, |log| {
            if let Some(retry_after) = log.wait(&charge.quotas, now) {
                return Err(refused(Refusal::SourceLimit { retry_after }));
            }
            let mut admitted = send()?;
            log.forget(terms.horizon(), now);
            let source_at = log.record(now);
            let position = self.append(|out| Change::put_source(out, charge.index, log));
            admitted.position = admitted.position.max(position);
            let charged = Charged {
                made_at: now,
                at: admitted.at,
                source_at: Some(source_at),
                source_standing: log.standing(&charge.quotas, now),
            };
            Ok((charged, admitted))
        })
    }

    /// Gives a charge of a source back.
    pub(super) fn give_back(&self, index: SourceIndex, at: Timestamp) {
        self.source(index).change(index, |log| {
            if log.take_back(at) {
                self.append(|out| Change::put_source(out, index, log));
            }
        });
    }

    /// Starts a verification, if there is room for one.
    pub(super) fn start_now(
        &self,
        step: &StartStep,
        now: Timestamp,
    ) -> Result<(StartOutcome, u64), StoreError> {
        // The place is taken before it is filled, so that the maximum holds exactly.
        if self.live.fetch_add(1, Ordering::Relaxed) >= self.max_live {
            self.live.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::Full { max: self.max_live });
        }
        let started = self.charge(
            &step.terms,
            now,
            |refusal| refusal,
            || {
                let mut shard = self.shard(step.id.tag());
                let mut ledger = shard.ledger(step.recipient).unwrap_or_default();
                let before = ledger.slot(&step.purpose).map(|slot| slot.id);
                let mut pending = before.and_then(|id| shard.verification(id));
                let started = step::start(&mut ledger, pending.as_mut(), step, now);
                let (started, at) = started.inspect_err(|_| {
                    shard.put_ledger(step.recipient, &ledger);
                })?;
                if let Some(superseded) = &pending {
                    shard.put(superseded);
                }
                let position = self.append(|out| {
                    pending.iter().for_each(|old| Change::put(out, old));
                    Change::put(out, &started);
                    if step.terms.failures.is_some() {
                        Change::put_ledger(out, step.recipient, &ledger);
                    }
                });
                let value = shard.put_with(&started, Some(&ledger));
                Ok(Admitted {
                    at,
                    position,
                    value,
                })
            },
        );
        if !started.as_ref().is_ok_and(|(_, admitted)| admitted.value) {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(match started {
            Ok((charged, admitted)) => (StartOutcome::Started(charged), admitted.position),
            Err(refusal) => (StartOutcome::Refused(refusal), self.journal.position()),
        })
    }

    /// Puts a fresh code in place of the old one.
    pub(super) fn resend_now(&self, step: &ResendStep, now: Timestamp) -> (ResendOutcome, u64) {
        let renewed = self.charge(&step.terms, now, ResendOutcome::Refused, || {
            let mut shard = self.shard(step.id.tag());
            let Some(mut verification) = shard.verification(step.id) else {
                return Err(ResendOutcome::NotFound);
            };
            let recipient = verification.recipient;
            let mut ledger = shard.ledger(recipient).unwrap_or_default();
            let renewed = step::resend(&mut ledger, Some(&mut verification), step, now);
            let at = renewed.inspect_err(|_| shard.put_ledger(recipient, &ledger))?;
            shard.put_with(&verification, Some(&ledger));
            let position = self.append(|out| {
                Change::put(out, &verification);
                if verification.addressed {
                    Change::put_ledger(out, recipient, &ledger);
                }
            });
            Ok(Admitted {
                at,
                position,
                value: Box::new(verification),
            })
        });
        match renewed {
            Ok((charged, admitted)) => {
                let outcome = ResendOutcome::Renewed(charged, admitted.value);
                (outcome, admitted.position)
            }
            Err(outcome) => (outcome, self.journal.position()),
        }
    }
}
