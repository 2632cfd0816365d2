//! The OpenAPI document against the API, and the public keys.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use watchword_core::Verdict;
use watchword_core::fakes::{BrokenEntropy, keys};
use watchword_core::memory::{MemoryStore, NoJournal};
use watchword_core::{Policy, Scope};

use crate::overload::answers_of_full_servers;
use crate::stand_ins::{Busy, Unreachable};
use crate::world::{JSON, Observed, PHONE, Setting, World, without_limits};

const KEY: (&str, &str) = ("idempotency-key", "\"8e03978e-40d5-43dd\"");

fn document() -> Value {
    serde_json::from_str(&watchword_http::openapi_json()).unwrap()
}

/// Every answer that the document promises.
fn documented() -> BTreeSet<Observed> {
    let mut all = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["tags"] != json!(["native"]) {
                continue;
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let codes = &response["content"]["application/problem+json"]["examples"];
                let one = |code: &str| {
                    let status = status.parse().unwrap();
                    (method.to_uppercase(), path.clone(), status, code.to_owned())
                };
                match codes.as_object() {
                    Some(codes) => all.extend(codes.keys().map(|code| one(code))),
                    None => {
                        all.insert(one(""));
                    }
                }
            }
        }
    }
    all
}

#[tokio::test]
async fn every_documented_answer_is_given_and_no_other() {
    let observed = Arc::default();
    let world = |setting: Setting| {
        let mut world = World::with(setting);
        world.observed = Arc::clone(&observed);
        world
    };
    let unlimited = || Setting {
        policy: Some(without_limits()),
        ..Setting::default()
    };
    answers_of_all(&world(unlimited())).await;
    answers_of_sends(&world(Setting::default())).await;
    answers_of_checks(&world(unlimited())).await;
    answers_of_lives(&world(unlimited())).await;
    let gone = world(Setting {
        store: Arc::new(Unreachable),
        replays: Arc::new(Unreachable),
        ..Setting::default()
    });
    for (method, path, body) in calls("0192d3a4-5b6c-8d7e-8f90-123456789abc") {
        let answer = gone
            .send(method, &path, &[("content-type", JSON)], body)
            .await;
        answer.is(503, "storage-unavailable");
        assert_eq!(answer.header("retry-after"), "2");
    }
    let busy = world(Setting {
        replays: Arc::new(Busy),
        ..Setting::default()
    });
    for (method, path, body) in calls("0192d3a4-5b6c-8d7e-8f90-123456789abc") {
        if takes_keys(&method, &path) {
            let headers = [("content-type", JSON), KEY];
            busy.send(method, &path, &headers, body)
                .await
                .is(409, "conflict");
        }
    }
    answers_of_broken_servers(&world).await;
    answers_of_full_servers(&world).await;

    let observed: BTreeSet<Observed> = observed.lock().clone();
    let documented = documented();
    let missing: Vec<_> = documented.difference(&observed).collect();
    let more: Vec<_> = observed.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "documented and never given: {missing:#?}"
    );
    assert!(more.is_empty(), "given and not documented: {more:#?}");
}

/// One request of every operation that gets as far as the store.
pub(crate) fn calls(id: &str) -> Vec<(Method, String, String)> {
    let by_id = format!("/v1/verifications/{id}");
    let to = json!({ "to": PHONE }).to_string();
    let code = json!({ "code": "000000" }).to_string();
    let by_recipient = json!({ "to": PHONE, "code": "000000" }).to_string();
    vec![
        (Method::POST, "/v1/verifications".into(), to.clone()),
        (Method::GET, by_id.clone(), String::new()),
        (Method::POST, format!("{by_id}/check"), code),
        (Method::POST, "/v1/verifications/check".into(), by_recipient),
        (Method::POST, format!("{by_id}/resend"), "{}".into()),
        (Method::DELETE, by_id, String::new()),
        (Method::POST, "/v1/recipients/unlock".into(), to.clone()),
        (Method::POST, "/v1/recipients/show".into(), to.clone()),
        (Method::POST, "/v1/recipients/erase".into(), to),
    ]
}

/// Whether an idempotency key matters to an operation.
fn takes_keys(method: &Method, path: &str) -> bool {
    method == Method::POST && path != "/v1/recipients/show"
}

