mod forgery;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn code(raw: &str) -> Code {
    Code::parse(raw).unwrap()
}

fn locale(tag: &str) -> Locale {
    tag.parse().unwrap()
}

fn purpose(raw: &str) -> Purpose {
    Purpose::parse(raw).unwrap()
}

fn acme() -> TemplateSettings {
    TemplateSettings {
        service: "Acme".into(),
        ..TemplateSettings::default()
    }
}

fn with_domain(domain: &str) -> TemplateSettings {
    TemplateSettings {
        webotp_domain: Some(domain.to_owned().try_into().unwrap()),
        ..acme()
    }
}

fn with_text(text: &str) -> TemplateSettings {
    let texts = TemplateTexts {
        text: Some(text.into()),
        ..TemplateTexts::default()
    };
    TemplateSettings { texts, ..acme() }
}

fn render(settings: &TemplateSettings, channel: Channel, tag: &str, why: &str) -> Rendered {
    Templates::new(settings).unwrap().render(&Occasion {
        channel,
        code: &code("402718"),
        purpose: &purpose(why),
        locale: Some(&locale(tag)),
        lifetime: 5 * MINUTE,
    })
}

fn text(settings: &TemplateSettings, channel: Channel, tag: &str, why: &str) -> String {
    render(settings, channel, tag, why).text.expose().to_owned()
}

fn refusal(settings: &TemplateSettings) -> String {
    Templates::new(settings).unwrap_err().to_string()
}

#[test]
fn an_sms_says_the_code_the_service_the_purpose_the_lifetime_and_to_keep_it() {
    assert_eq!(
        text(&acme(), Channel::Sms, "en", "login"),
        "402718 is your Acme code (login). Valid for 5 minutes. Do not share it."
    );
    assert_eq!(
        text(&acme(), Channel::Whatsapp, "de", "default"),
        "402718 ist Ihr Code für Acme. Gültig für 5 Minuten. Nicht weitergeben."
    );
    for tag in Builtin::tags() {
        for channel in Channel::ALL {
            let said = text(&acme(), channel, tag, "pay Bob 10.50");
            assert!(
                said.contains("Acme") && said.contains("(pay Bob 10.50)"),
                "{said}"
            );
            assert!(said.contains('5') && said.contains('4'), "{said}");
        }
    }
}

#[test]
fn the_built_in_languages_are_there() {
    let known: Vec<_> = Builtin::tags().collect();
    assert_eq!(known, ["en", "es", "pt", "fr", "de", "hi", "ar", "id"]);
    for tag in Builtin::tags().filter(|tag| *tag != "en") {
        assert_ne!(
            text(&acme(), Channel::Sms, tag, "login"),
            text(&acme(), Channel::Sms, "en", "login"),
            "{tag}"
        );
    }
}

#[test]
fn a_language_is_looked_up_from_the_special_to_the_general_to_the_default() {
    let said = |settings: &TemplateSettings, tag| text(settings, Channel::Sms, tag, "default");
    let brazilian = said(&acme(), "pt-BR");
    assert!(brazilian.starts_with("Use 402718 em Acme."), "{brazilian}");
    assert_eq!(said(&acme(), "pt"), brazilian);
    assert_eq!(said(&acme(), "sw-KE"), said(&acme(), "en"));
    let french = TemplateSettings {
        default_locale: locale("fr"),
        ..acme()
    };
    assert_eq!(said(&french, "sw-KE"), said(&acme(), "fr"));
    assert_eq!(said(&french, "de-AT"), said(&acme(), "de"));
    let templates = Templates::new(&french).unwrap();
    let rendered = templates.render(&Occasion {
        channel: Channel::Sms,
        code: &code("402718"),
        purpose: &Purpose::default(),
        locale: None,
        lifetime: 5 * MINUTE,
    });
    assert_eq!(rendered.text.expose(), said(&acme(), "fr"));
}

#[test]
fn own_texts_come_before_built_in_ones_and_special_languages_before_general_ones() {
    let own = |text: &str| TemplateTexts {
        text: Some(text.into()),
        ..TemplateTexts::default()
    };
    let settings = TemplateSettings {
        texts: own("any {code}"),
        locales: [
            (locale("pt-PT"), own("portugal {code}")),
            (locale("it"), own("italia {code}")),
        ]
        .into(),
        ..acme()
    };
    let said = |tag| text(&settings, Channel::Sms, tag, "login");
    assert_eq!(said("pt-PT"), "portugal 402718");
    assert_eq!(said("pt-BR"), "any 402718");
    assert_eq!(said("it-CH"), "italia 402718");
    assert_eq!(said("de"), "any 402718");
    let settings = TemplateSettings {
        locales: [(locale("it"), own("italia {code}"))].into(),
        default_locale: locale("it"),
        ..acme()
    };
    let said = |tag| text(&settings, Channel::Sms, tag, "login");
    assert_eq!(said("sw"), "italia 402718");
    assert!(said("de").starts_with("402718 ist Ihr Code"));
}

