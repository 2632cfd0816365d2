//! How the native API says what went wrong. No `_` arm: a new failure has to choose its answer here.

use std::time::Duration;

use watchword_core::{
    CancelError, CheckError, Failure, InvalidRecipient, Locked, Policy, Refusal, SendError,
    StoreError,
};

use crate::caller::AuthenticationError;
use crate::idempotency::{InvalidKey, RepeatError};
use crate::json::{BodyError, Fault};
use crate::problem::{Problem, ProblemKind};
use crate::rate_limit::RateLimit;

/// What is told of a lock that only an unlock lifts.
pub(super) const UNTIL_UNLOCKED: Duration = Duration::from_hours(24);
/// How long to wait for a store that cannot be reached, or for room in one that is full.
const STORE_WAIT: Duration = Duration::from_secs(2);
const FULL_WAIT: Duration = Duration::from_secs(60);
/// How long to wait for a provider.
const DELIVERY_WAIT: Duration = Duration::from_secs(5);

pub(super) fn no_such_verification() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such verification")
}

/// Why a send did not happen. `own` is what the caller's own address has left, if that is what was
/// counted.
pub(super) fn of_send(error: SendError, policy: &Policy, own: Option<RateLimit>) -> Problem {
    match error {
        SendError::NoProvider(channel) => Problem::at(
            "/channel",
            format!("names {channel}, which has no provider here"),
        ),
        SendError::WrongChannel(channel) => Problem::at(
            "/channel",
            format!("names {channel}, which does not reach this kind of recipient"),
        ),
        SendError::Country => {
            let detail = "/to is a number of a country that no code is sent to";
            Problem::new(ProblemKind::DestinationRefused, detail)
        }
        SendError::Refused(refusal) => of_refusal(refusal, policy, own),
        SendError::NotFound => no_such_verification(),
        SendError::Exhausted => exhausted(),
        SendError::Undeliverable => {
            let detail = "no provider could be reached; nothing was sent and nothing was counted";
            Problem::new(ProblemKind::DeliveryFailed, detail).after(DELIVERY_WAIT)
        }
        SendError::Unreachable => {
            let detail = "every channel refused this recipient";
            Problem::new(ProblemKind::RecipientUnreachable, detail)
        }
        SendError::Failure(failure) => failure.into(),
    }
}

fn of_refusal(refusal: Refusal, policy: &Policy, own: Option<RateLimit>) -> Problem {
    match refusal {
        Refusal::SourceLimit { retry_after } => {
            let left = own.map(|own| own.used_up(policy, retry_after));
            Problem::new(
                ProblemKind::RateLimited,
                "too many codes were asked for from this address",
            )
            .after(retry_after)
            .limited(left)
        }
        Refusal::RecipientLimit { retry_after } => Problem::new(
            ProblemKind::RateLimited,
            "too many codes were sent to this recipient",
        )
        .after(retry_after)
        .limited(own),
        Refusal::Cooldown { retry_after } => {
            let detail = "a code was sent to this recipient a moment ago";
            Problem::new(ProblemKind::ResendTooSoon, detail)
                .after(retry_after)
                .limited(own)
        }
        Refusal::Locked(lock) => locked(lock).limited(own),
        Refusal::Live => {
            let detail = "a code of this recipient and purpose is live; ask for a resend";
            Problem::new(ProblemKind::Conflict, detail)
        }
    }
}

fn locked(locked: Locked) -> Problem {
    let detail = match locked.retry_after {
        Some(_) => "too many wrong codes were tried for this recipient",
        None => "too many wrong codes were tried for this recipient; it has to be unlocked",
    };
    let wait = locked.retry_after.unwrap_or(UNTIL_UNLOCKED);
    Problem::new(ProblemKind::RecipientLocked, detail).after(wait)
}

fn exhausted() -> Problem {
    let detail = "every attempt of this verification is used up; start a new one";
    Problem::new(ProblemKind::AttemptsExhausted, detail)
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Incorrect { attempts_left } => {
                let detail = "the code, or the binding, is not the one that was sent";
                Self::new(ProblemKind::IncorrectCode, detail).attempts_remaining(attempts_left)
            }
            CheckError::Exhausted => exhausted(),
            CheckError::Locked(lock) => locked(lock),
            CheckError::NotFound => no_such_verification(),
            CheckError::Failure(failure) => failure.into(),
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound => no_such_verification(),
            CancelError::Ended(status) => {
                let detail = format!(
                    "the verification is {} and cannot be canceled",
                    status.as_str()
                );
                Self::new(ProblemKind::Conflict, detail)
            }
            CancelError::Failure(failure) => failure.into(),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::Entropy(error) => Self::new(
                ProblemKind::InternalError,
                "no randomness; nothing was done",
            )
            .caused_by(error),
            Failure::Sealed(error) => {
                let detail =
                    "the verification was sealed with a key that this server does not have";
                Self::new(ProblemKind::InternalError, detail).caused_by(error)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (detail, wait) = match &error {
            StoreError::Unavailable(_) | StoreError::NotReached(_) => {
                ("the store cannot be reached; nothing was done", STORE_WAIT)
            }
            StoreError::Full { .. } => (
                "the store holds as many live verifications as it may; nothing was done",
                FULL_WAIT,
            ),
        };
        Self::new(ProblemKind::StorageUnavailable, detail)
            .after(wait)
            .caused_by(error)
    }
}

impl From<AuthenticationError> for Problem {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Missing
            | AuthenticationError::ForeignHost
            | AuthenticationError::Malformed
            | AuthenticationError::Refused => {
                Self::new(ProblemKind::Unauthenticated, error.to_string())
            }
            AuthenticationError::Store(error) => error.into(),
        }
    }
}

impl From<RepeatError> for Problem {
    fn from(error: RepeatError) -> Self {
        match error {
            RepeatError::Running => Self::new(ProblemKind::Conflict, error.to_string()),
            RepeatError::Different => {
                Self::new(ProblemKind::IdempotencyKeyReused, error.to_string())
            }
            RepeatError::Unreadable => Self::new(ProblemKind::InternalError, error.to_string()),
            RepeatError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidKey> for Problem {
    fn from(error: InvalidKey) -> Self {
        Self::new(ProblemKind::InvalidRequest, error.to_string())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let kind = match error {
            BodyError::TooLarge => ProblemKind::PayloadTooLarge,
            BodyError::Broken => ProblemKind::InvalidRequest,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Vec<Fault>> for Problem {
    fn from(faults: Vec<Fault>) -> Self {
        Self::faulty(faults)
    }
}

/// Whether a text is a number that could be sent to, but that nobody should send codes to.
pub(super) fn is_refused_destination(error: InvalidRecipient) -> bool {
    matches!(error, InvalidRecipient::Service | InvalidRecipient::Network)
}
