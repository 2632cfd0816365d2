//! The command line: which commands there are, and what they take.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use watchword_core::{AppId, Channel, Scope, span};
use watchword_stores::Partitioned;

/// Makes one-time codes, sends them by WhatsApp, SMS, email and voice, and verifies each once.
#[derive(Parser)]
#[command(name = "watchword", version, propagate_version = true)]
#[command(after_help = "Try it: `watchword dev` needs no configuration.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run on this machine only, with nothing configured: every message goes to a local inbox
    Dev(Dev),
    /// Run a server
    Serve(Serve),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look whether everything that codes need is there, without sending one to anybody
    Doctor(Doctor),
    /// Ask the server on this machine whether it is well: exit code 0 if so, else 1
    Healthcheck(Healthcheck),
    /// Make a fresh secret key
    Keygen,
    /// Make, list and revoke API keys, whether or not a server is running
    #[command(subcommand)]
    Apikey(ApiKeyCommand),
    /// Read and verify the audit log, whether or not a server is running
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Have a running server send a code
    Send(Send),
    /// Have a running server check a code
    Check(Check),
    /// Have a running server lift the lock of a recipient
    Unlock(Unlock),
    /// What a running server holds about a recipient: show it, or erase it
    #[command(subcommand)]
    Recipient(RecipientCommand),
    /// Bring the database to the schema of this release, with the server stopped
    Migrate(File),
    /// Copy the SQLite database to a new file, beside a running server or without one
    Backup(Backup),
    /// Move what is kept, with the servers stopped
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print the OpenAPI document
    Openapi,
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

/// Which configuration.
#[derive(Args, Clone, Default)]
pub(crate) struct File {
    /// The configuration file; without it, watchword.toml if there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Dev {
    /// Where the API and the inbox listen; port 0 takes any free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<SocketAddr>,
    /// Where the whatsapp surface listens [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) whatsapp_bind: Option<SocketAddr>,
    /// Where metrics and health checks listen [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_bind: Option<SocketAddr>,
    /// The folder for the database and the generated key
    #[arg(long, value_name = "DIR", default_value = "./watchword-data")]
    pub(crate) data: PathBuf,
    /// Settings that replace those of dev mode
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Let surfaces return codes where their documents show them
    #[arg(long)]
    pub(crate) expose_codes: bool,
    #[command(flatten)]
    pub(crate) output: ServerOutput,
}

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) output: ServerOutput,
}

#[derive(Args)]
pub(crate) struct ServerOutput {
    /// Print the addresses as one line of JSON, for programs that start the server
    #[arg(long)]
    pub(crate) print_addresses: bool,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether a server would start with it, and what is wrong if not
    Check(File),
    /// Print the effective settings, where each came from, and the odds of guessing a code
    Show(File),
}

#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) file: File,
    /// Print one JSON document in place of lines
    #[arg(long)]
    pub(crate) json: bool,
    /// How long one question to a provider may take
    #[arg(long, value_name = "TIME", value_parser = span::parse, default_value = "5s")]
    pub(crate) timeout: Duration,
}

#[derive(Args)]
pub(crate) struct Healthcheck {
    #[command(flatten)]
    pub(crate) file: File,
    /// Ask whether it can serve, too: its store answers, and it is not stopping
    #[arg(long)]
    pub(crate) ready: bool,
    /// Where its admin listener is [default: what admin.bind says]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<SocketAddr>,
    /// How long it may take to answer
    #[arg(long, value_name = "TIME", value_parser = span::parse, default_value = "2s")]
    pub(crate) timeout: Duration,
}

/// Where the database is.
#[derive(Args)]
pub(crate) struct KeyStore {
    #[command(flatten)]
    pub(crate) file: File,
    /// The data folder of `watchword dev`, in place of a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Backup {
    /// The file to be made; one that is there already is left alone
    #[arg(value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Copy the file of storage.accounts_url, where accounts are kept apart
    #[arg(long, conflicts_with = "data")]
    pub(crate) accounts: bool,
    #[command(flatten)]
    pub(crate) store: KeyStore,
}

#[derive(Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Make a key and show it, once
    Create {
        /// What people call it
        name: String,
        /// What its bearer may do; may be repeated [default: everything that a back end needs to
        /// verify its own users, which leaves out recipients:unlock,
        /// recipients:manage and codes:read]
        #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = scope)]
        scope: Vec<Scope>,
        /// The app that its bearer acts for
        #[arg(long, value_name = "APP", value_parser = app, default_value = "default")]
        app: AppId,
        /// When it ends by itself, such as 90d [default: never]
        #[arg(long, value_name = "TIME", value_parser = span::parse)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        store: KeyStore,
    },
    /// List all keys; the secret part is not known to anybody
    List {
        #[command(flatten)]
        store: KeyStore,
    },
    /// End a key; a running server knows within a second
    Revoke {
        /// The 12 characters after wk_ that name it, or the whole key
        id: String,
        #[command(flatten)]
        store: KeyStore,
    },
}

