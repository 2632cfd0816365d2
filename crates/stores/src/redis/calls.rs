//! The calls of the steps.

use watchword_core::{
    CheckStep, CheckTarget, CodeDigest, Note, RecipientIndex, ResendStep, SendTerms, SourceCharge,
    StartStep, Timestamp, VerificationId, WhenPending,
};

use super::call::{Call, Names, Time};
use super::places::Place;
use super::row::{body, code, deliveries, sized_purpose};
use super::script::{self, Script};

/// Makes calls: for one namespace, and under one clock.
pub(super) struct Calls {
    pub(super) names: Names,
    pub(super) time: Time,
}

impl Calls {
    pub(super) fn call(&self, script: &'static Script, key: Vec<u8>, now: Timestamp) -> Call {
        Call::new(script, key).at(self.time, now)
    }

    pub(super) fn packed(&self, script: &'static Script, key: Vec<u8>, now: Timestamp) -> Call {
        Call::packed(script, key, self.time, now)
    }

    pub(super) fn of_verification(
        &self,
        script: &'static Script,
        id: VerificationId,
        now: Timestamp,
    ) -> Call {
        let call = self.packed(script, self.names.place(id), now);
        call.rest_of(id.as_bytes())
    }

    pub(super) fn of_recipient(
        &self,
        script: &'static Script,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Call {
        let call = self.packed(script, self.names.place_of(recipient), now);
        call.rest_of(recipient.as_bytes())
    }

    pub(super) fn charge(&self, charge: &SourceCharge, terms: &SendTerms, now: Timestamp) -> Call {
        let call = self.packed(&script::CHARGE, self.names.source(charge.index), now);
        call.charge(terms.horizon(), &charge.quotas)
    }

    pub(super) fn start(&self, step: &StartStep, now: Timestamp) -> Call {
        let terms = &step.terms;
        let sent = code(step.channel, &step.digest, &step.details);
        self.of_recipient(&script::START, step.recipient, now)
            .key(self.names.failures(step.recipient))
            .rest_of(step.id.as_bytes())
            .byte(terms.failures.is_some().into())
            .byte((step.when_pending == WhenPending::Refuse).into())
            .barred(&terms.recipient, terms.failures)
            .terms(step.max_attempts, terms, step.ttl)
            .text(body(&step.purpose, &step.app, &sent))
    }

    pub(super) fn resend(&self, step: &ResendStep, now: Timestamp) -> Call {
        let terms = &step.terms;
        self.of_verification(&script::RESEND, step.id, now)
            .barred(&terms.recipient, terms.failures)
            .terms(step.max_attempts, terms, step.ttl)
            .text(code(step.channel, &step.digest, &step.details))
            .text("")
            .text(step.app.as_str())
    }

    /// A check whose digests are joined for `place`; without one, only to be told which it is.
    pub(super) fn check(&self, step: &CheckStep, place: Option<&Place>, now: Timestamp) -> Call {
        let (call, purpose) = match &step.target {
            CheckTarget::Id(id) => (self.of_verification(&script::CHECK, *id, now), Vec::new()),
            CheckTarget::Recipient(recipient, purpose) => (
                self.of_recipient(&script::CHECK_NEWEST, *recipient, now),
                sized_purpose(purpose),
            ),
        };
        let mut joined = Vec::with_capacity(36 * step.candidates.len());
        for (candidate, place) in step
            .candidates
            .iter()
            .filter_map(|each| Some((each, place?)))
        {
            let digest = CodeDigest::bind(candidate, place.context());
            let (key, hash) = digest.parts();
            joined.extend(key.to_bytes());
            joined.extend(hash);
        }
        let budget = step.failures.unwrap_or_default();
        call.barred(&[], Some(budget))
            .budget(Some(budget))
            .four(budget.in_a_row)
            .text(purpose)
            .text(place.map(Place::bytes).unwrap_or_default())
            .text(step.app.as_str())
            .text(joined)
    }

    pub(super) fn note(&self, id: VerificationId, note: &Note, now: Timestamp) -> Call {
        let planned = note.dispatched.and_then(|end| end.fallback);
        let moment = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_millis);
        let next = planned.map_or(0, |fallback| u16::from(fallback.next) + 1);
        self.of_verification(&script::NOTE, id, now)
            .six(moment(note.dispatched.map(|end| end.sent_at)))
            .two(next)
            .six(moment(planned.and_then(|fallback| fallback.due)))
            .two(u16::try_from(note.deliveries.len()).unwrap_or(u16::MAX))
            .text(deliveries(&note.deliveries))
    }
}
