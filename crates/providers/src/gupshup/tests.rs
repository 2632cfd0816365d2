use serde_json::json;
use watchword_core::Locale;

use super::*;
use crate::samples;

/// Five minutes before the samples end.
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const ACCOUNT: &str = "api_key = 'hunter2'\nsource = '+12015550100'\napp_name = 'My App'\n";

fn provider(more: &str) -> Result<GupshupWhatsapp, Fault> {
    let toml = format!("{ACCOUNT}{more}");
    toml::from_str::<GupshupSettings>(&toml).unwrap().provider()
}

fn kind() -> GupshupWhatsapp {
    provider("template_id = { default = 'c6aecef6', de = 'd7bfdf07' }").unwrap()
}

fn message(locale: &str) -> Message {
    Message {
        channel: Channel::Whatsapp,
        locale: locale.parse::<Locale>().unwrap(),
        ..samples::sms()
    }
}

fn template(call: &Call) -> Value {
    let found = form_urlencoded::parse(&call.body).find(|(name, _)| name == "template");
    serde_json::from_str(&found.unwrap().1).unwrap()
}

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        retry_after: None,
        body: Some(body.as_bytes().to_vec()),
    }
}

fn read(status: u16, body: &Value) -> String {
    kind().read(&reply(status, &body.to_string())).to_string()
}

