//! `watchword serve` and `watchword migrate`.

use watchword_stores::StorageUrl;

use super::trial::try_out;
use super::{given_to_serve, runtime};
use crate::cli::{File, Serve};
use crate::config::{Mode, accounts_url, settle, storage_url};
use crate::failure::Failure;
use crate::output::say;
use crate::server::{Manner, run as run_server};

pub(super) fn run(args: &Serve) -> Result<(), Failure> {
    let given = given_to_serve(args.file.config.as_deref())?;
    let mut config = settle(&given, Mode::Serve)?;
    try_out(&config, &given)?;
    config.sum_up(&given);
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
    let url = storage_url(&given)?;
    let apart = accounts_url(&given).filter(|accounts| *accounts != url);
    for url in std::iter::once(url).chain(apart) {
        bring_up(&url)?;
    }
    Ok(())
}

fn bring_up(url: &StorageUrl) -> Result<(), Failure> {
    let migrated = match url {
        StorageUrl::Memory | StorageUrl::Redis(_) => {
            return say(&format!("{url} has no schema; nothing to do"));
        }
        StorageUrl::Sqlite(path) => watchword_stores::migrate(path),
        StorageUrl::Postgres(url) => {
            runtime(false)?.block_on(watchword_stores::migrate_postgres(url))
        }
    };
    let migrated = migrated.map_err(|error| Failure::from_error(&error))?;
    let place = match url {
        StorageUrl::Sqlite(path) => path.display().to_string(),
        other => other.to_string(),
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
