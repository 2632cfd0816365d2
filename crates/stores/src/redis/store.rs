//! The steps of the store, each a call of a script.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use watchword_core::{
    AppId, CancelOutcome, Charged, CheckOutcome, CheckStep, Clock, DeliveryId, Locked, MessageKey,
    Note, Purpose, RecipientIndex, Refusal, Remembered, ResendOutcome, ResendStep, SendTerms,
    SourceCharge, SourceIndex, Standing, StartOutcome, StartStep, Store, StoreError, Timestamp,
    Turn, Verification, VerificationId, Withdrawal,
};

use super::bound::Bound;
use super::call::{Call, Names, Time};
use super::calls::Calls;
use super::place::{first_four, prefix_of, target_prefix};
use super::row::{Told, app_name, sized_purpose};
use super::script;
use super::servers::{Servers, Unreadable};

/// Keeps verifications, counters and idempotency keys in Redis or Valkey.
///
/// A step is a script, and so atomic; what it touches is in one slot. Where one server keeps
/// everything, a send charges its source in the same step. In a cluster that is in another slot:
/// there it is charged in a step of its own, first, and given back when the recipient's part is
/// refused. In the moment between, another send of the same source may be refused that would have
/// been admitted.
pub struct RedisStore {
    pub(super) servers: Arc<Servers>,
    pub(super) calls: Calls,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a source paid.
#[derive(Clone, Copy, Default)]
struct Paid {
    at: Option<Timestamp>,
    standing: Option<Standing>,
}

impl Paid {
    fn read(told: &mut Told<'_>, charge: &SourceCharge) -> Option<Self> {
        let at = told.moment()?;
        let (place, remaining, until_more) = (told.byte()?, told.four()?, told.millis()?);
        let standing = match place.checked_sub(1) {
            None => None,
            Some(place) => Some(Standing {
                quota: *charge.quotas.get(usize::from(place))?,
                remaining,
                until_more: Duration::from_millis(until_more),
            }),
        };
        Some(Self {
            at: Some(at),
            standing,
        })
    }
}

impl RedisStore {
    pub(super) fn new(
        servers: Arc<Servers>,
        names: Names,
        time: Time,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            servers,
            calls: Calls { names, time },
            clock,
        }
    }

