//! Configurations that are refused, each with the one line that helps.

use crate::configuration::{MAIL, write};
use crate::server::{call, folder};

/// What `serve` and `config check` say about a configuration; they have to agree.
pub(crate) fn refused(text: &str) -> String {
    let folder = folder();
    write(folder.path(), text);
    let served = call(folder.path(), &["serve"]);
    let checked = call(folder.path(), &["config", "check"]);
    assert_eq!(
        (served.code, checked.code),
        (1, 1),
        "{text}\n{}",
        checked.out
    );
    assert_eq!(served.err, checked.err);
    served.err
}

/// Each is refused by exactly one line, which begins with the program's name and ends so.
#[test]
fn each_mistake_is_refused_with_its_one_line() {
    let with_mail = |text: &str| format!("secret_key = \"KEY\"\n{text}\n{MAIL}");
    for (text, line) in [
        (
            MAIL.to_owned(),
            "secret_key: is missing; make one with `watchword keygen`, and set it in the file, as \
             WATCHWORD__SECRET_KEY, or as secret_key_file",
        ),
        (
            format!("secret_key = \"a_very_secret_key_for_jwt\"\n{MAIL}"),
            "secret_key: is not base64; make one with `watchword keygen` (watchword.toml:1)",
        ),
        (
            format!("secret_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n{MAIL}"),
            "secret_key: is not random; make one with `watchword keygen` (watchword.toml:1)",
        ),
        (
            with_mail("secret_keys = [\"KEY\"]"),
            "secret_key: is given beside secret_keys; set one of the two (watchword.toml:1)",
        ),
        (
            with_mail("defualt_region = \"US\""),
            "defualt_region: unknown key; did you mean `default_region`? (watchword.toml:2)",
        ),
        (
            with_mail("[storage]\nulr = \"memory:\""),
            "storage.ulr: unknown key; did you mean `url`? (watchword.toml:3)",
        ),
        (
            with_mail("[policy]\ncode_lenght = 6"),
            "policy.code_lenght: unknown key; did you mean `code_length`? (watchword.toml:3)",
        ),
        (
            with_mail("[policy]\nlimits = [{ per = \"source\", max = 1, windw = \"1h\" }]"),
            "policy.limits.0.windw: unknown key; did you mean `window`? (watchword.toml:3)",
        ),
        (
            with_mail("[storage]\nmax_live = \"many\""),
            "storage.max_live: is a text where a whole number belongs (watchword.toml:3)",
        ),
        (
            with_mail("[http]\nheader_timeout = \"soon\""),
            "http.header_timeout: \"soon\" is not a span of time; write it like \"30s\", \"5m\" or \
             \"1h\" (watchword.toml:3)",
        ),
        (
            with_mail("[storage]\nurl = \"mysql://u:hunter2@h/d\""),
            "storage.url: is not memory:, sqlite:FILE, postgres://… or redis://… \
             (watchword.toml:3)",
        ),
        (
            with_mail("[storage]\nurl = \"postgres://u:hunter2@h/d?sslmode=perhaps\""),
            "storage.url: has a sslmode that is not disable, prefer, require, verify-ca or \
             verify-full (watchword.toml:3)",
        ),
        (
            with_mail("[storage]\nurl = \"redis://:hunter2@h\"\naccounts_url = \"redis://h\""),
            "storage.accounts_url: is Redis, which keeps no accounts; name PostgreSQL or SQLite \
             (watchword.toml:4)",
        ),
        (
            with_mail("[storage]\nurl = \"sqlite:watchword.db\"\nfallback = \"local\""),
            "storage.fallback: `local` stands in for PostgreSQL or Redis (storage.url) \
             (watchword.toml:4)",
        ),
        (
            with_mail(
                "[storage]\nurl = \"redis://h\"\nfallback = \"local\"\n\
                 fallback_path = \"nowhere/local.db\"",
            ),
            "storage.fallback_path: the folder nowhere does not exist; create it first \
             (watchword.toml:5)",
        ),
        (
            with_mail("[storage]\naccounts_url = \"sqlite:nowhere/accounts.db\""),
            "storage.accounts_url: the folder nowhere does not exist; create it first \
             (watchword.toml:3)",
        ),
        (
            with_mail("[audit]\nurl = \"sqlite:nowhere/audit.db\""),
            "audit.url: the folder nowhere does not exist; create it first (watchword.toml:3)",
        ),
        (
            with_mail("[delivery]\ndeadline = \"0s\""),
            "delivery.deadline: must be longer than 0s (watchword.toml:3)",
        ),
        (
            with_mail("[delivery]\ndeadline = \"30s\""),
            "delivery.deadline: must be shorter than http.request_timeout, which is 30s \
             (watchword.toml:3)",
        ),
        (
            with_mail("default_region = \"ZZ\""),
            "default_region: is not an ISO 3166 code of a country, such as US or DE \
             (watchword.toml:2)",
        ),
        (
            with_mail("trusted_proxies = [\"proxy.local\"]"),
            "trusted_proxies: trusted proxy \"proxy.local\" is neither an IP address nor a network \
             such as 10.0.0.0/8 (watchword.toml:2)",
        ),
        (
            with_mail("public_url = \"otp.example.com\""),
            "public_url: is not an address such as https://otp.example.com (watchword.toml:2)",
        ),
        (
            with_mail("[policy]\ncode_length = 4"),
            "policy.code_length: codes this short are guessed once in fewer than 10,000 \
             verifications; make them longer or allow fewer attempts (watchword.toml:3)",
        ),
        (
            with_mail("[surfaces.native]\nrequire_api_key = false"),
            "surfaces.native.require_api_key: cannot be false: the native surface always needs a \
             key outside dev mode (watchword.toml:3)",
        ),
        (
            with_mail("[surfaces.twilio-verify]"),
            "surfaces.twilio-verify: the surface `twilio-verify` comes in a later release \
             (watchword.toml:2)",
        ),
        (
            with_mail("[[listeners]]\nbind = \"127.0.0.1:0\"\nsurfaces = [\"natvie\"]"),
            "listeners.0.surfaces.0: unknown surface; did you mean `native`? (watchword.toml:4)",
        ),
        (
            with_mail("[[listeners]]\nbind = \"127.0.0.1:0\"\nsurfaces = [\"native\", \"native\"]"),
            "listeners.0.surfaces.1: `native` and `native` both want /v1/recipients/erase on 127.0.0.1:0; \
             mount one of them elsewhere ([surfaces.native] mount = \"/native\"), or give it a listener of its own \
             (watchword.toml:4)",
        ),
        (
            with_mail(
                "[[listeners]]\nbind = \"127.0.0.1:8\"\n[[listeners]]\nbind = \"127.0.0.1:8\"",
            ),
            "listeners.1.bind: is the address of another listener (watchword.toml:5)",
        ),
        (
            with_mail("[[listeners]]\nbind = \"localhost\""),
            "listeners.0.bind: invalid socket address syntax (watchword.toml:3)",
        ),
        (
            with_mail("[admin]\nbind = \"here\""),
            "admin.bind: is not an address such as 127.0.0.1:9090, or `none` (watchword.toml:3)",
        ),
        (
            with_mail("[log]\nlevel = \"loud\""),
            "log.level: is not one of error, warn, info, debug, trace (watchword.toml:3)",
        ),
        (
            with_mail("[[apps]]\nname = \"Shop\""),
            "apps.0.name: an app's name is 1 to 64 of a-z, 0-9, '-' and '_' (watchword.toml:3)",
        ),
        (
            with_mail("[templates.texts]\ntext = \"no code\""),
            "templates.texts.text: does not contain {code} (watchword.toml:3)",
        ),
        (
            "secret_key = \"KEY\"\n".to_owned(),
            "channels: no channel has a provider, so nothing could be delivered; name a provider, \
             such as [channels] email = [\"mail\"] with [providers.mail] kind = \"smtp\"",
        ),
        (
            "secret_key = \"KEY\"\n[channels]\nemail = []\n".to_owned(),
            "channels.email: is empty: nothing could be delivered; name a provider or remove the \
             line (watchword.toml:3)",
        ),
        (
            format!(
                "secret_key = \"KEY\"\n{}",
                MAIL.replace("[\"mail\"]", "[\"mial\"]")
            ),
            "channels.email: unknown provider `mial`; did you mean `mail`? (watchword.toml:3)",
        ),
        (
            format!(
                "secret_key = \"KEY\"\n{}",
                MAIL.replace("email =", "emial =")
            ),
            "channels.emial: unknown channel; did you mean `email`? (watchword.toml:3)",
        ),
        (
            format!("secret_key = \"KEY\"\n{}", MAIL.replace("email =", "sms =")),
            "channels.sms: the provider `mail` is of the kind smtp, which cannot carry sms",
        ),
        (
            format!(
                "secret_key = \"KEY\"\n{}",
                MAIL.replace("\"smtp\"", "\"smpt\"")
            ),
            "providers.mail.kind: unknown kind; did you mean `smtp`? (watchword.toml:5)",
        ),
        (
            format!(
                "secret_key = \"KEY\"\n{}",
                MAIL.replace("\"smtp\"", "\"twilio-sms\"")
            ),
            "providers.mail.url: unknown key; known here: account_sid, auth_token, api_key, api_secret, \
             from, messaging_service_sid, base_url, timeout (watchword.toml:6)",
        ),
        (
            format!("secret_key = \"KEY\"\n{}", MAIL.replace("from =", "form =")),
            "providers.mail.form: unknown key; did you mean `from`? (watchword.toml:7)",
        ),
        (
            format!(
                "secret_key = \"KEY\"\n{}",
                MAIL.replace("smtps://", "ftp://")
            ),
            "providers.mail.url: ",
        ),
        (
            "secret_key = \"KEY\"\n[channels]\nsms = [\"i\"]\n[providers.i]\nkind = \"inbox\"\n"
                .to_owned(),
            "providers.i.kind: `inbox` is for dev mode only: it shows codes to whoever asks \
             (watchword.toml:5)",
        ),
        (
            "secret_key = \"KEY\"\nthis is not TOML\n".to_owned(),
            "is not valid TOML: ",
        ),
    ] {
        let told = refused(&text);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 1, "{text}\n{told}");
        let whole = lines[0].strip_prefix("watchword: ").unwrap();
        let fits = if line.ends_with(' ') {
            whole.starts_with(line)
        } else {
            whole == line
        };
        assert!(fits, "{text}\nis told: {whole}\nand not: {line}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn several_mistakes_are_told_at_once() {
    let told =
        refused("secret_key = \"short\"\nfoo = 1\n[storage]\nulr = \"x\"\n[log]\nlevel = 3\n");
    assert_eq!(told.lines().count(), 4, "{told}");
}
