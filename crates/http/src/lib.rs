//! The HTTP side of Watchword: serving, and the dialects that are served.

pub mod client_address;
pub mod serve;
