//! Twilio, Meta and Gupshup as servers on loopback, for tests and for trying failover by hand.
//!
//! A [`StandIn`] is one of them: it holds every request against the provider's published contract,
//! answers as it was told to by a [`Mode`] (or by the recipient's last four digits, see
//! [`Mode::of_number`]), and reports what became of a message by signed callbacks.
//!
//! It sees none of the server's crates: what it says of a contract, it says by itself, so that it
//! can prove the server wrong.
//!
//! **Invariant:** it listens on loopback and calls loopback, nothing else. Its messages hold codes
//! in the clear, so that a person can try them.

#![forbid(unsafe_code)]

pub mod account;
mod answer;
mod callback;
mod contract;
mod control;
mod family;
mod gupshup;
mod meta;
mod mode;
mod options;
mod receipt;
mod server;
mod shared;
pub mod signature;
mod stand_in;
mod twilio;

pub use callback::{Callback, CallbackFault};
pub use family::Family;
pub use mode::Mode;
pub use options::{EventFormat, Options};
pub use receipt::{Receipt, Told};
pub use shared::Taken;
pub use stand_in::{StandIn, StartFault};
