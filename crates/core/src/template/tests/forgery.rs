//! Who writes the last line of an SMS, and what cannot get into a message.

use proptest::prelude::*;

use super::*;

/// Reads an SMS as a browser does: "parse an origin-bound one-time code message" in "Origin-bound
/// one-time codes delivered via SMS" (WICG).
fn webotp(message: &str) -> Option<(String, String)> {
    fn marked<'a>(line: &mut &'a str, marker: char) -> Option<&'a str> {
        let rest = line.strip_prefix(marker)?;
        let end = rest
            .find(|c: char| c.is_ascii_whitespace())
            .unwrap_or(rest.len());
        let (token, rest) = rest.split_at(end);
        *line = rest;
        (!token.is_empty()).then_some(token)
    }
    let message = message.replace("\r\n", "\n").replace('\r', "\n");
    let mut line = message.split('\n').next_back()?;
    let host = marked(&mut line, '@')?;
    line = line.strip_prefix(' ')?;
    let code = marked(&mut line, '#')?;
    Some((host.to_owned(), code.to_owned()))
}

/// How many septets of the GSM 7-bit alphabet (3GPP TS 23.038) a text takes, if it can be written
/// in it.
fn septets(text: &str) -> Option<usize> {
    const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                         ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
    text.chars()
        .map(|c| match c {
            _ if BASIC.contains(c) => Some(1),
            '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' => Some(2),
            _ => None,
        })
        .sum()
}

#[test]
fn what_fills_html_is_escaped() {
    let texts = TemplateTexts {
        html: Some("<b title='{service}'>{code} {purpose}</b>".into()),
        ..TemplateTexts::default()
    };
    let settings = TemplateSettings {
        service: "A&B \"'".into(),
        texts,
        ..acme()
    };
    let mail = render(&settings, Channel::Email, "en", "R&D 'x' \"y\" <i>");
    assert_eq!(
        mail.html.unwrap().expose(),
        "<b title='A&amp;B &quot;&#39;'>402718 R&amp;D &#39;x&#39; &quot;y&quot; i</b>"
    );
}

#[test]
fn the_last_line_of_an_sms_binds_the_code_to_the_web_site() {
    for settings in [
        with_domain("login.Example.com"),
        TemplateSettings {
            texts: with_text("x {code}\n\n").texts,
            ..with_domain("login.example.com")
        },
    ] {
        for tag in Builtin::tags() {
            let sms = text(&settings, Channel::Sms, tag, "login");
            assert_eq!(
                webotp(&sms),
                Some(("login.example.com".into(), "402718".into())),
                "{sms}"
            );
            assert!(sms.lines().count() >= 2);
            for channel in [Channel::Whatsapp, Channel::Email, Channel::Voice] {
                assert!(!text(&settings, channel, tag, "login").contains('@'));
            }
        }
    }
    let sms = text(&with_domain("example.com"), Channel::Sms, "en", "login");
    assert!(sms.ends_with("Do not share it.\n@example.com #402718"));
}

#[test]
fn the_hash_of_an_app_stands_before_the_line_for_browsers() {
    let app_hash = Some(AppHash::try_from("FA+9qCX9VSu".to_owned()).unwrap());
    let sms = text(
        &TemplateSettings {
            app_hash: app_hash.clone(),
            ..acme()
        },
        Channel::Sms,
        "en",
        "login",
    );
    assert!(sms.ends_with("\nFA+9qCX9VSu"));
    let both = TemplateSettings {
        app_hash,
        ..with_domain("example.com")
    };
    let sms = text(&both, Channel::Sms, "en", "login");
    assert!(sms.ends_with("\nFA+9qCX9VSu\n@example.com #402718"));
    assert!(webotp(&sms).is_some());
}

#[test]
fn only_host_names_and_app_hashes_can_stand_there() {
    for raw in [
        "",
        "localhost",
        "example.com ",
        "exa mple.com",
        "https://example.com",
        "example.com/x",
        "example.com:8080",
        "-a.com",
        "a..com",
        "bücher.example",
        "a.com\n@b.com",
        "a_b.com",
        &"a.".repeat(200),
    ] {
        assert!(WebOtpDomain::try_from(raw.to_owned()).is_err(), "{raw:?}");
    }
    for raw in [
        "",
        "FA+9qCX9VS",
        "FA+9qCX9VSuu",
        "FA 9qCX9VSu",
        "FA+9qCX9VS\n",
        "FA+9qCX9VS=",
    ] {
        assert!(AppHash::try_from(raw.to_owned()).is_err(), "{raw:?}");
    }
}

#[test]
fn an_sms_in_latin_script_is_one_segment_of_gsm_7() {
    // With names and a domain of usual length: 20 and 24 characters.
    let settings = TemplateSettings {
        service: "A".repeat(20),
        ..with_domain("accounts.acme-global.com")
    };
    let templates = Templates::new(&settings).unwrap();
    for tag in Builtin::tags().filter(|tag| !["hi", "ar"].contains(tag)) {
        for why in ["default", "login", "signup"] {
            for minutes in [1, 5, 60] {
                let rendered = templates.render(&Occasion {
                    channel: Channel::Sms,
                    code: &code("ABCDEFGH23"),
                    purpose: &purpose(why),
                    locale: Some(&locale(tag)),
                    lifetime: minutes * MINUTE,
                });
                let sms = rendered.text.expose();
                let length = septets(sms);
                assert!(
                    length.is_some_and(|length| length <= 160),
                    "{tag} {length:?} {sms}"
                );
            }
        }
    }
}

