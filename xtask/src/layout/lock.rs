//! Where the crates come from, those that only tests use included.
//!
//! `deny.toml` says the same of what the binaries are built from.

use crate::finding::Finding;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks the text of `Cargo.lock`.
pub(crate) fn check(lock: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in lock.lines().enumerate() {
        let Some(source) = line.strip_prefix("source = ") else {
            continue;
        };
        let source = source.trim_matches('"');
        if source != REGISTRY {
            findings.push(Finding::new(
                "Cargo.lock",
                index + 1,
                format!("a crate comes from `{source}`"),
                "Take it from crates.io, which keeps what it once published.",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_come_from_crates_io_or_this_repository() {
        let ours = "[[package]]\nname = \"watchword\"\nversion = \"0.1.0\"\n";
        let lock = format!("{ours}\n[[package]]\nname = \"serde\"\nsource = \"{REGISTRY}\"\n");
        assert_eq!(check(&lock), []);
    }

    #[test]
    fn a_crate_from_a_git_repository_is_found() {
        let findings =
            check("[[package]]\nname = \"x\"\nsource = \"git+https://example.com/x#1\"\n");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 3);
    }
}
