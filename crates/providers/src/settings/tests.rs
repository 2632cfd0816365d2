use watchword_core::fakes::SetClock;

use super::*;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn read(toml: &str) -> Result<ProviderSettings, String> {
    toml::from_str(toml).map_err(|error| error.message().to_owned())
}

fn build(toml: &str) -> Result<Arc<dyn Provider>, String> {
    let kept = Arc::new(KeptMessages::default());
    Builder::new(Arc::new(SetClock::default()), Some(kept))
        .build("first", &read(toml)?)
        .map_err(|error| error.to_string())
}

#[test]
fn every_kind_is_read_and_built() {
    let smtp = r#"
        kind = "smtp"
        url = "smtps://u:p@mail.example.com"
        from = "Example <codes@example.com>"
        timeout = "4s""#;
    let webhook =
        format!("kind = 'webhook'\nurl = 'https://hooks.example.com/otp'\nsecret = '{KEY} {KEY}'");
    let account = "account_sid = 'AC0123456789abcdef0123456789abcdef'
        auth_token = 'x'\nfrom = '+12015550100'";
    let content = "content_sid = { default = 'HX0123456789abcdef0123456789abcdef' }";
    let sms = format!("kind = 'twilio-sms'\n{account}");
    let whatsapp = format!("kind = 'twilio-whatsapp'\n{account}\n{content}");
    let voice = format!("kind = 'twilio-voice'\n{account}");
    let meta = "kind = 'meta-whatsapp'\nphone_number_id = '1'\naccess_token = 'x'
        template = 'code'\nlanguage = { default = 'en_US', de = 'de' }";
    let gupshup = "kind = 'gupshup-whatsapp'\napi_key = 'x'\nsource = '12015550100'
        app_name = 'x'\ntemplate_id = 'x'\nparams = ['{code}', '{code}']";
    for (toml, kind) in [
        (smtp, "smtp"),
        (&webhook, "webhook"),
        (&sms, "twilio-sms"),
        (&whatsapp, "twilio-whatsapp"),
        (&voice, "twilio-voice"),
        (meta, "meta-whatsapp"),
        (gupshup, "gupshup-whatsapp"),
        ("kind = 'inbox'", "inbox"),
    ] {
        let provider = build(toml).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!((provider.name(), provider.kind()), ("first", kind));
        assert!(
            ProviderSettings::KINDS
                .iter()
                .any(|(known, _)| *known == kind)
        );
        assert_eq!(read(toml).unwrap().kind(), kind);
    }
    assert_eq!(build(smtp).unwrap().timeout(), Some(Duration::from_secs(4)));
}

#[test]
fn the_list_of_settings_is_the_one_that_is_read() {
    for (kind, settings) in ProviderSettings::KINDS {
        let fault = read(&format!("kind = '{kind}'\nnonsense = 1")).unwrap_err();
        assert!(fault.contains("unknown field `nonsense`"), "{fault}");
        for (setting, _) in settings {
            assert!(fault.contains(&format!("`{setting}`")), "{kind}: {fault}");
        }
    }
}

#[test]
fn an_unknown_kind_is_refused_with_the_known_ones() {
    let fault = read("kind = 'sendmail'").unwrap_err();
    for (kind, _) in ProviderSettings::KINDS {
        assert!(fault.contains(kind), "{fault}");
    }
    assert!(read("url = 'x'").unwrap_err().contains("kind"));
}

