//! Who may do what, and what they see of each other.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use watchword_core::{ApiKey, ApiKeyRecord, ApiKeyStore as _, AppId, Clock as _, Scope};

use crate::world::{JSON, PHONE, World};

#[tokio::test]
async fn without_a_working_key_everything_is_401() {
    let mut world = World::new();
    let good = world.key.take().unwrap();
    let mut typo = good.clone();
    typo.replace_range(20..21, if &good[20..21] == "0" { "1" } else { "0" });
    let foreign = ApiKey::generate(&watchword_core::fakes::SeededEntropy::new(9)).unwrap();
    let basic = format!("Basic {good}");
    let bare = good.clone();
    for authorization in [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer x".to_owned()),
        Some(basic),
        Some(bare),
        Some(format!("Bearer {typo}")),
        Some(format!("Bearer {}", foreign.expose())),
        Some(format!("Bearer {good} {good}")),
    ] {
        let mut headers = vec![("content-type", JSON)];
        headers.extend(
            authorization
                .as_deref()
                .map(|value| ("authorization", value)),
        );
        let body = json!({ "to": PHONE }).to_string();
        let answer = world
            .send(Method::POST, "/v1/verifications", &headers, body)
            .await;
        answer.is(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(!answer.text.contains(&good[15..40]));
    }
    // Q1: never in the query.
    let path = format!("/v1/verifications?api_key={good}&access_token={good}");
    world
        .post(&path, json!({ "to": PHONE }))
        .await
        .is(401, "unauthenticated");
    let twice = [
        ("authorization", &*format!("Bearer {good}")),
        ("authorization", "Bearer x"),
    ];
    let twice = world
        .post_with("/v1/verifications", json!({ "to": PHONE }), &twice)
        .await;
    twice.is(401, "unauthenticated");
    assert_eq!(world.pigeon.count(), 0);
    let lower = format!("bearer {good}");
    let headers = [("authorization", &*lower)];
    let answer = world
        .post_with("/v1/verifications", json!({ "to": PHONE }), &headers)
        .await;
    assert_eq!(answer.status, 201, "the scheme's case does not count");
}

#[tokio::test]
async fn a_revoked_or_expired_key_is_no_key() {
    let mut world = World::new();
    let key = ApiKey::generate(&watchword_core::fakes::SeededEntropy::new(5)).unwrap();
    let end = world.clock.now().plus(Duration::from_secs(60));
    let record = ApiKeyRecord::of(
        &key,
        "short".into(),
        AppId::default(),
        Scope::ALL.to_vec(),
        world.clock.now(),
        Some(end),
    );
    world.api_keys.put(record);
    world.key = Some(key.expose().to_owned());
    let id = world.start(PHONE).await;
    let path = format!("/v1/verifications/{id}");
    world.clock.advance(Duration::from_secs(60));
    world.get(&path).await.is(401, "unauthenticated");
    let mut world = World::new();
    let key = world.key.clone().unwrap();
    let id = ApiKey::parse(&key).unwrap().id().clone();
    world.api_keys.revoke(&id, world.clock.now()).await.unwrap();
    world.get(&path).await.is(401, "unauthenticated");
    world.key = None;
}

#[tokio::test]
async fn every_call_needs_its_scope_and_that_one_is_enough() {
    let world = World::without_limits();
    let id = world.start(PHONE).await;
    let code = world.code(&id);
    let by_id = format!("/v1/verifications/{id}");
    let calls = [
        (
            Method::POST,
            "/v1/verifications".to_owned(),
            json!({ "to": "+14155550199" }),
            Scope::WriteVerifications,
        ),
        (
            Method::GET,
            by_id.clone(),
            json!(null),
            Scope::ReadVerifications,
        ),
        (
            Method::POST,
            format!("{by_id}/resend"),
            json!({}),
            Scope::WriteVerifications,
        ),
        (
            Method::POST,
            format!("{by_id}/check"),
            json!({ "code": code }),
            Scope::CheckVerifications,
        ),
        (
            Method::POST,
            "/v1/verifications/check".to_owned(),
            json!({ "to": PHONE, "code": code }),
            Scope::CheckVerifications,
        ),
        (
            Method::DELETE,
            by_id,
            json!(null),
            Scope::WriteVerifications,
        ),
        (
            Method::POST,
            "/v1/recipients/unlock".to_owned(),
            json!({ "to": PHONE }),
            Scope::UnlockRecipients,
        ),
        (
            Method::POST,
            "/v1/recipients/show".to_owned(),
            json!({ "to": PHONE }),
            Scope::ManageRecipients,
        ),
        (
            Method::POST,
            "/v1/recipients/erase".to_owned(),
            json!({ "to": PHONE }),
            Scope::ManageRecipients,
        ),
    ];
    for (method, path, body, needed) in calls {
        let others: Vec<_> = Scope::ALL
            .into_iter()
            .filter(|scope| *scope != needed)
            .collect();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("content-type", JSON)];
        let without = world.as_app("default", &others);
        let answer = without
            .send(method.clone(), &path, &headers, body.clone())
            .await;
        answer.is(403, "forbidden");
        assert!(answer.text.contains(needed.as_str()), "{}", answer.text);
        let only = world.as_app("default", &[needed]);
        let answer = only.send(method, &path, &headers, body).await;
        assert!(
            !matches!(answer.status.as_u16(), 401 | 403),
            "{path}: {}",
            answer.text
        );
    }
}

