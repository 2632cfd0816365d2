//! The environment names that the services which Watchword replaces are configured by.
//!
//! They work as they are. A new provider kind or storage moves its names from
//! [`Meaning::Needs`] to [`Meaning::Setting`].

use super::fault::Fault;
use super::origin::Origin;
use super::reading::truth;
use super::tree::{Table, Value, What, set};
use super::variables::Variables;

/// What one name means.
enum Meaning {
    /// It is this setting.
    Setting(&'static [&'static str], Form),
    /// It describes the mail server, together with others.
    MailServer,
    /// It describes one of [`ACCOUNTS`], together with others.
    Account,
    /// It describes an account that cannot serve without this.
    Lacks(&'static str),
    /// It configures something that this release does not have.
    Needs(&'static str),
}

/// How the value of a variable becomes that of a setting.
enum Form {
    AsItIs,
    Seconds,
    Minutes,
}

use Form::{AsItIs, Minutes, Seconds};
use Meaning::{Account, Lacks, MailServer, Needs, Setting};

/// The names, each once. Of two that mean one setting, the later wins.
const NAMES: &[(&str, Meaning)] = &[
    ("SECRET_KEY", Setting(&["secret_key"], AsItIs)),
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
    ("WA_TWILIO_ACCOUNT_SID", Lacks(CONTENT)),
    ("WA_TWILIO_AUTH_TOKEN", Lacks(CONTENT)),
    ("WA_TWILIO_SENDER", Lacks(CONTENT)),
    ("GUPSHUP_API_KEY", Account),
    ("GUPSHUP_SOURCE", Account),
    ("GUPSHUP_TEMPLATE_ID", Account),
    ("GUPSHUP_SRC_NAME", Account),
    ("GUPSHUP_API_URL", Account),
    ("SUPABASE_DB_URL", Needs("storage in PostgreSQL")),
    ("REDIS_HOST", Needs("storage in Redis")),
    ("REDIS_PORT", Needs("storage in Redis")),
    ("REDIS_PASSWORD", Needs("storage in Redis")),
];

/// The provider that `EMAIL_*` describe.
pub(crate) const MAIL_PROVIDER: &str = "email_env";

/// What the names of Twilio's WhatsApp cannot say.
const CONTENT: &str = "WhatsApp takes codes in an approved template only, which no WA_TWILIO_* \
     names; write [providers.NAME] with kind = \"twilio-whatsapp\" and its content_sid";

/// An account that some names describe, as a provider.
struct Upstream {
    provider: &'static str,
    kind: &'static str,
    channel: &'static str,
    /// Each name, the setting that it is, and whether it has to be there.
    settings: &'static [(&'static str, &'static str, bool)],
}

const ACCOUNTS: [Upstream; 2] = [
    Upstream {
        provider: "sms_env",
        kind: "twilio-sms",
        channel: "sms",
        settings: &[
            ("SMS_TWILIO_ACCOUNT_SID", "account_sid", true),
            ("SMS_TWILIO_AUTH_TOKEN", "auth_token", true),
            ("SMS_TWILIO_SENDER", "from", true),
        ],
    },
    Upstream {
        provider: "gupshup_env",
        kind: "gupshup-whatsapp",
        channel: "whatsapp",
        settings: &[
            ("GUPSHUP_API_KEY", "api_key", true),
            ("GUPSHUP_SOURCE", "source", true),
            ("GUPSHUP_TEMPLATE_ID", "template_id", true),
            ("GUPSHUP_SRC_NAME", "app_name", true),
            ("GUPSHUP_API_URL", "base_url", false),
        ],
    },
];

/// Names that are so common that in dev mode, which needs no configuration, they are taken for
/// those of another program.
const AMBIENT: &[&str] = &["SECRET_KEY", "DATABASE_URL"];

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
pub(crate) fn read(variables: &Variables, dev: bool) -> SeedSettings {
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
            MailServer | Account => {}
            Lacks(what) => {
                let fault = Fault::general(format!("{name} is not enough: {what}"));
                found.complain(fault.from(Some(origin)), dev);
            }
            Needs(what) => {
                let message = format!("needs {what}, which this release does not have");
                found.complain(
                    Fault::general(format!("{name} {message}")).from(Some(origin)),
                    dev,
                );
            }
        }
    }
    supabase(variables, dev, &mut found);
    mail_server(variables, &mut found);
    for account in &ACCOUNTS {
        upstream(account, variables, dev, &mut found);
    }
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
}

/// `OTP_TTL_SECONDS=300` is `300s`. What is no number stays, to be refused by its reader.
fn with_unit(text: &str, unit: char) -> String {
    let number = text.trim();
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("{number}{unit}");
    }
    text.to_owned()
}

