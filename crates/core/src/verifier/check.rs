//! Checks: one guess at one code.

use super::{Failure, Overview, Verifier, about_sent, travelled};
use crate::app::AppId;
use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::code::Code;
use crate::event::{CheckFailure, Event, Subject};
use crate::id::VerificationId;
use crate::ledger::Locked;
use crate::policy::FailureBudget;
use crate::purpose::Purpose;
use crate::recipient::Recipient;
use crate::step::{CheckOutcome, CheckStep, CheckTarget};
use crate::token::result_token;
use crate::verification::Verification;

/// Which verification is meant.
#[derive(Clone, Debug)]
pub enum Whose {
    /// The one with this handle.
    Handle(VerificationId),
    /// The newest one of this recipient and purpose.
    Recipient(Recipient, Purpose),
}

/// One guess.
#[derive(Clone, Debug)]
pub struct CheckRequest {
    /// Whose verification it must be.
    pub app: AppId,
    /// Which one.
    pub whose: Whose,
    /// What was typed.
    pub code: Code,
    /// What the caller repeats of the start.
    pub binding: BindingDigest,
    /// The failures that a recipient bears; `None` stands for the default budget. Does not matter
    /// to verifications without a recipient.
    pub failures: Option<FailureBudget>,
}

/// A verification that was just approved: this once and never again.
#[derive(Clone, Debug)]
pub struct Approved {
    /// The verification.
    pub overview: Overview,
    /// When it was approved.
    pub at: Timestamp,
    /// When it was asked for, by the clock of this node.
    asked_at: Timestamp,
}

/// A signed result. Whoever holds it can show it to others, so it does not print.
#[derive(Clone)]
pub struct ResultToken(String);

impl ResultToken {
    /// The compact JWS.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ResultToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResultToken(redacted)")
    }
}

/// Why a guess was not approved.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Not the code, or not the binding. The attempt is spent.
    #[error("the code is not right")]
    Incorrect {
        /// Guesses that the code still bears.
        attempts_left: u32,
    },
    /// The attempts were used up before.
    #[error("the attempts are used up")]
    Exhausted,
    /// The failure budget of the recipient is used up.
    #[error("the recipient is locked")]
    Locked(Locked),
    /// There is nothing to check.
    #[error("there is no such pending verification")]
    NotFound,
    /// Our fault.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Verifier {
    /// Checks a code. The attempt is durably spent before anybody learns what came of it, and
    /// one verification is approved at most once, however many ask at the same time.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn check(&self, request: CheckRequest) -> Result<Approved, CheckError> {
        let keys = &self.parts.keys;
        let target = match request.whose {
            Whose::Handle(id) => CheckTarget::Id(id),
            Whose::Recipient(to, purpose) => {
                CheckTarget::Recipient(keys.recipient_index(&request.app, &to), purpose)
            }
        };
        let candidates = keys.candidates(&request.app, &request.binding, &request.code);
        let app = request.app.clone();
        let (verification, recipient) = match &target {
            CheckTarget::Id(id) => (Some(*id), None),
            CheckTarget::Recipient(index, _) => (None, Some(*index)),
        };
        let step = CheckStep {
            app: request.app,
            target,
            candidates,
            failures: request.failures,
        };
        let outcome = self.parts.store.check(step, self.now()).await;
        let refused = |failure| {
            let subject = Subject {
                app: Some(&app),
                verification,
                recipient,
                ..Subject::default()
            };
            self.note_event(Event::CheckFailed(failure), &subject);
            subject
        };
        match self.watch(outcome).map_err(Failure::from)? {
            CheckOutcome::Approved(verification) => Ok(self.approved(*verification)?),
            CheckOutcome::Incorrect {
                attempts_left,
                locks,
            } => {
                let subject = refused(CheckFailure::Incorrect);
                if locks {
                    self.note_event(Event::Locked, &subject);
                }
                Err(CheckError::Incorrect { attempts_left })
            }
            CheckOutcome::Exhausted => {
                refused(CheckFailure::Exhausted);
                Err(CheckError::Exhausted)
            }
            CheckOutcome::Locked(locked) => {
                refused(CheckFailure::Locked);
                Err(CheckError::Locked(locked))
            }
            CheckOutcome::NotFound => {
                refused(CheckFailure::NotFound);
                Err(CheckError::NotFound)
            }
        }
    }

    fn approved(&self, verification: Verification) -> Result<Approved, Failure> {
        let now = self.now();
        let overview = self.overview(verification)?;
        let verification = &overview.verification;
        let channel = channel_of(verification);
        let subject = about_sent(verification, &overview.details);
        self.note_event(Event::Approved(channel), &subject);
        let at = verification.ended_at.unwrap_or(now);
        Ok(Approved {
            at,
            asked_at: now,
            overview,
        })
    }

    /// Signs an approval, for ten minutes. The signature takes longer than all the rest of a start
    /// and a check together, so only for callers who are shown it.
    #[must_use]
    pub fn vouch(&self, approved: &Approved) -> ResultToken {
        let Overview {
            verification,
            details,
            ..
        } = &approved.overview;
        let channel = verification.addressed.then(|| channel_of(verification));
        ResultToken(result_token(
            &self.parts.keys,
            &self.parts.issuer,
            verification,
            channel,
            details.remember_me,
            approved.asked_at,
        ))
    }
}

/// The channel that the code most likely came over.
fn channel_of(verification: &Verification) -> Channel {
    travelled(verification).map_or(verification.channel, |delivery| delivery.channel)
}
