use std::time::Duration;

use serde_json::json;
use watchword_core::Locale;

use super::*;
use crate::samples;

/// Five minutes before the samples end.
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const ACCOUNT: &str = "phone_number_id = '106540352242922'\ntemplate = 'verification_code'\n";

fn provider(more: &str) -> Result<MetaWhatsapp, Fault> {
    let toml = format!("{ACCOUNT}{more}");
    toml::from_str::<MetaSettings>(&toml).unwrap().provider()
}

fn kind() -> MetaWhatsapp {
    provider(
        "access_token = 'hunter2'
         language = { default = 'en_US', pt-BR = 'pt_BR', es = 'es' }",
    )
    .unwrap()
}

fn message(locale: &str) -> Message {
    Message {
        channel: Channel::Whatsapp,
        locale: locale.parse::<Locale>().unwrap(),
        ..samples::sms()
    }
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
fn the_request_is_that_of_an_authentication_template() {
    let call = kind().request(&message("pt-BR"), NOW).unwrap();
    assert_eq!(
        call.url.as_str(),
        "https://graph.facebook.com/v25.0/106540352242922/messages"
    );
    assert_eq!(call.headers["authorization"], "Bearer hunter2");
    assert!(call.headers["authorization"].is_sensitive());
    assert_eq!(call.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(
        body,
        json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "12015550123",
            "type": "template",
            "template": {
                "name": "verification_code",
                "language": {"code": "pt_BR"},
                "components": [
                    {"type": "body", "parameters": [{"type": "text", "text": "402718"}]},
                    {"type": "button", "sub_type": "url", "index": "0",
                     "parameters": [{"type": "text", "text": "402718"}]},
                ],
            },
        })
    );
}

/// Meta brings it back in receipts, which nobody takes without the secret that proves them.
#[test]
fn the_ids_go_along_only_where_receipts_are_taken() {
    let kind = provider("access_token = 'x'\nlanguage = 'en'\napp_secret = 'hunter2'").unwrap();
    let call = kind.request(&message("en"), NOW).unwrap();
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    let ids = format!("00000000-0000-0000-0000-000000000000.{}", samples::ID);
    assert_eq!(body["biz_opaque_callback_data"], ids);
}

#[test]
fn the_language_is_the_one_that_meta_approved() {
    for (locale, code) in [
        ("pt-BR", "pt_BR"),
        ("es-MX", "es"),
        ("de", "en_US"),
        ("pt", "en_US"),
    ] {
        let call = kind().request(&message(locale), NOW).unwrap();
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        assert_eq!(body["template"]["language"]["code"], code, "{locale}");
    }
}

#[test]
fn version_and_address_are_settings() {
    let kind = provider(
        "access_token = 'x'\nlanguage = 'en'\napi_version = 'v23.0'
         base_url = 'http://localhost:9/graph'",
    );
    let call = kind.unwrap().request(&message("en"), NOW).unwrap();
    assert_eq!(
        call.url.as_str(),
        "http://localhost:9/graph/v23.0/106540352242922/messages"
    );
}

#[test]
fn a_code_that_has_ended_is_not_sent() {
    let message = message("en");
    let outcome = kind().request(&message, message.expires_at).unwrap_err();
    assert_eq!(outcome.to_string(), "expired: code_expired");
}