    /// The source that pays in the step of the recipient.
    fn payer<'a>(&self, terms: &'a SendTerms) -> Option<&'a SourceCharge> {
        let together = self.servers.topology.is_one_server();
        terms.source.as_ref().filter(|_| together)
    }

    /// Charges the source in a step of its own, where somebody counts it and it does not pay in the
    /// step of the recipient. A refusal costs nothing.
    async fn charge(
        &self,
        terms: &SendTerms,
        now: Timestamp,
    ) -> Result<Result<Paid, Refusal>, StoreError> {
        let (None, Some(charge)) = (self.payer(terms), &terms.source) else {
            return Ok(Ok(Paid::default()));
        };
        let call = self.calls.charge(charge, terms, now);
        let answer = self.servers.call(&call).await?;
        let read = || {
            let mut told = Told::of(&answer)?;
            match told.verdict {
                "charged" => Paid::read(&mut told, charge).map(Ok),
                _ => refusal(told).map(Err),
            }
        };
        read().ok_or_else(Unreadable::error)
    }

    /// Gives a charge of a source back.
    async fn give_back(
        &self,
        source: SourceIndex,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = self.calls.names.source(source);
        let call = self.calls.packed(&script::GIVE_BACK, key, now);
        self.servers.call(&call.six(at.as_millis())).await.map(drop)
    }

    /// The recipient's part of a send, whose source may have paid already.
    async fn after(&self, paid: Paid, call: &Call) -> Result<Value, StoreError> {
        let answer = self.servers.call(call).await;
        match paid.at {
            Some(_) => answer.map_err(StoreError::after_a_part),
            None => answer,
        }
    }

    /// The recipient's part came to nothing that the source should pay for.
    async fn refund(&self, terms: &SendTerms, paid: Paid, now: Timestamp) {
        if let (Some(charge), Some(at)) = (&terms.source, paid.at)
            && let Err(error) = self.give_back(charge.index, at, now).await
        {
            tracing::warn!(%error, "a source stays charged for a send that was refused");
        }
    }

    async fn start_paid(
        &self,
        step: StartStep,
        now: Timestamp,
    ) -> Result<StartOutcome, StoreError> {
        let paid = match self.charge(&step.terms, now).await? {
            Ok(paid) => paid,
            Err(refused) => return Ok(StartOutcome::Refused(refused)),
        };
        let payer = self.payer(&step.terms);
        let call = self.calls.start(&step, payer, now);
        let answer = self.after(paid, &call).await?;
        let mut told = Told::of(&answer).ok_or_else(Unreadable::error)?;
        if told.verdict == "started" {
            let charged = charged(&mut told, paid, payer).ok_or_else(Unreadable::error)?;
            return Ok(StartOutcome::Started(charged));
        }
        let refused = refusal(told).ok_or_else(Unreadable::error)?;
        self.refund(&step.terms, paid, now).await;
        Ok(StartOutcome::Refused(refused))
    }

    async fn resend_paid(
        &self,
        step: ResendStep,
        now: Timestamp,
    ) -> Result<ResendOutcome, StoreError> {
        let paid = match self.charge(&step.terms, now).await? {
            Ok(paid) => paid,
            Err(refused) => return Ok(ResendOutcome::Refused(refused)),
        };
        let payer = self.payer(&step.terms);
        let call = self.calls.resend(&step, payer, now);
        let answer = self.after(paid, &call).await?;
        let mut told = Told::of(&answer).ok_or_else(Unreadable::error)?;
        let outcome = match told.verdict {
            "renewed" => {
                let charged = charged(&mut told, paid, payer);
                let read = charged.zip(told.verification(prefix_of(step.id)));
                let (charged, row) = read.ok_or_else(Unreadable::error)?;
                return Ok(ResendOutcome::Renewed(charged, Box::new(row)));
            }
            "gone" => ResendOutcome::NotFound,
            "exhausted" => ResendOutcome::Exhausted,
            _ => ResendOutcome::Refused(refusal(told).ok_or_else(Unreadable::error)?),
        };
        self.refund(&step.terms, paid, now).await;
        Ok(outcome)
    }

    /// Asks once, and once more for a row that was copied from another store: see [`Bound`].
    async fn check_row(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        let prefix = target_prefix(&step.target);
        let mut bound = None;
        for _ in 0..2 {
            let call = self.calls.check(&step, bound.as_ref(), now);
            let answer = self.servers.call(&call).await?;
            let told = Told::of(&answer).ok_or_else(Unreadable::error)?;
            if told.verdict != "place" {
                let outcome = checked(told, prefix).ok_or_else(Unreadable::error)?;
                return match &outcome {
                    CheckOutcome::Approved(row)
                        if !row.digest.matches(&step.candidates, row.context()) =>
                    {
                        Err(StoreError::unavailable(ForeignDigest))
                    }
                    _ => Ok(outcome),
                };
            }
            bound = Some(Bound::of(told, prefix).ok_or_else(Unreadable::error)?);
        }
        Err(Unreadable::error())
    }

    async fn row(&self, call: Call, place: [u8; 4]) -> Result<Option<Verification>, StoreError> {
        let answer = self.servers.call(&call).await?;
        let told = Told::of(&answer).ok_or_else(Unreadable::error)?;
        if told.verdict == "gone" {
            return Ok(None);
        }
        let row = told.verification(place).ok_or_else(Unreadable::error)?;
        Ok(Some(row))
    }
}

/// The short digest matched and the digest does not. No step writes such a row.
#[derive(Debug, thiserror::Error)]
#[error("a code was right for a digest that is not of its verification: somebody else wrote it")]
struct ForeignDigest;

/// A refusal of a send, or of a check.
fn refusal(mut told: Told<'_>) -> Option<Refusal> {
    let verdict = told.verdict;
    if verdict == "live" {
        return Some(Refusal::Live);
    }
    let mut wait = || told.millis().map(Duration::from_millis);
    Some(match verdict {
        "locked" => Refusal::Locked(Locked {
            retry_after: wait(),
        }),
        "source-limit" => Refusal::SourceLimit {
            retry_after: wait()?,
        },
        "recipient-limit" => Refusal::RecipientLimit {
            retry_after: wait()?,
        },
        "cooldown" => Refusal::Cooldown {
            retry_after: wait()?,
        },
        _ => return None,
    })
}

