use std::time::Duration;

use super::*;
use crate::http::HttpKind;
use crate::probe::Verdict;
use crate::twilio::{TwilioSms, TwilioSmsSettings, TwilioVoice, TwilioVoiceSettings};
use crate::twilio::{TwilioWhatsapp, TwilioWhatsappSettings};

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const CONTENT: &str = "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const GERMAN: &str = "HXbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn sms(more: &str) -> TwilioSms {
    let toml = format!("account_sid = '{SID}'\n{more}");
    let settings: TwilioSmsSettings = toml::from_str(&toml).unwrap();
    settings.provider().unwrap()
}

fn voice() -> TwilioVoice {
    let toml = format!("account_sid = '{SID}'\nauth_token = 'hunter2'\nfrom = '+12015550100'");
    let settings: TwilioVoiceSettings = toml::from_str(&toml).unwrap();
    settings.provider().unwrap()
}

fn whatsapp(more: &str) -> TwilioWhatsapp {
    let toml = format!(
        "account_sid = '{SID}'\nauth_token = 'hunter2'\nfrom = '+12015550100'\n\
         content_sid = {{ default = '{CONTENT}', de = '{GERMAN}' }}\n{more}"
    );
    let settings: TwilioWhatsappSettings = toml::from_str(&toml).unwrap();
    settings.provider().unwrap()
}

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        retry_after: None,
        body: Some(body.as_bytes().to_vec()),
    }
}

fn facts() -> Facts {
    Facts {
        lifetimes: vec![Duration::from_secs(300)],
    }
}

/// What the answer to the first question says.
fn opened<K: HttpKind>(kind: &K, status: u16, body: &str) -> (Verdict, String, Vec<Question>) {
    let question = kind.questions().pop().unwrap();
    let learned = kind.learn(&question, &reply(status, body), &facts());
    let (verdict, text) = only(&learned);
    (verdict, text, learned.next)
}

/// The only finding: its verdict, and all its text.
fn only(learned: &Learned) -> (Verdict, String) {
    let [finding] = &learned.findings[..] else {
        panic!("{:?}", learned.findings);
    };
    let advice = finding.advice.as_deref().unwrap_or_default();
    (finding.verdict, format!("{}; {advice}", finding.said))
}

const ACTIVE: &str = r#"{"status":"active","type":"Full"}"#;
const DENIED: &str = r#"{"code":20003,"message":"Authenticate","status":401}"#;

#[test]
fn the_first_question_shows_the_credentials_and_reads_nobodys_messages() {
    let token = sms("auth_token = 'hunter2'\nfrom = '+12015550100'");
    let key = sms(&format!(
        "api_key = 'SK{}'\napi_secret = 'hunter2'\nauth_token = 'x'\nfrom = '+12015550100'",
        "a".repeat(32)
    ));
    for (kind, path) in [
        (token, ".json"),
        // A standard key may not look at the account itself.
        (key, "/IncomingPhoneNumbers.json?PageSize=1"),
    ] {
        let [question] = &kind.questions()[..] else {
            panic!("one question");
        };
        assert_eq!(
            question.url.as_str(),
            format!("https://api.twilio.com/2010-04-01/Accounts/{SID}{path}")
        );
        assert!(question.headers[AUTHORIZATION].is_sensitive());
    }
}

#[test]
fn what_is_wrong_with_an_account_names_the_setting() {
    let kind = sms("auth_token = 'hunter2'\nfrom = '+12015550100'");
    for (status, body, verdict, part) in [
        (200, ACTIVE, Verdict::Ok, "`auth_token` is good"),
        (
            200,
            r#"{"status":"active","type":"Trial"}"#,
            Verdict::Warning,
            "trial account",
        ),
        (
            200,
            r#"{"status":"suspended","type":"Full"}"#,
            Verdict::Problem,
            "the account is suspended",
        ),
        (
            401,
            DENIED,
            Verdict::Problem,
            "`auth_token` refused (HTTP 401, error 20003)",
        ),
        (
            404,
            r#"{"code":20404}"#,
            Verdict::Problem,
            "`account_sid` names no account",
        ),
        (
            403,
            r#"{"code":20008}"#,
            Verdict::Problem,
            "test credential",
        ),
        (
            429,
            r#"{"code":20429}"#,
            Verdict::Unknown,
            "asked too often",
        ),
        (503, "", Verdict::Warning, "fault of its own"),
        (200, "<html>", Verdict::Unknown, "`base_url`"),
        (302, "", Verdict::Problem, "redirect"),
    ] {
        let (found, text, next) = opened(&kind, status, body);
        assert_eq!(found, verdict, "{status} {body}: {text}");
        assert!(text.contains(part), "{status} {body}: {text}");
        let goes_on = text.contains("`auth_token` is good");
        assert_eq!(next.len(), usize::from(goes_on), "{status} {body}");
        assert!(!text.contains("hunter2"));
    }
}

