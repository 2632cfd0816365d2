//! Sends: the start of a verification, and the fresh code of a pending one.

use std::time::Duration;

use super::{
    Failure, Overview, Parts, Sent, Source, StartRequest, Terms, Verifier, about, about_sent,
};
use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::code::Code;
use crate::details::Details;
use crate::digest::{Candidate, CodeContext, CodeDigest, RecipientIndex, SourceIndex};
use crate::entropy::draw;
use crate::event::{Event, SendRefusal, Subject};
use crate::id::VerificationId;
use crate::limit::{Per, Quota};
use crate::messenger::{Envelope, Verdict};
use crate::policy::Policy;
use crate::recipient::{Recipient, RecipientKind};
use crate::step::{
    Dispatched, Refusal, ResendOutcome, ResendStep, SendTerms, SourceCharge, StartOutcome,
    StartStep, Withdrawal,
};
use crate::verification::{Fallback, Verification};

/// A fresh code for a pending verification.
#[derive(Clone, Debug)]
pub struct ResendRequest {
    /// Whose it must be.
    pub app: AppId,
    /// Which verification.
    pub id: VerificationId,
    /// Other channels than at the start.
    pub channels: Option<Vec<Channel>>,
    /// What the send has to pay, and who asks.
    pub terms: Terms,
}

/// Why no code is on its way.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No provider serves any of the channels.
    #[error("no provider is configured for {0}")]
    NoProvider(Channel),
    /// None of the channels reaches this kind of recipient.
    #[error("{0} does not reach this kind of recipient")]
    WrongChannel(Channel),
    /// The policy sends no codes to the country of the number. Nothing was consumed.
    #[error("no code is sent to the country of this number")]
    Country,
    /// A limit, the cooldown or the lock. Nothing was consumed.
    #[error("the send is refused")]
    Refused(Refusal),
    /// A resend: there is no pending verification with this handle.
    #[error("there is no such pending verification")]
    NotFound,
    /// A resend: its attempts are used up.
    #[error("the attempts are used up")]
    Exhausted,
    /// No provider could be reached. The limits were given back.
    #[error("no provider could be reached")]
    Undeliverable,
    /// Every channel refused the recipient. The limits stay charged.
    #[error("every channel refused the recipient")]
    Unreachable,
    /// Our fault.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// How a fresh code is kept.
pub(super) struct Minted {
    pub(super) code: Code,
    pub(super) digest: CodeDigest,
    pub(super) candidate: Candidate,
}

impl Verifier {
    /// Starts a verification: makes a code, keeps its digest, sends it.
    ///
    /// Answers after a provider took the message or the deadline passed. The code of an earlier
    /// pending verification of the same recipient and purpose is dead then.
    ///
    /// # Errors
    /// [`SendError`]; no code is on its way then.
    pub async fn start(&self, request: StartRequest) -> Result<Sent, SendError> {
        let channels = self.usable(request.to.as_ref().map(Recipient::kind), &request.channels)?;
        let keys = &self.parts.keys;
        let recipient = match &request.to {
            Some(to) => keys.recipient_index(&request.app, to),
            None => RecipientIndex::from_bytes(draw(self.entropy()).map_err(Failure::from)?),
        };
        self.admit_country(
            request.to.as_ref(),
            &request.terms,
            &Subject {
                app: Some(&request.app),
                recipient: Some(recipient),
                ..Subject::default()
            },
        )?;
        let id = VerificationId::generate(&recipient, self.entropy()).map_err(Failure::from)?;
        let policy = &request.terms.policy;
        let channel = channels.first().copied().unwrap_or(Channel::Sms);
        let mut details = Details {
            to: request.to,
            channels,
            locale: request.locale,
            binding: request.binding,
            format: policy.code,
            ttl: policy.ttl,
            max_attempts: policy.max_attempts,
            metadata: request.metadata,
            remember_me: request.remember_me,
            code: None,
        };
        let place = CodeContext {
            id,
            recipient,
            channel,
            purpose: &request.purpose,
        };
        let minted = self.mint(&request.app, &mut details, place)?;
        let step = StartStep {
            id,
            app: request.app,
            recipient,
            purpose: request.purpose,
            channel,
            digest: minted.digest,
            candidate: minted.candidate,
            max_attempts: details.max_attempts,
            ttl: details.ttl,
            details: details
                .seal(id, keys, self.entropy())
                .map_err(Failure::from)?,
            when_pending: policy.when_pending,
            terms: self.send_terms(&request.terms, details.to.is_some()),
        };
        // As the step makes it, but for the moment, which the store tells.
        let verification = step.open(Timestamp::default());
        let source = step.terms.source.as_ref().map(|charge| charge.index);
        let outcome = self.parts.store.start(step, self.now()).await;
        let charged = match self.watch(outcome).map_err(Failure::from)? {
            StartOutcome::Started(charged) => charged,
            StartOutcome::Refused(refusal) => {
                let subject = Subject {
                    app: Some(&verification.app),
                    recipient: Some(verification.recipient),
                    ..Subject::default()
                };
                return Err(self.refused(refusal, &subject));
            }
        };
        let verification = verification.begun(charged.made_at, details.ttl);
        let withdrawal = Withdrawal {
            id,
            charged,
            source,
            ends: true,
        };
        self.hand_over(verification, details, minted.code, withdrawal)
            .await
    }

