//! The pages of dev mode in a real browser: asking for a code, reading it in the inbox, typing it in.

use std::process::Command;

use serde_json::json;

use crate::browser::{Browser, Tab};
use crate::server::{Server, folder};

const PHONE: u32 = 360;
const DESKTOP: u32 = 1280;

/// A person at two pages: one asks for codes, one shows them.
struct Visit {
    browser: Browser,
    demo: Tab,
    inbox: Tab,
}

impl Visit {
    fn of(listener: &str) -> Option<Self> {
        let mut browser = Browser::start()?;
        let inbox = browser.open(&format!("{listener}/dev/inbox"), DESKTOP);
        browser.until(
            &inbox,
            "document.querySelector('#live').textContent === 'live'",
        );
        let demo = browser.open(&format!("{listener}/demo"), PHONE);
        Some(Self {
            browser,
            demo,
            inbox,
        })
    }

    fn choose(&mut self, walk: &str) {
        self.browser
            .click(&self.demo, &format!("input[value='{walk}']"));
    }

    fn fill(&mut self, field: &str, text: &str) {
        let selector = format!("#field-{field}");
        self.browser.fill(&self.demo, &selector, text);
    }

    /// Presses a button, and says what the page says then.
    fn press(&mut self, button: &str) -> String {
        self.browser.look(
            &self.demo,
            "document.querySelector('#outcome').textContent = ''",
        );
        self.browser.click(&self.demo, button);
        let said = "document.querySelector('#outcome').textContent";
        let said = self.browser.until(&self.demo, said);
        // Only then the buttons can be pressed again.
        let free = "!document.querySelector('#ask .main').disabled";
        self.browser.until(&self.demo, free);
        said.as_str().unwrap().to_owned()
    }

    fn send(&mut self) -> String {
        self.press("#ask .main")
    }

    /// The code that the inbox shows for a recipient, other than an earlier one.
    fn code(&mut self, to: &str, earlier: &str) -> String {
        let shown = format!(
            "[...document.querySelectorAll('.letter')]
               .filter((letter) => letter.querySelector('strong').textContent === {})
               .map((letter) => letter.querySelector('output').textContent)
               .find((code) => code !== {})",
            json!(to),
            json!(earlier)
        );
        let code = self.browser.until(&self.inbox, &shown);
        code.as_str().unwrap().to_owned()
    }

    fn verify(&mut self, code: &str) -> String {
        self.browser.fill(&self.demo, "#code", code);
        self.press("#answer .main")
    }

    /// The newest request that the page shows, as a shell reads it, and its answer.
    fn newest(&mut self) -> (Vec<String>, String) {
        let shown = self.browser.look(
            &self.demo,
            "[...document.querySelector('#exchanges .letter').querySelectorAll('pre, .good, .bad')]
               .map((part) => part.textContent)",
        );
        let line = shown[0].as_str().unwrap();
        let read = Command::new("sh")
            .args([
                "-c",
                &format!("curl() {{ printf '%s\\0' \"$@\"; }}; {line}"),
            ])
            .output()
            .unwrap();
        let words = String::from_utf8(read.stdout).unwrap();
        let words = words.split_terminator('\0').map(str::to_owned).collect();
        (
            words,
            format!("{} {}", shown[1].as_str().unwrap(), shown[2]),
        )
    }
}