fn supabase(variables: &Variables, dev: bool, found: &mut SeedSettings) {
    let database = ["SUPABASE_DB_URL", "DATABASE_URL"];
    if let Some((_, origin)) = variables.get("SUPABASE_URL")
        && database.iter().all(|name| variables.get(name).is_none())
    {
        let message = "SUPABASE_URL is the address of a web API, not of the database; copy the \
             connection string postgresql://postgres.… from Supabase under Project Settings, \
             Database, Connection string (Session pooler) into SUPABASE_DB_URL";
        found.complain(Fault::general(message).from(Some(origin)), dev);
    }
}

/// The names that Django has for its mail server, as one provider.
fn mail_server(variables: &Variables, found: &mut SeedSettings) {
    let get = |name: &str| variables.get(name).map(|(text, _)| text.trim());
    let server = NAMES
        .iter()
        .filter(|(name, meaning)| matches!(meaning, MailServer) && *name != "DEFAULT_FROM_EMAIL");
    let Some((_, origin)) = server.filter_map(|(name, _)| variables.get(name)).next() else {
        return;
    };
    let Some((from, from_origin)) = variables.get("DEFAULT_FROM_EMAIL") else {
        let message =
            "EMAIL_* describe a mail server, and DEFAULT_FROM_EMAIL, the sender, is missing";
        found
            .faults
            .push(Fault::general(message).from(Some(origin)));
        return;
    };
    let mut flag = |name: &str| match get(name).map(truth) {
        None => false,
        Some(Some(set)) => set,
        Some(None) => {
            found
                .faults
                .push(Fault::general(format!("{name} is not true or false")));
            false
        }
    };
    let (use_tls, use_ssl) = (flag("EMAIL_USE_TLS"), flag("EMAIL_USE_SSL"));
    if use_tls && use_ssl {
        let message = "EMAIL_USE_TLS and EMAIL_USE_SSL exclude each other; set one of them";
        found.faults.push(Fault::general(message));
        return;
    }
    let (scheme, tls) = match (use_ssl, use_tls) {
        (true, _) => ("smtps", ""),
        (_, true) => ("smtp", "?tls=required"),
        _ => ("smtp", "?tls=none"),
    };
    let host = get("EMAIL_HOST").unwrap_or("localhost");
    let port = get("EMAIL_PORT").map_or_else(String::new, |port| format!(":{port}"));
    let port = if port.is_empty() && !use_ssl {
        ":25".to_owned()
    } else {
        port
    };
    let user = match (get("EMAIL_HOST_USER"), variables.get("EMAIL_HOST_PASSWORD")) {
        (None, _) => String::new(),
        (Some(user), None) => format!("{}@", percent_encoded(user)),
        (Some(user), Some((password, _))) => {
            format!("{}:{}@", percent_encoded(user), percent_encoded(password))
        }
    };
    let url = format!("{scheme}://{user}{host}{port}{tls}");
    let mut put = |path: &[&str], text: &str, origin: &Origin| {
        set(&mut found.table, path, Value::text(text, origin.clone()));
    };
    put(&["providers", MAIL_PROVIDER, "kind"], "smtp", origin);
    put(&["providers", MAIL_PROVIDER, "url"], &url, origin);
    put(&["providers", MAIL_PROVIDER, "from"], from, from_origin);
    let list = What::List(vec![Value::text(MAIL_PROVIDER, origin.clone())]);
    let route = Value {
        what: list,
        origin: origin.clone(),
    };
    set(&mut found.table, &["channels", "email"], route);
}