/// The id of a key is public; only its secret opens anything.
#[tokio::test]
async fn the_right_id_with_another_secret_is_no_key() {
    let mut world = World::new();
    let key = ApiKey::generate(&watchword_core::fakes::SeededEntropy::new(5)).unwrap();
    let mut record = ApiKeyRecord::of(
        &key,
        "other secret".into(),
        AppId::default(),
        Scope::ALL.to_vec(),
        world.clock.now(),
        None,
    );
    record.hash[31] ^= 1;
    world.api_keys.put(record);
    world.key = Some(key.expose().to_owned());
    let answer = world
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await;
    answer.is(401, "unauthenticated");
}

/// X34, X74: another app's verification is not there, and its recipient has budgets of its own.
#[tokio::test]
async fn apps_see_nothing_of_each_other() {
    let ours = World::new();
    let theirs = ours.as_app("other", &Scope::ALL).from("192.0.2.2");
    let id = ours.start(PHONE).await;
    let path = format!("/v1/verifications/{id}");
    let unknown = "/v1/verifications/0192d3a4-5b6c-8d7e-8f90-123456789abc";
    for (found, missing) in [
        (theirs.get(&path).await, theirs.get(unknown).await),
        (theirs.delete(&path).await, theirs.delete(unknown).await),
        (
            theirs.check(&id, &ours.code(&id)).await,
            theirs
                .check("0192d3a4-5b6c-8d7e-8f90-123456789abc", "000000")
                .await,
        ),
        (
            theirs.post(&format!("{path}/resend"), json!({})).await,
            theirs.post(&format!("{unknown}/resend"), json!({})).await,
        ),
    ] {
        assert_eq!(found.status, 404);
        assert_eq!(
            (found.status, &found.headers, &found.text),
            (missing.status, &missing.headers, &missing.text)
        );
    }
    let by_recipient = json!({ "to": PHONE, "code": ours.code(&id) });
    theirs
        .post("/v1/verifications/check", by_recipient)
        .await
        .is(404, "not-found");
    // No attempt of ours was burnt, and their own send meets neither our cooldown nor our lock.
    assert_eq!(ours.get(&path).await.body["attempts_remaining"], 5);
    let their_id = theirs.start(PHONE).await;
    for _ in 0..5 {
        theirs
            .check(&their_id, &theirs.wrong_code(&their_id))
            .await
            .is(422, "incorrect-code");
    }
    assert_eq!(
        theirs
            .post("/v1/recipients/unlock", json!({ "to": PHONE }))
            .await
            .body["unlocked"],
        true
    );
    ours.check(&id, &ours.code(&id)).await.is_ok();
}

#[tokio::test]
async fn dev_mode_needs_no_key_at_this_machine_but_takes_none_that_is_wrong() {
    let world = World::dev();
    let body = || json!({ "to": PHONE });
    let elsewhere = [("host", "evil.example")];
    let answer = world
        .post_with("/v1/verifications", body(), &elsewhere)
        .await;
    answer.is(401, "unauthenticated");
    let wrong = [("authorization", "Bearer wk_nonsense")];
    world
        .post_with("/v1/verifications", body(), &wrong)
        .await
        .is(401, "unauthenticated");
    let here = [("host", "localhost:8080")];
    let started = world.post_with("/v1/verifications", body(), &here).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let unlocked = world
        .post("/v1/recipients/unlock", json!({ "to": PHONE }))
        .await;
    unlocked.is_ok();
}

/// X28: neither `--expose-codes` nor the scope makes this surface show a code.
#[tokio::test]
async fn no_answer_holds_a_code_not_even_with_expose_codes() {
    let world = World::with(crate::world::Setting {
        dev: true,
        expose_codes: true,
        ..crate::world::Setting::default()
    });
    let started = world
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await;
    let id = started.body["id"].as_str().unwrap().to_owned();
    let code = world.code(&id);
    let read = world.get(&format!("/v1/verifications/{id}")).await;
    let checked = world.check(&id, &code).await;
    for answer in [started, read, checked] {
        assert!(!answer.text.contains(&code), "{}", answer.text);
    }
}
