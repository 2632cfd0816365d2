//! The calls of the steps.

use watchword_core::{
    CheckStep, CheckTarget, Note, RecipientIndex, ResendStep, SendTerms, SourceCharge, StartStep,
    Timestamp, VerificationId, WhenPending,
};

use super::bound::{Bound, short_digest};
use super::call::{Call, Names, Time};
use super::place::{prefix_of, target_prefix};
use super::row::{app_name, body, code, deliveries, sized_purpose};
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

    /// The charge of a source, alone.
    pub(super) fn charge(&self, charge: &SourceCharge, terms: &SendTerms, now: Timestamp) -> Call {
        self.packed(&script::CHARGE, self.names.source(charge.index), now)
            .spanning(terms.horizon())
            .source_quotas(&charge.quotas)
    }

    /// What else a call needs that charges `payer`.
    fn paid_by(&self, payer: Option<&SourceCharge>, call: Call) -> Call {
        match payer {
            Some(charge) => call
                .key(self.names.source(charge.index))
                .source_quotas(&charge.quotas),
            None => call,
        }
    }

    /// A start, which also charges `payer`. Where there is one, one server keeps everything.
    pub(super) fn start(
        &self,
        step: &StartStep,
        payer: Option<&SourceCharge>,
        now: Timestamp,
    ) -> Call {
        let script = match payer {
            Some(_) => &script::START_PAID,
            None => &script::START,
        };
        let terms = &step.terms;
        let sent = code(step.channel, &step.digest, &step.details);
        let mut body = body(&step.purpose, &step.app, &sent);
        body.extend(short_digest(step, &body[..=body.len() - sent.len()]));
        let call = self
            .of_recipient(script, step.recipient, now)
            .key(self.names.failures(step.recipient))
            .rest_of(step.id.as_bytes())
            .byte(terms.failures.is_some().into())
            .byte((step.when_pending == WhenPending::Refuse).into())
            .barred(&terms.recipient, terms.failures)
            .terms(step.max_attempts, terms, step.ttl)
            .text(body);
        self.paid_by(payer, call)
    }

    /// A resend, which also charges `payer`. Where there is one, one server keeps everything.
    pub(super) fn resend(
        &self,
        step: &ResendStep,
        payer: Option<&SourceCharge>,
        now: Timestamp,
    ) -> Call {
        let script = match payer {
            Some(_) => &script::RESEND_PAID,
            None => &script::RESEND,
        };
        let terms = &step.terms;
        let call = self
            .of_verification(script, step.id, now)
            .barred(&terms.recipient, terms.failures)
            .terms(step.max_attempts, terms, step.ttl)
            .text(code(step.channel, &step.digest, &step.details))
            .text(step.candidate.at_place(prefix_of(step.id)))
            .text(app_name(&step.app));
        self.paid_by(payer, call)
    }

    /// A check. Where the server told before what the digest binds, the digests for that come along.
    pub(super) fn check(&self, step: &CheckStep, bound: Option<&Bound>, now: Timestamp) -> Call {
        let (call, purpose) = match &step.target {
            CheckTarget::Id(id) => (self.of_verification(&script::CHECK, *id, now), Vec::new()),
            CheckTarget::Recipient(recipient, purpose) => (
                self.of_recipient(&script::CHECK_NEWEST, *recipient, now),
                sized_purpose(purpose),
            ),
        };
        let prefix = target_prefix(&step.target);
        let candidates = step.candidates.iter().flat_map(|candidate| {
            let key = candidate.key.to_bytes();
            key.into_iter().chain(candidate.at_place(prefix))
        });
        let budget = step.failures.unwrap_or_default();
        let call = call
            .barred(&[], Some(budget))
            .budget(Some(budget))
            .four(budget.in_a_row)
            .text(purpose)
            .text(candidates.collect::<Vec<u8>>())
            .text(app_name(&step.app));
        match bound {
            Some(bound) => call.text(&bound.told).text(bound.digests(&step.candidates)),
            None => call,
        }
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
