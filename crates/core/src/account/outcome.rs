//! What comes of the use cases.

use super::{AccessToken, Account, HashError};
use crate::verifier::{Failure, SendError};

/// Why no code is on its way to who registers.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// An account has the address or the number, or a registration of the number with other
    /// details is pending. Nothing has changed.
    #[error("the address or the number is taken")]
    Taken,
    /// The password was not hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The code was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Why no fresh code is on its way.
#[derive(Debug, thiserror::Error)]
pub enum ResendError {
    /// No registration of this number is pending.
    #[error("no registration is pending")]
    NotPending,
    /// The code was not sent.
    #[error(transparent)]
    Send(SendError),
}

/// What the right code was worth.
#[derive(Debug)]
pub enum Verified {
    /// The account of a registration, just made.
    Registered(Box<Account>, AccessToken),
    /// A login.
    LoggedIn {
        /// Lets the user in.
        token: AccessToken,
        /// Whether the user asked to be remembered.
        remember_me: bool,
    },
}

/// Why a code was worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Wrong, expired, used, used up, or never sent: one answer.
    #[error("the code is not right")]
    Incorrect,
    /// The code was right and is used, but its registration cannot become an account: another
    /// one took its address or number meanwhile.
    #[error("there is no registration to make an account of")]
    NobodyToActivate,
    /// Our fault.
    #[error(transparent)]
    Failure(#[from] Failure),
}
