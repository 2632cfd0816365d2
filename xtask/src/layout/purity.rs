//! The core has no clock, no chance and no I/O of its own: they are arguments.
//!
//! Which crates the core may use is checked with the arrows; this is about the standard library.

use crate::finding::Finding;
use crate::tree::Tree;

const CORE: &str = "crates/core/src/";
/// Equipment of tests, built only with the feature `testing`: how long it runs may be a setting.
const CONFORMANCE: &str = "crates/core/src/conformance";

/// What reaches out of the core, and what it takes instead.
const OUTSIDE: [(&str, &str); 10] = [
    (
        "SystemTime::now",
        "Take `now` as an argument, or a `Clock`.",
    ),
    ("Instant::now", "Take `now` as an argument, or a `Clock`."),
    (
        "jiff::Timestamp::now",
        "Take `now` as an argument, or a `Clock`.",
    ),
    ("Zoned::now", "Take `now` as an argument, or a `Clock`."),
    ("thread::sleep", "Let the caller wait; the core never does."),
    (
        "std::fs",
        "Files belong to watchword-stores or to the binary.",
    ),
    (
        "std::net::Tcp",
        "Sockets belong to watchword-http and watchword-providers.",
    ),
    (
        "std::net::Udp",
        "Sockets belong to watchword-http and watchword-providers.",
    ),
    ("std::env", "Settings are read in the binary and handed in."),
    ("std::process", "Processes belong to the binary."),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let core = |path: &str| path.starts_with(CORE) && !path.starts_with(CONFORMANCE);
    for file in tree
        .texts
        .iter()
        .filter(|file| core(&file.path) && file.is_rust())
    {
        for (number, line) in file.lines().filter(|(_, line)| !is_comment(line)) {
            for (outside, advice) in OUTSIDE.iter().filter(|(outside, _)| line.contains(outside)) {
                let what = format!("the core reaches out with `{outside}`");
                findings.push(Finding::new(&file.path, number, what, *advice));
            }
        }
    }
    findings
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    #[test]
    fn a_clock_or_a_file_in_the_core_is_found() {
        for (outside, _) in OUTSIDE {
            let text = format!("//! x\nlet x = {outside}();\n");
            let findings = check(&Tree::of(vec![TextFile::new(
                "crates/core/src/code.rs",
                text,
            )]));
            assert_eq!(findings.len(), 1, "{outside}: {findings:?}");
            assert_eq!(findings[0].line, 2);
        }
    }

    #[test]
    fn comments_other_crates_and_the_conformance_suite_are_let_be() {
        let comment = TextFile::new("crates/core/src/code.rs", "/// Never `SystemTime::now`.");
        let binary = TextFile::new("crates/watchword/src/clock.rs", "SystemTime::now()");
        let suite = TextFile::new(
            "crates/core/src/conformance/histories.rs",
            "std::env::var(X)",
        );
        assert_eq!(check(&Tree::of(vec![comment, binary, suite])), []);
    }
}