#[test]
fn a_service_cannot_be_named_like_a_link_or_a_second_line() {
    let named = |service: &str| {
        Templates::new(&TemplateSettings {
            service: service.into(),
            ..acme()
        })
        .map(|templates| templates.service().to_owned())
    };
    assert_eq!(named(" Acme Inc. ").unwrap(), "Acme Inc.");
    assert_eq!(named("Booking.com").unwrap(), "Booking.com");
    assert_eq!(named("बैंक & Söhne – 東京").unwrap(), "बैंक & Söhne – 東京");
    for service in [
        "Acme\n@evil.com #123456",
        "Acme\u{2028}x",
        "Acme\r",
        "Acme @evil.com #1",
        "Acme http://evil.com",
        "evil.com/x",
        "www.evil.com",
        "WWW.evil.com",
        "Acme\u{202E}",
        "Ac\u{200B}me",
        "\u{2066}Acme",
        "Acme\0",
        "Acme\x1b[1m",
        "Acme\u{FF20}evil",
    ] {
        let service = format!("x{service}x");
        assert_eq!(
            named(&service).unwrap_err(),
            InvalidTemplate {
                setting: "service".into(),
                fault: TemplateFault::Forbidden
            },
            "{service:?}"
        );
    }
    assert_eq!(named("  ").unwrap_err().fault, TemplateFault::Empty);
    assert_eq!(
        named(&"é".repeat(41)).unwrap_err().fault,
        TemplateFault::TooLong
    );
    assert!(named(&"é".repeat(40)).is_ok());
}

#[test]
fn a_purpose_cannot_become_a_link_or_a_second_line() {
    for (raw, shown) in [
        ("pay 10.50 € to Bob", "pay 10.50 € to Bob"),
        ("done. really.", "done. really."),
        (
            "see https://evil.example/x?y=z",
            "see https evil example x y z",
        ),
        ("www.evil.example", "www evil example"),
        ("evil.com", "evil com"),
        ("evil。com", "evil com"),
        ("evil.com.", "evil com."),
        ("1.1.1.1", "1 1 1 1"),
        ("x\u{2028}@evil.com #111111", "x evil com 111111"),
        ("@evil.com #111111", "evil com 111111"),
        ("a\u{202E}b\u{2066}c\u{200B}d", "abcd"),
        ("a:b@c", "a b c"),
        (
            &"long ".repeat(12),
            "long long long long long long long long",
        ),
    ] {
        assert_eq!(
            text(&with_text("{code} {purpose}"), Channel::Sms, "en", raw),
            format!("402718 {shown}"),
            "{raw:?}"
        );
    }
    // Nothing is left of this one.
    assert_eq!(
        text(
            &with_text("{code}{purpose_note}!"),
            Channel::Sms,
            "en",
            "@#/"
        ),
        "402718!"
    );
}

proptest! {
    #[test]
    fn no_purpose_changes_what_a_message_says(
        why in "(.{0,4}[ \u{2028}]?@[a-z.]{1,9} #[0-9]{1,6}.{0,3})|[^\\p{Cc}]{1,64}|[a-z@#:/. \u{2028}\u{2029}\u{202E}\u{85}]{1,64}",
        tag in prop::sample::select(Builtin::tags().collect::<Vec<_>>()),
        digits in "[0-9]{1,10}",
        own in prop::sample::select(vec!["", "{code}\n{purpose}", "{purpose}\n{code}", "{code}{purpose_note}\n{service}"]),
    ) {
        let Ok(why) = Purpose::parse(&why) else { return Ok(()) };
        let own = (!own.is_empty()).then(|| own.to_owned());
        let texts = TemplateTexts { text: own, ..TemplateTexts::default() };
        let code = code(&digits);
        let tag = locale(tag);
        for domain in [None, Some(WebOtpDomain::try_from("example.com".to_owned()).unwrap())] {
            let settings = TemplateSettings { texts: texts.clone(), webotp_domain: domain.clone(), ..acme() };
            let templates = Templates::new(&settings).unwrap();
            for channel in Channel::ALL {
                let occasion = Occasion { channel, code: &code, purpose: &why, locale: Some(&tag), lifetime: MINUTE };
                let rendered = templates.render(&occasion);
                let plain = templates.render(&Occasion { purpose: &Purpose::default(), ..occasion });
                let lines = |rendered: &Rendered| rendered.text.expose().split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
                prop_assert_eq!(lines(&rendered), lines(&plain));
                let said = rendered.text.expose();
                let harmful = said.contains("://") || said.contains('\u{202E}');
                prop_assert!(!harmful);
                let expected = domain.as_ref().filter(|_| channel == Channel::Sms);
                let expected = expected.map(|domain| (domain.to_string(), digits.clone()));
                prop_assert_eq!(webotp(said), expected);
                if let Some(html) = rendered.html {
                    let tags = |html: &SecretText| html.expose().matches('<').count();
                    prop_assert_eq!(tags(&html), tags(&plain.html.unwrap()));
                }
            }
        }
    }
}
