//! Where settings may come from, and what `config show` says of them.

use std::path::Path;

use crate::server::{Said, call, folder, keygen, program, run};

/// A mail provider that could be served.
pub(crate) const MAIL: &str = "[channels]\nemail = [\"mail\"]\n[providers.mail]\nkind = \"smtp\"\n\
    url = \"smtps://user:hunter2@mail.example.com\"\nfrom = \"codes@example.com\"\n";

pub(crate) fn write(folder: &Path, text: &str) {
    let key = keygen(folder);
    std::fs::write(folder.join("watchword.toml"), text.replace("KEY", &key)).unwrap();
}

fn with_variables(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Said {
    run(program(folder).args(args).envs(variables.iter().copied()))
}

#[test]
fn lists_come_from_the_environment_with_commas_and_as_toml() {
    let folder = folder();
    write(folder.path(), &format!("secret_key = \"KEY\"\n{MAIL}"));
    for countries in ["DE, GB", "[\"DE\", \"GB\"]"] {
        let variables = [("WATCHWORD__POLICY__COUNTRIES", countries)];
        let shown = with_variables(folder.path(), &["config", "show"], &variables);
        assert_eq!(shown.code, 0, "{}", shown.err);
        let line = "countries = [\"DE\", \"GB\"]";
        assert!(shown.out.contains(line), "{countries}: {}", shown.out);
    }
    let table = "{ default = [\"mail\"], \"+49\" = [\"mail\"] }";
    let variables = [("WATCHWORD__CHANNELS__EMAIL", table)];
    let checked = with_variables(folder.path(), &["config", "check"], &variables);
    assert_eq!(checked.code, 0, "{}", checked.err);
}

#[test]
fn the_environment_alone_is_enough_and_its_mistakes_are_named() {
    let folder = folder();
    let key = keygen(folder.path());
    let good = [
        ("WATCHWORD__SECRET_KEY", key.as_str()),
        ("WATCHWORD__CHANNELS__EMAIL", "mail"),
        ("WATCHWORD__PROVIDERS__MAIL__KIND", "smtp"),
        (
            "WATCHWORD__PROVIDERS__MAIL__URL",
            "smtps://mail.example.com",
        ),
        ("WATCHWORD__PROVIDERS__MAIL__FROM", "codes@example.com"),
        ("WATCHWORD__POLICY__CODE_LENGTH", "8"),
        ("WATCHWORD__LISTENERS", "[{ bind = \"127.0.0.1:8081\" }]"),
        ("WATCHWORD__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
    ];
    let checked = with_variables(folder.path(), &["config", "check"], &good);
    assert_eq!(checked.code, 0, "{}", checked.err);
    for (name, value, line) in [
        (
            "WATCHWORD__STORAGE__ULR",
            "memory:",
            "storage.ulr: unknown key; did you mean `url`? (WATCHWORD__STORAGE__ULR in the environment)",
        ),
        (
            "WATCHWORD__POLICY__CODE_LENGTH",
            "many",
            "policy.code_length: is a text where a whole number belongs \
             (WATCHWORD__POLICY__CODE_LENGTH in the environment)",
        ),
    ] {
        let mut bad = good.to_vec();
        bad.retain(|(known, _)| *known != name);
        bad.push((name, value));
        let checked = with_variables(folder.path(), &["config", "check"], &bad);
        assert_eq!(
            (checked.code, checked.err.trim_end()),
            (1, format!("watchword: {line}").as_str())
        );
    }
}

#[test]
fn the_names_of_the_replaced_services_work_as_they_are() {
    let folder = folder();
    let key = keygen(folder.path());
    let dotenv = format!(
        "SECRET_KEY={key}\nDATABASE_URL=sqlite:///./great_world.db\nOTP_EXPIRY_MINUTES=3\n\
         OTP_CODE_LENGTH=7\nOTP_MAX_ATTEMPTS=4\nOTP_RESEND_COOLDOWN_SECONDS=45\n\
         DEFAULT_FROM_EMAIL=codes@example.com\nEMAIL_HOST=mail.example.com\nEMAIL_PORT=587\n\
         EMAIL_HOST_USER=me\nEMAIL_HOST_PASSWORD=hunter2\nEMAIL_USE_TLS=True\n\
         ACCESS_TOKEN_EXPIRE_MINUTES=45\n"
    );
    std::fs::write(folder.path().join(".env"), dotenv).unwrap();
    let shown = with_variables(
        folder.path(),
        &["config", "show"],
        &[("OTP_CODE_LENGTH", "8")],
    );
    assert_eq!(shown.code, 0, "{}", shown.err);
    for (setting, origin) in [
        ("secret_key = \"(redacted)\"", "SECRET_KEY in .env"),
        (
            "storage.url = \"sqlite:./great_world.db\"",
            "DATABASE_URL in .env",
        ),
        ("policy.ttl = \"3m\"", "OTP_EXPIRY_MINUTES in .env"),
        (
            "policy.code_length = 8",
            "OTP_CODE_LENGTH in the environment",
        ),
        ("policy.max_attempts = 4", "OTP_MAX_ATTEMPTS in .env"),
        (
            "policy.resend_cooldown = \"45s\"",
            "OTP_RESEND_COOLDOWN_SECONDS in .env",
        ),
        (
            "surfaces.native.policy.code_length = 8",
            "OTP_CODE_LENGTH in the environment",
        ),
        (
            "providers.email_env.url = \"(redacted)\"",
            "EMAIL_HOST in .env",
        ),
        (
            "providers.email_env.from = \"codes@example.com\"",
            "DEFAULT_FROM_EMAIL in .env",
        ),
        ("channels.email = [\"email_env\"]", "EMAIL_HOST in .env"),
        (
            "accounts.access_token_ttl = \"45m\"",
            "ACCESS_TOKEN_EXPIRE_MINUTES in .env",
        ),
        ("accounts.remembered_ttl = \"30d\"", "default"),
        ("http.header_timeout = \"5s\"", "default"),
    ] {
        let found = shown.out.lines().any(|line| {
            let mut parts = line.splitn(2, "  #");
            parts.next().unwrap().trim_end() == setting
                && parts.next().is_some_and(|from| from.trim() == origin)
        });
        assert!(found, "{setting} from {origin} is not in\n{}", shown.out);
    }
    assert!(
        shown
            .out
            .contains("# native: 1 in 25,000,000 for each code"),
        "{}",
        shown.out
    );
    for secret in ["hunter2", key.as_str()] {
        assert!(!shown.out.contains(secret) && !shown.err.contains(secret));
    }
}

#[test]
fn names_that_say_too_little_are_told_with_what_is_missing() {
    let folder = folder();
    write(folder.path(), &format!("secret_key = \"KEY\"\n{MAIL}"));
    for (name, line) in [
        ("SMS_TWILIO_ACCOUNT_SID", "SMS_TWILIO_AUTH_TOKEN is missing"),
        ("GUPSHUP_API_KEY", "GUPSHUP_SOURCE is missing"),
        ("SUPABASE_URL", "into SUPABASE_DB_URL"),
    ] {
        let said = with_variables(folder.path(), &["config", "check"], &[(name, "x")]);
        assert_eq!(said.code, 1);
        assert!(
            said.err.contains(name) && said.err.contains(line),
            "{}",
            said.err
        );
    }
}

/// Every setting there is can be given, and `config show` shows each with the line that set it.
#[test]
fn every_setting_is_shown_with_its_line() {
    let folder = folder();
    let text = r#"secret_keys = ["KEY", "KEY"]
default_region = "US"
public_url = "https://otp.example.com"
trusted_proxies = ["10.0.0.0/8"]
forwarding_header = "Forwarded"
allow_weak_codes = true
[storage]
url = "sqlite:w.db"
accounts_url = "sqlite:w.db"
fallback = "none"
max_live = 1000
[[listeners]]
bind = "127.0.0.1:8080"
surfaces = ["native"]
mount = "/otp"
[admin]
bind = "none"
[policy]
code_length = 5
alphabet = "alphanumeric"
ttl = "4m"
max_attempts = 3
resend_cooldown = "10s"
failures_per_hour = 9
failures_per_day = 19
failures_in_a_row = 99
limits = [{ per = "source", max = 7, window = "1h" }]
[surfaces.native]
require_api_key = true
mount = "/x"
strict_numbers = false
[surfaces.native.policy]
ttl = "3m"
[[apps]]
name = "shop"
policy.ttl = "2m"
templates.service = "Shop"
[channels]
email = ["mail"]
[channels.sms]
default = ["hook"]
"+49" = ["hook"]
[providers.mail]
kind = "smtp"
url = "smtps://u:hunter2@mail.example.com"
from = "codes@example.com"
timeout = "3s"
[providers.hook]
kind = "webhook"
url = "https://hooks.example.com/hunter2"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
[delivery]
deadline = "3500ms"
[templates]
service = "Example"
default_locale = "de"
webotp_domain = "example.com"
app_hash = "FA+9qCX9VSu"
[templates.texts]
subject = "Hello"
[templates.locales.fr]
text = "Votre code: {code}"
[log]
format = "json"
level = "debug"
access = true
slow = "1s"
[telemetry]
otlp_endpoint = "http://127.0.0.1:4318"
[http]
handshake_timeout = "1s"
header_timeout = "2s"
body_timeout = "3s"
request_timeout = "4s"
write_timeout = "5s"
idle_timeout = "6s"
drain_timeout = "7s"
shutdown_delay = "0s"
connections = 10
connections_per_source = 5
sends_in_flight = 8
header_bytes = 9000
http2_streams = 50
"#;
    write(folder.path(), text);
    let shown = call(folder.path(), &["config", "show"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            continue;
        }
        let origin = format!("watchword.toml:{}", index + 1);
        let name = line
            .split(['=', '.'])
            .next()
            .unwrap()
            .trim()
            .trim_matches('"');
        let found = shown
            .out
            .lines()
            .any(|shown| shown.contains(name) && shown.ends_with(&origin));
        assert!(found, "{line} is not shown:\n{}", shown.out);
    }
    assert!(
        !shown.out.contains("hunter2") && !shown.out.contains("whsec_"),
        "{}",
        shown.out
    );
    assert!(
        shown.out.contains("# native, app shop: 1 in "),
        "{}",
        shown.out
    );
}

#[test]
fn secrets_come_from_files_that_not_everybody_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let file = folder.path().join("key");
    std::fs::write(&file, keygen(folder.path())).unwrap();
    let text = format!("secret_key_file = \"{}\"\n{MAIL}", file.display());
    std::fs::write(folder.path().join("watchword.toml"), text).unwrap();
    for (mode, code) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = call(folder.path(), &["config", "check"]);
        assert_eq!(said.code, code, "{mode:o} {}", said.err);
    }
}

#[test]
fn the_small_commands_do_what_they_say() {
    let folder = folder();
    assert_ne!(keygen(folder.path()), keygen(folder.path()));
    let openapi: serde_json::Value =
        serde_json::from_str(&call(folder.path(), &["openapi"]).out).unwrap();
    assert_eq!(
        openapi["openapi"].as_str().map(|version| &version[..3]),
        Some("3.1")
    );
    assert!(
        call(folder.path(), &["completions", "bash"])
            .out
            .contains("watchword")
    );
    assert!(
        call(folder.path(), &["version"])
            .out
            .starts_with("watchword 0.")
    );
    write(folder.path(), &format!("secret_key = \"KEY\"\n{MAIL}"));
    let migrated = call(folder.path(), &["migrate"]);
    assert_eq!(migrated.code, 0, "{}", migrated.err);
    assert!(call(folder.path(), &["migrate"]).out.contains("already"));
    assert_eq!(
        call(folder.path(), &["serve", "--config", "none.toml"]).code,
        1
    );
    assert_eq!(call(folder.path(), &["sevre"]).code, 2);
}