    /// Sends a fresh code for a pending verification. The old code is dead from the moment the
    /// limits admit the new one, even if then no provider can be reached.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn resend(&self, request: ResendRequest) -> Result<Sent, SendError> {
        let found = self
            .parts
            .store
            .get(&request.app, request.id, self.now())
            .await;
        let known = self
            .watch(found)
            .map_err(Failure::from)?
            .ok_or(SendError::NotFound)?;
        let Overview {
            verification,
            mut details,
            ..
        } = self.overview(known)?;
        if let Some(channels) = &request.channels {
            details.channels = self.usable(details.to.as_ref().map(Recipient::kind), channels)?;
        }
        // The list may have become shorter since the start.
        self.admit_country(details.to.as_ref(), &request.terms, &about(&verification))?;
        let channel = details
            .channels
            .first()
            .copied()
            .unwrap_or(verification.channel);
        let place = CodeContext {
            id: request.id,
            recipient: verification.recipient,
            channel,
            purpose: &verification.purpose,
        };
        let minted = self.mint(&request.app, &mut details, place)?;
        let keys = &self.parts.keys;
        let step = ResendStep {
            id: request.id,
            app: request.app,
            channel,
            digest: minted.digest,
            candidate: minted.candidate,
            max_attempts: details.max_attempts,
            ttl: details.ttl,
            details: details
                .seal(request.id, keys, self.entropy())
                .map_err(Failure::from)?,
            terms: self.send_terms(&request.terms, details.to.is_some()),
        };
        let source = step.terms.source.as_ref().map(|charge| charge.index);
        let outcome = self.parts.store.resend(step, self.now()).await;
        let (charged, verification) = match self.watch(outcome).map_err(Failure::from)? {
            ResendOutcome::Renewed(charged, verification) => (charged, *verification),
            ResendOutcome::Refused(refusal) => {
                return Err(self.refused(refusal, &about(&verification)));
            }
            ResendOutcome::Exhausted => return Err(SendError::Exhausted),
            ResendOutcome::NotFound => return Err(SendError::NotFound),
        };
        let withdrawal = Withdrawal {
            id: request.id,
            charged,
            source,
            ends: false,
        };
        self.hand_over(verification, details, minted.code, withdrawal)
            .await
    }

    /// The channels among `wanted` that have a provider. One that cannot reach the recipient is
    /// the caller's mistake.
    fn usable(
        &self,
        kind: Option<RecipientKind>,
        wanted: &[Channel],
    ) -> Result<Vec<Channel>, SendError> {
        let Some(kind) = kind else {
            return Ok(wanted.to_vec());
        };
        if let Some(wrong) = wanted.iter().find(|channel| channel.reaches() != kind) {
            return Err(SendError::WrongChannel(*wrong));
        }
        let usable: Vec<_> = wanted
            .iter()
            .copied()
            .filter(|channel| self.serves(*channel))
            .collect();
        match (usable.is_empty(), wanted.first()) {
            (true, Some(first)) => Err(SendError::NoProvider(*first)),
            (true, None) => Err(SendError::Undeliverable),
            (false, _) => Ok(usable),
        }
    }

    /// Refuses a country that the policy does not list, before anything is counted or sent.
    fn admit_country(
        &self,
        to: Option<&Recipient>,
        terms: &Terms,
        subject: &Subject<'_>,
    ) -> Result<(), SendError> {
        if to.is_none_or(|to| terms.policy.countries.allow(to)) {
            return Ok(());
        }
        self.note_event(Event::SendRefused(SendRefusal::Country), subject);
        Err(SendError::Country)
    }

    /// A fresh code, and what of it the details keep.
    pub(super) fn mint(
        &self,
        app: &AppId,
        details: &mut Details,
        place: CodeContext<'_>,
    ) -> Result<Minted, Failure> {
        let code = Code::generate(details.format, self.entropy())?;
        let candidate = self.parts.keys.candidate(app, &details.binding, &code);
        let digest = CodeDigest::bind(&candidate, place);
        // Kept, sealed, only where another channel may have to carry the same code later.
        let another = details.to.is_some() && details.channels.len() > 1;
        details.code = another.then(|| code.clone());
        Ok(Minted {
            code,
            digest,
            candidate,
        })
    }

    fn send_terms(&self, terms: &Terms, has_recipient: bool) -> SendTerms {
        let policy: &Policy = &terms.policy;
        let index = |source: &Source| -> SourceIndex {
            self.parts
                .keys
                .source_index(source.surface, &source.address)
        };
        let source_quotas: Vec<Quota> = policy.quotas(Per::Source);
        let source = terms.source.as_ref().filter(|_| !source_quotas.is_empty());
        SendTerms {
            cooldown: if has_recipient {
                policy.resend_cooldown
            } else {
                Duration::ZERO
            },
            recipient: if has_recipient {
                policy.quotas(Per::Recipient)
            } else {
                Vec::new()
            },
            source: source.map(|source| SourceCharge {
                index: index(source),
                quotas: source_quotas,
            }),
            failures: has_recipient.then_some(policy.failures),
            horizon: self.parts.horizon,
        }
    }

    pub(super) fn refused(&self, refusal: Refusal, subject: &Subject<'_>) -> SendError {
        let reason = match refusal {
            Refusal::SourceLimit { .. } => SendRefusal::SourceLimit,
            Refusal::RecipientLimit { .. } => SendRefusal::RecipientLimit,
            Refusal::Cooldown { .. } => SendRefusal::Cooldown,
            Refusal::Locked(_) => SendRefusal::Locked,
            Refusal::Live => SendRefusal::Live,
        };
        self.note_event(Event::SendRefused(reason), subject);
        SendError::Refused(refusal)
    }

    /// Gives the code to the messenger and notes what came of it.
    async fn hand_over(
        &self,
        mut verification: Verification,
        details: Details,
        code: Code,
        withdrawal: Withdrawal,
    ) -> Result<Sent, SendError> {
        let now = self.now();
        let (first, standing) = (withdrawal.ends, withdrawal.charged.source_standing);
        if let Some(to) = &details.to {
            let envelope = envelope(&verification, &details, to.clone(), &code);
            // A code that is about to die is not worth waiting for.
            let left = verification.expires_at.since(now);
            let deadline = self.parts.deadline.min(left);
            let dispatch = self.parts.messenger.dispatch(envelope, deadline).await;
            verification.note(&dispatch.deliveries, true);
            let fallback = match dispatch.verdict {
                Verdict::Taken(channel) => plan(&self.parts, &details, channel, self.now()),
                Verdict::Unavailable | Verdict::Refused | Verdict::Declined => None,
            };
            verification.fallback = fallback;
            let end = Dispatched {
                sent_at: verification.sent_at,
                fallback,
            };
            self.conclude(&verification, dispatch.deliveries, end).await;
            match dispatch.verdict {
                Verdict::Taken(channel) => {
                    let event = if first {
                        Event::Started(channel)
                    } else {
                        Event::Resent(channel)
                    };
                    self.note_event(event, &about_sent(&verification, &details));
                }
                Verdict::Unavailable => {
                    let undeliverable = Event::SendRefused(SendRefusal::Undeliverable);
                    self.note_event(undeliverable, &about(&verification));
                    return Err(self.withdraw(withdrawal, now).await);
                }
                Verdict::Refused => {
                    let unreachable = Event::SendRefused(SendRefusal::Unreachable);
                    self.note_event(unreachable, &about(&verification));
                    self.fail(&verification, now).await?;
                    return Err(SendError::Unreachable);
                }
                Verdict::Declined => {
                    let undeliverable = Event::SendRefused(SendRefusal::Undeliverable);
                    self.note_event(undeliverable, &about(&verification));
                    // After a resend the verification stays, for another try or channel.
                    if first {
                        self.fail(&verification, now).await?;
                    }
                    return Err(SendError::Undeliverable);
                }
            }
        } else {
            self.note_event(Event::Started(verification.channel), &about(&verification));
        }
        let status = verification.status_at(self.now());
        Ok(Sent {
            standing,
            overview: Overview {
                verification,
                status,
                details,
            },
            code,
        })
    }

    /// Ends it, unless another code was sent for it: a dispatch may take as long as its deadline, and what a resend has
    /// brought meanwhile is not to end with it.
    async fn fail(&self, sent: &Verification, now: Timestamp) -> Result<(), SendError> {
        let failed = self.parts.store.fail(sent.id, sent.sent_at, now).await;
        self.watch(failed).map_err(Failure::from)?;
        Ok(())
    }

    async fn withdraw(&self, withdrawal: Withdrawal, now: Timestamp) -> SendError {
        let withdrawn = self.parts.store.withdraw(withdrawal, now).await;
        match self.watch(withdrawn) {
            Ok(()) => SendError::Undeliverable,
            Err(error) => SendError::Failure(error.into()),
        }
    }
}

/// What comes next if a message that `channel` carries does not arrive.
pub(super) fn plan(
    parts: &Parts,
    details: &Details,
    channel: Channel,
    now: Timestamp,
) -> Option<Fallback> {
    details.code.as_ref()?;
    let place = details
        .channels
        .iter()
        .position(|known| *known == channel)?;
    let next = u8::try_from(place + 1).ok()?;
    (usize::from(next) < details.channels.len()).then(|| Fallback {
        next,
        due: parts
            .fallback_after
            .get(&channel)
            .map(|after| now.plus(*after)),
    })
}

pub(super) fn envelope(
    verification: &Verification,
    details: &Details,
    to: Recipient,
    code: &Code,
) -> Envelope {
    Envelope {
        verification: verification.id,
        app: verification.app.clone(),
        to,
        code: code.clone(),
        purpose: verification.purpose.clone(),
        locale: details.locale.clone(),
        expires_at: verification.expires_at,
        channels: details.channels.clone(),
    }
}
