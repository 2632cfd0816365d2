//! Names that say nothing attract code that belongs elsewhere.

use crate::finding::Finding;
use crate::tree::Tree;

/// Words that name no thing; refused wherever they are a word of a file's or module's name.
const EMPTY_WORDS: [&str; 8] = [
    "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils",
];

const ADVICE: &str = "Name it for the one thing that it holds, as an operator would call it.";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| file.is_rust()) {
        for part in file.path.split('/') {
            if let Some(word) = empty_word(part.trim_end_matches(".rs")) {
                let what = format!("`{part}` is named with `{word}`");
                findings.push(Finding::new(&file.path, 1, what, ADVICE));
            }
        }
        for (number, line) in file.lines() {
            // A module in a file of its own is found by that file's name.
            let inline = line.trim_end().ends_with('{');
            if let Some((name, word)) = module(line)
                .filter(|_| inline)
                .and_then(|name| Some((name, empty_word(name)?)))
            {
                let what = format!("module `{name}` is named with `{word}`");
                findings.push(Finding::new(&file.path, number, what, ADVICE));
            }
        }
    }
    findings
}

fn empty_word(name: &str) -> Option<&str> {
    name.split(['_', '-'])
        .find(|word| EMPTY_WORDS.contains(word))
}

/// The name in `mod name`, `pub mod name` or `pub(crate) mod name`.
fn module(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if let Some(after) = rest.strip_prefix("pub") {
        let after = match after.strip_prefix('(') {
            Some(scope) => scope.split_once(')')?.1,
            None => after,
        };
        rest = after.strip_prefix(' ')?;
    }
    let name = rest.strip_prefix("mod ")?;
    let end = name
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    Some(&name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    fn complaints(path: &str, text: &str) -> Vec<(usize, String)> {
        let findings = check(&Tree::of(vec![TextFile::new(path, text)]));
        findings
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    #[test]
    fn a_file_or_folder_named_for_nothing_is_refused() {
        for path in [
            "crates/core/src/utils.rs",
            "crates/core/src/code_helpers.rs",
            "crates/http/tests/common/mod.rs",
            "crates/http/src/session_manager.rs",
            "bench/src/misc.rs",
        ] {
            assert_eq!(complaints(path, "").len(), 1, "{path}");
        }
        for path in [
            "crates/core/src/commonest.rs",
            "crates/http/src/utility_bill.rs",
        ] {
            assert_eq!(complaints(path, ""), [], "{path}");
        }
    }

    #[test]
    fn an_inline_module_named_for_nothing_is_refused() {
        for line in [
            "mod helpers {",
            "pub mod util {",
            "    pub(crate) mod misc {",
        ] {
            let found = complaints("crates/core/src/code.rs", &format!("//! x\n{line}\n"));
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert_eq!(found[0].0, 2);
        }
        for line in [
            "mod tests {",
            "public mod utils {",
            "// mod of utils {",
            "let mod_utils = {",
        ] {
            assert_eq!(complaints("crates/core/src/code.rs", line), [], "{line}");
        }
    }
}
