//! Registration and login by code: what the documents say, and what must not happen by the way.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub
)]

mod bodies;
#[path = "../native/disk.rs"]
mod disk;
mod documents;
mod limits;
mod races;
mod takeovers;
mod tokens;
mod world;