/// What every operation answers alike, and the plain successes.
async fn answers_of_all(world: &World) {
    let id = world.start(PHONE).await;
    let nobody = World {
        key: None,
        ..world.clone()
    };
    let powerless = world.as_app("default", &[Scope::ReadCodes]);
    for (method, path, body) in calls(&id) {
        let headers = [("content-type", JSON)];
        nobody
            .send(method.clone(), &path, &headers, body.clone())
            .await
            .is(401, "unauthenticated");
        powerless
            .send(method.clone(), &path, &headers, body.clone())
            .await
            .is(403, "forbidden");
        if method != Method::POST {
            continue;
        }
        let form = [("content-type", "text/plain")];
        world
            .send(method.clone(), &path, &form, body.clone())
            .await
            .is(415, "unsupported-media-type");
        let large = vec![b' '; 20_000];
        world
            .send(method.clone(), &path, &headers, large)
            .await
            .is(413, "payload-too-large");
        world
            .send(method.clone(), &path, &headers, "[]")
            .await
            .is(400, "invalid-request");
    }
    // Two different requests under one key.
    for (at, (method, path, body)) in calls(&id).into_iter().enumerate() {
        if method != Method::POST {
            continue;
        }
        let takes_keys = takes_keys(&method, &path);
        let key = format!("\"the-key-of-operation-{at}\"");
        let headers = [("content-type", JSON), ("idempotency-key", &*key)];
        world.send(method.clone(), &path, &headers, body).await;
        let other = world
            .send(method, &path, &headers, r#"{"to":"+14155550111"}"#)
            .await;
        if takes_keys {
            other.is(422, "idempotency-key-reused");
        }
    }
    let keys = world.get("/.well-known/jwks.json").await;
    let tag = keys.header("etag").to_owned();
    let known = [("if-none-match", &*tag)];
    world
        .send(Method::GET, "/.well-known/jwks.json", &known, "")
        .await;
}

async fn answers_of_sends(world: &World) {
    let start = async |to: &str| world.post("/v1/verifications", json!({ "to": to })).await;
    start("+19005550123").await.is(403, "destination-refused");
    let id = world.start(PHONE).await;
    let path = format!("/v1/verifications/{id}/resend");
    start(PHONE).await.is(429, "resend-too-soon");
    world
        .post(&path, json!({}))
        .await
        .is(429, "resend-too-soon");
    for verdict in [Verdict::Unavailable, Verdict::Refused] {
        world.clock.advance(Duration::from_secs(30));
        world.pigeon.answer(Some(verdict));
        start("+14155550177").await;
        world.post(&path, json!({})).await;
    }
    world.pigeon.answer(None);
    world.clock.advance(Duration::from_mins(20));
    let id = world.start(PHONE).await;
    let path = format!("/v1/verifications/{id}/resend");
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(30));
        world.post(&path, json!({})).await.is_ok();
    }
    world.clock.advance(Duration::from_secs(30));
    world.post(&path, json!({})).await.is(429, "rate-limited");
    start(PHONE).await.is(429, "rate-limited");
    let unknown = "/v1/verifications/0192d3a4-5b6c-8d7e-8f90-123456789abc/resend";
    world.post(unknown, json!({})).await.is(404, "not-found");
}

