//! The steps of the store, each a call of a script.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use watchword_core::{
    AppId, CancelOutcome, Charged, CheckOutcome, CheckStep, CheckTarget, Clock, CodeDigest,
    DeliveryId, Locked, MessageKey, Note, Purpose, RecipientIndex, Refusal, ResendOutcome,
    ResendStep, SendTerms, SourceIndex, Standing, StartOutcome, StartStep, Store, StoreError,
    Timestamp, Turn, Verification, VerificationId, WhenPending, Withdrawal,
};

use super::call::{Call, Names, Time};
use super::places::{Place, Places};
use super::reply::{Parts, integer, status, verification};
use super::script;
use super::servers::{Servers, Unreadable};

/// Keeps verifications, counters and idempotency keys in Redis or Valkey.
///
/// A step is a script, and so atomic; what it touches is in one slot. The source is charged in a
/// step of its own, first, and given back when the recipient's part is refused: in the moment
/// between, another send of the same source may be refused that would have been admitted.
pub struct RedisStore {
    pub(super) servers: Arc<Servers>,
    pub(super) names: Names,
    pub(super) time: Time,
    pub(super) clock: Arc<dyn Clock>,
    places: Places,
}

/// What a source paid.
#[derive(Clone, Copy, Default)]
struct Paid {
    at: Option<Timestamp>,
    standing: Option<Standing>,
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
            names,
            time,
            clock,
            places: Places::default(),
        }
    }

    pub(super) fn call(
        &self,
        script: &'static script::Script,
        key: Vec<u8>,
        now: Timestamp,
    ) -> Call {
        Call::new(script, key).at(self.time, now)
    }

    pub(super) fn of_verification(
        &self,
        script: &'static script::Script,
        id: VerificationId,
        now: Timestamp,
    ) -> Call {
        self.call(script, self.names.verification(id), now)
    }

    /// Charges the source, where somebody counts it. A refusal costs nothing.
    async fn charge(
        &self,
        terms: &SendTerms,
        now: Timestamp,
    ) -> Result<Result<Paid, Refusal>, StoreError> {
        let Some(charge) = &terms.source else {
            return Ok(Ok(Paid::default()));
        };
        let key = self.names.source(charge.index);
        let call = self.call(&script::CHARGE, key, now);
        let call = call.quotas(&charge.quotas).span(terms.horizon());
        let answer = self.servers.call(&call).await?;
        let mut parts = Parts::of(answer).ok_or_else(Unreadable::error)?;
        let mut read = || {
            let verdict = parts.text()?;
            if verdict != "charged" {
                return refusal(&verdict, &mut parts).map(Err);
            }
            let (_, at) = (parts.moment()?, parts.moment()?);
            let standing = match parts.maybe(integer)? {
                None => None,
                Some(place) => Some(Standing {
                    quota: *charge.quotas.get(usize::try_from(place - 1).ok()?)?,
                    remaining: u32::try_from(parts.number()?).ok()?,
                    until_more: Duration::from_millis(parts.number()?),
                }),
            };
            Some(Ok(Paid {
                at: Some(at),
                standing,
            }))
        };
        read().ok_or_else(Unreadable::error)
    }

    /// Gives a charge of a source back.
    async fn give_back(&self, source: SourceIndex, at: Timestamp) -> Result<(), StoreError> {
        let key = self.names.source(source);
        let mut command = redis::cmd("LREM");
        command.arg(&key).arg(-1).arg(at.as_millis());
        self.servers.run(&key, &command).await.map(drop)
    }

    /// The recipient's part came to nothing that the source should pay for.
    async fn refund(&self, terms: &SendTerms, paid: Paid) {
        if let (Some(charge), Some(at)) = (&terms.source, paid.at)
            && let Err(error) = self.give_back(charge.index, at).await
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
        let (key, hash) = step.digest.parts();
        let call = self
            .call(&script::START, self.names.recipient(step.recipient), now)
            .key(self.names.verification(step.id))
            .text(step.app.as_str())
            .text(step.recipient.as_bytes())
            .text(step.purpose.as_str())
            .text(step.channel.as_str())
            .text(key.to_bytes())
            .text(hash)
            .number(step.max_attempts)
            .span(step.ttl)
            .text(step.details.as_bytes())
            .text(match step.when_pending {
                WhenPending::Replace => "replace",
                WhenPending::Refuse => "refuse",
            })
            .terms(&step.terms, step.ttl);
        let answer = self.servers.call(&call).await?;
        let mut parts = Parts::of(answer).ok_or_else(Unreadable::error)?;
        let verdict = parts.text().unwrap_or_default();
        if verdict == "started" {
            self.places.remember(Place::from(&step));
            let charged = charged(&mut parts, paid).ok_or_else(Unreadable::error)?;
            return Ok(StartOutcome::Started(charged));
        }
        let refused = refusal(&verdict, &mut parts).ok_or_else(Unreadable::error)?;
        self.refund(&step.terms, paid).await;
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
        let (key, hash) = step.digest.parts();
        let call = self
            .of_verification(&script::RESEND, step.id, now)
            .text(step.app.as_str())
            .text(step.channel.as_str())
            .text(key.to_bytes())
            .text(hash)
            .number(step.max_attempts)
            .span(step.ttl)
            .text(step.details.as_bytes())
            .terms(&step.terms, step.ttl);
        let answer = self.servers.call(&call).await?;
        let mut parts = Parts::of(answer).ok_or_else(Unreadable::error)?;
        let outcome = match parts.text().unwrap_or_default().as_str() {
            "renewed" => {
                let read = charged(&mut parts, paid).zip(parts.value().and_then(verification));
                let (charged, row) = read.ok_or_else(Unreadable::error)?;
                self.places.remember(Place::from(&row));
                return Ok(ResendOutcome::Renewed(charged, Box::new(row)));
            }
            "gone" => ResendOutcome::NotFound,
            "exhausted" => ResendOutcome::Exhausted,
            verdict => {
                let refused = refusal(verdict, &mut parts).ok_or_else(Unreadable::error)?;
                ResendOutcome::Refused(refused)
            }
        };
        self.refund(&step.terms, paid).await;
        Ok(outcome)
    }

    async fn row(&self, call: Call) -> Result<Option<Verification>, StoreError> {
        match self.servers.call(&call).await? {
            Value::Nil => Ok(None),
            row => Ok(Some(verification(row).ok_or_else(Unreadable::error)?)),
        }
    }
}

