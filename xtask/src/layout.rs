//! The shape of the code: what the compiler and clippy cannot see.
//!
//! Each check is a pure function from files (or cargo's own description of the workspace) to
//! findings, so that its tests show it both a fault and the same thing done right.

mod arrows;
mod leftovers;
mod links;
mod lock;
mod names;
mod paths;
mod purity;
mod size;

use std::process::Command;

use crate::finding::Finding;
use crate::tree::{self, Tree};

/// What a run of all checks looked at and found.
pub(crate) struct Report {
    pub(crate) files: usize,
    pub(crate) findings: Vec<Finding>,
}

/// Runs every check on the working tree.
pub(crate) fn check() -> Result<Report, String> {
    let root = tree::root()?;
    let tree = Tree::read(&root)?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = tree::output(
        Command::new(cargo)
            .args([
                "metadata",
                "--no-deps",
                "--offline",
                "--format-version",
                "1",
            ])
            .current_dir(&root),
    )?;
    let metadata =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;

    let mut findings = arrows::check(&metadata, &tree)?;
    findings.extend(size::check(&tree));
    findings.extend(names::check(&tree));
    findings.extend(leftovers::check(&tree));
    findings.extend(paths::check(&tree));
    findings.extend(purity::check(&tree));
    findings.extend(links::check(&tree));
    findings.extend(lock::check(&lock));
    findings.sort();
    Ok(Report {
        files: tree.texts.len(),
        findings,
    })
}