/// The names of one account, as one provider and the route of its channel.
fn upstream(account: &Upstream, variables: &Variables, dev: bool, found: &mut SeedSettings) {
    let given = |(name, setting, _): &(&'static str, &'static str, bool)| {
        let (text, origin) = variables
            .get(name)
            .filter(|(text, _)| !text.trim().is_empty())?;
        Some((*name, *setting, text.trim(), origin))
    };
    let set_names: Vec<_> = account.settings.iter().filter_map(given).collect();
    let Some((first, _, _, origin)) = set_names.first() else {
        return;
    };
    let missing = account
        .settings
        .iter()
        .find(|entry| entry.2 && given(entry).is_none());
    if let Some((missing, ..)) = missing {
        let message = format!(
            "{first} describes a provider of kind {}, and {missing} is missing",
            account.kind
        );
        found.complain(Fault::general(message).from(Some(origin)), dev);
        return;
    }
    let path = |setting| ["providers", account.provider, setting];
    let kind = Value::text(account.kind, (*origin).clone());
    set(&mut found.table, &path("kind"), kind);
    for (_, setting, text, origin) in &set_names {
        let value = Value::text(*text, (*origin).clone());
        set(&mut found.table, &path(setting), value);
    }
    let list = What::List(vec![Value::text(account.provider, (*origin).clone())]);
    let route = Value {
        what: list,
        origin: (*origin).clone(),
    };
    set(&mut found.table, &["channels", account.channel], route);
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
mod tests {
    use super::*;

    fn find(found: &SeedSettings, path: &str) -> Option<String> {
        let root = Value {
            what: What::Table(found.table.clone()),
            origin: Origin::Dev,
        };
        root.find(path).and_then(Value::as_text).map(str::to_owned)
    }

    #[test]
    fn djangos_mail_settings_become_one_provider_of_the_email_channel() {
        let variables = Variables::from([
            ("DEFAULT_FROM_EMAIL", "Shop <no-reply@example.com>"),
            ("EMAIL_HOST", "mail.example.com"),
            ("EMAIL_PORT", "587"),
            ("EMAIL_HOST_USER", "me@example.com"),
            ("EMAIL_HOST_PASSWORD", "p:a/s@s"),
            ("EMAIL_USE_TLS", "True"),
        ]);
        let found = read(&variables, false);
        assert_eq!(found.faults, []);
        assert_eq!(
            find(&found, "providers.email_env.url").unwrap(),
            "smtp://me%40example.com:p%3Aa%2Fs%40s@mail.example.com:587?tls=required"
        );
        assert_eq!(find(&found, "channels.email.0").unwrap(), "email_env");
    }

    #[test]
    fn numbers_get_the_unit_that_their_name_says() {
        let found = read(&Variables::from([("OTP_EXPIRY_MINUTES", "3")]), false);
        assert_eq!(find(&found, "policy.ttl").unwrap(), "3m");
        let both = [("OTP_EXPIRY_MINUTES", "3"), ("OTP_TTL_SECONDS", "90")];
        assert_eq!(
            find(&read(&Variables::from(both), false), "policy.ttl").unwrap(),
            "90s"
        );
    }

    #[test]
    fn names_that_are_not_enough_are_recognised_and_refused_by_serve_only() {
        for (name, needs) in [
            ("SMS_TWILIO_ACCOUNT_SID", "SMS_TWILIO_AUTH_TOKEN is missing"),
            ("WA_TWILIO_SENDER", "content_sid"),
            ("GUPSHUP_API_KEY", "GUPSHUP_SOURCE is missing"),
            ("REDIS_HOST", "storage in Redis"),
            ("SUPABASE_URL", "SUPABASE_DB_URL"),
        ] {
            let variables = Variables::from([(name, "x")]);
            let found = read(&variables, false);
            assert_eq!(found.faults.len(), 1, "{name}");
            let text = found.faults[0].to_string();
            assert!(text.contains(name) && text.contains(needs), "{text}");
            let in_dev = read(&variables, true);
            assert_eq!((in_dev.faults.len(), in_dev.notes.len()), (0, 1), "{name}");
        }
    }

    #[test]
    fn the_names_of_an_account_become_a_provider_and_the_route_of_its_channel() {
        let variables = Variables::from([
            ("SMS_TWILIO_ACCOUNT_SID", "AC1"),
            ("SMS_TWILIO_AUTH_TOKEN", "token"),
            ("SMS_TWILIO_SENDER", "+12015550100"),
            ("GUPSHUP_API_KEY", "key"),
            ("GUPSHUP_SOURCE", "12015550100"),
            ("GUPSHUP_TEMPLATE_ID", "id"),
            ("GUPSHUP_SRC_NAME", "App"),
        ]);
        let found = read(&variables, false);
        assert_eq!(found.faults, []);
        for (path, text) in [
            ("providers.sms_env.kind", "twilio-sms"),
            ("providers.sms_env.account_sid", "AC1"),
            ("providers.sms_env.auth_token", "token"),
            ("providers.sms_env.from", "+12015550100"),
            ("channels.sms.0", "sms_env"),
            ("providers.gupshup_env.kind", "gupshup-whatsapp"),
            ("providers.gupshup_env.app_name", "App"),
            ("channels.whatsapp.0", "gupshup_env"),
        ] {
            assert_eq!(find(&found, path).as_deref(), Some(text), "{path}");
        }
        assert_eq!(find(&found, "providers.gupshup_env.base_url"), None);
    }

    #[test]
    fn another_programs_database_and_key_do_not_reach_dev_mode() {
        let variables = Variables::from([("DATABASE_URL", "postgres://x"), ("SECRET_KEY", "y")]);
        assert!(read(&variables, true).table.is_empty());
        assert_eq!(read(&variables, false).table.len(), 2);
    }
}