async fn answers_of_checks(world: &World) {
    let by_recipient = async |code: &str| {
        let body = json!({ "to": PHONE, "code": code });
        world.post("/v1/verifications/check", body).await
    };
    by_recipient("000000").await.is(404, "not-found");
    world
        .check("0192d3a4-5b6c-8d7e-8f90-123456789abc", "000000")
        .await
        .is(404, "not-found");
    let id = world.start(PHONE).await;
    by_recipient(&world.code(&id)).await.is_ok();
    let id = world.start(PHONE).await;
    world.check(&id, &world.code(&id)).await.is_ok();
    let id = world.start(PHONE).await;
    let wrong = world.wrong_code(&id);
    world.check(&id, &wrong).await.is(422, "incorrect-code");
    by_recipient(&wrong).await.is(422, "incorrect-code");
    for _ in 0..3 {
        world.check(&id, &wrong).await;
    }
    world.check(&id, &wrong).await.is(410, "attempts-exhausted");
    by_recipient(&wrong).await.is(410, "attempts-exhausted");
    let resend = world
        .post(&format!("/v1/verifications/{id}/resend"), json!({}))
        .await;
    resend.is(410, "attempts-exhausted");
    // Nine failures so far, then a tenth: another purpose is left with a live code and no budget.
    let live = world.start(PHONE).await;
    let other = json!({ "to": PHONE, "purpose": "other" });
    let other = world.post("/v1/verifications", other).await;
    let other = other.body["id"].as_str().unwrap().to_owned();
    for _ in 0..5 {
        world.check(&live, &world.wrong_code(&live)).await;
    }
    world
        .check(&other, &world.code(&other))
        .await
        .is(429, "recipient-locked");
    let body = json!({ "to": PHONE, "purpose": "other", "code": "000000" });
    world
        .post("/v1/verifications/check", body)
        .await
        .is(429, "recipient-locked");
    let resend = world
        .post(&format!("/v1/verifications/{other}/resend"), json!({}))
        .await;
    resend.is(429, "recipient-locked");
    world
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await
        .is(429, "recipient-locked");
    world
        .post("/v1/recipients/unlock", json!({ "to": PHONE }))
        .await
        .is_ok();
}

async fn answers_of_lives(world: &World) {
    let id = world.start(PHONE).await;
    let path = format!("/v1/verifications/{id}");
    world.get(&path).await.is_ok();
    world.check(&id, &world.code(&id)).await.is_ok();
    world.delete(&path).await.is(409, "conflict");
    let unknown = "/v1/verifications/0192d3a4-5b6c-8d7e-8f90-123456789abc";
    world.get(unknown).await.is(404, "not-found");
    world.delete(unknown).await.is(404, "not-found");
    let id = world.start(PHONE).await;
    world
        .delete(&format!("/v1/verifications/{id}"))
        .await
        .is_ok();
}

async fn answers_of_broken_servers(world: &impl Fn(Setting) -> World) {
    let random = world(Setting {
        entropy: Arc::new(BrokenEntropy),
        ..Setting::default()
    });
    let start = json!({ "to": PHONE });
    random
        .post("/v1/verifications", start.clone())
        .await
        .is(500, "internal-error");
    assert_eq!(random.pigeon.count(), 0);
    // A store whose rows were sealed with a key that has left the ring.
    let store = Arc::new(MemoryStore::default());
    let setting = |seed| Setting {
        store: store.clone(),
        keys: keys(seed),
        ..Setting::default()
    };
    let id = world(setting(1)).start(PHONE).await;
    let path = format!("/v1/verifications/{id}");
    let rotated = world(setting(2));
    rotated.get(&path).await.is(500, "internal-error");
    rotated
        .post(&format!("{path}/resend"), json!({}))
        .await
        .is(500, "internal-error");
    rotated.delete(&path).await.is(500, "internal-error");
    // A country that has left the list since the start.
    let listed = Policy {
        countries: watchword_core::Countries::only(["DE".parse().unwrap()]).unwrap(),
        ..without_limits()
    };
    let elsewhere = world(Setting {
        policy: Some(listed),
        ..setting(1)
    });
    let refused = elsewhere.post(&format!("{path}/resend"), json!({})).await;
    refused.is(403, "destination-refused");
    // A full store.
    let full = world(Setting {
        store: Arc::new(MemoryStore::new(NoJournal, 0)),
        ..Setting::default()
    });
    let refused = full.post("/v1/verifications", start).await;
    refused.is(503, "storage-unavailable");
    assert_eq!(refused.header("retry-after"), "60");
    assert!(
        refused
            .text
            .contains("as many live verifications as it may")
    );
    // A policy that wants a resend.
    let policy = Policy {
        when_pending: watchword_core::WhenPending::Refuse,
        ..without_limits()
    };
    let patient = world(Setting {
        policy: Some(policy),
        ..Setting::default()
    });
    patient.start(PHONE).await;
    let refused = patient
        .post_with("/v1/verifications", json!({ "to": PHONE }), &[KEY])
        .await;
    refused.is(409, "conflict");
}