fn charged(told: &mut Told<'_>, paid: Paid, payer: Option<&SourceCharge>) -> Option<Charged> {
    let (made_at, at) = (told.moment()?, told.moment()?);
    let paid = match payer {
        Some(charge) => Paid::read(told, charge)?,
        None => paid,
    };
    Some(Charged {
        made_at,
        at,
        source_at: paid.at,
        source_standing: paid.standing,
    })
}

fn checked(mut told: Told<'_>, place: [u8; 4]) -> Option<CheckOutcome> {
    Some(match told.verdict {
        "approved" => CheckOutcome::Approved(Box::new(told.verification(place)?)),
        "incorrect" => CheckOutcome::Incorrect {
            attempts_left: told.four()?,
            locks: told.byte()? == 1,
        },
        "exhausted" => CheckOutcome::Exhausted,
        "gone" => CheckOutcome::NotFound,
        _ => match refusal(told)? {
            Refusal::Locked(locked) => CheckOutcome::Locked(locked),
            _ => return None,
        },
    })
}

fn canceled(mut told: Told<'_>, place: [u8; 4]) -> Option<CancelOutcome> {
    Some(match told.verdict {
        "canceled" => CancelOutcome::Canceled(Box::new(told.verification(place)?)),
        "ended" => CancelOutcome::Ended(told.status()?),
        "gone" => CancelOutcome::NotFound,
        _ => return None,
    })
}

#[async_trait]
impl Store for RedisStore {
    async fn start(&self, step: StartStep, now: Timestamp) -> Result<StartOutcome, StoreError> {
        self.servers.in_time(self.start_paid(step, now)).await
    }

    async fn resend(&self, step: ResendStep, now: Timestamp) -> Result<ResendOutcome, StoreError> {
        self.servers.in_time(self.resend_paid(step, now)).await
    }

    async fn check(&self, step: CheckStep, now: Timestamp) -> Result<CheckOutcome, StoreError> {
        self.servers.in_time(self.check_row(step, now)).await
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        let call = self.calls.of_verification(&script::READ, id, now);
        let call = call.text("").text("").text(app_name(app));
        self.row(call, prefix_of(id)).await
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        let call = self
            .calls
            .of_recipient(&script::READ_NEWEST, recipient, now);
        let call = call
            .text(sized_purpose(purpose))
            .text("")
            .text(app_name(app));
        self.row(call, first_four(recipient.as_bytes())).await
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let call = self.calls.of_verification(&script::CANCEL, id, now);
        let call = call.text("").text("").text(app_name(app));
        let answer = self.servers.call(&call).await?;
        let canceled = Told::of(&answer).and_then(|told| canceled(told, prefix_of(id)));
        canceled.ok_or_else(Unreadable::error)
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        self.servers
            .in_time(async {
                if let (Some(source), Some(at)) = (step.source, step.charged.source_at) {
                    self.give_back(source, at, now).await?;
                }
                let call = self
                    .calls
                    .of_verification(&script::WITHDRAW, step.id, now)
                    .six(step.charged.at.as_millis())
                    .six(step.charged.made_at.as_millis())
                    .byte(step.ends.into());
                self.servers.call(&call).await.map(drop)
            })
            .await
    }

    async fn fail(
        &self,
        id: VerificationId,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let call = self.calls.of_verification(&script::FAIL, id, now);
        let call = call.six(sent_at.as_millis());
        self.servers.call(&call).await.map(drop)
    }

    async fn note(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.servers
            .in_time(self.note_hand_overs(id, note, now))
            .await
    }

    async fn locate(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        self.locate_message(name, now).await
    }

    async fn overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        self.servers.in_time(self.find_overdue(most, now)).await
    }

    async fn fall_back(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        self.servers.in_time(self.take_turn(id, now)).await
    }

    async fn unlock(&self, recipient: RecipientIndex, now: Timestamp) -> Result<bool, StoreError> {
        let call = self
            .calls
            .packed(&script::UNLOCK, self.calls.names.failures(recipient), now);
        let answer = self.servers.call(&call).await?;
        let told = Told::of(&answer).ok_or_else(Unreadable::error)?;
        Ok(told.verdict == "held")
    }

    async fn remembered(
        &self,
        of: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError> {
        self.servers.in_time(self.remembered_of(of, now)).await
    }

    async fn erase(&self, of: RecipientIndex, now: Timestamp) -> Result<u64, StoreError> {
        self.servers.in_time(self.erase_all_of(of, now)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.servers.ready().await
    }
}
