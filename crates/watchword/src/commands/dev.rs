//! `watchword dev`: everything on one machine, nothing to configure.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use watchword_core::Channel;
use watchword_core::keys::SecretKey;
use watchword_http::SurfaceKind;
use watchword_providers::ProviderSettings;

use super::trial::try_out;
use super::{runtime, tell_notes};
use crate::cli::Dev;
use crate::config::{
    Config, Mode, Origin, Sources, Table, Value, Variables, gather, list, read_private, set, settle,
};
use crate::failure::Failure;
use crate::output::say;
use crate::server::{Addresses, Manner, run as run_server};
use crate::system::SystemEntropy;

/// The name of the database in the data folder.
pub(super) const DATABASE: &str = "watchword.db";
pub(super) const KEY_FILE: &str = "secret.key";
/// The provider that serves every channel unless one is configured.
const INBOX: &str = "inbox";
/// The surfaces of the first listener.
const BESIDE: [SurfaceKind; 4] = [
    SurfaceKind::Native,
    SurfaceKind::Auth,
    SurfaceKind::Otp,
    SurfaceKind::Uuid,
];
/// Those of the second: `whatsapp` wants paths of the others.
const ALONE: [SurfaceKind; 2] = [SurfaceKind::Native, SurfaceKind::Whatsapp];

pub(super) fn run(args: &Dev) -> Result<(), Failure> {
    let variables = Variables::read(Path::new("."))?;
    let given = gather(Sources {
        mode: Mode::Dev,
        defaults: defaults(&args.data),
        file: args.config.as_deref(),
        variables: &variables,
        flags: flags(args),
    })?;
    tell_notes(&given);
    let mut config = settle(&given, Mode::Dev)?;
    let uses_data = config
        .storage
        .url
        .path()
        .is_some_and(|path| path.starts_with(&args.data));
    if uses_data || config.secret_keys.is_empty() {
        make_folder(&args.data)?;
    }
    if config.secret_keys.is_empty() {
        config
            .secret_keys
            .push(secret_key(&args.data.join(KEY_FILE))?);
    }
    try_out(&config, &given)?;
    config.sum_up(&given);
    drop(given);
    let data = config.storage.url.path().map(Path::to_owned);
    let leaving = leaving(&config);
    let surfaces = surfaces(&config);
    let print = args.output.print_addresses;
    let manner = Manner {
        expose_codes: args.expose_codes,
        announce: Box::new(move |addresses| {
            if print {
                say(&addresses.to_json())
            } else {
                say(&welcome(addresses, &surfaces, data.as_deref(), &leaving))
            }
        }),
    };
    runtime(true)?.block_on(run_server(config, manner))
}

/// What dev mode brings along, below everything that is configured.
fn defaults(data: &Path) -> Table {
    let mut table = Table::new();
    let mut put = |path: &[&str], text: &str| {
        set(&mut table, path, Value::loose(text, Origin::Dev));
    };
    put(
        &["storage", "url"],
        &format!("sqlite:{}", data.join(DATABASE).display()),
    );
    put(&["admin", "bind"], "127.0.0.1:9090");
    // So that numbers of ten digits, as a document of a replaced service has them, can be tried.
    put(&["default_region"], "US");
    put(&["providers", INBOX, "kind"], INBOX);
    for channel in Channel::ALL {
        put(&["channels", channel.as_str()], INBOX);
    }
    // The addresses that the documents of the replaced services use.
    let listeners = [("127.0.0.1:8080", &BESIDE[..]), ("127.0.0.1:8000", &ALONE)];
    let listeners = listeners.map(|(address, surfaces)| {
        let mut listener = Table::new();
        set(&mut listener, &["bind"], Value::loose(address, Origin::Dev));
        let served = surfaces
            .iter()
            .filter(|kind| SurfaceKind::ALL.contains(kind));
        let names: Vec<_> = served.map(|kind| kind.as_str()).collect();
        let surfaces = Value::loose(names.join(", "), Origin::Dev);
        set(&mut listener, &["surfaces"], surfaces);
        listener
    });
    set(
        &mut table,
        &["listeners"],
        list(listeners.into(), Origin::Dev),
    );
    table
}

