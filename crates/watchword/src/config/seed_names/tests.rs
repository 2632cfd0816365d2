use super::super::tree::What;
use super::*;

fn nothing_else(_: &str) -> bool {
    false
}

fn serve(variables: &Variables) -> SeedSettings {
    read(variables, false, &nothing_else)
}

fn dev(variables: &Variables) -> SeedSettings {
    read(variables, true, &nothing_else)
}

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
    let found = serve(&variables);
    assert_eq!(found.faults, []);
    assert_eq!(
        find(&found, "providers.email_env.url").unwrap(),
        "smtp://me%40example.com:p%3Aa%2Fs%40s@mail.example.com:587?tls=required"
    );
    assert_eq!(find(&found, "channels.email.0").unwrap(), "email_env");
}

#[test]
fn numbers_get_the_unit_that_their_name_says() {
    let found = serve(&Variables::from([("OTP_EXPIRY_MINUTES", "3")]));
    assert_eq!(find(&found, "policy.ttl").unwrap(), "3m");
    let both = [("OTP_EXPIRY_MINUTES", "3"), ("OTP_TTL_SECONDS", "90")];
    assert_eq!(
        find(&serve(&Variables::from(both)), "policy.ttl").unwrap(),
        "90s"
    );
}

#[test]
fn names_that_are_not_enough_are_recognised_and_refused_by_serve_only() {
    for (name, needs) in [
        ("SMS_TWILIO_ACCOUNT_SID", "SMS_TWILIO_AUTH_TOKEN is missing"),
        ("WA_TWILIO_SENDER", "WA_TWILIO_ACCOUNT_SID is missing"),
        ("GUPSHUP_API_KEY", "GUPSHUP_SOURCE is missing"),
        ("EMAIL_HOST", "DEFAULT_FROM_EMAIL"),
        ("SUPABASE_URL", "SUPABASE_DB_URL"),
    ] {
        let variables = Variables::from([(name, "x")]);
        let found = serve(&variables);
        assert_eq!(found.faults.len(), 1, "{name}");
        let text = found.faults[0].to_string();
        assert!(text.contains(name) && text.contains(needs), "{text}");
        let in_dev = dev(&variables);
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
    let found = serve(&variables);
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
fn two_accounts_of_one_channel_stand_in_one_route() {
    let variables = Variables::from([
        ("WA_TWILIO_ACCOUNT_SID", "AC1"),
        ("WA_TWILIO_AUTH_TOKEN", "token"),
        ("WA_TWILIO_SENDER", "MG00000000000000000000000000000001"),
        ("WA_TWILIO_CONTENT_SID", "HX1"),
        ("GUPSHUP_API_KEY", "key"),
        ("GUPSHUP_SOURCE", "12015550100"),
        ("GUPSHUP_TEMPLATE_ID", "id"),
        ("GUPSHUP_SRC_NAME", "App"),
    ]);
    let found = serve(&variables);
    for (path, text) in [
        ("providers.wa_env.content_sid", "HX1"),
        ("channels.whatsapp.0", "wa_env"),
        ("channels.whatsapp.1", "gupshup_env"),
    ] {
        assert_eq!(find(&found, path).as_deref(), Some(text), "{path}");
    }
    let service = find(&found, "providers.wa_env.messaging_service_sid");
    assert!(service.is_some_and(|sid| sid.starts_with("MG")));
    assert_eq!(find(&found, "providers.wa_env.from"), None);
}

#[test]
fn an_account_without_the_template_that_its_names_never_had_is_left_out_and_told() {
    let variables = Variables::from([
        ("WA_TWILIO_ACCOUNT_SID", "AC1"),
        ("WA_TWILIO_AUTH_TOKEN", "token"),
        ("WA_TWILIO_SENDER", "+12015550100"),
    ]);
    let found = serve(&variables);
    assert_eq!((found.faults.len(), found.table.len()), (0, 0));
    assert!(found.notes[0].contains("set WA_TWILIO_CONTENT_SID"));
    let in_the_file = |setting: &str| setting == "providers.wa_env.content_sid";
    let found = read(&variables, false, &in_the_file);
    assert_eq!(found.notes, Vec::<String>::new());
    let route = find(&found, "channels.whatsapp.0");
    assert_eq!(route.as_deref(), Some("wa_env"));
}

#[test]
fn a_sender_alone_means_the_mail_server_of_this_machine_unless_mail_has_another_way() {
    let variables = Variables::from([("DEFAULT_FROM_EMAIL", "codes@example.com")]);
    let found = serve(&variables);
    assert_eq!(
        find(&found, "providers.email_env.url").as_deref(),
        Some("smtp://localhost:25?tls=none")
    );
    let elsewhere = |setting: &str| setting == "channels.email";
    assert!(read(&variables, false, &elsewhere).table.is_empty());
    assert!(dev(&variables).table.is_empty());
}

#[test]
fn djangos_ways_to_encrypt_mail_mean_what_they_mean_there() {
    let url = |more: &[(&str, &str)]| {
        let mut variables = vec![("DEFAULT_FROM_EMAIL", "a@example.com"), ("EMAIL_HOST", "h")];
        variables.extend(more);
        let found = serve(&Variables::from_pairs(&variables));
        match found.faults.first() {
            Some(fault) => fault.to_string(),
            None => find(&found, "providers.email_env.url").unwrap(),
        }
    };
    assert_eq!(url(&[]), "smtp://h:25?tls=none");
    assert_eq!(url(&[("EMAIL_USE_TLS", "False")]), "smtp://h:25?tls=none");
    assert_eq!(url(&[("EMAIL_USE_TLS", "1")]), "smtp://h:25?tls=required");
    assert_eq!(url(&[("EMAIL_USE_SSL", "True")]), "smtps://h");
    for (more, what) in [
        (
            [("EMAIL_USE_TLS", "True"), ("EMAIL_USE_SSL", "True")],
            "exclude each other",
        ),
        (
            [("EMAIL_USE_TLS", "starttls"), ("EMAIL_PORT", "25")],
            "is not true or false",
        ),
        (
            [
                (
                    "EMAIL_BACKEND",
                    "django.core.mail.backends.console.EmailBackend",
                ),
                ("EMAIL_PORT", "25"),
            ],
            "another way than SMTP",
        ),
    ] {
        let said = url(&more);
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn the_names_of_a_redis_server_are_a_storage_beside_which_a_database_keeps_accounts() {
    let url = |pairs: &[(&str, &str)]| {
        let found = serve(&Variables::from_pairs(pairs));
        find(&found, "storage.url").unwrap()
    };
    assert_eq!(url(&[("REDIS_HOST", "redis")]), "redis://redis:6379");
    assert_eq!(url(&[("REDIS_PORT", "7000")]), "redis://localhost:7000");
    let all = [
        ("REDIS_HOST", "::1"),
        ("REDIS_PORT", "6380"),
        ("REDIS_PASSWORD", "p@ss/ word"),
        ("DATABASE_URL", "sqlite:accounts.db"),
    ];
    assert_eq!(url(&all), "redis://:p%40ss%2F%20word@[::1]:6380");
    let found = serve(&Variables::from(all));
    let accounts = find(&found, "storage.accounts_url");
    assert_eq!(accounts.as_deref(), Some("sqlite:accounts.db"));
}

#[test]
fn a_secret_that_could_be_guessed_is_refused_unless_there_is_a_better_one() {
    let weak = Variables::from([("SECRET_KEY", "a_very_secret_key_for_jwt")]);
    let found = serve(&weak);
    let said = found.faults[0].to_string();
    assert!(
        said.contains("SECRET_KEY holds 25 characters") && said.contains("WATCHWORD__SECRET_KEY")
    );
    assert!(!said.contains("a_very"), "{said}");
    let found = read(&weak, false, &|setting: &str| setting == "secret_key");
    assert_eq!((found.faults.len(), found.notes.len()), (0, 1));
    assert!(found.table.is_empty());

    let strong = Variables::from([("SECRET_KEY", "9c1d03b7e5f2a8460b7d1e9f3c5a8264")]);
    let key = find(&serve(&strong), "secret_key").unwrap();
    assert!(SecretKey::parse(&key).is_ok());
    let rotating = read(&strong, false, &|setting: &str| setting == "secret_keys");
    assert!(rotating.table.is_empty() && rotating.faults.is_empty());
}

#[test]
fn another_programs_storage_and_key_do_not_reach_dev_mode() {
    let variables = Variables::from([
        ("DATABASE_URL", "postgres://x"),
        ("SUPABASE_DB_URL", "postgres://x"),
        ("REDIS_HOST", "redis"),
        ("SECRET_KEY", "9c1d03b7e5f2a8460b7d1e9f3c5a8264"),
    ]);
    let in_dev = dev(&variables);
    assert!(in_dev.table.is_empty());
    assert_eq!((in_dev.faults.len(), in_dev.notes.len()), (0, 4));
    assert_eq!(serve(&variables).table.len(), 2);
}
