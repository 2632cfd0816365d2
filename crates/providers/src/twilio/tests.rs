use std::collections::BTreeMap;

use serde_json::json;
use watchword_core::{Code, SecretText};

use super::*;
use crate::http::HttpKind;
use crate::samples;

mod conformance;
mod reference;

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const CONTENT: &str = "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const GERMAN: &str = "HXbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
/// Five minutes before the samples end.
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn sms(more: &str) -> Result<TwilioSms, (&'static str, String)> {
    let toml = format!("account_sid = '{SID}'\n{more}");
    toml::from_str::<TwilioSmsSettings>(&toml)
        .unwrap()
        .provider()
}

fn plain_sms() -> TwilioSms {
    sms("auth_token = 'hunter2'\nfrom = '+12015550100'").unwrap()
}

fn whatsapp() -> TwilioWhatsapp {
    let toml = format!(
        "account_sid = '{SID}'\nauth_token = 'hunter2'\nfrom = 'whatsapp:+12015550100'
         content_sid = {{ default = '{CONTENT}', de = '{GERMAN}' }}"
    );
    let settings: TwilioWhatsappSettings = toml::from_str(&toml).unwrap();
    settings.provider().unwrap()
}

fn voice() -> TwilioVoice {
    let toml = format!("account_sid = '{SID}'\nauth_token = 'hunter2'\nfrom = '+12015550100'");
    let settings: TwilioVoiceSettings = toml::from_str(&toml).unwrap();
    settings.provider().unwrap()
}

fn spoken(text: &str, locale: &str) -> Message {
    Message {
        channel: watchword_core::Channel::Voice,
        text: SecretText::new(text.to_owned()),
        locale: locale.parse().unwrap(),
        ..samples::sms()
    }
}

fn said() -> Message {
    spoken(
        "Your code is: 4, 0, 2, 7, 1, 8. Once more: 4, 0, 2, 7, 1, 8.",
        "en-GB",
    )
}

fn fields(call: &Call) -> BTreeMap<String, String> {
    form_urlencoded::parse(&call.body)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        retry_after: None,
        body: Some(body.as_bytes().to_vec()),
    }
}

fn class(status: u16, body: &str) -> &'static str {
    plain_sms().read(&reply(status, body)).class().as_str()
}

