//! The `uuid` surface: codes by handle, at the root.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use watchword_core::{Scope, VerificationId};
use watchword_http::SurfaceKind;

use crate::world::{Answer, JSON, PHONE, Setting, World};

/// The surface in dev mode, where codes without a recipient are made for whoever tries.
fn dev() -> World {
    World::with(Setting {
        dev: true,
        serves: vec![SurfaceKind::Uuid],
        ..Setting::default()
    })
}

fn serving() -> World {
    World::with(Setting {
        serves: vec![SurfaceKind::Uuid],
        ..Setting::default()
    })
}

/// Callers without a key.
fn public() -> World {
    World {
        key: None,
        ..serving()
    }
}

async fn generate(world: &World, query: &str, body: &str) -> Answer {
    let headers = &[("content-type", "application/x-www-form-urlencoded")];
    let path = format!("/{query}");
    world
        .send(Method::POST, &path, headers, body.to_owned())
        .await
}

async fn verify(world: &World, uuid: &str, otp: &str, body: &str) -> Answer {
    let path = format!("/{uuid}/{otp}");
    let headers = &[("content-type", JSON)];
    world
        .send(Method::GET, &path, headers, body.to_owned())
        .await
}

#[track_caller]
fn says(answer: &Answer, status: u16, message: &str) {
    assert_eq!(answer.body["message"], message, "{}", answer.text);
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.header("content-type"), "application/json");
}

fn uuid(answer: &Answer) -> String {
    says(answer, 200, "OTP_GENERATED");
    let uuid = answer.body["info"]["uuid"].as_str().unwrap();
    assert!(VerificationId::parse(uuid).is_some());
    uuid.to_owned()
}

/// A code by SMS, and its handle.
async fn sent(world: &World, more: &str, body: &str) -> (String, String) {
    let to = PHONE.replace('+', "%2B");
    let answer = generate(world, &format!("?channel=sms&to={to}{more}"), body).await;
    let uuid = uuid(&answer);
    assert_eq!(answer.body["info"].as_object().unwrap().len(), 1);
    let code = world.code(&uuid);
    (uuid, code)
}

#[tokio::test]
async fn a_code_that_was_sent_is_verified_once() {
    let world = public();
    let (uuid, code) = sent(&world, "", "{}").await;
    says(
        &verify(&world, &uuid, &code, "{}").await,
        200,
        "OTP_VERIFIED",
    );
    says(
        &verify(&world, &uuid, &code, "{}").await,
        401,
        "OTP_EXPIRED",
    );
}

#[tokio::test]
async fn a_caller_who_may_read_codes_gets_the_code_and_nobody_else_does() {
    let world = serving();
    let answer = generate(&world, "?use_alpha_numeric=true&code_length=10", "").await;
    let handle = uuid(&answer);
    let code = answer.body["info"]["otp"].as_str().unwrap();
    assert_eq!(code.len(), 10);
    assert_eq!(world.pigeon.count(), 0, "nobody to send it to");
    let typed = code.to_lowercase();
    says(
        &verify(&world, &handle, &typed, "").await,
        200,
        "OTP_VERIFIED",
    );

    let mut others = Scope::ALL.to_vec();
    others.retain(|scope| *scope != Scope::ReadCodes);
    for poor in [public(), serving().as_app("default", &others)] {
        let refused = generate(&poor, "", "{}").await;
        says(&refused, 403, "CODE_UNREADABLE");
        assert!(
            refused.body["info"]["detail"]
                .as_str()
                .unwrap()
                .contains("codes:read")
        );
    }
    let tried = generate(&dev(), "", "{}").await;
    uuid(&tried);
    assert!(tried.body["info"].get("otp").is_none());
}

#[tokio::test]
async fn a_code_that_was_sent_is_not_shown_to_its_caller_too() {
    // Whoever may read codes could otherwise pass for any recipient.
    let world = serving();
    sent(&world, "", "{}").await;
}

#[tokio::test]
async fn in_dev_mode_codes_are_shown_where_asked_for() {
    let world = World::with(Setting {
        dev: true,
        expose_codes: true,
        serves: vec![SurfaceKind::Uuid],
        ..Setting::default()
    });
    let answer = generate(&world, "?channel=sms&to=%2B14155550123", "").await;
    let handle = uuid(&answer);
    assert_eq!(answer.body["info"]["otp"], world.code(&handle));
}

