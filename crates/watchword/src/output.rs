//! Standard output and standard error, for people.

use std::io::{self, Write};

use crate::failure::Failure;

/// Writes a text and a line end to standard output.
///
/// # Errors
/// When nobody reads it any more.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| {
        Failure::unreachable(format!("standard output cannot be written: {error}"))
    })
}

/// Writes a line to standard error. When that fails there is nobody left to tell.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
