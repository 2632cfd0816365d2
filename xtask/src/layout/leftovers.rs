//! Work that was put off and forgotten.

use crate::finding::Finding;
use crate::tree::Tree;

/// Refused in Rust. In two parts, so that this file does not find itself.
const MACROS: [(&str, &str); 3] = [("todo", "!"), ("unimplemented", "!"), ("dbg", "!")];
/// Refused in everything that runs.
const MARK: (&str, &str) = ("FIX", "ME");

const ADVICE: &str = "Finish it, or take it out and file an issue.";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let macros = MACROS.map(|(name, bang)| format!("{name}{bang}"));
    let mark = format!("{}{}", MARK.0, MARK.1);
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| !is_document(&file.path)) {
        for (number, line) in file.lines() {
            let refused = macros.iter().filter(|_| file.is_rust()).chain([&mark]);
            for word in refused.filter(|word| has_word(line, word)) {
                let what = format!("`{word}` is left over");
                findings.push(Finding::new(&file.path, number, what, ADVICE));
            }
        }
    }
    findings
}

/// Documents may talk about such words.
fn is_document(path: &str) -> bool {
    std::path::Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "md")
}

/// Whether `word` is in `line` and is not the tail of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    #[test]
    fn work_put_off_is_found_with_its_line() {
        for (name, tail) in [MACROS[0], MACROS[1], MACROS[2], MARK] {
            let text = format!("fn f() {{\n    {name}{tail}();\n}}\n");
            let findings = check(&Tree::of(vec![TextFile::new(
                "crates/core/src/code.rs",
                text,
            )]));
            assert_eq!(findings.len(), 1, "{name}: {findings:?}");
            assert_eq!(findings[0].line, 2);
        }
    }

    #[test]
    fn a_longer_name_and_a_document_are_let_be() {
        let (name, bang) = MACROS[2];
        let longer = TextFile::new("crates/core/src/code.rs", format!("my_{name}{bang}(x);"));
        let (head, tail) = MARK;
        let document = TextFile::new("CONTRIBUTING.md", format!("no {head}{tail} here"));
        assert_eq!(check(&Tree::of(vec![longer, document])), []);
    }
}