#[tokio::test]
async fn parameters_come_from_query_or_body_and_the_query_wins() {
    let world = serving();
    let body = r#"{"code_length": 4, "ttl": 3600, "retry_limit": 1, "use_alpha_numeric": true}"#;
    let answer = generate(&world, "", body).await;
    assert_eq!(answer.body["info"]["otp"].as_str().unwrap().len(), 4);
    let answer = generate(&world, "?code_length=8&use_alpha_numeric=false", body).await;
    let code = answer.body["info"]["otp"].as_str().unwrap();
    assert!(
        code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{code}"
    );
    let handle = uuid(&answer);
    says(
        &verify(&world, &handle, "%E2%91%A0", "").await,
        401,
        "OTP_INVALID",
    );
    says(
        &verify(&world, &handle, "00000000000", "").await,
        401,
        "OTP_INVALID",
    );
    let wrong = if code == "11111111" {
        "22222222"
    } else {
        "11111111"
    };
    says(
        &verify(&world, &handle, wrong, "").await,
        401,
        "OTP_INVALID",
    );
    says(
        &verify(&world, &handle, code, "").await,
        401,
        "OTP_ATTEMPTS",
    );
    let nulls = r#"{"code_length": null, "ttl": null, "strict_validation": null}"#;
    let answer = generate(&world, "", nulls).await;
    assert_eq!(answer.body["info"]["otp"].as_str().unwrap().len(), 6);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_the_documented_order() {
    let world = serving();
    for (query, body, message) in [
        ("", "[]", "REQUEST_BODY_INVALID"),
        ("", "1", "REQUEST_BODY_INVALID"),
        ("", "null", "REQUEST_BODY_INVALID"),
        ("", "{", "JSON_INVALID"),
        ("", "ttl=60", "JSON_INVALID"),
        ("", "\u{0}", "JSON_INVALID"),
        ("", r#"{"ttl": "60"}"#, "JSON_INVALID"),
        ("", r#"{"ttl": 60.0}"#, "JSON_INVALID"),
        ("", r#"{"strict_validation": "true"}"#, "JSON_INVALID"),
        ("", r#"{"ttl": 1, "ttl": 2}"#, "JSON_INVALID"),
        (
            "?strict_validation=true",
            r#"{"a": {"b": 1, "b": 2}}"#,
            "JSON_INVALID",
        ),
        (
            "?strict_validation=true",
            r#"{"a": "\ud800"}"#,
            "JSON_INVALID",
        ),
        (
            "?ttl=0&retry_limit=0&code_length=0",
            "[]",
            "REQUEST_BODY_INVALID",
        ),
        ("?ttl=0&retry_limit=0&code_length=0", "{", "JSON_INVALID"),
        ("?ttl=0&retry_limit=0&code_length=0", "{}", "TTL_INVALID"),
        ("?ttl=3601", "", "TTL_INVALID"),
        ("?ttl=-1", "", "TTL_INVALID"),
        ("?ttl=x", "", "TTL_INVALID"),
        ("?ttl=", "", "TTL_INVALID"),
        ("", r#"{"ttl": -1}"#, "TTL_INVALID"),
        ("", r#"{"ttl": 99999999999999999999}"#, "TTL_INVALID"),
        ("?retry_limit=61&code_length=11", "", "RETRY_INVALID"),
        ("?retry_limit=0", "", "RETRY_INVALID"),
        ("?code_length=11", "", "CODE_INVALID"),
        ("?code_length=0", "", "CODE_INVALID"),
        ("?strict_validation=perhaps", "", "REQUEST_BODY_INVALID"),
        ("?ttl=1&ttl=2", "", "REQUEST_BODY_INVALID"),
        ("?to=%2B14155550123", "", "CHANNEL_INVALID"),
        ("?channel=pigeon&to=%2B14155550123", "", "CHANNEL_INVALID"),
        ("?channel=sms", "", "TO_INVALID"),
        ("?channel=sms&to=someone@example.com", "", "TO_INVALID"),
        ("?channel=email&to=%2B14155550123", "", "TO_INVALID"),
    ] {
        let answer = generate(&world, query, body).await;
        says(&answer, 400, message);
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    let deep = generate(&world, "?strict_validation=true", &deep).await;
    assert!(matches!(deep.status.as_u16(), 400 | 413), "{}", deep.text);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(17_000));
    let long = generate(&world, "", &long).await;
    says(&long, 413, "REQUEST_BODY_TOO_LARGE");
}

#[tokio::test]
async fn strict_validation_compares_the_body_as_a_value_and_is_no_oracle() {
    let world = public();
    let body = r#"{"UPPER": "VALUE", "Keys": {"Key 1": "Val 1", "n": 10}}"#;
    let (uuid, code) = sent(&world, "&strict_validation=true&retry_limit=6", body).await;
    let wrong = world.wrong_code(&uuid);
    for otp in [code.as_str(), wrong.as_str()] {
        for other in [
            "{}",
            r#"{"UPPER": "value", "Keys": {"Key 1": "Val 1", "n": 10}}"#,
        ] {
            says(
                &verify(&world, &uuid, otp, other).await,
                401,
                "REQUEST_MISMATCH",
            );
        }
        // Costs nothing: it is not compared.
        says(
            &verify(&world, &uuid, otp, "[]").await,
            400,
            "REQUEST_BODY_INVALID",
        );
        says(&verify(&world, &uuid, otp, "{").await, 400, "JSON_INVALID");
    }
    says(
        &verify(&world, &uuid, &wrong, body).await,
        401,
        "OTP_INVALID",
    );
    let spelled = r#"{ "Keys": {"n": 1e1, "Key\u00201": "Val 1"}, "UPPER": "VALUE" }"#;
    says(
        &verify(&world, &uuid, &code, spelled).await,
        200,
        "OTP_VERIFIED",
    );
}

#[tokio::test]
async fn mismatches_use_the_attempts_up() {
    let world = public();
    let (uuid, code) = sent(
        &world,
        "&strict_validation=true&retry_limit=2",
        r#"{"a":1}"#,
    )
    .await;
    for _ in 0..2 {
        says(
            &verify(&world, &uuid, &code, "{}").await,
            401,
            "REQUEST_MISMATCH",
        );
    }
    says(
        &verify(&world, &uuid, &code, r#"{"a":1}"#).await,
        401,
        "OTP_ATTEMPTS",
    );
    world.clock.advance(Duration::from_secs(60));
    says(
        &verify(&world, &uuid, &code, r#"{"a":1}"#).await,
        401,
        "OTP_EXPIRED",
    );
}

#[tokio::test]
async fn without_strict_validation_the_body_of_a_verification_is_nobodys_business() {
    let world = public();
    let (uuid, code) = sent(&world, "", r#"{"a":1}"#).await;
    says(
        &verify(&world, &uuid, &code, "not json").await,
        200,
        "OTP_VERIFIED",
    );
}

#[tokio::test]
async fn a_code_is_dead_after_its_time_and_unknown_handles_look_the_same() {
    let world = public();
    let (uuid, code) = sent(&world, "&ttl=1", "").await;
    world.clock.advance(Duration::from_secs(1));
    says(&verify(&world, &uuid, &code, "").await, 401, "OTP_EXPIRED");
    let unknown = "1c11604d-47fa-442a-866a-231686e14a8b";
    for handle in [unknown, "no-uuid", "%FF", "..%2f"] {
        says(
            &verify(&world, handle, "447317", "").await,
            401,
            "OTP_EXPIRED",
        );
    }
}

#[tokio::test]
async fn handles_of_other_surfaces_are_unknown_here() {
    let world = World::with(Setting {
        serves: vec![SurfaceKind::Native, SurfaceKind::Uuid],
        ..Setting::default()
    });
    let id = world.start(PHONE).await;
    let code = world.code(&id);
    says(&verify(&world, &id, &code, "").await, 401, "OTP_EXPIRED");
    assert_eq!(world.check(&id, &code).await.status, 200);
}

#[tokio::test]
async fn where_other_surfaces_are_what_is_no_handle_is_not_found() {
    let world = World::with(Setting {
        serves: vec![SurfaceKind::Native, SurfaceKind::Uuid],
        ..Setting::default()
    });
    for path in [
        "/favicon.ico",
        "/no/such",
        "/api/health",
        "/v2/verifications",
    ] {
        for method in [Method::GET, Method::POST, Method::HEAD] {
            let answer = world.send(method, path, &[], "").await;
            assert_eq!(answer.status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn nobody_but_a_person_uses_a_code_up() {
    let world = public();
    let (uuid, code) = sent(&world, "&retry_limit=1", "").await;
    let path = format!("/{uuid}/{code}");
    let head = world.send(Method::HEAD, &path, &[], "").await;
    assert_eq!(head.status, 405);
    assert_eq!(head.header("allow"), "GET");
    for ahead in [
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "Prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        let answer = world.send(Method::GET, &path, &[ahead], "").await;
        says(&answer, 403, "PREFETCH_REFUSED");
    }
    says(&verify(&world, &uuid, &code, "").await, 200, "OTP_VERIFIED");
}

#[tokio::test]
async fn a_path_without_a_code_is_told_so_and_other_methods_are_refused() {
    let world = public();
    let answer = world.get("/1c11604d-47fa-442a-866a-231686e14a8b").await;
    says(&answer, 400, "OTP_MISSING");
    for (method, path, allow) in [
        (Method::PUT, "/", "POST"),
        (Method::POST, "/a/b", "GET"),
        (Method::DELETE, "/health", "GET"),
    ] {
        let answer = world.send(method, path, &[], "").await;
        says(&answer, 405, "METHOD_NOT_ALLOWED");
        assert!(answer.header("allow").contains(allow));
    }
}

#[tokio::test]
async fn health_speaks_of_the_store() {
    let world = public();
    let answer = world.get("/health").await;
    says(&answer, 200, "SERVICE_HEALTH");
    assert_eq!(answer.body["info"], json!({"redis_status": "OK"}));
    let broken = World::with(Setting {
        serves: vec![SurfaceKind::Uuid],
        store: std::sync::Arc::new(crate::stand_ins::Unreachable),
        ..Setting::default()
    });
    let answer = broken.get("/health").await;
    says(&answer, 500, "SERVICE_HEALTH");
    assert_eq!(answer.body["info"], json!({"redis_status": "Unavailable"}));
    says(&generate(&broken, "", "").await, 503, "SERVICE_UNAVAILABLE");
    let handle = "1c11604d-47fa-442a-866a-231686e14a8b";
    let answer = verify(&broken, handle, "447317", "").await;
    says(&answer, 503, "SERVICE_UNAVAILABLE");
    assert!(!answer.header("retry-after").is_empty());
}

/// The whole body is the binding, and as much may be bound as there is room for.
#[tokio::test]
async fn a_body_has_as_many_members_as_it_likes_and_none_of_them_twice() {
    let world = public();
    let strict = "&strict_validation=true";
    for count in [64, 65, 1200] {
        let members: Vec<_> = (0..count).map(|n| format!(r#""m{n}":{n}"#)).collect();
        let (whole, less) = (members.join(","), members[1..].join(","));
        let (whole, less) = (format!("{{{whole}}}"), format!("{{{less}}}"));
        let (uuid, code) = sent(&world, strict, &whole).await;
        let other = verify(&world, &uuid, &code, &less).await;
        says(&other, 401, "REQUEST_MISMATCH");
        let same = verify(&world, &uuid, &code, &whole).await;
        says(&same, 200, "OTP_VERIFIED");
        let twice = whole.replace(r#""m1":"#, r#""m0":"#);
        says(&generate(&world, "", &twice).await, 400, "JSON_INVALID");
    }
}

#[tokio::test]
async fn a_recipient_gets_three_codes_in_ten_minutes() {
    let world = public();
    for _ in 0..3 {
        sent(&world, "", "").await;
    }
    let refused = generate(&world, "?channel=sms&to=%2B14155550123", "").await;
    says(&refused, 429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(refused.header("retry-after"), "600");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_parallel_right_codes_one_is_verified_and_wrong_ones_share_the_attempts() {
    let world = public();
    let (uuid, code) = sent(&world, "", "").await;
    let all = (0..50).map(|_| {
        let (world, uuid, code) = (world.clone(), uuid.clone(), code.clone());
        tokio::spawn(async move { verify(&world, &uuid, &code, "").await.status.as_u16() })
    });
    let all = futures_util::future::join_all(all).await;
    let verified = all
        .into_iter()
        .filter(|status| *status.as_ref().unwrap() == 200);
    assert_eq!(verified.count(), 1);

    let (uuid, _) = sent(&world, "&retry_limit=7", "").await;
    let wrong = world.wrong_code(&uuid);
    let all = (0..50).map(|_| {
        let (world, uuid, wrong) = (world.clone(), uuid.clone(), wrong.clone());
        tokio::spawn(async move {
            let answer = verify(&world, &uuid, &wrong, "").await;
            answer.body["message"].as_str().unwrap().to_owned()
        })
    });
    let all = futures_util::future::join_all(all).await;
    let compared = all
        .into_iter()
        .filter(|message| message.as_ref().unwrap() == "OTP_INVALID");
    assert_eq!(compared.count(), 7);
}