#[test]
fn a_one_line_template_works() {
    let settings = with_text("Your OTP code is: {code}");
    for channel in [Channel::Sms, Channel::Whatsapp, Channel::Email] {
        assert_eq!(
            text(&settings, channel, "en", "login"),
            "Your OTP code is: 402718"
        );
    }
    assert_eq!(
        text(&settings, Channel::Voice, "en", "login"),
        "Your OTP code is: 4, 0, 2, 7, 1, 8"
    );
    let mail = render(&settings, Channel::Email, "en", "login");
    assert!(
        mail.html.is_none(),
        "a built-in HTML part would hide the operator's text"
    );
    assert_eq!(mail.subject.unwrap().expose(), "Your Acme code");
}

#[test]
fn every_placeholder_is_filled_and_doubled_braces_are_braces() {
    let settings =
        with_text("{{{code}}} {service} {minutes} {lifetime} {purpose}{purpose_note} }}{{");
    assert_eq!(
        text(&settings, Channel::Sms, "en", "login"),
        "{402718} Acme 5 5 minutes login (login) }{"
    );
    assert_eq!(
        text(&settings, Channel::Sms, "en", "default"),
        "{402718} Acme 5 5 minutes default }{"
    );
}

#[test]
fn templates_that_cannot_work_are_refused_by_name() {
    assert_eq!(
        refusal(&with_text("{code} {name}")),
        "texts.text has the unknown placeholder {name}; known are {code}, {service}, {minutes}, \
         {lifetime}, {purpose}, {purpose_note}; write {{ and }} for braces"
    );
    for single in [
        "{code} {",
        "{code} }",
        "{code} {service",
        "{code}}",
        "{{code} {code}",
        "{code\n}",
    ] {
        assert_eq!(
            refusal(&with_text(single)),
            "texts.text has a single brace; write {{ or }} for a brace",
            "{single}"
        );
    }
    for unknown in [
        "{code} {Code}",
        "{code} {}",
        "{code} { code }",
        "{code} {code:?}",
        "{code} {0}",
    ] {
        assert!(
            refusal(&with_text(unknown)).contains("unknown placeholder"),
            "{unknown}"
        );
    }
    assert_eq!(
        refusal(&with_text("your code")),
        "texts.text does not contain {code}"
    );
    assert_eq!(
        refusal(&with_text("{{code}}")),
        "texts.text does not contain {code}"
    );
    assert_eq!(refusal(&with_text(" \n")), "texts.text is empty");
    assert_eq!(
        refusal(&with_text(&"{code}".repeat(20_000))),
        "texts.text is too long"
    );
    let html = TemplateTexts {
        html: Some("<p>".into()),
        ..TemplateTexts::default()
    };
    let settings = TemplateSettings {
        locales: [(locale("pt-BR"), html)].into(),
        ..acme()
    };
    assert_eq!(
        refusal(&settings),
        "locales.pt-BR.html does not contain {code}"
    );
}

#[test]
fn one_minute_is_singular_and_lifetimes_forgive_the_hand_over_and_no_more() {
    let said = |tag: &str, lifetime| {
        let templates = Templates::new(&with_text("{code} {lifetime}")).unwrap();
        let rendered = templates.render(&Occasion {
            channel: Channel::Whatsapp,
            code: &code("1"),
            purpose: &Purpose::default(),
            locale: Some(&locale(tag)),
            lifetime,
        });
        rendered
            .text
            .expose()
            .strip_prefix("1 ")
            .unwrap()
            .to_owned()
    };
    let seconds = Duration::from_secs;
    for (tag, one, five) in [
        ("en", "1 minute", "5 minutes"),
        ("es", "1 minuto", "5 minutos"),
        ("pt-BR", "1 minuto", "5 minutos"),
        ("fr", "1 minute", "5 minutes"),
        ("de", "1 Minute", "5 Minuten"),
        ("hi", "1 मिनट", "5 मिनट"),
        ("ar", "دقيقة واحدة", "5 دقائق"),
        ("id", "1 menit", "5 menit"),
    ] {
        assert_eq!(said(tag, MINUTE), one);
        assert_eq!(said(tag, 5 * MINUTE), five);
    }
    assert_eq!(said("ar", 2 * MINUTE), "دقيقتين");
    assert_eq!(said("ar", 15 * MINUTE), "15 دقيقة");
    assert_eq!(said("en", seconds(115)), "2 minutes");
    assert_eq!(said("en", seconds(114)), "1 minute");
    assert_eq!(said("en", seconds(55)), "1 minute");
    assert_eq!(said("en", seconds(54)), "54 seconds");
    assert_eq!(said("en", seconds(1)), "1 second");
    assert_eq!(said("en", Duration::ZERO), "1 second");
    assert_eq!(said("en", Duration::from_millis(299_999)), "5 minutes");
}