#[test]
fn a_message_with_an_id_was_taken() {
    let sent = |status: &str| {
        let body = json!({
            "messaging_product": "whatsapp",
            "contacts": [{"input": "12015550123"}],
            "messages": [{"id": "wamid.HBgLM", "message_status": status}],
        });
        kind().read(&reply(200, &body.to_string()))
    };
    for status in ["accepted", "held_for_quality_assessment", "new_word"] {
        assert_eq!(
            sent(status),
            Outcome::accepted(Some("wamid.HBgLM")),
            "{status}"
        );
    }
    assert_eq!(sent("paused").to_string(), "misconfigured: template_paused");
    let plain = kind().read(&reply(200, r#"{"messages":[{"id":"wamid.1"}]}"#));
    assert_eq!(plain, Outcome::accepted(Some("wamid.1")));
}

#[test]
fn a_success_that_cannot_be_read_is_unknown() {
    for body in [
        "",
        "<html>",
        "{}",
        "[]",
        r#"{"messages":[]}"#,
        r#"{"messages":[{"id":""}]}"#,
    ] {
        let outcome = kind().read(&reply(200, body));
        assert_eq!(outcome.to_string(), "unknown: unreadable_reply", "{body}");
    }
    let lost = Reply {
        body: None,
        ..reply(200, "")
    };
    assert_eq!(kind().read(&lost).to_string(), "unknown: unreadable_reply");
}

/// The numbers of its pages, written down apart from the table.
const REFERENCE: &[(&str, &[u32])] = &[
    ("invalid_recipient", &[131026, 131021, 131030]),
    ("blocked_recipient", &[130403, 131050, 130472]),
    (
        "rejected",
        &[131049, 131047, 131051, 131009, 100, 131008, 135000, 130497],
    ),
    ("throttled", &[4, 80007, 130429, 131056, 131064, 133016]),
    (
        "unavailable",
        &[1, 2, 131000, 131016, 131057, 133004, 131052, 131053],
    ),
    (
        "misconfigured",
        &[
            0, 3, 10, 33, 104, 190, 200, 219, 299, 368, 131005, 131031, 131037, 131042, 131045,
            131048, // A spam limit: for hours or days.
            131063, 132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068,
            132069, 133000, 133006, 133010, 133015, 134011,
        ],
    ),
];

#[test]
fn every_code_of_the_reference_has_its_class_whatever_the_status() {
    for (expected, codes) in REFERENCE {
        for code in *codes {
            for status in [200, 400, 401, 403, 429, 500] {
                for code_value in [json!(code), json!(code.to_string())] {
                    let body = json!({"error": {
                        "message": "(#1) no", "type": "OAuthException", "code": code_value,
                        "error_data": "text", "error_subcode": 1, "fbtrace_id": "A"}});
                    assert_eq!(
                        read(status, &body),
                        format!("{expected}: {code}"),
                        "{status}"
                    );
                }
            }
        }
    }
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
fn an_error_with_an_unknown_code_or_none_is_what_its_status_says() {
    let unknown = json!({"error": {"code": 999_999}});
    for (status, outcome) in [
        (200, "rejected: 999999"),
        (400, "rejected: 999999"),
        (401, "misconfigured: 999999"),
        (404, "misconfigured: 999999"),
        (429, "throttled: 999999"),
        (500, "unavailable: 999999"),
    ] {
        assert_eq!(read(status, &unknown), outcome);
    }
    assert_eq!(
        read(503, &json!({"error": "down"})),
        "unavailable: HTTP 503"
    );
    assert_eq!(
        read(200, &json!({"error": {}})),
        "rejected: refused_without_reason"
    );
    assert_eq!(
        kind().read(&reply(502, "<html>")).to_string(),
        "unavailable: HTTP 502"
    );
}

#[test]
fn too_many_messages_to_one_number_do_not_count_against_meta() {
    let pair = json!({"error": {"code": 131_056}}).to_string();
    let retry_after = Some(Duration::from_secs(4));
    let reply = Reply {
        retry_after,
        ..reply(400, &pair)
    };
    let outcome = kind().read(&reply);
    assert!(outcome.is_about_recipient());
    assert_eq!(*outcome.class(), Class::Throttled { retry_after });
    let all = kind().read(&self::reply(400, r#"{"error":{"code":130429}}"#));
    assert!(!all.is_about_recipient());
}

#[test]
fn a_wrong_setting_is_named() {
    let good = "access_token = 'hunter2'\nlanguage = 'en_US'\n";
    for (toml, setting) in [
        (
            format!("{ACCOUNT}access_token = ' '\nlanguage = 'en'"),
            "access_token",
        ),
        (
            format!("{ACCOUNT}access_token = 'hunter2\u{fc}'\nlanguage = 'en'"),
            "access_token",
        ),
        (
            format!("{ACCOUNT}access_token = 'hunter2'\nlanguage = 'pt-BR'"),
            "language",
        ),
        (
            format!("{ACCOUNT}access_token = 'x'\nlanguage = {{ en = 'en' }}"),
            "language",
        ),
        (format!("{ACCOUNT}{good}api_version = '25'"), "api_version"),
        (format!("{ACCOUNT}{good}app_secret = ''"), "app_secret"),
        (format!("{ACCOUNT}{good}verify_token = ''"), "verify_token"),
        (format!("{ACCOUNT}{good}base_url = 'ftp://x'"), "base_url"),
        (
            format!("phone_number_id = '+1201'\ntemplate = 'x'\n{good}"),
            "phone_number_id",
        ),
        (
            format!("phone_number_id = '1'\ntemplate = 'A b'\n{good}"),
            "template",
        ),
    ] {
        let settings: MetaSettings = toml::from_str(&toml).unwrap();
        let (named, fault) = settings
            .provider()
            .err()
            .unwrap_or_else(|| panic!("{toml}"));
        assert_eq!(named, setting, "{fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
}