#[test]
fn the_request_is_that_of_a_template() {
    let call = kind().request(&message("en"), NOW).unwrap();
    assert_eq!(
        call.url.as_str(),
        "https://api.gupshup.io/wa/api/v1/template/msg"
    );
    assert_eq!(
        std::str::from_utf8(&call.body).unwrap(),
        "channel=whatsapp&source=12015550100&destination=12015550123&src.name=My+App\
         &template=%7B%22id%22%3A%22c6aecef6%22%2C%22params%22%3A%5B%22402718%22%5D%7D"
    );
    assert_eq!(call.headers["apikey"], "hunter2");
    assert!(call.headers["apikey"].is_sensitive());
    assert_eq!(
        call.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(call.headers["accept"], "application/json");
}

#[test]
fn template_parameters_and_address_are_settings() {
    let german = kind().request(&message("de-CH"), NOW).unwrap();
    assert_eq!(template(&german)["id"], "d7bfdf07");
    let twice = provider("template_id = 'x'\nparams = ['{code}', 'Shop', '{code}']");
    let call = twice.unwrap().request(&message("en"), NOW).unwrap();
    assert_eq!(
        template(&call)["params"],
        json!(["402718", "Shop", "402718"])
    );
    for (base, url) in [
        (
            "http://127.0.0.1:9/",
            "http://127.0.0.1:9/wa/api/v1/template/msg",
        ),
        (
            "https://a.example/x",
            "https://a.example/x/wa/api/v1/template/msg",
        ),
        (
            "https://api.gupshup.io/sm/api/v1/template/msg",
            "https://api.gupshup.io/sm/api/v1/template/msg",
        ),
    ] {
        let kind = provider(&format!("template_id = 'x'\nbase_url = '{base}'"));
        let call = kind.unwrap().request(&message("en"), NOW).unwrap();
        assert_eq!(call.url.as_str(), url);
    }
}

#[test]
fn a_code_that_has_ended_is_not_sent() {
    let message = message("en");
    let outcome = kind().request(&message, message.expires_at).unwrap_err();
    assert_eq!(outcome.to_string(), "expired: code_expired");
}

#[test]
fn a_submitted_message_with_an_id_was_taken() {
    for (status, word) in [(200, "submitted"), (202, "submitted"), (200, "success")] {
        let body = json!({"status": word, "messageId": "ee4a68a0"}).to_string();
        assert_eq!(
            kind().read(&reply(status, &body)),
            Outcome::accepted(Some("ee4a68a0"))
        );
    }
}

#[test]
fn a_success_that_cannot_be_read_is_unknown() {
    for body in [
        "",
        "ok",
        "{}",
        "[]",
        r#"{"status":"submitted"}"#,
        r#"{"status":"submitted","messageId":""}"#,
        r#"{"status":"queued","messageId":"x"}"#,
        r#"{"messageId":"x"}"#,
    ] {
        let outcome = kind().read(&reply(202, body));
        assert_eq!(outcome.to_string(), "unknown: unreadable_reply", "{body}");
    }
}

/// The numbers of its pages, written down apart from the table.
const REFERENCE: &[(&str, &[u32])] = &[
    ("invalid_recipient", &[1002, 1013, 131026, 1026]),
    ("blocked_recipient", &[1008, 1006, 1007, 1012]),
    ("rejected", &[1010, 1011, 1014, 470, 4004]),
    ("throttled", &[4001, 471, 130429, 131056]),
    ("unavailable", &[500, 4002, 131000, 131016]),
    ("misconfigured", &[1001, 1003, 1004, 1005, 4003, 4005]),
    // Meta's, passed through.
    ("misconfigured", &[0, 10, 190, 299, 131_048, 132_001]),
    ("rejected", &[100]),
];

#[test]
fn every_code_of_the_reference_has_its_class() {
    for (expected, codes) in REFERENCE {
        for code in *codes {
            for status in [200, 202, 400, 500] {
                for code_value in [json!(code), json!(code.to_string())] {
                    let body = json!({"status": "error", "message": "no", "code": code_value});
                    assert_eq!(read(status, &body), format!("{expected}: {code}"));
                }
            }
        }
    }
}

#[test]
fn too_many_messages_to_one_number_do_not_count_against_gupshup() {
    for code in [json!(131_056), json!("131056")] {
        let body = json!({"status": "error", "message": "no", "code": code}).to_string();
        let pair = kind().read(&reply(400, &body));
        assert!(pair.is_about_recipient());
        assert_eq!(pair.to_string(), "throttled: 131056");
    }
    let own = kind().read(&reply(400, r#"{"status":"error","code":4001}"#));
    assert!(!own.is_about_recipient());
}

#[test]
fn every_code_of_the_table_is_in_the_reference_and_once() {
    let listed: Vec<u32> = codes::CODES
        .iter()
        .flat_map(|(_, codes)| codes.to_vec())
        .collect();
    for code in &listed {
        assert_eq!(
            listed.iter().filter(|other| *other == code).count(),
            1,
            "{code}"
        );
        assert!(
            REFERENCE.iter().any(|(_, codes)| codes.contains(code)),
            "{code}"
        );
    }
}

#[test]
fn an_error_without_a_number_is_what_its_words_or_its_status_say() {
    for (status, words, outcome) in [
        (400, "Invalid Destination", "invalid_recipient: HTTP 400"),
        (202, "Invalid Destination", "invalid_recipient: HTTP 202"),
        (400, "Invalid template", "rejected: HTTP 400"),
        (200, "Something", "rejected: refused_without_reason"),
        (400, "Portal User Not Found", "misconfigured: HTTP 400"),
        (200, "Authentication Failed", "misconfigured: HTTP 200"),
        (401, "Authentication Failed", "misconfigured: HTTP 401"),
        (401, "Portal User Not Found", "misconfigured: HTTP 401"),
        (200, "Too Many Requests", "throttled: HTTP 200"),
        (429, "Too Many Requests", "throttled: HTTP 429"),
        (500, "Destination unreachable", "unavailable: HTTP 500"),
    ] {
        let body = json!({"status": "error", "message": words});
        assert_eq!(read(status, &body), outcome, "{status} {words}");
    }
    for (status, class) in [
        (400, "rejected"),
        (401, "misconfigured"),
        (503, "unavailable"),
    ] {
        let plain = kind().read(&reply(status, "<html>"));
        assert_eq!(plain.class().as_str(), class);
        let unknown = json!({"status": "error", "code": 98765});
        assert_eq!(read(status, &unknown), format!("{class}: 98765"));
    }
    let nested = json!({"status": "error", "message": {"x": 1}});
    assert_eq!(read(400, &nested), "rejected: HTTP 400");
}

#[test]
fn a_wrong_setting_is_named() {
    for (toml, setting) in [
        ("template_id = 'a b'", "template_id"),
        ("template_id = { de = 'x' }", "template_id"),
        ("template_id = 'x'\nparams = []", "params"),
        ("template_id = 'x'\nparams = ['fixed']", "params"),
        ("template_id = 'x'\nparams = ['{code}', '{name}']", "params"),
        ("template_id = 'x'\ncallback_token = ' '", "callback_token"),
        (
            "template_id = 'x'\nbase_url = 'http://a.example'",
            "base_url",
        ),
    ] {
        let (named, fault) = provider(toml).err().unwrap_or_else(|| panic!("{toml}"));
        assert_eq!(named, setting, "{fault}");
    }
    for (account, setting) in [
        (
            "api_key = 'a\u{1F511}'\nsource = '12015550100'\napp_name = 'x'",
            "api_key",
        ),
        ("api_key = 'a'\nsource = 'Shop'\napp_name = 'x'", "source"),
        (
            "api_key = 'a'\nsource = '12015550100'\napp_name = ''",
            "app_name",
        ),
    ] {
        let toml = format!("{account}\ntemplate_id = 'x'");
        let settings: GupshupSettings = toml::from_str(&toml).unwrap();
        assert_eq!(settings.provider().err().unwrap().0, setting);
    }
}
