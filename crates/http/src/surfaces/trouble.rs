//! What keeps a request from being answered, before a surface puts it into its own words.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::StatusCode;
use watchword_core::{CheckError, Failure, Refusal, Scope, SendError, StoreError};

use crate::caller::AuthenticationError;
use crate::gate::Kind;
use crate::json::{BodyError, Fault};
use crate::problem::Cause;

/// What is told of a lock that only an unlock lifts.
const UNTIL_UNLOCKED: Duration = Duration::from_hours(24);
/// How long to wait for a store that cannot be reached, or for room in one that is full.
const STORE_WAIT: Duration = Duration::from_secs(2);
const FULL_WAIT: Duration = Duration::from_secs(60);
/// How long to wait for a provider.
const DELIVERY_WAIT: Duration = Duration::from_secs(5);

/// Why a request got no further.
///
/// Status, waiting time and cause are the same at every surface, unless its document says otherwise;
/// the words are the surface's own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// There is nothing at a path that begins as the surface's paths do.
    #[error("Not found")]
    NoSuchPath,
    /// The path has other methods. They are in the `Allow` header.
    #[error("Method not allowed")]
    NoSuchMethod,
    /// Nobody knows who calls.
    #[error(transparent)]
    Caller(#[from] AuthenticationError),
    /// The key lacks a scope.
    #[error("This needs the scope {0}")]
    Forbidden(Scope),
    /// The body is too large, or did not arrive.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A web page sent what is not JSON.
    #[error("Send the body with `Content-Type: application/json`")]
    MediaType,
    /// The body is not JSON, or holds what it must not.
    #[error("{}", told(.0))]
    Faults(Vec<Fault>),
    /// Something is wrong with the request that only this surface knows.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// No code is on its way.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The code was not approved.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Our fault.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// There is too much to do. With what was asked for, and how long to stay away.
    #[error("The server has too much to do. Please try again later.")]
    Overloaded(Kind, Duration),
    /// Our fault, in one sentence.
    #[error("{0}")]
    Internal(&'static str),
}

fn told(faults: &[Fault]) -> String {
    faults.first().map_or_else(
        || "The body is not as it should be".to_owned(),
        Fault::to_string,
    )
}

impl From<Vec<Fault>> for Trouble {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Faults(faults)
    }
}

impl Trouble {
    /// What is told of it to whoever asks, without a key. What a provider says of a recipient is not for them: else
    /// anybody could look up who has WhatsApp (OWASP: no enumeration). It looks as if none could be reached.
    pub(crate) fn for_strangers(self) -> Self {
        match self {
            Self::Send(SendError::Unreachable) => Self::Send(SendError::Undeliverable),
            trouble => trouble,
        }
    }

    /// The usual status. No `_` arm: a new failure has to choose its answer here.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Caller(AuthenticationError::Store(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Caller(
                AuthenticationError::Missing
                | AuthenticationError::ForeignHost
                | AuthenticationError::Malformed
                | AuthenticationError::Refused,
            ) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::Broken) | Self::Faults(_) | Self::Invalid(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Send(error) => of_send(error),
            Self::Check(error) => of_check(error),
            Self::Failure(failure) => of_failure(failure),
            Self::Overloaded(..) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// How long to wait before trying again, where that helps.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Send(SendError::Refused(refusal)) => match refusal {
                Refusal::SourceLimit { retry_after }
                | Refusal::RecipientLimit { retry_after }
                | Refusal::Cooldown { retry_after } => Some(*retry_after),
                Refusal::Locked(locked) => Some(locked.retry_after.unwrap_or(UNTIL_UNLOCKED)),
                Refusal::Live => None,
            },
            Self::Send(SendError::Undeliverable) => Some(DELIVERY_WAIT),
            Self::Check(CheckError::Locked(locked)) => {
                Some(locked.retry_after.unwrap_or(UNTIL_UNLOCKED))
            }
            Self::Overloaded(_, wait) => Some(*wait),
            Self::Caller(AuthenticationError::Store(error)) => Some(store_wait(error)),
            Self::Failure(failure)
            | Self::Send(SendError::Failure(failure))
            | Self::Check(CheckError::Failure(failure)) => match failure {
                Failure::Store(error) => Some(store_wait(error)),
                Failure::Entropy(_) | Failure::Sealed(_) => None,
            },
            _ => None,
        }
    }

    /// What the log should say, of what is our fault.
    pub(crate) fn into_cause(self) -> Option<Cause> {
        match self {
            Self::Failure(failure)
            | Self::Send(SendError::Failure(failure))
            | Self::Check(CheckError::Failure(failure)) => Some(Cause::new(failure)),
            Self::Caller(AuthenticationError::Store(error)) => Some(Cause::new(error)),
            _ => None,
        }
    }
}

fn of_send(error: &SendError) -> StatusCode {
    match error {
        SendError::NoProvider(_) | SendError::WrongChannel(_) => StatusCode::BAD_REQUEST,
        SendError::Refused(Refusal::Live) => StatusCode::CONFLICT,
        SendError::Refused(
            Refusal::SourceLimit { .. }
            | Refusal::RecipientLimit { .. }
            | Refusal::Cooldown { .. }
            | Refusal::Locked(_),
        ) => StatusCode::TOO_MANY_REQUESTS,
        SendError::Country => StatusCode::FORBIDDEN,
        SendError::NotFound => StatusCode::NOT_FOUND,
        SendError::Exhausted => StatusCode::GONE,
        SendError::Undeliverable => StatusCode::SERVICE_UNAVAILABLE,
        SendError::Unreachable => StatusCode::UNPROCESSABLE_ENTITY,
        SendError::Failure(failure) => of_failure(failure),
    }
}

fn of_check(error: &CheckError) -> StatusCode {
    match error {
        CheckError::Incorrect { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        CheckError::Exhausted => StatusCode::GONE,
        CheckError::Locked(_) => StatusCode::TOO_MANY_REQUESTS,
        CheckError::NotFound => StatusCode::NOT_FOUND,
        CheckError::Failure(failure) => of_failure(failure),
    }
}

const fn of_failure(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Entropy(_) | Failure::Sealed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn store_wait(error: &StoreError) -> Duration {
    match error {
        StoreError::Unavailable(_) | StoreError::NotReached(_) => STORE_WAIT,
        StoreError::Full { .. } => FULL_WAIT,
    }
}