#[test]
fn a_mail_has_the_code_on_a_line_of_its_own_and_not_in_its_subject() {
    for tag in Builtin::tags() {
        let mail = render(&acme(), Channel::Email, tag, "login");
        assert_eq!(
            mail.text
                .expose()
                .lines()
                .filter(|line| *line == "402718")
                .count(),
            1
        );
        let subject = mail.subject.unwrap();
        assert!(subject.expose().contains("Acme") && !subject.expose().contains("402718"));
        let html = mail.html.unwrap();
        assert!(html.expose().contains(">402718</p>"));
        assert!(html.expose().contains(&format!("lang=\"{tag}\"")));
    }
    assert!(
        render(&acme(), Channel::Email, "ar", "login")
            .html
            .unwrap()
            .expose()
            .contains("dir=\"rtl\"")
    );
    for channel in [Channel::Sms, Channel::Whatsapp, Channel::Voice] {
        let rendered = render(&acme(), channel, "en", "login");
        assert!(rendered.subject.is_none() && rendered.html.is_none());
    }
}

#[test]
fn an_operator_may_put_the_code_into_the_subject() {
    let texts = TemplateTexts {
        subject: Some("{code}\nfor {service}".into()),
        ..TemplateTexts::default()
    };
    let mail = render(
        &TemplateSettings { texts, ..acme() },
        Channel::Email,
        "en",
        "login",
    );
    assert_eq!(mail.subject.unwrap().expose(), "402718 for Acme");
    assert!(mail.html.is_some());
}

#[test]
fn a_call_says_the_code_symbol_by_symbol_and_twice() {
    for tag in Builtin::tags() {
        let said = text(&acme(), Channel::Voice, tag, "login");
        assert_eq!(said.matches("4, 0, 2, 7, 1, 8").count(), 2, "{said}");
        assert!(!said.contains("402718"), "{said}");
    }
}

#[test]
fn a_call_is_spoken_in_the_language_of_its_text() {
    let spoken = |settings: &TemplateSettings, tag: &str| {
        let templates = Templates::new(settings).unwrap();
        templates.spoken_in(&locale(tag)).as_str().to_owned()
    };
    let german = TemplateSettings {
        default_locale: locale("de"),
        ..acme()
    };
    for (asked, is) in [
        ("es", "es"),
        ("pt-BR", "pt-BR"),
        ("de-AT", "de-AT"),
        ("sv", "de"),
    ] {
        assert_eq!(spoken(&german, asked), is, "{asked}");
    }
    let mut own = TemplateSettings {
        default_locale: locale("de"),
        ..with_text("Ihr Code: {code}")
    };
    let texts = own.texts.clone();
    own.locales.insert(locale("sv"), texts);
    for (asked, is) in [("es", "de"), ("sv", "sv"), ("sv-FI", "sv-FI"), ("de", "de")] {
        assert_eq!(spoken(&own, asked), is, "{asked}");
    }
}

#[test]
fn settings_read_from_text_and_refuse_unknown_names() {
    let settings: TemplateSettings = serde_json::from_str(
        r#"{"service":"Acme","webotp_domain":"example.com","locales":{"pt_br":{"text":"{code}"}}}"#,
    )
    .unwrap();
    assert_eq!(
        text(&settings, Channel::Sms, "pt-BR", "login"),
        "402718\n@example.com #402718"
    );
    for wrong in [
        r#"{"services":"x"}"#,
        r#"{"texts":{"sms":"{code}"}}"#,
        r#"{"webotp_domain":"x"}"#,
        r#"{"locales":{"not a tag":{}}}"#,
    ] {
        assert!(
            serde_json::from_str::<TemplateSettings>(wrong).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn debug_output_of_rendered_texts_holds_no_code() {
    let shown = format!("{:?}", render(&acme(), Channel::Email, "en", "login"));
    assert!(!shown.contains("402718"), "{shown}");
}
