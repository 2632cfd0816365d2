//! The scripts, and the commands that call them.

use watchword_core::Timestamp;

use crate::redis::{bare_calls, bare_start};

/// The caller's time, which the server's overrules.
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// The texts of the scripts that [`flow`] calls, for `SCRIPT LOAD`.
#[must_use]
pub fn scripts() -> Vec<&'static str> {
    crate::redis::bare_scripts()
}

/// The script of a start, and in its text all that it is called with but one key, for programs such as
/// `redis-benchmark` whose arguments cannot hold a zero. The key begins with `ww:`; each that ends with other
/// twelve digits is another recipient's, from another source.
#[must_use]
pub fn start_script() -> String {
    bare_start(&super::flow(0), NOW)
}

/// The commands of a flow as they go over the wire (RESP), one after the other: each waits for the
/// answer to the one before. Keys begin with `ww:`.
#[must_use]
pub fn flow(number: u64) -> Vec<Vec<u8>> {
    bare_calls(&super::flow(number), NOW)
}