/// A walk, what is typed into its fields, and who gets the code.
type Walk<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Each API is asked for a code, which the inbox shows, and takes it, once.
#[test]
fn every_surface_can_be_walked_through_in_a_browser() {
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let first: &[Walk<'_>] = &[
        ("native", &[("to", "+12025550171")], "+12025550171"),
        (
            "auth, login",
            &[("mobile_number", "+12025550172")],
            "+12025550172",
        ),
        (
            "auth, register",
            &[
                ("email", "ada@example.com"),
                ("mobile", "+12025550173"),
                ("password", "correct horse"),
            ],
            "+12025550173",
        ),
        ("otp", &[("identifier", "+12025550174")], "+12025550174"),
        ("uuid", &[("to", "+12025550175")], "+12025550175"),
    ];
    let second: &[Walk<'_>] = &[
        ("native", &[("to", "ada@example.com")], "ada@example.com"),
        (
            "whatsapp",
            &[("phone_number", "+1234567890")],
            "+1234567890",
        ),
    ];
    for (listener, walks) in [(&server.api, first), (&server.second, second)] {
        let Some(mut visit) = Visit::of(listener) else {
            return;
        };
        let offered = "[...document.querySelectorAll('[name=walk]')].map((walk) => walk.value)";
        let offered = visit.browser.look(&visit.demo, offered);
        let expected: Vec<_> = walks.iter().map(|(walk, ..)| *walk).collect();
        assert_eq!(offered, json!(expected), "a walk for every surface");
        for (walk, fields, to) in walks {
            visit.choose(walk);
            for (field, text) in *fields {
                visit.fill(field, text);
            }
            let sent = visit.send();
            assert!(sent.starts_with("Sent."), "{walk}: {sent}");
            let code = visit.code(to, "");
            assert_eq!(visit.verify(&code), "Verified.", "{walk}");
        }
        assert_eq!(visit.browser.complaints, Vec::<String>::new());
        let again = visit.verify("000000");
        assert!(again.starts_with("Not verified: 4"), "{again}");
    }
}

#[test]
fn the_page_shows_what_it_asked_and_what_came_of_it() {
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let Some(mut visit) = Visit::of(&server.api) else {
        return;
    };
    visit.fill("to", "o'neil@example.com");
    visit.send();
    let (line, answer) = visit.newest();
    let url = format!("{}/v1/verifications", server.api);
    let json = "Content-Type: application/json";
    let body = r#"{"to":"o'neil@example.com"}"#;
    assert_eq!(line, ["-s", url.as_str(), "-H", json, "-d", body]);
    assert!(answer.starts_with("201 Created") && answer.contains("pending"));

    let too_soon = visit.press("#again");
    assert!(too_soon.starts_with("Not sent: 429"), "{too_soon}");
    assert!(too_soon.contains("Retry-After: "), "{too_soon}");
    // The code that came is still good.
    let code = visit.code("o'neil@example.com", "");
    assert_eq!(visit.verify(&code), "Verified.");

    let Some(mut visit) = Visit::of(&server.second) else {
        return;
    };
    visit.choose("whatsapp");
    visit.fill("phone_number", "+1234567890");
    visit.send();
    let first = visit.code("+1234567890", "");
    assert!(visit.send().starts_with("Not sent: 409"));
    assert!(visit.press("#again").starts_with("Sent."));
    let second = visit.code("+1234567890", &first);
    assert!(visit.verify(&first).starts_with("Not verified: 400"));
    assert_eq!(visit.verify(&second), "Verified.");
}

/// Browsers offer a code from a message only to such a field, and phones show digits for it.
#[test]
fn the_pages_fit_a_phone_and_lead_from_one_listener_to_the_other() {
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let Some(mut browser) = Browser::start() else {
        return;
    };
    for page in ["/", "/dev/inbox", "/demo"] {
        for width in [PHONE, DESKTOP] {
            let tab = browser.open(&format!("{}{page}", server.api), width);
            let wide = "document.documentElement.scrollWidth - innerWidth";
            assert!(
                browser.look(&tab, wide).as_i64().unwrap() <= 0,
                "{page} {width}"
            );
        }
    }
    let demo = browser.open(&format!("{}/demo", server.api), PHONE);
    let field = "(({ autocomplete, inputMode, labels }) => [autocomplete, inputMode, labels.length])\
                 (document.querySelector('#code'))";
    let field = browser.look(&demo, field);
    assert_eq!(field, json!(["one-time-code", "numeric", 1]));
    let unnamed = "[...document.querySelectorAll('#ask input, #ask select')].filter((one) => !one.labels.length).length";
    assert_eq!(browser.look(&demo, unnamed), json!(0));
    let leads = "[...document.querySelectorAll('a[href^=http]')].map((link) => link.href)";
    assert_eq!(
        browser.look(&demo, leads),
        json!([format!("{}/demo", server.second)])
    );
    let other = browser.open(&format!("{}/demo", server.second), PHONE);
    assert_eq!(
        browser.look(&other, leads),
        json!([format!("{}/demo", server.api)])
    );
    assert_eq!(browser.complaints, Vec::<String>::new());
}
