//! A file that a reader can hold in mind.

use crate::finding::Finding;
use crate::tree::Tree;

/// Lines of Rust in one file, tests and comments included.
const MOST_LINES: usize = 500;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| file.is_rust()) {
        let lines = file.lines().count();
        if lines > MOST_LINES {
            findings.push(Finding::new(
                &file.path,
                MOST_LINES + 1,
                format!("{lines} lines, {} too many", lines - MOST_LINES),
                "Split it by duty: each part named for what an operator would call it, with its tests.",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    #[test]
    fn five_hundred_lines_pass_and_one_more_does_not() {
        let tree = Tree::of(vec![
            TextFile::new("crates/core/src/right.rs", "x\n".repeat(500)),
            TextFile::new("crates/core/src/long.rs", "x\n".repeat(501)),
            TextFile::new("docs/long.md", "x\n".repeat(5_000)),
        ]);
        let findings = check(&tree);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            (findings[0].path.as_str(), findings[0].line),
            ("crates/core/src/long.rs", 501)
        );
        assert_eq!(findings[0].what, "501 lines, 1 too many");
    }
}