#[test]
fn a_wrong_setting_is_named_with_its_provider_and_never_shown() {
    for (toml, part) in [
        (
            "kind = 'smtp'\nurl = 'smtp://u:hunter2@mail.example.com?tls=none'\nfrom = 'a@b.example'",
            "providers.first: `url`",
        ),
        (
            "kind = 'smtp'\nurl = 'smtps://mail.example.com'\nfrom = 'nobody'",
            "providers.first: `from`",
        ),
        (
            "kind = 'smtp'\nurl = 'smtps://mail.example.com'\nfrom = 'a@b.example'\nca_file = 'nowhere.pem'",
            "providers.first: `ca_file` nowhere.pem",
        ),
        (
            "kind = 'smtp'\nurl = 'smtps://mail.example.com'\nfrom = 'a@b.example'\ntimeout = '1ms'",
            "providers.first: `timeout`",
        ),
        (
            "kind = 'webhook'\nurl = 'http://hooks.example.com/hunter2'\nsecret = 'x'",
            "providers.first: `url` is not https",
        ),
        (
            "kind = 'webhook'\nurl = 'https://u:hunter2@hooks.example.com'\nsecret = 'x'",
            "providers.first: `url` has a user",
        ),
        (
            "kind = 'webhook'\nurl = 'not a url'\nsecret = 'x'",
            "providers.first: `url` is not a URL",
        ),
        (
            "kind = 'webhook'\nurl = 'https://hooks.example.com'\nsecret = 'whsec_hunter2'",
            "providers.first: `secret`",
        ),
        (
            "kind = 'twilio-voice'\naccount_sid = 'hunter2'\nfrom = '+12015550100'",
            "providers.first: `account_sid` is not AC and 32 hexadecimal digits",
        ),
        (
            "kind = 'twilio-voice'\naccount_sid = 'AC0123456789abcdef0123456789abcdef'
             auth_token = 'hunter2'\nfrom = 'Shop'",
            "providers.first: `from` is no number",
        ),
        (
            "kind = 'meta-whatsapp'\nphone_number_id = '1'\naccess_token = 'hunter2'
             template = 'code'\nlanguage = { de = 'de' }",
            "providers.first: `language` has no `default`",
        ),
        (
            "kind = 'gupshup-whatsapp'\napi_key = 'hunter2'\nsource = 'x'\napp_name = 'x'
             template_id = 'x'",
            "providers.first: `source` is no number",
        ),
    ] {
        let fault = build(toml)
            .err()
            .unwrap_or_else(|| panic!("{toml} was taken"));
        assert!(fault.contains(part), "{fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
}

/// The settings in the pages of the providers work as they stand there.
#[test]
fn the_settings_that_the_documentation_shows_are_taken() {
    let mut kinds = Vec::new();
    for page in [
        include_str!("../../../../docs/providers/twilio.md"),
        include_str!("../../../../docs/providers/meta-whatsapp.md"),
        include_str!("../../../../docs/providers/gupshup.md"),
    ] {
        let (_, rest) = page.split_once("```toml\n").unwrap();
        let (block, _) = rest.split_once("```").unwrap();
        let block: toml::Table = block.parse().unwrap();
        let channels = block["channels"].as_table().unwrap();
        for (name, settings) in block["providers"].as_table().unwrap() {
            let routed = |list: &toml::Value| list.as_array().unwrap()[0].as_str() == Some(name);
            assert!(channels.values().any(routed), "{name}");
            let provider = build(&settings.as_table().unwrap().to_string())
                .unwrap_or_else(|fault| panic!("{fault}"));
            assert!(page.contains(&format!("`{}`", provider.kind())));
            let (_, known) = ProviderSettings::KINDS
                .into_iter()
                .find(|(kind, _)| *kind == provider.kind())
                .unwrap();
            for (setting, _) in known.iter().filter(|(name, _)| *name != "timeout") {
                assert!(page.contains(&format!("`{setting}`")), "{name}: {setting}");
            }
            kinds.push(provider.kind());
        }
    }
    assert_eq!(kinds.len(), 5);
}

#[test]
fn the_inbox_is_for_dev_mode() {
    let settings = read("kind = 'inbox'").unwrap();
    let mut serve = Builder::new(Arc::new(SetClock::default()), None);
    let fault = serve.build("box", &settings).err().unwrap().to_string();
    assert_eq!(fault, "providers.box: `kind` `inbox` is for dev mode only");
}

#[test]
fn debug_output_of_settings_shows_no_secret() {
    let smtp =
        read("kind = 'smtp'\nurl = 'smtps://u:hunter2@mail.example.com'\nfrom = 'a@b.example'");
    let webhook = read(&format!(
        "kind = 'webhook'\nurl = 'https://x.example/hunter2'\nsecret = '{KEY}'"
    ));
    let others = [
        "kind = 'twilio-sms'\naccount_sid = 'x'\nauth_token = 'hunter2'\napi_secret = 'hunter2'",
        "kind = 'twilio-voice'\naccount_sid = 'x'\nauth_token = 'hunter2'\napi_secret = 'hunter2'
         from = 'x'",
        "kind = 'twilio-whatsapp'\naccount_sid = 'x'\nauth_token = 'hunter2'
         api_secret = 'hunter2'\ncontent_sid = 'x'",
        "kind = 'meta-whatsapp'\nphone_number_id = 'x'\naccess_token = 'hunter2'\ntemplate = 'x'
         language = 'en'\napp_secret = 'hunter2'\nverify_token = 'hunter2'",
        "kind = 'gupshup-whatsapp'\napi_key = 'hunter2'\nsource = 'x'\napp_name = 'x'
         template_id = 'x'\ncallback_token = 'hunter2'",
    ]
    .map(|toml| read(toml).unwrap());
    let shown = format!("{:?} {:?} {others:?}", smtp.unwrap(), webhook.unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("MfKQ9r8"), "{shown}");
}
