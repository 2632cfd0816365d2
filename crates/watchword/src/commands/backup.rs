//! `watchword backup`: copies the SQLite database, beside a running server or without one.

use std::path::PathBuf;

use watchword_core::Clock as _;
use watchword_stores::{StorageUrl, backup};

use super::dev::DATABASE;
use super::given_to_serve;
use crate::cli::Backup;
use crate::config::{accounts_url, storage_url};
use crate::failure::Failure;
use crate::output::{complain, say};
use crate::system::SystemClock;

pub(super) fn run(args: &Backup) -> Result<(), Failure> {
    let from = source(args)?;
    let made = backup(&from, &args.to, SystemClock.now());
    let made = made.map_err(|error| Failure::from_error(&error))?;
    let mut lines = vec![format!(
        "{} was copied to {} ({} bytes), read back and found good. It holds",
        from.display(),
        args.to.display(),
        made.bytes
    )];
    for (class, rows) in made.rows {
        lines.push(format!("{class:<16}  {rows:>10}"));
    }
    say(&lines.join("\n"))
}

/// The file to copy.
fn source(args: &Backup) -> Result<PathBuf, Failure> {
    if let Some(data) = &args.store.data {
        return Ok(data.join(DATABASE));
    }
    let given = given_to_serve(args.store.file.config.as_deref())?;
    let storage = storage_url(&given)?;
    let apart = accounts_url(&given).filter(|accounts| *accounts != storage);
    let (setting, url) = match (args.accounts, apart) {
        (true, Some(apart)) => ("storage.accounts_url", apart),
        (true, None) => {
            return Err(Failure::refused(
                "accounts are in storage.url itself; leave --accounts out",
            ));
        }
        (false, apart) => {
            if let Some(StorageUrl::Sqlite(apart)) = apart {
                complain(&format!(
                    "note: accounts are in {}, which is not copied now; run `watchword backup \
                     --accounts` with another FILE as well",
                    apart.display()
                ));
            }
            ("storage.url", storage)
        }
    };
    let instead = match &url {
        StorageUrl::Sqlite(path) => return Ok(path.clone()),
        StorageUrl::Memory => "ends with the server, so that there is nothing to keep",
        StorageUrl::Postgres(_) => "is PostgreSQL: use pg_dump, or the backups of its host",
        StorageUrl::Redis(_) => "is Redis: copy its RDB or append-only file (BGSAVE)",
    };
    Err(Failure::refused(format!(
        "{setting} {instead}; docs/storage.md has more"
    )))
}
