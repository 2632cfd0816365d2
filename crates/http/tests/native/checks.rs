//! Checking codes: by id, by recipient, and every way in which it fails.

use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::world::{Answer, PHONE, World};

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[tokio::test]
async fn the_right_code_is_approved_once_with_a_token() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let approved = world.check(&id, &world.code(&id)).await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text);
    assert_eq!(approved.body["id"], id.as_str());
    assert_eq!(approved.body["status"], "approved");
    assert_eq!(approved.body["approved_at"], "2026-09-21T14:13:20.000Z");
    assert_eq!(approved.body.as_object().unwrap().len(), 4);
    let claims = claims(approved.body["token"].as_str().unwrap());
    assert_eq!(claims["vid"], id.as_str());
    assert_eq!(claims["purpose"], "default");
    assert_eq!(claims["amr"], json!(["otp", "sms"]));
    assert!(!approved.text.contains("4155550123"));
    // X32, X33: neither the right code again nor a wrong one gets anything.
    world
        .check(&id, &world.code(&id))
        .await
        .is(404, "not-found");
    world
        .check(&id, &world.wrong_code(&id))
        .await
        .is(404, "not-found");
}

#[tokio::test]
async fn a_check_by_recipient_means_the_newest_of_the_purpose_in_any_spelling() {
    let world = World::without_limits();
    let start = async |purpose: &str| {
        let body = json!({ "to": PHONE, "purpose": purpose });
        let started = world.post("/v1/verifications", body).await;
        started.body["id"].as_str().unwrap().to_owned()
    };
    let (login, pay) = (start("login").await, start("pay").await);
    let check = async |to: &str, purpose: &str, code: &str| {
        let body = json!({ "to": to, "purpose": purpose, "code": code });
        world.post("/v1/verifications/check", body).await
    };
    if world.code(&pay) != world.code(&login) {
        check(PHONE, "pay", &world.code(&login))
            .await
            .is(422, "incorrect-code");
    }
    let approved = check("001 415-555-0123", "login", &world.code(&login)).await;
    assert_eq!(approved.body["id"], login.as_str(), "{}", approved.text);
    check(PHONE, "signup", &world.code(&pay))
        .await
        .is(404, "not-found");
    check("+14155550124", "pay", &world.code(&pay))
        .await
        .is(404, "not-found");
}

#[tokio::test]
async fn wrong_codes_count_down_to_410_and_then_the_right_one_is_refused_alike() {
    let world = World::new();
    let id = world.start(PHONE).await;
    for left in (0..5).rev() {
        let wrong = world.check(&id, &world.wrong_code(&id)).await;
        wrong.is(422, "incorrect-code");
        assert_eq!(wrong.body["attempts_remaining"], left);
    }
    let wrong = world.check(&id, &world.wrong_code(&id)).await;
    let right = world.check(&id, &world.code(&id)).await;
    right.is(410, "attempts-exhausted");
    assert_eq!(same(&wrong), same(&right));
    let resend = world
        .post(&format!("/v1/verifications/{id}/resend"), json!({}))
        .await;
    resend.is(410, "attempts-exhausted");
}

/// X24, V4: in a state in which nothing is compared, the answer does not depend on the code.
#[tokio::test]
async fn a_dead_verification_says_the_same_to_right_and_wrong_codes() {
    let world = World::without_limits();
    let expired = world.start("+14155550100").await;
    world.clock.advance(Duration::from_secs(300));
    let superseded = world.start("+14155550101").await;
    world.start("+14155550101").await;
    let canceled = world.start("+14155550102").await;
    world
        .delete(&format!("/v1/verifications/{canceled}"))
        .await
        .is_ok();
    let consumed = world.start("+14155550103").await;
    world.check(&consumed, &world.code(&consumed)).await.is_ok();
    let unknown = "0192d3a4-5b6c-8d7e-8f90-123456789abc";
    let reference = world.check(unknown, "000000").await;
    reference.is(404, "not-found");
    for id in [&expired, &superseded, &canceled, &consumed] {
        for code in [world.code(id), world.wrong_code(id)] {
            let answer = world.check(id, &code).await;
            assert_eq!(same(&answer), same(&reference));
        }
    }
    let foreign = world.as_app("other", &watchword_core::Scope::ALL);
    let live = world.start("+14155550104").await;
    let answer = foreign.check(&live, &world.code(&live)).await;
    assert_eq!(same(&answer), same(&reference));
}

/// Everything of an answer that could tell one from another.
fn same(answer: &Answer) -> (u16, Vec<(String, String)>, &str) {
    let headers = answer.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (answer.status.as_u16(), headers.collect(), &answer.text)
}

