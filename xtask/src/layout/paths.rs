//! A path of somebody's machine works on nobody else's, and tells where it was written.

use crate::finding::Finding;
use crate::tree::Tree;

/// Folders of a person or a machine. In two parts, so that this file does not find itself.
const FOLDERS: [(&str, &str); 4] = [
    ("/home", "/"),
    ("/root", "/"),
    ("/work", "/"),
    ("/Users", "/"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let folders = FOLDERS.map(|(name, slash)| format!("{name}{slash}"));
    let mut findings = Vec::new();
    for file in &tree.texts {
        for (number, line) in file.lines() {
            for folder in folders.iter().filter(|folder| has_absolute(line, folder)) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("a path of one machine: `{folder}…`"),
                    "Use a path relative to the repository, a temporary folder or a setting.",
                ));
            }
        }
    }
    findings
}

/// Whether `folder` starts a path in `line`, and is not the middle of one or of a URL.
fn has_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '~' | '*'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    #[test]
    fn a_path_of_one_machine_is_found_in_any_text() {
        for (name, slash) in FOLDERS {
            for (path, before) in [
                ("crates/core/src/code.rs", "let p = \""),
                ("README.md", "cd "),
                ("x.sh", "A="),
            ] {
                let text = format!("first\n{before}{name}{slash}ada/watchword\n");
                let findings = check(&Tree::of(vec![TextFile::new(path, text)]));
                assert_eq!(findings.len(), 1, "{path}: {findings:?}");
                assert_eq!(findings[0].line, 2);
            }
        }
    }

    #[test]
    fn the_middle_of_a_path_or_url_is_let_be() {
        let (name, slash) = FOLDERS[0];
        let text = format!("https://example.com{name}{slash}x ../..{name}{slash}x {name}page");
        assert_eq!(check(&Tree::of(vec![TextFile::new("README.md", text)])), []);
    }
}
