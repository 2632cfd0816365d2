//! Callbacks of providers: what gets to the reader, what is answered, and what comes of it.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod answers;
mod receipts;
mod sizes;
#[allow(dead_code)]
#[path = "../native/stand_ins.rs"]
mod stand_ins;
mod world;
