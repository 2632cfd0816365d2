//! The scripts, and the commands that call them.

use watchword_core::Timestamp;

use crate::redis::bare_calls;

/// The texts of the scripts that [`flow`] calls, for `SCRIPT LOAD`.
#[must_use]
pub fn scripts() -> Vec<&'static str> {
    crate::redis::bare_scripts()
}

/// The commands of a flow as they go over the wire (RESP), one after the other: each waits for the
/// answer to the one before. Keys begin with `ww:`.
#[must_use]
pub fn flow(number: u64) -> Vec<Vec<u8>> {
    bare_calls(
        &super::flow(number),
        Timestamp::from_millis(1_790_000_000_000),
    )
}