/// A refusal of a send, or of a check.
fn refusal(verdict: &str, parts: &mut Parts) -> Option<Refusal> {
    if verdict == "live" {
        return Some(Refusal::Live);
    }
    let wait = parts.maybe(|wait| u64::try_from(integer(wait)?).ok())?;
    let wait = wait.map(Duration::from_millis);
    Some(match verdict {
        "locked" => Refusal::Locked(Locked { retry_after: wait }),
        "source-limit" => Refusal::SourceLimit { retry_after: wait? },
        "recipient-limit" => Refusal::RecipientLimit { retry_after: wait? },
        "cooldown" => Refusal::Cooldown { retry_after: wait? },
        _ => return None,
    })
}

fn charged(parts: &mut Parts, paid: Paid) -> Option<Charged> {
    Some(Charged {
        made_at: parts.moment()?,
        at: parts.moment()?,
        source_at: paid.at,
        source_standing: paid.standing,
    })
}

fn checked(answer: Value) -> Option<CheckOutcome> {
    let mut parts = Parts::of(answer)?;
    Some(match parts.text()?.as_str() {
        "approved" => CheckOutcome::Approved(Box::new(verification(parts.value()?)?)),
        "incorrect" => CheckOutcome::Incorrect {
            attempts_left: u32::try_from(parts.number()?).ok()?,
        },
        "exhausted" => CheckOutcome::Exhausted,
        "gone" => CheckOutcome::NotFound,
        verdict => match refusal(verdict, &mut parts)? {
            Refusal::Locked(locked) => CheckOutcome::Locked(locked),
            _ => return None,
        },
    })
}

fn canceled(answer: Value) -> Option<CancelOutcome> {
    let mut parts = Parts::of(answer)?;
    Some(match parts.text()?.as_str() {
        "canceled" => CancelOutcome::Canceled(Box::new(verification(parts.value()?)?)),
        "ended" => CancelOutcome::Ended(status(&parts.text()?)?),
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
        let (key, purpose, place) = match &step.target {
            CheckTarget::Id(id) => (self.names.verification(*id), None, self.places.of(*id)),
            CheckTarget::Recipient(recipient, purpose) => {
                let place = self.places.newest(*recipient, purpose);
                (
                    self.names.recipient(*recipient),
                    Some(purpose.as_str()),
                    place,
                )
            }
        };
        let call = self
            .call(&script::CHECK, key, now)
            .text(step.app.as_str())
            .maybe_text(purpose)
            .budget(Some(step.failures.unwrap_or_default()))
            .maybe_text(place.as_ref().map(Place::bytes))
            .number(u64::try_from(step.candidates.len()).unwrap_or(u64::MAX));
        let call = step.candidates.iter().fold(call, |call, candidate| {
            let joined = place
                .as_ref()
                .map(|place| CodeDigest::bind(candidate, place.context()));
            let joined = joined.as_ref().map_or(&[][..], |digest| digest.parts().1);
            call.text(candidate.key.to_bytes())
                .text(candidate.mac())
                .text(joined)
        });
        let answer = self.servers.call(&call).await?;
        checked(answer).ok_or_else(Unreadable::error)
    }

    async fn get(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        let call = self.of_verification(&script::READ, id, now);
        self.row(call.text(app.as_str()).maybe_text(None::<&str>))
            .await
    }

    async fn newest(
        &self,
        app: &AppId,
        recipient: RecipientIndex,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<Option<Verification>, StoreError> {
        let call = self.call(&script::READ, self.names.recipient(recipient), now);
        let call = call.text(app.as_str()).maybe_text(Some(purpose.as_str()));
        self.row(call).await
    }

    async fn cancel(
        &self,
        app: &AppId,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let call = self.of_verification(&script::CANCEL, id, now);
        let answer = self.servers.call(&call.text(app.as_str())).await?;
        canceled(answer).ok_or_else(Unreadable::error)
    }

    async fn withdraw(&self, step: Withdrawal, now: Timestamp) -> Result<(), StoreError> {
        self.servers
            .in_time(async {
                if let (Some(source), Some(at)) = (step.source, step.charged.source_at) {
                    self.give_back(source, at).await?;
                }
                let call = self
                    .of_verification(&script::WITHDRAW, step.id, now)
                    .moment(step.charged.at)
                    .text(if step.ends { "ends" } else { "goes on" });
                self.servers.call(&call).await.map(drop)
            })
            .await
    }

    async fn fail(&self, id: VerificationId, now: Timestamp) -> Result<(), StoreError> {
        let call = self.of_verification(&script::FAIL, id, now);
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
        let call = self.call(&script::UNLOCK, self.names.recipient(recipient), now);
        let answer = self.servers.call(&call).await?;
        let held = integer(&answer).ok_or_else(Unreadable::error)?;
        Ok(held == 1)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.servers.ready().await
    }
}
