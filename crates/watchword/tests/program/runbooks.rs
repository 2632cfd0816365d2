//! What the pages in docs/runbooks tell somebody in a hurry to type, to write and to look for is there.
//! Their metrics are looked after in `metrics`.

use std::path::{Path, PathBuf};

use crate::server::{call, configure, folder};

const MAIL: &str = "[channels]\nemail = [\"mail\"]\n[providers.mail]\nkind = \"smtp\"\n\
    url = \"smtp://127.0.0.1:9\"\nfrom = \"otp@example.com\"\n";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The pages, by name.
fn pages() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(repository("docs/runbooks")).unwrap();
    let pages = entries.map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read_to_string(entry.path()).unwrap())
    });
    pages.collect()
}

/// The blocks of a page in a language, without their indentation.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        let Some(said) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if said.split(' ').next() == Some(language) {
            found.push(block.join("\n"));
        }
    }
    found
}

#[test]
fn every_command_is_one_of_the_program() {
    let folder = folder();
    let mut seen = 0;
    for (name, page) in pages() {
        let blocks = blocks(&page, "sh");
        let lines = blocks.iter().flat_map(|block| block.lines());
        for line in lines.filter(|line| line.starts_with("watchword ")) {
            let line = line.split(" #").next().unwrap();
            // What is before `--help` is read first, and refused if it is not known.
            let words: Vec<_> = line.split_whitespace().skip(1).chain(["--help"]).collect();
            let said = call(folder.path(), &words);
            assert_eq!(said.code, 0, "{name}: {line}: {}", said.err);
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} commands were found");
}

#[test]
fn every_setting_is_accepted() {
    let mut seen = 0;
    for (name, page) in pages() {
        for block in blocks(&page, "toml") {
            let folder = folder();
            configure(folder.path(), &format!("{MAIL}{block}"));
            let said = call(folder.path(), &["config", "check"]);
            assert_eq!(said.code, 0, "{name}: {block}: {}", said.err);
            seen += 1;
        }
    }
    assert!(seen > 1, "only {seen} blocks were found");
}

fn sources(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(path).unwrap();
            // A text may go on in the next line.
            all.push_str(&text.split("\\\n").map(str::trim_start).collect::<String>());
        }
    }
}

#[test]
fn every_log_line_is_one_that_the_program_writes() {
    let mut all = String::new();
    for place in ["core", "stores", "providers", "http", "watchword"] {
        sources(&repository(&format!("crates/{place}/src")), &mut all);
    }
    let mut seen = 0;
    for (name, page) in pages() {
        let blocks = blocks(&page, "text");
        let lines = blocks.iter().flat_map(|block| block.lines());
        let levels = ["ERROR ", "WARN ", "INFO "];
        for line in lines.filter(|line| levels.iter().any(|level| line.starts_with(level))) {
            // Level, module or `…`, the message, and fields.
            let words = line.split_whitespace().skip(2);
            let message: Vec<_> = words.take_while(|word| !word.contains('=')).collect();
            let message = message.join(" ");
            assert!(all.contains(&message), "{name}: {message}");
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} lines were found");
}
