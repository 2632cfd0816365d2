//! What the serving layer promises, over real sockets on loopback.
//!
//! Nothing here asserts how long anything took: a limit is shown by its outcome (the connection closed,
//! the handler was not reached), and the time a test waits only bounds its failure.

#![allow(
    clippy::unwrap_used,
    reason = "what fails here fails the test, in helper functions too"
)]

mod caps;
mod client_addresses;
mod exchanges;
mod harness;
mod http2;
mod logs;
mod parsing;
mod shutdown;
mod stalls;
mod tls;
