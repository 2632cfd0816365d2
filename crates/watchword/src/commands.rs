//! What each command does.

mod apikey;
mod audit;
mod backup;
mod client;
mod dev;
mod doctor;
mod healthcheck;
mod inspect;
mod serve;
mod store;
mod trial;

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use watchword_core::keys::SecretKey;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::{Given, Mode, Sources, Table, Variables, gather};
use crate::failure::Failure;
use crate::output::{complain, say};
use crate::system::SystemEntropy;

/// Does what the command line says.
///
/// # Errors
/// What a person reads, and the exit code.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Dev(args) => dev::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Config(ConfigCommand::Check(file)) => inspect::check(&file),
        Command::Config(ConfigCommand::Show(file)) => inspect::show(&file),
        Command::Doctor(args) => doctor::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Keygen => keygen(),
        Command::Apikey(command) => apikey::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Send(args) => client::send(&args),
        Command::Check(args) => client::check(&args),
        Command::Unlock(args) => client::unlock(&args),
        Command::Recipient(command) => client::recipient(&command),
        Command::Migrate(file) => serve::migrate(&file),
        Command::Backup(args) => backup::run(&args),
        Command::Store(command) => store::run(command),
        Command::Openapi => say(&watchword_http::openapi_json()),
        Command::Completions { shell } => completions(shell),
        Command::Version => say(concat!("watchword ", env!("CARGO_PKG_VERSION"))),
    }
}

fn keygen() -> Result<(), Failure> {
    let key = SecretKey::generate(&SystemEntropy).map_err(|error| Failure::from_error(&error))?;
    say(&key.expose_base64())
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "watchword", &mut script);
    say(String::from_utf8_lossy(&script).trim_end())
}

/// Takes the file that was named, or the usual one if it is there.
fn usual_file(named: Option<&Path>) -> Option<PathBuf> {
    const USUAL: &str = "watchword.toml";
    let usual = || Path::new(USUAL).is_file().then(|| PathBuf::from(USUAL));
    named.map(Path::to_owned).or_else(usual)
}

/// Gathers the settings of a server, and tells what an operator should know of them.
fn given_to_serve(named: Option<&Path>) -> Result<Given, Failure> {
    let file = usual_file(named);
    let variables = Variables::read(Path::new("."))?;
    let given = gather(Sources {
        mode: Mode::Serve,
        defaults: Table::new(),
        file: file.as_deref(),
        variables: &variables,
        flags: Table::new(),
    })?;
    tell_notes(&given);
    Ok(given)
}

fn tell_notes(given: &Given) {
    for note in &given.notes {
        complain(&format!("note: {note}"));
    }
}

/// A runtime for a server, or for a command that talks to one.
fn runtime(server: bool) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = if server {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let made = builder.enable_all().build();
    made.map_err(|error| Failure::refused(format!("no threads can be started: {error}")))
}