#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Copy everything that one storage keeps into another one, and count both sides. Stop every
    /// server first. It may be run again, also after it was interrupted
    Copy(StoreCopy),
    /// Spread the tables of a PostgreSQL database over partitions, by hash of the recipient's
    /// index. Stop every server first. It may be run again, with another number too
    Partition(StorePartition),
}

#[derive(Args)]
pub(crate) struct StorePartition {
    /// The database, as in storage.url, or env:NAME for the URL in that environment variable
    pub(crate) storage: String,
    /// How many partitions each table shall have; 1 makes it one piece again
    #[arg(long, value_name = "NUMBER", value_parser = partitions())]
    pub(crate) count: u16,
}

fn partitions() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=i64::from(Partitioned::MOST))
}

#[derive(Args)]
pub(crate) struct StoreCopy {
    /// The storage that was used until now, as in storage.url, or env:NAME for the URL in that
    /// environment variable. It is only read
    pub(crate) from: String,
    /// The storage to be used from now on: empty, or what an earlier copy left. The same forms
    pub(crate) to: String,
    /// Where accounts are [default: FROM, if that is SQL]
    #[arg(long, value_name = "URL")]
    pub(crate) accounts_from: Option<String>,
    /// Where accounts shall be; the same as --accounts-from if they stay [default: TO, if that is
    /// SQL]
    #[arg(long, value_name = "URL")]
    pub(crate) accounts_to: Option<String>,
    /// The configuration is asked for the secret keys only
    #[command(flatten)]
    pub(crate) file: File,
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Print all entries, oldest first, a line of JSON each
    Export {
        /// Only pages behind this one
        #[arg(long, value_name = "PAGE", default_value_t = 0)]
        after: u64,
        #[command(flatten)]
        store: KeyStore,
    },
    /// Look whether every entry is as it was written and none is missing; prints the newest page
    Verify {
        /// A page that was printed before and has to be there still, as NUMBER:HASH. Without one, a
        /// log whose newest pages were cut off looks like a shorter log
        #[arg(long, value_name = "PAGE")]
        expect: Option<String>,
        #[command(flatten)]
        store: KeyStore,
    },
}

/// Which server to talk to, and as whom.
#[derive(Args)]
pub(crate) struct Server {
    /// The address of the server
    #[arg(long, env = "WATCHWORD_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// The API key; better in the environment, where process lists do not show it. Not needed in
    /// dev mode
    #[arg(long, env = "WATCHWORD_API_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

#[derive(Args)]
pub(crate) struct Send {
    /// A phone number or an email address
    pub(crate) to: String,
    /// How it travels: whatsapp, sms, email or voice; several in the order tried [default: by the
    /// kind of recipient]
    #[arg(long, value_parser = channel, value_delimiter = ',')]
    pub(crate) channel: Vec<Channel>,
    /// What the code authorises
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// The language of the message, such as pt-BR
    #[arg(long)]
    pub(crate) locale: Option<String>,
    /// Follow its deliveries for so long at most, such as 30s [default: 30s on a terminal, else
    /// not at all]
    #[arg(long, value_name = "TIME", value_parser = span::parse, conflicts_with = "no_wait")]
    pub(crate) wait: Option<Duration>,
    /// Do not follow its deliveries
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Args)]
pub(crate) struct Check {
    /// The id that `watchword send` printed
    pub(crate) id: String,
    /// The code that arrived
    pub(crate) code: String,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Subcommand)]
pub(crate) enum RecipientCommand {
    /// Print everything that is held about it as JSON, for the app of the API key
    Show(Unlock),
    /// Remove its verifications, live ones too, and its account, for the app of the API key. What
    /// is counted of it stays, under a keyed index
    Erase(Unlock),
}

#[derive(Args)]
pub(crate) struct Unlock {
    /// A phone number or an email address
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) server: Server,
}

fn scope(name: &str) -> Result<Scope, String> {
    name.parse()
        .map_err(|error: watchword_core::UnknownScope| error.to_string())
}

fn app(name: &str) -> Result<AppId, String> {
    AppId::parse(name).map_err(|error| error.to_string())
}

fn channel(name: &str) -> Result<Channel, String> {
    name.parse()
        .map_err(|error: watchword_core::UnknownChannel| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