fn flags(args: &Dev) -> Table {
    let mut table = Table::new();
    for (path, flag, address) in [
        (["listeners", "0", "bind"].as_slice(), "--bind", args.bind),
        (
            &["listeners", "1", "bind"],
            "--whatsapp-bind",
            args.whatsapp_bind,
        ),
        (&["admin", "bind"], "--admin-bind", args.admin_bind),
    ] {
        if let Some(address) = address {
            set(
                &mut table,
                path,
                Value::loose(address.to_string(), Origin::Flag(flag)),
            );
        }
    }
    table
}

/// Makes the folder for this user alone, unless it is there.
fn make_folder(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| {
        Failure::refused(format!(
            "the folder {} cannot be made: {error}; choose another one with --data",
            folder.display()
        ))
    })
}

/// The key of earlier runs, or a fresh one that later runs find.
fn secret_key(file: &PathBuf) -> Result<SecretKey, Failure> {
    let shown = file.display();
    if file.exists() {
        let text = read_private(file).map_err(Failure::refused)?;
        return SecretKey::parse(&text).map_err(|weak| {
            Failure::refused(format!(
                "{shown} {weak}. What is in the database beside it was made with the key that was \
                 there; without it, remove the whole folder"
            ))
        });
    }
    let key = SecretKey::generate(&SystemEntropy).map_err(|error| Failure::from_error(&error))?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(file).and_then(|mut file| {
        writeln!(file, "{}", key.expose_base64().as_str())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::refused(format!("{shown} cannot be written: {error}")))?;
    Ok(key)
}

/// The channels whose messages do not stay in the inbox, as somebody configured other providers.
fn leaving(config: &Config) -> Vec<Channel> {
    let stays =
        |name: &String| matches!(config.providers.get(name), Some(ProviderSettings::Inbox(_)));
    let routes = config.channels.iter();
    let outward = routes.filter(|(_, route)| !route.lists().flatten().all(stays));
    outward.map(|(channel, _)| *channel).collect()
}

/// The surfaces of each listener.
fn surfaces(config: &Config) -> Vec<String> {
    let named = config.listeners.iter().map(|listener| {
        let names = listener.surfaces.iter().map(|(kind, mount)| {
            if mount.is_empty() {
                kind.to_string()
            } else {
                format!("{kind} at {mount}")
            }
        });
        names.collect::<Vec<_>>().join(", ")
    });
    named.collect()
}

/// What becomes of a message.
fn reach(leaving: &[Channel]) -> String {
    if leaving.is_empty() {
        return "Nothing leaves this machine".to_owned();
    }
    let names: Vec<_> = leaving.iter().map(|channel| channel.as_str()).collect();
    format!(
        "Messages by {} leave this machine through your providers",
        names.join(", ")
    )
}

/// What a person reads who started dev mode.
fn welcome(
    addresses: &Addresses,
    surfaces: &[String],
    database: Option<&Path>,
    leaving: &[Channel],
) -> String {
    let url = addresses.first_url();
    let insecure = if url.starts_with("https") { "-k " } else { "" };
    let mut text = format!(
        "\nWatchword {} in dev mode. {}, and no API key is needed.\n\n",
        env!("CARGO_PKG_VERSION"),
        reach(leaving)
    );
    for (api, surfaces) in addresses.urls().zip(surfaces) {
        text += &format!("  API     {api}  {surfaces}  (documents: {api}/docs)\n");
    }
    text += &format!("  Demo    {url}/demo\n");
    text += &format!("  Inbox   {url}/dev/inbox\n");
    if let Some(admin) = addresses.admin {
        text += &format!("  Admin   http://{admin}/metrics  (also /livez, /readyz)\n");
    }
    if let Some(database) = database {
        text += &format!("  Data    {}\n", database.display());
    }
    text += &format!(
        "\nTry it:\n\n  curl -s {insecure}{url}/v1/verifications -H 'Content-Type: application/json' \
         -d '{{\"to\": \"+12025550123\"}}'\n\n\
         {} Ctrl-C stops the server.\n",
        if leaving.contains(&Channel::Sms) {
            "The number is nobody's: put yours in."
        } else {
            "The code is in the inbox then."
        }
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_mode_does_not_promise_an_inbox_for_what_leaves() {
        assert_eq!(reach(&[]), "Nothing leaves this machine");
        assert_eq!(
            reach(&[Channel::Sms, Channel::Email]),
            "Messages by sms, email leave this machine through your providers"
        );
    }
}
