//! The files of this repository as git knows them: tracked, or new and not ignored.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// From the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            text: text.into(),
        }
    }

    /// Whether it is Rust that we wrote.
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    /// Its lines, each with its number counted from one.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

/// All files, and the text of those that we wrote.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Every path, text or not, ours or not.
    pub(crate) paths: BTreeSet<String>,
    /// Text files that are neither generated nor somebody else's.
    pub(crate) texts: Vec<TextFile>,
}

impl Tree {
    #[cfg(test)]
    pub(crate) fn of(texts: Vec<TextFile>) -> Self {
        Self {
            paths: texts.iter().map(|file| file.path.clone()).collect(),
            texts,
        }
    }

    /// Reads the working tree at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let listing = output(
            Command::new("git")
                .args([
                    "ls-files",
                    "-z",
                    "--cached",
                    "--others",
                    "--exclude-standard",
                ])
                .current_dir(root),
        )?;
        let mut tree = Self::default();
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            let on_disk = root.join(path);
            // A tracked file that was deleted is still listed until that is committed.
            if !on_disk.is_file() {
                continue;
            }
            tree.paths.insert(path.to_owned());
            if !is_ours(path) {
                continue;
            }
            let bytes = std::fs::read(&on_disk).map_err(|error| format!("{path}: {error}"))?;
            if let Ok(text) = String::from_utf8(bytes)
                && !text.contains('\0')
            {
                tree.texts.push(TextFile {
                    path: path.to_owned(),
                    text,
                });
            }
        }
        if tree.texts.is_empty() {
            return Err(format!("git lists no files in {}", root.display()));
        }
        Ok(tree)
    }

    /// Whether `path` is a file of the repository, or a folder with one in it.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.paths.contains(path)
            || self
                .paths
                .range(folder.clone()..)
                .next()
                .is_some_and(|next| next.starts_with(&folder))
    }
}

/// Not vendored and not generated: nobody wraps or renames those.
fn is_ours(path: &str) -> bool {
    let vendored = path
        .split('/')
        .any(|part| matches!(part, "vendor" | "vendored"));
    let generated = path == "Cargo.lock" || path.contains(".min.");
    !vendored && !generated
}

/// The root of the workspace, which is the parent of this crate.
pub(crate) fn root() -> Result<PathBuf, String> {
    let manifest = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|_| "run it as `cargo xtask`, which says where the workspace is".to_owned())?;
    Path::new(&manifest)
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("{manifest} has no parent"))
}

/// What a command printed, or what it complained about.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if !done.status.success() {
        return Err(format!(
            "{name}: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        ));
    }
    String::from_utf8(done.stdout).map_err(|_| format!("{name}: printed something that is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_when_a_file_is_in_it() {
        let tree = Tree::of(vec![TextFile::new("docs/guide/start.md", "")]);
        assert!(tree.holds("docs/guide/start.md"));
        assert!(tree.holds("docs/guide"));
        assert!(tree.holds("docs"));
        assert!(!tree.holds("docs/gui"));
        assert!(!tree.holds("docs/guide/other.md"));
    }

    #[test]
    fn vendored_and_generated_files_are_not_ours() {
        assert!(is_ours("crates/http/src/lib.rs"));
        assert!(!is_ours("crates/http/vendor/redoc.js"));
        assert!(!is_ours("crates/http/pages/redoc.min.js"));
        assert!(!is_ours("Cargo.lock"));
    }

    #[test]
    fn this_repository_lists_its_own_files() {
        let tree = Tree::read(&root().unwrap()).unwrap();
        assert!(tree.paths.contains("xtask/src/tree.rs"));
        assert!(tree.texts.iter().any(|file| file.path == "Cargo.toml"));
        assert!(!tree.paths.iter().any(|path| path.starts_with("target/")));
    }
}
