//! The environment names that the services which Watchword replaces are configured by.
//!
//! They work as they are, so that the environment of such a service is one of `watchword serve`.

mod accounts;
mod mail;

use watchword_core::keys::SecretKey;

use super::fault::Fault;
use super::origin::Origin;
use super::tree::{Table, Value, set};
use super::variables::Variables;

/// What one name means.
enum Meaning {
    /// It is this setting.
    Setting(&'static [&'static str], Form),
    /// It is the secret that keys are made from.
    Secret,
    /// It describes the mail server, together with others.
    MailServer,
    /// It describes an account at a provider, together with others.
    Account,
    /// It describes the Redis server, together with others.
    RedisServer,
}

/// How the value of a variable becomes that of a setting.
enum Form {
    AsItIs,
    Seconds,
    Minutes,
}

use Form::{AsItIs, Minutes, Seconds};
use Meaning::{Account, MailServer, RedisServer, Secret, Setting};

/// The names, each once. Of two that mean one setting, the later wins.
const NAMES: &[(&str, Meaning)] = &[
    ("SECRET_KEY", Secret),
    ("DATABASE_URL", Setting(&["storage", "url"], AsItIs)),
    (
        "OTP_CODE_LENGTH",
        Setting(&["policy", "code_length"], AsItIs),
    ),
    ("OTP_EXPIRY_MINUTES", Setting(&["policy", "ttl"], Minutes)),
    ("OTP_TTL_SECONDS", Setting(&["policy", "ttl"], Seconds)),
    (
        "OTP_MAX_ATTEMPTS",
        Setting(&["policy", "max_attempts"], AsItIs),
    ),
    (
        "OTP_RESEND_COOLDOWN_SECONDS",
        Setting(&["policy", "resend_cooldown"], Seconds),
    ),
    (
        "OTP_EMAIL_SUBJECT",
        Setting(&["templates", "texts", "subject"], AsItIs),
    ),
    (
        "OTP_EMAIL_TEMPLATE",
        Setting(&["templates", "texts", "email"], AsItIs),
    ),
    ("DEFAULT_FROM_EMAIL", MailServer),
    ("EMAIL_HOST", MailServer),
    ("EMAIL_PORT", MailServer),
    ("EMAIL_HOST_USER", MailServer),
    ("EMAIL_HOST_PASSWORD", MailServer),
    ("EMAIL_USE_TLS", MailServer),
    ("EMAIL_USE_SSL", MailServer),
    ("EMAIL_TIMEOUT", MailServer),
    ("EMAIL_BACKEND", MailServer),
    (
        "OTP_REQUIRE_PROVIDER_CONFIG",
        Setting(&["surfaces", "otp", "require_provider_config"], AsItIs),
    ),
    (
        "ACCESS_TOKEN_EXPIRE_MINUTES",
        Setting(&["accounts", "access_token_ttl"], Minutes),
    ),
    ("SMS_TWILIO_ACCOUNT_SID", Account),
    ("SMS_TWILIO_AUTH_TOKEN", Account),
    ("SMS_TWILIO_SENDER", Account),
    ("WA_TWILIO_ACCOUNT_SID", Account),
    ("WA_TWILIO_AUTH_TOKEN", Account),
    ("WA_TWILIO_SENDER", Account),
    ("WA_TWILIO_CONTENT_SID", Account),
    ("GUPSHUP_API_KEY", Account),
    ("GUPSHUP_SOURCE", Account),
    ("GUPSHUP_TEMPLATE_ID", Account),
    ("GUPSHUP_SRC_NAME", Account),
    ("GUPSHUP_API_URL", Account),
    ("SUPABASE_DB_URL", Setting(&["storage", "url"], AsItIs)),
    ("REDIS_HOST", RedisServer),
    ("REDIS_PORT", RedisServer),
    ("REDIS_PASSWORD", RedisServer),
];

/// Names that are so common, or whose servers are so seldom this machine's, that dev mode, which
/// needs no configuration, takes them for those of another program.
const AMBIENT: &[&str] = &[
    "SECRET_KEY",
    "DATABASE_URL",
    "SUPABASE_DB_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_PASSWORD",
];

/// What the names yield.
#[derive(Default)]
pub(crate) struct SeedSettings {
    /// The settings.
    pub(crate) table: Table,
    /// What cannot be served.
    pub(crate) faults: Vec<Fault>,
    /// What an operator should know and need not change.
    pub(crate) notes: Vec<String>,
}