/// What the document says of bodies is what is read: each member of a body is taken, and taken away it
/// is missed or not as `required` says.
#[tokio::test]
async fn the_schemas_of_bodies_list_exactly_what_is_read() {
    let world = World::without_limits();
    let full = json!({
        "to": PHONE, "channel": ["sms", "voice"], "purpose": "login", "locale": "en",
        "binding": [1, null], "metadata": {"a": 1}, "remember_me": true, "end_user_ip": "203.0.113.7",
        "code_length": 7, "ttl": 60,
    });
    let document = document();
    let schema = &document["components"]["schemas"]["StartVerification"];
    let named: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(named, full.as_object().unwrap().keys().collect());
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["to"]));
    let started = world.post("/v1/verifications", full).await;
    assert_eq!(started.status, 201, "{}", started.text);
    for (name, members) in [
        ("ResendCode", vec!["channel", "end_user_ip"]),
        ("CheckCode", vec!["binding", "code"]),
        (
            "CheckCodeOfRecipient",
            vec!["binding", "code", "purpose", "to"],
        ),
        ("UnlockRecipient", vec!["to"]),
        ("NameRecipient", vec!["to"]),
    ] {
        let schema = &document["components"]["schemas"][name];
        let named: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(named, members, "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
}

#[tokio::test]
async fn the_served_document_is_openapi_3_1_and_the_one_that_is_printed() {
    let world = World::new();
    let served = world.get("/openapi.json").await;
    assert_eq!(served.header("content-type"), "application/json");
    let printed = document();
    for (path, item) in served.body["paths"].as_object().unwrap() {
        assert_eq!(&printed["paths"][path], item, "{path}");
    }
    assert!(served.body["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(
        served.body["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    for (path, item) in served.body["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert_eq!(operation["tags"], json!(["native"]), "{method} {path}");
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_document_says_where_a_key_is_needed() {
    let served = World::new().get("/openapi.json").await.body;
    assert_eq!(served["security"], json!([{ "bearer": [] }]));
    let dev = World::dev().get("/openapi.json").await.body;
    assert_eq!(dev["security"], json!([{ "bearer": [] }, {}]));
}

#[tokio::test]
async fn public_keys_are_served_to_anybody_and_may_be_cached() {
    let world = World {
        key: None,
        ..World::new()
    };
    let answer = world.get("/.well-known/jwks.json").await;
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let key = &answer.body["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"]),
        (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"))
    );
    assert!(key.get("d").is_none(), "public members only");
    let tag = answer.header("etag").to_owned();
    let known = [("if-none-match", &*tag)];
    let same = world
        .send(Method::GET, "/.well-known/jwks.json", &known, "")
        .await;
    assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
    assert_eq!(same.header("etag"), tag);
}

#[tokio::test]
async fn the_documents_for_people_load_nothing_from_a_foreign_host() {
    let world = World::new();
    for page in ["/docs/", "/redoc"] {
        let answer = world.get(page).await;
        answer.is_ok();
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("http"),
            "{policy}"
        );
        assert!(
            !answer.text.contains("http://") && !answer.text.contains("https://"),
            "{page}"
        );
        let mut files = Vec::new();
        for attribute in ["src=\"", "href=\""] {
            files.extend(
                answer
                    .text
                    .split(attribute)
                    .skip(1)
                    .map(|rest| rest.split('"').next().unwrap()),
            );
        }
        assert!(files.len() > 1);
        for file in files.into_iter().filter(|file| !file.starts_with("data:")) {
            let path = match file.strip_prefix('/') {
                Some(_) => file.to_owned(),
                None => {
                    let folder = &page[..=page.rfind('/').unwrap()];
                    format!("{folder}{}", file.trim_start_matches("./"))
                }
            };
            let answer = world.get(&path).await;
            answer.is_ok();
            assert!(
                !answer.header("content-type").contains("octet-stream"),
                "{path}"
            );
        }
    }
    let script = world.get("/docs/swagger-initializer.js").await;
    assert!(
        script.text.contains(r#""../openapi.json""#)
            && script.text.contains(r#""validatorUrl": "none""#)
    );
    assert_eq!(world.get("/docs").await.header("location"), "docs/");
    world.get("/docs/nothing.js").await.is(404, "not-found");
}
