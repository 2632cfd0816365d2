//! Moving everything from one store to another: what holds there, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test")]

mod copies;
mod histories;
mod home;
mod redis_copies;

#[allow(dead_code, unused_macros, unused_imports, reason = "a part is used")]
#[path = "../postgres/fixture.rs"]
mod fixture;
#[path = "../servers/postgres.rs"]
mod server;
#[path = "../servers/redis.rs"]
mod servers;

/// Held by each test. A process that one of them starts would share, for a moment, the locks on files
/// that another one is about to let go.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