/// Reads the settings among `variables`. In dev mode, what cannot be served is only noted.
///
/// `given` says whether a setting such as `storage.url` is written in the file or under a name of
/// our own: what is missing here may be there.
pub(crate) fn read(variables: &Variables, dev: bool, given: &dyn Fn(&str) -> bool) -> SeedSettings {
    let mut found = SeedSettings::default();
    for (name, meaning) in NAMES {
        let Some((text, origin)) = variables.get(name) else {
            continue;
        };
        if dev && AMBIENT.contains(name) {
            found
                .notes
                .push(format!("{origin} is not used in dev mode"));
            continue;
        }
        match meaning {
            Setting(path, form) => {
                let text = match form {
                    AsItIs => text.to_owned(),
                    Seconds => with_unit(text, 's'),
                    Minutes => with_unit(text, 'm'),
                };
                set(&mut found.table, path, Value::loose(text, origin.clone()));
            }
            Secret => secret(text, origin, given, &mut found),
            // Below, together.
            MailServer | Account | RedisServer => {}
        }
    }
    supabase(variables, dev, given, &mut found);
    if !dev {
        redis(variables, &mut found);
    }
    mail::read(variables, dev, given, &mut found);
    accounts::read(variables, dev, given, &mut found);
    found
}

impl SeedSettings {
    fn complain(&mut self, fault: Fault, dev: bool) {
        if dev {
            self.notes.push(format!("{fault}; not used in dev mode"));
        } else {
            self.faults.push(fault);
        }
    }

    fn put(&mut self, path: &[&str], text: &str, origin: &Origin) {
        set(&mut self.table, path, Value::text(text, origin.clone()));
    }
}

/// `OTP_TTL_SECONDS=300` is `300s`. What is no number stays, to be refused by its reader.
fn with_unit(text: &str, unit: char) -> String {
    let number = text.trim();
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("{number}{unit}");
    }
    text.to_owned()
}

/// The secret of another program is any text: a key is made from it if it cannot be guessed.
fn secret(text: &str, origin: &Origin, given: &dyn Fn(&str) -> bool, found: &mut SeedSettings) {
    if given("secret_keys") {
        let note = format!("{origin} is not used, as secret_keys are set");
        found.notes.push(note);
        return;
    }
    match SecretKey::of_text(text) {
        Ok(key) => found.put(&["secret_key"], &key.expose_base64(), origin),
        Err(weak) if given("secret_key") => {
            let note = format!("{origin} {weak}, and is not used, as secret_key is set");
            found.notes.push(note);
        }
        Err(weak) => {
            let message = format!(
                "SECRET_KEY {weak}: put what `openssl rand -hex 32` prints there, or leave it for other \
                 programs and set WATCHWORD__SECRET_KEY to what `watchword keygen` prints"
            );
            found
                .faults
                .push(Fault::general(message).from(Some(origin)));
        }
    }
}

fn supabase(
    variables: &Variables,
    dev: bool,
    given: &dyn Fn(&str) -> bool,
    found: &mut SeedSettings,
) {
    let database = ["SUPABASE_DB_URL", "DATABASE_URL"];
    if let Some((_, origin)) = variables.get("SUPABASE_URL")
        && database.iter().all(|name| variables.get(name).is_none())
        && !given("storage.url")
    {
        let message = "SUPABASE_URL is the address of a web API, not of the database; copy the \
             connection string postgresql://postgres.… from Supabase under Project Settings, \
             Database, Connection string (Session pooler) into SUPABASE_DB_URL; or leave SUPABASE_URL \
             out, and everything is kept in a file here";
        found.complain(Fault::general(message).from(Some(origin)), dev);
    }
}

/// The names of a Redis server, as a storage. A database that is named beside it keeps the accounts.
fn redis(variables: &Variables, found: &mut SeedSettings) {
    let get = |name: &str| variables.get(name).map(|(text, _)| text.trim());
    let mut server = NAMES
        .iter()
        .filter(|(_, meaning)| matches!(meaning, RedisServer));
    let Some((_, origin)) = server.find_map(|(name, _)| variables.get(name)) else {
        return;
    };
    let host = get("REDIS_HOST").unwrap_or("localhost");
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let port = get("REDIS_PORT").unwrap_or("6379");
    // Spaces may belong to it.
    let password = variables.get("REDIS_PASSWORD").map(|(text, _)| text);
    let user = password.map_or_else(String::new, |password| {
        format!(":{}@", percent_encoded(password))
    });
    let sql = ["SUPABASE_DB_URL", "DATABASE_URL"];
    if let Some((url, from)) = sql.into_iter().find_map(|name| variables.get(name)) {
        let accounts = Value::loose(url, from.clone());
        set(&mut found.table, &["storage", "accounts_url"], accounts);
    }
    found.put(
        &["storage", "url"],
        &format!("redis://{user}{host}:{port}"),
        origin,
    );
}

/// RFC 3986 section 2.1, with everything but the unreserved characters encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