#[test]
fn a_number_that_is_not_there_or_cannot_do_it_is_told() {
    let kind = voice();
    let (_, _, next) = opened(&kind, 200, ACTIVE);
    for (body, verdict, part) in [
        (
            r#"{"incoming_phone_numbers":[{"capabilities":{"voice":true}}]}"#,
            Verdict::Ok,
            "`from` is a number",
        ),
        (
            r#"{"incoming_phone_numbers":[{"capabilities":{"voice":false}}]}"#,
            Verdict::Problem,
            "cannot do voice",
        ),
        (
            r#"{"incoming_phone_numbers":[]}"#,
            Verdict::Warning,
            "verified caller id",
        ),
        ("nothing", Verdict::Unknown, "not one that is known"),
    ] {
        let learned = kind.learn(&next[0], &reply(200, body), &facts());
        let (found, text) = only(&learned);
        assert_eq!(found, verdict, "{body}: {text}");
        assert!(text.contains(part), "{body}: {text}");
    }
}

#[test]
fn senders_that_are_no_numbers_are_not_looked_up() {
    let kind = sms("auth_token = 'hunter2'\nfrom = 'Example'");
    assert!(opened(&kind, 200, ACTIVE).2.is_empty());
}

#[test]
fn every_content_template_has_to_be_approved() {
    let kind = whatsapp("");
    let (_, _, next) = opened(&kind, 200, ACTIVE);
    let asked: Vec<_> = next.iter().map(|question| question.url.as_str()).collect();
    let at = |sid| format!("https://content.twilio.com/v1/Content/{sid}/ApprovalRequests");
    assert_eq!(asked, [at(CONTENT), at(GERMAN)]);
    let approval = |status: &str, category: &str| {
        format!(
            r#"{{"sid":"{CONTENT}","whatsapp":{{"status":"{status}","category":"{category}"}}}}"#
        )
    };
    let approved = approval("approved", "AUTHENTICATION");
    let pending = approval("pending", "AUTHENTICATION");
    let sold = approval("approved", "MARKETING");
    let never = format!(r#"{{"sid":"{CONTENT}","whatsapp":null}}"#);
    for (status, body, verdict, part) in [
        (200, approved.as_str(), Verdict::Ok, "is approved"),
        (
            200,
            &pending,
            Verdict::Problem,
            "not approved for WhatsApp: pending",
        ),
        (200, &never, Verdict::Problem, "unsubmitted"),
        (200, &sold, Verdict::Problem, "category MARKETING"),
        (404, r#"{"code":20404}"#, Verdict::Problem, "`content_sid`"),
        (401, DENIED, Verdict::Problem, "`auth_token`"),
        (500, "", Verdict::Warning, "try again later"),
    ] {
        let learned = kind.learn(&next[0], &reply(status, body), &facts());
        let (found, text) = only(&learned);
        assert_eq!(found, verdict, "{body}: {text}");
        assert!(text.contains(part), "{body}: {text}");
        assert_eq!(learned.next.len(), usize::from(verdict == Verdict::Ok));
    }
}

#[test]
fn the_minutes_in_a_template_are_held_against_the_life_of_codes() {
    let kind = whatsapp("");
    let (_, _, next) = opened(&kind, 200, ACTIVE);
    let approved = format!(r#"{{"sid":"{CONTENT}","whatsapp":{{"status":"approved"}}}}"#);
    let learned = kind.learn(&next[0], &reply(200, &approved), &facts());
    let question = &learned.next[0];
    let url = format!("https://content.twilio.com/v1/Content/{CONTENT}");
    assert_eq!(question.url.as_str(), url);
    let template = |inner: &str| format!(r#"{{"types":{{{inner}}}}}"#);
    for (inner, verdict) in [
        (
            r#""whatsapp/authentication":{"code_expiration_minutes":5}"#,
            None,
        ),
        (r#""whatsapp/authentication":{}"#, None),
        (
            r#""whatsapp/authentication":{"code_expiration_minutes":10}"#,
            Some(Verdict::Warning),
        ),
        (r#""twilio/text":{"body":"x"}"#, Some(Verdict::Problem)),
    ] {
        let learned = kind.learn(question, &reply(200, &template(inner)), &facts());
        let found = learned.findings.first().map(|finding| finding.verdict);
        assert_eq!(found, verdict, "{inner}: {:?}", learned.findings);
    }
}

#[test]
fn another_base_url_serves_everything() {
    let kind = whatsapp("base_url = 'http://127.0.0.1:9/twilio'");
    let (_, _, next) = opened(&kind, 200, ACTIVE);
    let url = format!("http://127.0.0.1:9/twilio/v1/Content/{CONTENT}/ApprovalRequests");
    assert_eq!(next[0].url.as_str(), url);
}
