//! `watchword store copy`: moves everything from one storage to another, with the servers stopped.
//! `watchword store partition`: spreads the tables of a database over partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use watchword_core::keys::KeyRing;
use watchword_core::moving::Class;
use watchword_stores::{
    Move, MoveAccounts, MoveError, Moved, StorageUrl, copy, keeps_accounts, partition_postgres,
};

use super::{given_to_serve, runtime};
use crate::cli::{StoreCommand, StoreCopy, StorePartition};
use crate::config::secret_keys;
use crate::failure::Failure;
use crate::output::{complain, say};
use crate::system::SystemClock;

/// So many rows are copied between two lines about the progress.
const TOLD_EVERY: u64 = 250_000;

pub(super) fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Copy(args) => copy_all(&args),
        StoreCommand::Partition(args) => partition(&args),
    }
}

fn partition(args: &StorePartition) -> Result<(), Failure> {
    let storage = storage("the storage", &args.storage)?;
    let StorageUrl::Postgres(url) = &storage else {
        return Err(Failure::refused(format!(
            "{storage} has no partitions: this is for PostgreSQL"
        )));
    };
    let done = runtime(true)?.block_on(partition_postgres(url, args.count));
    let done = done.map_err(|error| Failure::from_error(&error))?;
    let mut lines = vec![format!(
        "{:<12}  {:>10}  {:>10}  {:>10}",
        "", "rows", "before", "partitions"
    )];
    for ((table, rows), before) in done.tables.iter().zip(&done.before) {
        let now = done.now;
        lines.push(format!("{table:<12}  {rows:>10}  {before:>10}  {now:>10}"));
    }
    lines.push(match (done.as_before(), done.now) {
        (true, _) => "nothing to do: they are as they shall be".to_owned(),
        (false, 1) => "each table is one piece; start the servers".to_owned(),
        (false, _) => "the rows are in their partitions; start the servers".to_owned(),
    });
    say(&lines.join("\n"))
}

fn copy_all(args: &StoreCopy) -> Result<(), Failure> {
    let given = given_to_serve(args.file.config.as_deref())?;
    let keys = secret_keys(&given)?;
    let Some((newest, leaving)) = keys.split_first() else {
        return Err(Failure::refused("secret_key: is missing"));
    };
    let from = storage("FROM", &args.from)?;
    let to = storage("TO", &args.to)?;
    let accounts = accounts(args, &from, &to)?;
    let wanted = Move {
        from,
        to,
        accounts,
        keys: Arc::new(KeyRing::new(newest, leaving)),
        clock: Arc::new(SystemClock),
    };
    if wanted.accounts == MoveAccounts::Unsaid && !keeps_accounts(&wanted.from) {
        complain("note: accounts are not copied, as FROM keeps none; see --accounts-from");
    }
    complain(&format!("copying {} to {}", wanted.from, wanted.to));
    let said = AtomicU64::new(0);
    let told = |rows: u64| {
        let step = rows / TOLD_EVERY;
        if said.fetch_max(step, Ordering::Relaxed) < step {
            complain(&format!("{rows} rows so far"));
        }
    };
    let moved = runtime(true)?.block_on(copy(&wanted, &told));
    report(&wanted, &moved.map_err(|error| failure(&error))?)
}

fn failure(error: &MoveError) -> Failure {
    Failure::from_error(error)
}

/// A URL, or `env:NAME` for one that process lists should not show.
fn storage(what: &str, text: &str) -> Result<StorageUrl, Failure> {
    let text = match text.strip_prefix("env:") {
        None => text.to_owned(),
        Some(name) => std::env::var(name).map_err(|_| {
            Failure::refused(format!("{what}: there is no environment variable {name}"))
        })?,
    };
    // What is wrong with it never carries the text.
    let url = StorageUrl::parse(&text);
    url.map_err(|invalid| Failure::refused(format!("{what} {invalid}")))
}

/// Accounts go along where both sides keep some, unless they are said to be elsewhere.
fn accounts(args: &StoreCopy, from: &StorageUrl, to: &StorageUrl) -> Result<MoveAccounts, Failure> {
    let named = |what: &str, text: &Option<String>| {
        let text = text.as_deref();
        text.map(|text| storage(what, text)).transpose()
    };
    let beside = |url: &StorageUrl| keeps_accounts(url).then(|| url.clone());
    let source = named("--accounts-from", &args.accounts_from)?;
    let target = named("--accounts-to", &args.accounts_to)?;
    let said = source.is_some() || target.is_some();
    match (
        source.or_else(|| beside(from)),
        target.or_else(|| beside(to)),
    ) {
        (Some(source), Some(target)) if source == target => Ok(MoveAccounts::Stay),
        (Some(from), Some(to)) => Ok(MoveAccounts::Move { from, to }),
        (None, _) if said => Err(Failure::refused(
            "say where the accounts are (--accounts-from): FROM keeps none",
        )),
        (_, None) if said => Err(Failure::refused(
            "say where the accounts are to be kept (--accounts-to): TO keeps none",
        )),
        _ => Ok(MoveAccounts::Unsaid),
    }
}

fn report(wanted: &Move, moved: &Moved) -> Result<(), Failure> {
    let mut lines = vec![format!("{:<16}  {:>10}  {:>10}", "", "FROM", "TO")];
    for class in &moved.classes {
        lines.push(format!(
            "{:<16}  {:>10}  {:>10}",
            class.as_str(),
            moved.from.rows(*class),
            moved.to.rows(*class)
        ));
    }
    say(&lines.join("\n"))?;
    let named = |classes: &[Class]| {
        let names = classes.iter().map(|class| class.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    if !moved.changed.is_empty() {
        return Err(Failure::refused(format!(
            "{} changed while it was copied ({}): stop every server that uses it, and run this \
             again",
            wanted.from,
            named(&moved.changed)
        )));
    }
    let differences = moved.differences();
    if !differences.is_empty() {
        return Err(Failure::refused(format!(
            "{} does not hold what was copied ({}): stop every server that uses it, and run this \
             again",
            wanted.to,
            named(&differences)
        )));
    }
    say("both sides hold the same; start the servers with the new storage.url")
}
