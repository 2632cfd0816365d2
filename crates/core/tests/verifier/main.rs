//! The verifier, as a surface sees it: over a real store, with a messenger that remembers, a
//! clock that is set and chance that repeats.

mod attacks;
mod checks;
mod fallbacks;
mod faults;
mod secrets;
mod sends;
mod server;
mod tokens;
