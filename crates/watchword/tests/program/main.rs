//! The built program, from outside: what an operator and a caller see of it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "what fails here fails the test, in helper functions too"
)]

mod api_keys;
mod audit;
mod auth;
mod backups;
mod browser;
mod configuration;
mod crashes;
mod demo;
mod deploying;
mod dev_mode;
mod disk;
mod doctor;
mod examples;
mod fixtures;
mod fleet;
mod follow;
mod healthcheck;
mod leaks;
mod mail;
mod metrics;
mod overload;
mod peers;
#[path = "../../../stores/tests/servers/postgres.rs"]
mod postgres;
mod receipts;
mod recipients;
#[path = "../../../stores/tests/servers/redis.rs"]
mod redis;
mod refusals;
mod runbooks;
mod server;
mod shutdown;
mod surfaces;
mod tls;
mod traces;
