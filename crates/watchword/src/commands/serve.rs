//! `watchword serve` and `watchword migrate`.

use watchword_stores::StorageUrl;

use super::trial::try_out;
use super::{given_to_serve, runtime};
use crate::cli::{File, Serve};
use crate::config::{Mode, settle, storage_url};
use crate::failure::Failure;
use crate::output::say;
use crate::server::{Manner, run as run_server};

pub(super) fn run(args: &Serve) -> Result<(), Failure> {
    let given = given_to_serve(args.file.config.as_deref())?;
    let config = settle(&given, Mode::Serve)?;
    try_out(&config, &given)?;
    drop(given);
    let print = args.output.print_addresses;
    let manner = Manner {
        expose_codes: false,
        announce: Box::new(move |addresses| {
            if print {
                say(&addresses.to_json())
            } else {
                Ok(())
            }
        }),
    };
    runtime(true)?.block_on(run_server(config, manner))
}

pub(super) fn migrate(file: &File) -> Result<(), Failure> {
    let given = given_to_serve(file.config.as_deref())?;
    let failed = |error| Failure::from_error(&error);
    let (place, migrated) = match storage_url(&given)? {
        StorageUrl::Memory => return say("memory: has no schema; nothing to do"),
        StorageUrl::Redis(_) => return say("Redis has no schema; nothing to do"),
        StorageUrl::Sqlite(path) => {
            let migrated = watchword_stores::migrate(&path).map_err(failed)?;
            (path.display().to_string(), migrated)
        }
        StorageUrl::Postgres(url) => {
            let migrating = watchword_stores::migrate_postgres(&url);
            let migrated = runtime(false)?.block_on(migrating).map_err(failed)?;
            (url.to_string(), migrated)
        }
    };
    let (from, to) = (migrated.from, migrated.to);
    if from == to {
        say(&format!("{place} has schema version {to} already"))
    } else {
        say(&format!(
            "{place} was brought from schema version {from} to {to}"
        ))
    }
}