#[tokio::test]
async fn a_code_lives_until_its_last_millisecond() {
    let world = World::without_limits();
    let (first, second) = (
        world.start("+14155550100").await,
        world.start("+14155550101").await,
    );
    world.clock.advance(Duration::from_millis(299_999));
    world.check(&first, &world.code(&first)).await.is_ok();
    world.clock.advance(Duration::from_millis(1));
    world
        .check(&second, &world.code(&second))
        .await
        .is(404, "not-found");
}

#[tokio::test]
async fn a_binding_has_to_be_repeated_as_a_value() {
    let world = World::without_limits();
    let bound = json!({ "to": PHONE, "binding": {"amount": 1000, "to": "DE02"} });
    for (binding, right) in [
        (r#"{"to":"DE02","amount":1000}"#, true),
        (r#"{"to":"DE02","amount":1e3}"#, true),
        (r#"{"to":"DE02","amount":10}"#, false),
        ("null", false),
        ("[]", false),
    ] {
        let started = world.post("/v1/verifications", bound.clone()).await;
        let id = started.body["id"].as_str().unwrap().to_owned();
        let body = format!(r#"{{"code":"{}","binding":{binding}}}"#, world.code(&id));
        let path = format!("/v1/verifications/{id}/check");
        let headers = [("content-type", "application/json")];
        let checked = world
            .send(axum::http::Method::POST, &path, &headers, body)
            .await;
        assert_eq!(
            checked.status.is_success(),
            right,
            "{binding}: {}",
            checked.text
        );
        if !right {
            checked.is(422, "incorrect-code");
            world
                .check(&id, &world.code(&id))
                .await
                .is(422, "incorrect-code");
        }
    }
    // Nothing bound is not the same as null bound.
    let id = world.start(PHONE).await;
    let body = json!({ "code": world.code(&id), "binding": null });
    let checked = world
        .post(&format!("/v1/verifications/{id}/check"), body)
        .await;
    checked.is(422, "incorrect-code");
}

#[tokio::test]
async fn spellings_of_a_code_are_one_code_and_unreadable_ones_cost_nothing() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let code = world.code(&id);
    for unreadable in [
        "",
        " ",
        "１２３４５６７８９０１",
        "12a!56",
        "../sms",
        "①②③④⑤⑥",
        "12345678901",
    ] {
        let refused = world.check(&id, unreadable).await;
        refused.is(400, "invalid-request");
        assert_eq!(refused.pointers(), ["/code"]);
    }
    let spelled = format!(" {}-{} ", &code[..3], &code[3..]);
    let read = world.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(read.body["attempts_remaining"], 5);
    world.check(&id, &spelled).await.is_ok();
}

#[tokio::test]
async fn a_locked_recipient_gets_429_until_it_is_unlocked() {
    let world = World::without_limits();
    let mut id = world.start(PHONE).await;
    for guess in 0..10 {
        if guess == 5 {
            id = world.start(PHONE).await;
        }
        world
            .check(&id, &world.wrong_code(&id))
            .await
            .is(422, "incorrect-code");
        world.clock.advance(Duration::from_millis(1));
    }
    // The sends are refused as well; a verification of another purpose shares the budget.
    let refused = world
        .post(
            "/v1/verifications",
            json!({ "to": PHONE, "purpose": "pay" }),
        )
        .await;
    refused.is(429, "recipient-locked");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((3599..=3600).contains(&wait), "{wait}");
    let unlocked = world
        .post("/v1/recipients/unlock", json!({ "to": "+1 415 555 0123" }))
        .await;
    assert_eq!(
        unlocked.body,
        json!({ "to": "+1••••••0123", "unlocked": true })
    );
    let again = world
        .post("/v1/recipients/unlock", json!({ "to": PHONE }))
        .await;
    assert_eq!(again.body["unlocked"], false);
    let id = world.start(PHONE).await;
    world.check(&id, &world.code(&id)).await.is_ok();
}

#[tokio::test]
async fn a_lock_without_end_says_a_day() {
    let mut policy = crate::world::without_limits();
    policy.failures.in_a_row = 1;
    let world = World::with(crate::world::Setting {
        policy: Some(policy),
        ..crate::world::Setting::default()
    });
    let id = world.start(PHONE).await;
    world
        .check(&id, &world.wrong_code(&id))
        .await
        .is(422, "incorrect-code");
    let locked = world.check(&id, &world.code(&id)).await;
    locked.is(429, "recipient-locked");
    assert_eq!(locked.header("retry-after"), "86400");
}

/// X4: who hangs up before the answer has paid all the same.
#[tokio::test]
async fn a_check_whose_client_hangs_up_has_spent_its_attempt() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let wrong = world.wrong_code(&id);
    let mut checking = Box::pin(world.check(&id, &wrong));
    let _ = futures_util::poll!(&mut checking);
    drop(checking);
    let read = world.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(read.body["attempts_remaining"], 4);
}
