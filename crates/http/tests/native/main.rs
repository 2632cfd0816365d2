//! The native API against its documents: every row, every refusal, every promise that a caller relies on.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod bodies;
mod callers;
mod checks;
mod dev;
mod documents;
mod health;
mod idempotency;
mod limits;
mod overload;
mod promises;
mod routes;
mod stand_ins;
mod starts;
mod uuid;
mod ways;
mod world;
