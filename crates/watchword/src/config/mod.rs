//! The configuration: where settings come from, what they mean, and what is wrong with them.
//!
//! Layers, each above the one before: what dev mode brings along, the file, the environment names
//! of the services that Watchword replaces, `WATCHWORD__SECTION__KEY`, flags. A `.env` file counts
//! as environment.
//!
//! **Invariant:** no secret is printed, logged or quoted in a fault.

mod fault;
mod origin;
mod reading;
mod secret_files;
mod seed_names;
mod settle;
mod shape;
mod show;
mod tree;
mod variables;

use std::net::SocketAddr;
use std::path::Path;

pub(crate) use fault::Fault;
pub(crate) use origin::Origin;
pub(crate) use secret_files::read_private;
pub(crate) use settle::{
    AccountSettings, AuditSettings, Config, ListenerConfig, NEVER, accounts_url, audit_place,
    secret_keys, settle, storage_url,
};
pub(crate) use shape::{Log, LogFormat, LogLevel, Telemetry};
pub(crate) use show::show;
pub(crate) use tree::{Table, Value, list, set};
pub(crate) use variables::Variables;

use tree::{What, as_list, from_toml, has, merge};

/// Whether everything has to be configured, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `watchword serve`
    Serve,
    /// `watchword dev`
    Dev,
}

/// Where settings are taken from.
pub(crate) struct Sources<'a> {
    /// Who asks.
    pub(crate) mode: Mode,
    /// The settings below all others.
    pub(crate) defaults: Table,
    /// The configuration file.
    pub(crate) file: Option<&'a Path>,
    /// The environment.
    pub(crate) variables: &'a Variables,
    /// The settings above all others.
    pub(crate) flags: Table,
}

/// The settings as they were given, layers merged.
pub(crate) struct Given {
    /// The root of the tree.
    pub(crate) root: Value,
    /// What an operator should know and need not change.
    pub(crate) notes: Vec<String>,
}

/// The settings at the top that are lists of tables, one entry of which a variable may name.
const LISTS: [&str; 2] = ["listeners", "apps"];

/// Merges the layers.
///
/// # Errors
/// Everything that cannot be read.
pub(crate) fn gather(sources: Sources<'_>) -> Result<Given, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut root = sources.defaults;
    let mut file = Table::new();
    if let Some(path) = sources.file {
        file = read_file(path)?;
        secret_files::resolve(&mut file, "", &mut faults);
    }
    let mut own = sources.variables.settings().map_err(|fault| vec![fault])?;
    secret_files::resolve(&mut own, "", &mut faults);
    let is_dev = sources.mode == Mode::Dev;
    let seeds = {
        let given = |path: &str| has(&file, path) || has(&own, path);
        seed_names::read(sources.variables, is_dev, &given)
    };
    faults.extend(seeds.faults);
    merge(&mut root, file);
    merge(&mut root, seeds.table);
    merge(&mut root, own);
    merge(&mut root, sources.flags);
    for name in LISTS {
        root.entry(name.to_owned()).and_modify(as_list);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let origin = Origin::Dev;
    let root = Value {
        what: What::Table(root),
        origin,
    };
    Ok(Given {
        root,
        notes: seeds.notes,
    })
}

fn read_file(path: &Path) -> Result<Table, Vec<Fault>> {
    let text = std::fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| {
            vec![Fault::general(format!(
                "the configuration file {} cannot be read: {error}",
                path.display()
            ))]
        })?;
    from_toml(&text, path).map_err(|fault| vec![fault])
}

/// Where the admin listener of a server with these settings is, if it has one. Reads no secret and
/// judges nothing else: a server that runs has been judged.
///
/// # Errors
/// What cannot be read, and what is wrong with `[admin]`.
pub(crate) fn admin_bind(
    file: Option<&Path>,
    variables: &Variables,
) -> Result<Option<SocketAddr>, Vec<Fault>> {
    let mut root = file.map(read_file).transpose()?.unwrap_or_default();
    merge(
        &mut root,
        variables.settings().map_err(|fault| vec![fault])?,
    );
    settle::admin_of(&Value {
        what: What::Table(root),
        origin: Origin::Dev,
    })
}
