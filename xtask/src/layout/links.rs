//! Links in our documents that lead nowhere.
//!
//! Only links inside the repository are followed: to files, and to headings of documents.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::tree::{TextFile, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in tree.texts.iter().filter(|file| is_document(&file.path)) {
        for (number, line) in prose(document) {
            for target in targets(&line) {
                if let Some((what, advice)) = fault(tree, document, target) {
                    findings.push(Finding::new(&document.path, number, what, advice));
                }
            }
        }
    }
    findings
}

fn is_document(path: &str) -> bool {
    std::path::Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "md")
}

/// What is wrong with one link of `document`, and what to do about it.
fn fault(tree: &Tree, document: &TextFile, target: &str) -> Option<(String, &'static str)> {
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    if elsewhere || target.is_empty() {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(&document.path, file) else {
        return Some((
            format!("the link `{target}` leaves the repository"),
            "Link to a file of the repository, or give the whole URL.",
        ));
    };
    if !tree.holds(&path) {
        return Some((
            format!("the link `{target}` leads to no file"),
            "Correct the path, which starts at the document's own folder, or commit the file.",
        ));
    }
    let linked = tree.texts.iter().find(|file| file.path == path)?;
    if !heading.is_empty() && is_document(&path) && !headings(linked).contains(heading) {
        return Some((
            format!("the link `{target}` leads to no heading of {path}"),
            "Use the heading's text in lower case, with hyphens for spaces and no punctuation.",
        ));
    }
    None
}

/// The path from the root that `link` in `document` means; nothing if it leaves the root.
fn resolve(document: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(document.to_owned());
    }
    let mut parts: Vec<&str> = match link.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => document
            .split('/')
            .rev()
            .skip(1)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect(),
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The lines outside code blocks, with code in the line blanked out.
fn prose(document: &TextFile) -> Vec<(usize, String)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (number, line) in document.lines() {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => lines.push((number, without_code(line))),
        }
    }
    lines
}

/// `line` without what stands between pairs of backticks.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    let odd_one = parts.len().is_multiple_of(2);
    let mut kept = String::new();
    for (index, part) in parts.iter().enumerate() {
        // A backtick without a partner hides nothing.
        let last = index + 1 == parts.len();
        if index.is_multiple_of(2) || (last && odd_one) {
            kept.push_str(part);
        }
    }
    kept
}

/// The targets of `[text](target "title")` and of `[name]: target` in one line.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        let rest = &line[at + 2..];
        if let Some(end) = rest.find(')') {
            found.push(first_word(&rest[..end]));
        }
    }
    if let Some((name, rest)) = line
        .trim_start()
        .strip_prefix('[')
        .and_then(|l| l.split_once("]:"))
        && !name.contains(']')
        && !name.starts_with('^')
    {
        found.push(first_word(rest));
    }
    found
}

/// A target without its title and without angle brackets.
fn first_word(text: &str) -> &str {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.trim_start_matches('<').trim_end_matches('>')
}

/// The anchors of a document's headings.
fn headings(document: &TextFile) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut fenced = false;
    for (_, line) in document.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && line.starts_with('#') {
            anchors.insert(anchor(line.trim_start_matches('#').trim()));
        }
    }
    anchors
}

/// A heading's text as its anchor: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<(usize, String)> {
        let tree = Tree::of(vec![
            TextFile::new("docs/guide.md", text),
            TextFile::new(
                "docs/store.md",
                "# Stores, and `SQLite`\n```\n# not one\n```\n",
            ),
            TextFile::new("README.md", ""),
            TextFile::new("crates/core/src/lib.rs", ""),
        ]);
        check(&tree)
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    #[test]
    fn links_to_files_folders_headings_and_other_hosts_pass() {
        let text = "[a](store.md) [b](../README.md \"title\") ![c](/crates/core) [d](<store.md>)\n\
                    [e](https://example.com/x) [f](store.md#stores-and-sqlite) [g](#here)\n\
                    [h]: ../crates/core/src/lib.rs\n# Here\n";
        assert_eq!(complaints(text), []);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found_with_its_line() {
        for (link, what) in [
            ("[a](stores.md)", "the link `stores.md` leads to no file"),
            (
                "x [a](b/../store.txt) y",
                "the link `b/../store.txt` leads to no file",
            ),
            ("[a]: README.md", "the link `README.md` leads to no file"),
            (
                "[a](../../x.md)",
                "the link `../../x.md` leaves the repository",
            ),
            (
                "[a](store.md#not-one)",
                "the link `store.md#not-one` leads to no heading of docs/store.md",
            ),
            (
                "[a](#gone)",
                "the link `#gone` leads to no heading of docs/guide.md",
            ),
        ] {
            assert_eq!(
                complaints(&format!("# Top\n\n{link}\n")),
                [(3, what.to_owned())],
                "{link}"
            );
        }
    }

    #[test]
    fn code_holds_no_links() {
        let text = "`[a](gone.md)` and ``\n```sh\n[a](gone.md)\n~~~\n```\n~~~\n[a](gone.md)\n~~~\n";
        assert_eq!(complaints(text), []);
    }

    #[test]
    fn a_lone_backtick_hides_no_link() {
        assert_eq!(complaints("a ` [a](gone.md)").len(), 1);
    }
}
