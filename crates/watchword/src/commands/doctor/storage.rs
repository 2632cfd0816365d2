//! Where things are kept, without changing it and without making it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use watchword_providers::probe::Verdict;
use watchword_stores::StorageUrl;

use super::report::Check;
use crate::telemetry::chain;

/// How a database of SQLite begins, and where in its head the program that made it is named
/// (<https://www.sqlite.org/fileformat2.html#the_database_header>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const APPLICATION: std::ops::Range<usize> = 68..72;
/// Ours: "wawd".
const OURS: [u8; 4] = *b"wawd";

/// `subject` is the setting that names the storage.
pub(super) async fn look(subject: &str, url: &StorageUrl) -> Check {
    match url {
        StorageUrl::Memory => Check::ok(
            subject,
            "store",
            "in memory; codes, limits, locks and API keys are gone with the process",
        ),
        StorageUrl::Postgres(_) | StorageUrl::Redis(_) => match watchword_stores::look(url).await {
            Ok(said) => Check::ok(subject, "store", said),
            Err(error) => Check::new(
                Verdict::Problem,
                subject,
                "store",
                chain(&error),
                "see that it runs and that this machine may use it",
            ),
        },
        StorageUrl::Sqlite(path) => match look_at(path) {
            Ok(said) => Check::ok(subject, "store", said),
            Err((said, advice)) => {
                let said = format!("{} {said}", path.display());
                Check::new(Verdict::Problem, subject, "store", said, advice)
            }
        },
    }
}

type Trouble = (String, &'static str);

fn look_at(path: &Path) -> Result<String, Trouble> {
    let shown = path.display();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(("is in a folder that does not exist".to_owned(), "create it"));
    }
    try_writing(folder).map_err(|error| {
        (
            format!("is in a folder that cannot be written: {error}"),
            "let the user that runs the server write there, and see whether the disk is full",
        )
    })?;
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(format!(
                "{shown} is not there yet; the first start makes it"
            ));
        }
        Err(error) => {
            return Err((
                format!("cannot be opened for writing: {error}"),
                "run this as the user that runs the server, and see whom the file belongs to",
            ));
        }
    };
    if !is_ours(&mut file, path) {
        return Err((
            "is not a database of this program".to_owned(),
            "name another file",
        ));
    }
    match is_served(path) {
        Ok(true) => Ok(format!("{shown} is in use by a running server")),
        Ok(false) => Ok(format!("{shown} is there and can be written")),
        Err(error) => Err((
            format!("has a .lock beside it that cannot be opened: {error}"),
            "run this as the user that runs the server",
        )),
    }
}

/// Writes a little beside the database, and removes it.
fn try_writing(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".watchword-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    drop(file);
    std::fs::remove_file(&path)?;
    written
}

/// Whether it is empty or made by this program, as far as its head says.
fn is_ours(file: &mut File, path: &Path) -> bool {
    let mut head = Vec::with_capacity(100);
    if file.take(100).read_to_end(&mut head).is_err() {
        return false;
    }
    if head.is_empty() {
        return true;
    }
    let application = head.get(APPLICATION);
    let named = application == Some(OURS.as_slice());
    // Who made it may still be in the log beside it.
    let young = application == Some([0; 4].as_slice()) && beside(path, "-wal").exists();
    head.starts_with(MAGIC) && (named || young)
}

/// Whether a server holds the lock. Holds it for a moment itself, if nobody does.
fn is_served(path: &Path) -> io::Result<bool> {
    let lock = match OpenOptions::new()
        .read(true)
        .write(true)
        .open(beside(path, ".lock"))
    {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &Path) -> (Verdict, String) {
        let url = StorageUrl::Sqlite(path.to_owned());
        let runtime = crate::commands::runtime(false).unwrap();
        runtime.block_on(look("storage.url", &url)).told()
    }

    #[test]
    fn a_database_is_told_from_other_files_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchword.db");
        let (verdict, line) = told(&path);
        assert_eq!(verdict, Verdict::Ok);
        assert!(line.contains("not there yet"), "{line}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        watchword_stores::migrate(&path).unwrap();
        let (verdict, line) = told(&path);
        assert_eq!(verdict, Verdict::Ok, "{line}");
        assert!(line.contains("can be written"), "{line}");

        for other in [&b"SQLite format 3\0 of another program"[..], b"hello"] {
            std::fs::write(&path, other).unwrap();
            let (verdict, line) = told(&path);
            assert_eq!(verdict, Verdict::Problem);
            assert!(line.contains("not a database of this program"), "{line}");
        }
        let (verdict, line) = told(&folder.path().join("nowhere/watchword.db"));
        assert_eq!(verdict, Verdict::Problem, "{line}");
    }
}
