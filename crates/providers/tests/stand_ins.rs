//! Every provider with an API of its own, as an operator configures it, sending to a stand-in that
//! holds what arrives against the provider's published contract.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "stand_ins/classes.rs"]
mod classes;
#[path = "stand_ins/contracts.rs"]
mod contracts;
#[path = "stand_ins/messages.rs"]
mod messages;
#[path = "stand_ins/receipts.rs"]
mod receipts;
