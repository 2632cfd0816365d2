//! Programs from PyPI that the tests talk to, as `scripts/test-peers` installs them.

use std::path::{Path, PathBuf};

/// The Python that has them, if they are installed. It missing is a failure where everything has to be
/// tested, else a skip that says so.
pub(crate) fn python(what: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let peers = std::env::var_os("WATCHWORD_TEST_PEERS")
        .map_or_else(|| root.join("target/test-peers"), PathBuf::from);
    let python = peers.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    let missing = format!("no {what} at {}; run scripts/test-peers", peers.display());
    let all = std::env::var("WATCHWORD_TEST_ALL_STORES").is_ok_and(|all| all == "1");
    assert!(!all, "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}
