use serde_json::json;

use super::*;
use crate::http::HttpKind;
use crate::meta::MetaSettings;
use crate::probe::Verdict;

fn kind() -> MetaWhatsapp {
    let settings = "phone_number_id = '106540352242922'\ntemplate = 'verification_code'\n\
                    access_token = 'hunter2'\nlanguage = { default = 'en_US', es = 'es' }";
    toml::from_str::<MetaSettings>(settings)
        .unwrap()
        .provider()
        .unwrap()
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        retry_after: None,
        body: Some(body.to_string().into_bytes()),
    }
}

fn facts() -> Facts {
    Facts {
        lifetimes: vec![Duration::from_secs(300)],
    }
}

fn told(learned: &Learned) -> Vec<(&str, Verdict, String)> {
    let findings = learned.findings.iter().map(|one| {
        let advice = one.advice.as_deref().unwrap_or_default();
        (one.about, one.verdict, format!("{}; {advice}", one.said))
    });
    findings.collect()
}

fn asked_number(status: u16, body: &Value) -> Learned {
    let kind = kind();
    let question = kind.questions().pop().unwrap();
    kind.learn(&question, &reply(status, body), &facts())
}

fn health(state: &str, more: &Value) -> Value {
    json!({"id": "106540352242922", "health_status": {"can_send_message": state, "entities": [
        {"entity_type": "PHONE_NUMBER", "id": "106540352242922", "can_send_message": "AVAILABLE"},
        more,
    ]}})
}

fn account(state: &str) -> Value {
    json!({"entity_type": "WABA", "id": "102290129340398", "can_send_message": state})
}

#[test]
fn the_number_is_asked_for_its_health_which_leads_to_the_template() {
    let kind = kind();
    let [question] = &kind.questions()[..] else {
        panic!("one question");
    };
    assert_eq!(
        question.url.as_str(),
        "https://graph.facebook.com/v25.0/106540352242922?fields=id%2Chealth_status"
    );
    assert!(question.headers[AUTHORIZATION].is_sensitive());

    let learned = asked_number(200, &health("AVAILABLE", &account("AVAILABLE")));
    let told = told(&learned);
    let verdicts: Vec<_> = told
        .iter()
        .map(|(about, verdict, _)| (*about, *verdict))
        .collect();
    assert_eq!(
        verdicts,
        [("credentials", Verdict::Ok), ("account", Verdict::Ok)]
    );
    assert_eq!(
        learned.next[0].url.as_str(),
        "https://graph.facebook.com/v25.0/102290129340398/message_templates\
         ?name=verification_code&fields=name%2Cstatus%2Ccategory%2Clanguage%2Ccomponents\
         %2Cmessage_send_ttl_seconds&limit=100"
    );
}

#[test]
fn an_account_that_cannot_send_is_told_with_its_numbers_and_no_texts() {
    let mut blocked = account("BLOCKED");
    blocked["errors"] = json!([{"error_code": 141006, "error_description": "pay hunter2"}]);
    let learned = asked_number(200, &health("BLOCKED", &blocked));
    let told = told(&learned);
    assert_eq!((told[1].0, told[1].1), ("account", Verdict::Problem));
    assert!(told[1].2.contains("BLOCKED: WABA (error 141006)"));
    assert!(!told[1].2.contains("hunter2"));
    let limited = asked_number(200, &health("LIMITED", &account("LIMITED")));
    assert_eq!(limited.findings[1].verdict, Verdict::Warning);
}

#[test]
fn what_is_wrong_with_a_number_names_the_setting() {
    let error =
        |code: u32, subcode: u32| json!({"error": {"code": code, "error_subcode": subcode}});
    for (status, body, verdict, part) in [
        (
            401,
            error(190, 463),
            Verdict::Problem,
            "`access_token` is refused (error 190)",
        ),
        (400, error(100, 33), Verdict::Problem, "`phone_number_id`"),
        (403, error(10, 0), Verdict::Problem, "lacks a permission"),
        (400, error(200, 0), Verdict::Problem, "lacks a permission"),
        (400, error(4, 0), Verdict::Unknown, "asked too often"),
        (500, error(2, 0), Verdict::Warning, "fault of its own"),
        (400, error(77_777, 0), Verdict::Unknown, "error 77777"),
        (503, json!("down"), Verdict::Warning, "try again later"),
        (200, json!({"hello": 1}), Verdict::Unknown, "`base_url`"),
    ] {
        let learned = asked_number(status, &body);
        let told = told(&learned);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1, verdict, "{body}: {}", told[0].2);
        assert!(told[0].2.contains(part), "{body}: {}", told[0].2);
        assert!(learned.next.is_empty());
    }
}