#[test]
fn a_text_goes_out_as_documented_with_the_life_that_its_code_has_left() {
    let call = plain_sms().request(&samples::sms(), NOW).unwrap();
    assert_eq!(
        call.url.as_str(),
        format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json")
    );
    assert_eq!(
        std::str::from_utf8(&call.body).unwrap(),
        "To=%2B12015550123&From=%2B12015550100&Body=402718+%C3%A9+o+seu+c%C3%B3digo\
         &ValidityPeriod=300"
    );
    assert_eq!(
        call.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    // AC0123456789abcdef0123456789abcdef:hunter2
    assert_eq!(
        call.headers["authorization"],
        "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpodW50ZXIy"
    );
    assert!(call.headers["authorization"].is_sensitive());
}

#[test]
fn an_api_key_signs_in_and_a_messaging_service_sends() {
    let kind = sms(
        "auth_token = 'hunter2'\napi_key = 'SK0123456789abcdef0123456789abcdef'
        api_secret = 's3cret'\nmessaging_service_sid = 'MG0123456789abcdef0123456789abcdef'
        base_url = 'http://127.0.0.1:9/proxy/'",
    );
    let call = kind.unwrap().request(&samples::sms(), NOW).unwrap();
    assert_eq!(
        call.url.as_str(),
        format!("http://127.0.0.1:9/proxy/2010-04-01/Accounts/{SID}/Messages.json")
    );
    // SK0123456789abcdef0123456789abcdef:s3cret
    assert_eq!(
        call.headers["authorization"],
        "Basic U0swMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpzM2NyZXQ="
    );
    let fields = fields(&call);
    assert_eq!(
        fields["MessagingServiceSid"],
        "MG0123456789abcdef0123456789abcdef"
    );
    assert!(!fields.contains_key("From"));
}

#[test]
fn whatsapp_gets_the_template_of_its_language_and_no_free_text() {
    let message = |locale: &str| Message {
        channel: watchword_core::Channel::Whatsapp,
        locale: locale.parse().unwrap(),
        ..samples::sms()
    };
    let call = whatsapp().request(&message("pt-BR"), NOW).unwrap();
    assert_eq!(
        std::str::from_utf8(&call.body).unwrap(),
        format!(
            "To=whatsapp%3A%2B12015550123&From=whatsapp%3A%2B12015550100&ContentSid={CONTENT}\
             &ContentVariables=%7B%221%22%3A%22402718%22%7D&ValidityPeriod=300"
        )
    );
    let call = whatsapp().request(&message("de-AT"), NOW).unwrap();
    assert_eq!(fields(&call)["ContentSid"], GERMAN);
}

#[test]
fn a_call_says_the_code_twice_and_only_to_whoever_presses_a_key() {
    let call = voice().request(&said(), NOW).unwrap();
    assert_eq!(
        call.url.as_str(),
        format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Calls.json")
    );
    let fields = fields(&call);
    assert_eq!(
        fields["Twiml"],
        "<Response><Gather input=\"dtmf\" finishOnKey=\"#\" timeout=\"180\">\
         <Say language=\"en-US\" loop=\"3\">Hello. To hear your code, press the pound key.</Say>\
         </Gather><Say language=\"en-US\" loop=\"1\">Your code is: 4, 0, 2, 7, 1, 8. \
         Once more: 4, 0, 2, 7, 1, 8.</Say><Hangup/></Response>"
    );
    assert_eq!(fields["To"], samples::NUMBER);
    assert_eq!(fields["From"], "+12015550100");
    assert_eq!(fields["Timeout"], "25");
    // The wait for the key outlasts the call, so nothing but the key leads past it.
    assert_eq!(fields["TimeLimit"], "120");
}

#[test]
fn a_call_whose_text_has_the_code_once_says_the_text_twice() {
    let message = spoken("Código: 4, 0, 2, 7, 1, 8.", "es-MX");
    let fields = fields(&voice().request(&message, NOW).unwrap());
    let document = &fields["Twiml"];
    assert!(
        document.contains("<Say language=\"es-ES\" loop=\"2\">Código: 4, 0"),
        "{document}"
    );
    assert!(
        document.contains("pulse la tecla almohadilla"),
        "{document}"
    );
}

#[test]
fn nothing_in_a_text_becomes_markup_of_a_call() {
    let nasty = "</Say><Dial>+1900</Dial> & \"'\u{0}\u{b}\u{ffff} 4, 0, 2, 7, 1, 8";
    let fields = fields(&voice().request(&spoken(nasty, "xx"), NOW).unwrap());
    let document = &fields["Twiml"];
    assert!(
        document.contains(
            "&lt;/Say&gt;&lt;Dial&gt;+1900&lt;/Dial&gt; &amp; &quot;&apos;    4, 0, 2, 7, 1, 8"
        ),
        "{document}"
    );
    assert!(!document.contains("<Dial>"), "{document}");
}

#[test]
fn a_call_too_long_for_twilio_is_not_made() {
    let outcome = voice()
        .request(&spoken(&"é".repeat(4000), "en"), NOW)
        .unwrap_err();
    assert_eq!(outcome.to_string(), "rejected: text_too_long");
}

#[test]
fn a_code_that_has_ended_is_not_sent() {
    let late = Timestamp::from_millis(1_790_000_299_500);
    for outcome in [
        plain_sms().request(&samples::sms(), late).unwrap_err(),
        whatsapp().request(&samples::sms(), late).unwrap_err(),
        voice().request(&said(), late).unwrap_err(),
    ] {
        assert_eq!(outcome.to_string(), "expired: code_expired");
    }
    let early = Timestamp::from_millis(1_700_000_000_000);
    let call = plain_sms().request(&samples::sms(), early).unwrap();
    assert_eq!(fields(&call)["ValidityPeriod"], "36000");
    let call = voice()
        .request(&said(), Timestamp::from_millis(1_790_000_290_000))
        .unwrap();
    assert_eq!(fields(&call)["Timeout"], "10");
}

#[test]
fn a_created_resource_is_an_acceptance_with_its_id() {
    let created = json!({"sid": "SM0123", "status": "queued", "error_code": null}).to_string();
    for status in [200, 201] {
        let outcome = plain_sms().read(&reply(status, &created));
        assert_eq!(outcome, Outcome::accepted(Some("SM0123")));
    }
    let call = json!({"sid": "CA0123", "status": "queued"}).to_string();
    assert_eq!(
        voice().read(&reply(201, &call)),
        Outcome::accepted(Some("CA0123"))
    );
}

#[test]
fn a_success_that_reports_a_failure_is_one() {
    for (body, outcome) in [
        (
            json!({"sid": "SM1", "status": "failed", "error_code": 30006}),
            "invalid_recipient: 30006",
        ),
        (
            json!({"sid": "SM1", "status": "undelivered", "error_code": "30003"}),
            "unavailable: 30003",
        ),
        (
            json!({"sid": "SM1", "status": "queued", "error_code": 21610}),
            "blocked_recipient: 21610",
        ),
        (
            json!({"sid": "SM1", "status": "failed"}),
            "rejected: refused_without_reason",
        ),
        (
            json!({"sid": "SM1", "status": "failed", "error_code": 99999}),
            "rejected: 99999",
        ),
        (
            json!({"code": 20003, "status": 401}),
            "misconfigured: 20003",
        ),
    ] {
        let read = plain_sms().read(&reply(201, &body.to_string()));
        assert_eq!(read.to_string(), outcome, "{body}");
    }
}

#[test]
fn a_success_that_cannot_be_read_is_unknown() {
    for body in [
        "",
        "<html>",
        "{}",
        "[]",
        "null",
        r#"{"sid":"CA1"}"#,
        r#"{"sid":7}"#,
    ] {
        assert_eq!(class(201, body), "unknown", "{body}");
    }
    let lost = Reply {
        body: None,
        ..reply(201, "")
    };
    assert_eq!(plain_sms().read(&lost).class().as_str(), "unknown");
}

#[test]
fn an_error_with_an_unknown_code_or_none_is_what_its_status_says() {
    for (status, expected) in [
        (400, "rejected"),
        (401, "misconfigured"),
        (403, "misconfigured"),
        (404, "misconfigured"),
        (408, "unavailable"),
        (429, "throttled"),
        (500, "unavailable"),
        (503, "unavailable"),
    ] {
        for body in [
            "<html>",
            "{}",
            r#"{"code":99999,"details":{"x":1}}"#,
            r#"{"code":-1}"#,
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }
    let unknown = plain_sms().read(&reply(400, r#"{"code":99999}"#));
    assert_eq!(unknown.to_string(), "rejected: 99999");
}

#[test]
fn a_pause_that_twilio_asks_for_is_kept() {
    let retry_after = Some(std::time::Duration::from_secs(3));
    let busy = Reply {
        retry_after,
        ..reply(429, r#"{"code":20429}"#)
    };
    assert_eq!(
        *plain_sms().read(&busy).class(),
        Class::Throttled { retry_after }
    );
}

#[test]
fn a_fault_of_the_recipients_phone_does_not_count_against_twilio() {
    let off = plain_sms().read(&reply(201, r#"{"status":"failed","error_code":30003}"#));
    assert!(off.is_about_recipient());
    let congested = plain_sms().read(&reply(201, r#"{"status":"failed","error_code":30017}"#));
    assert!(!congested.is_about_recipient());
}

#[test]
fn a_wrong_setting_is_named() {
    for (more, setting) in [
        ("from = '+12015550100'", "auth_token"),
        ("from = '+12015550100'\nauth_token = ' '", "auth_token"),
        (
            "from = '+12015550100'\napi_key = 'SK0123456789abcdef0123456789abcdef'",
            "api_secret",
        ),
        ("from = '+12015550100'\napi_secret = 'x'", "api_key"),
        (
            "from = '+12015550100'\napi_key = 'hunter2'\napi_secret = 'x'",
            "api_key",
        ),
        ("auth_token = 'hunter2'", "from"),
        (
            "auth_token = 'hunter2'\nfrom = 'much too long a name'",
            "from",
        ),
        ("auth_token = 'hunter2'\nfrom = '+0'", "from"),
        (
            "auth_token = 'hunter2'\nmessaging_service_sid = 'x'",
            "messaging_service_sid",
        ),
        (
            "auth_token = 'hunter2'\nfrom = 'Shop'\nbase_url = 'http://a.example'",
            "base_url",
        ),
        (
            "auth_token = 'hunter2'\nfrom = 'Shop'\nbase_url = 'https://u:p@a.example'",
            "base_url",
        ),
        (
            "auth_token = 'hunter2'\nfrom = 'Shop'\nbase_url = 'https://a.example?x'",
            "base_url",
        ),
    ] {
        let (named, fault) = sms(more)
            .err()
            .unwrap_or_else(|| panic!("{more} was taken"));
        assert_eq!(named, setting, "{more}: {fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
    for from in ["+12015550100", "Shop", "My Shop 24", "12345"] {
        assert!(
            sms(&format!("auth_token = 'x'\nfrom = '{from}'")).is_ok(),
            "{from}"
        );
    }
    let bad: TwilioSmsSettings =
        toml::from_str("account_sid = 'x'\nauth_token = 'y'\nfrom = 'Shop'").unwrap();
    assert_eq!(bad.provider().err().unwrap().0, "account_sid");
}

#[test]
fn letters_of_a_code_are_said_one_by_one_too() {
    let message = Message {
        code: Code::parse("AB12").unwrap(),
        ..spoken("A, B, 1, 2 and A, B, 1, 2", "en")
    };
    let document = twiml::document(&message);
    assert!(document.contains("loop=\"1\">A, B, 1, 2"), "{}", *document);
}
