//! Stand-ins from the outside: what they refuse, what they do when told, what they report.

#![allow(clippy::unwrap_used, reason = "a test")]

mod contracts;
mod looks;
mod modes;
mod orders;
mod receipts;
mod wire;