#[test]
fn without_an_account_in_the_answer_the_template_cannot_be_looked_up() {
    let learned = asked_number(200, &json!({"id": "106540352242922"}));
    let told = told(&learned);
    assert_eq!((told[1].0, told[1].1), ("template", Verdict::Unknown));
    let odd = json!({"entity_type": "WABA", "id": "../me", "can_send_message": "AVAILABLE"});
    assert!(
        asked_number(200, &health("AVAILABLE", &odd))
            .next
            .is_empty()
    );
}

fn asked_templates(status: u16, body: &Value) -> Learned {
    let learned = asked_number(200, &health("AVAILABLE", &account("AVAILABLE")));
    kind().learn(&learned.next[0], &reply(status, body), &facts())
}

fn template(language: &str, status: &str) -> Value {
    json!({"name": "verification_code", "language": language, "status": status,
           "category": "AUTHENTICATION", "message_send_ttl_seconds": 300, "components": [
            {"type": "BODY"}, {"type": "FOOTER", "code_expiration_minutes": 5}]})
}

fn first(body: &Value) -> (Verdict, String) {
    let learned = asked_templates(200, body);
    let (_, verdict, text) = told(&learned).remove(0);
    (verdict, text)
}

#[test]
fn the_template_has_to_be_approved_in_every_language() {
    let mut longer_name = template("es", "APPROVED");
    longer_name["name"] = json!("verification_code_2");
    let body = json!({"data": [template("en_US", "APPROVED"), longer_name]});
    let learned = asked_templates(200, &body);
    let told = told(&learned);
    assert_eq!(told[0].1, Verdict::Ok, "{}", told[0].2);
    assert_eq!(told[1].1, Verdict::Problem);
    assert!(
        told[1].2.contains("no `verification_code` in `es`"),
        "{}",
        told[1].2
    );

    let (verdict, text) = first(&json!({"data": [template("en_US", "PAUSED")]}));
    assert_eq!(verdict, Verdict::Problem);
    assert!(text.contains("not approved: PAUSED"), "{text}");

    let mut sold = template("en_US", "APPROVED");
    sold["category"] = json!("UTILITY");
    let (verdict, text) = first(&json!({"data": [sold]}));
    assert_eq!(verdict, Verdict::Problem);
    assert!(text.contains("UTILITY"), "{text}");

    let (verdict, _) = first(&json!({"data": [], "paging": {"next": "https://x"}}));
    assert_eq!(verdict, Verdict::Unknown, "there is more to look at");
}

#[test]
fn the_minutes_and_the_delivery_time_of_a_template_fit_the_life_of_codes() {
    let mut minutes = template("en_US", "APPROVED");
    minutes["components"][1]["code_expiration_minutes"] = json!(10);
    let (verdict, text) = first(&json!({"data": [minutes]}));
    assert_eq!(verdict, Verdict::Warning);
    assert!(text.contains("10 min, and they live 300 s"), "{text}");

    for (seconds, verdict) in [
        (json!(600), Verdict::Warning),
        (json!(-1), Verdict::Warning),
        (json!("600"), Verdict::Warning),
        (json!(60), Verdict::Ok),
        (Value::Null, Verdict::Ok),
    ] {
        let mut slow = template("en_US", "APPROVED");
        slow["message_send_ttl_seconds"] = seconds.clone();
        assert_eq!(first(&json!({"data": [slow]})).0, verdict, "{seconds}");
    }
}

#[test]
fn a_token_that_may_not_look_at_templates_is_no_problem() {
    for (code, verdict) in [
        (10, Verdict::Unknown),
        (200, Verdict::Unknown),
        (190, Verdict::Problem),
    ] {
        let learned = asked_templates(400, &json!({"error": {"code": code}}));
        assert_eq!(learned.findings[0].verdict, verdict, "{code}");
    }
}
