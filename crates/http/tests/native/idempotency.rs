//! `Idempotency-Key`: the same request twice is one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use watchword_core::{Scope, Verdict};

use crate::stand_ins::{Gate, Unreachable};
use crate::world::{Answer, JSON, PHONE, Setting, World};

const KEY: &str = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"";

async fn start(world: &World, key: &str, to: &str) -> Answer {
    let headers = [("idempotency-key", key)];
    world
        .post_with("/v1/verifications", json!({ "to": to }), &headers)
        .await
}

fn is_replay(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

#[tokio::test]
async fn a_repeated_start_sends_once_and_answers_the_same() {
    let world = World::new();
    let first = start(&world, KEY, PHONE).await;
    assert_eq!(first.status, 201, "{}", first.text);
    assert!(!is_replay(&first));
    world.clock.advance(Duration::from_hours(23));
    let again = start(&world, KEY.trim_matches('"'), PHONE).await;
    assert!(is_replay(&again));
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(world.pigeon.count(), 1);
    world.clock.advance(Duration::from_hours(2));
    let fresh = start(&world, KEY, PHONE).await;
    assert!(!is_replay(&fresh));
    assert_eq!(world.pigeon.count(), 2);
}

/// Clash 8: a success is safe to retry, and only so.
#[tokio::test]
async fn a_repeated_check_gives_the_token_again_and_costs_nothing() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let path = format!("/v1/verifications/{id}/check");
    let headers = [("idempotency-key", KEY)];
    let body = json!({ "code": world.code(&id) });
    let approved = world.post_with(&path, body.clone(), &headers).await;
    approved.is_ok();
    let again = world.post_with(&path, body.clone(), &headers).await;
    assert_eq!(
        (again.status, &again.text),
        (approved.status, &approved.text)
    );
    assert!(is_replay(&again));
    world.post(&path, body).await.is(404, "not-found");

    let id = World::without_limits().start(PHONE).await;
    let world = World::without_limits();
    let mine = world.start(PHONE).await;
    assert_ne!(id, "");
    let path = format!("/v1/verifications/{mine}/check");
    let body = json!({ "code": world.wrong_code(&mine) });
    for _ in 0..3 {
        let wrong = world.post_with(&path, body.clone(), &headers).await;
        wrong.is(422, "incorrect-code");
        assert_eq!(wrong.body["attempts_remaining"], 4);
    }
}

#[tokio::test]
async fn the_same_key_with_another_request_is_422() {
    let world = World::without_limits();
    start(&world, KEY, PHONE).await.is_ok();
    start(&world, KEY, "+14155550199")
        .await
        .is(422, "idempotency-key-reused");
    let headers = [("idempotency-key", KEY)];
    let unlock = world
        .post_with("/v1/recipients/unlock", json!({ "to": PHONE }), &headers)
        .await;
    unlock.is(422, "idempotency-key-reused");
    assert_eq!(world.pigeon.count(), 1);
}

/// X67
#[tokio::test]
async fn a_key_belongs_to_one_api_key() {
    let world = World::without_limits();
    start(&world, KEY, PHONE).await.is_ok();
    let colleague = start(&world.as_app("default", &Scope::ALL), KEY, PHONE).await;
    let stranger = start(&world.as_app("other", &Scope::ALL), KEY, PHONE).await;
    assert!(!is_replay(&colleague) && !is_replay(&stranger));
    assert_eq!(world.pigeon.count(), 3);
}

#[tokio::test]
async fn what_says_try_again_is_not_kept() {
    let world = World::new();
    world.pigeon.answer(Some(Verdict::Unavailable));
    start(&world, KEY, PHONE).await.is(503, "delivery-failed");
    world.pigeon.answer(None);
    start(&world, KEY, PHONE).await.is_ok();
    let other = "\"another-key-altogether\"";
    start(&world, other, PHONE).await.is(429, "resend-too-soon");
    world.clock.advance(Duration::from_secs(30));
    let second = start(&world, other, PHONE).await;
    second.is_ok();
    assert!(!is_replay(&second));
    assert_eq!(world.pigeon.count(), 3);
}

#[tokio::test]
async fn refusals_that_last_are_kept() {
    let world = World::new();
    let first = start(&world, KEY, "nobody").await;
    first.is(400, "invalid-request");
    let again = start(&world, KEY, "nobody").await;
    assert!(is_replay(&again));
    assert_eq!(again.text, first.text);
    assert_eq!(again.header("content-type"), "application/problem+json");
}

/// Seen to fail (fifty at the gate) with the claim of a running request ignored.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_requests_with_one_key_exactly_one_runs() {
    let gate = Arc::new(Gate::closed());
    let world = World::with(Setting {
        policy: Some(crate::world::without_limits()),
        messenger: Some(gate.clone()),
        ..Setting::default()
    });
    let answered = Arc::new(AtomicUsize::new(0));
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (world, answered) = (world.clone(), answered.clone());
            tokio::spawn(async move {
                let answer = start(&world, KEY, PHONE).await;
                answered.fetch_add(1, Ordering::SeqCst);
                answer
            })
        })
        .collect();
    // Until each of them was answered or is on its way out.
    while answered.load(Ordering::SeqCst) + gate.waiting() < 50 {
        tokio::task::yield_now().await;
    }
    let ran = gate.waiting();
    (0..50).for_each(|_| gate.let_one_through());
    let mut started = 0;
    for answer in join_all(requests).await {
        let answer = answer.unwrap();
        if answer.status == 201 {
            started += 1;
        } else {
            answer.is(409, "conflict");
        }
    }
    assert_eq!((ran, started), (1, 1));
    let again = start(&world, KEY, PHONE).await;
    assert!(is_replay(&again));
}

#[tokio::test]
async fn a_running_request_holds_its_key_for_a_minute_and_not_longer() {
    let gate = Arc::new(Gate::closed());
    let world = World::with(Setting {
        messenger: Some(gate.clone()),
        ..Setting::default()
    });
    let mut first = Box::pin(start(&world, KEY, PHONE));
    for _ in 0..10 {
        assert!(futures_util::poll!(&mut first).is_pending());
        tokio::task::yield_now().await;
    }
    // Its client hangs up; what was begun still runs.
    drop(first);
    world.clock.advance(Duration::from_millis(59_999));
    let mut second = Box::pin(start(&world, KEY, PHONE));
    for _ in 0..10 {
        if let Poll::Ready(answer) = futures_util::poll!(&mut second) {
            answer.is(409, "conflict");
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(second);
    assert_eq!(gate.waiting(), 1, "the second did not run");
    world.clock.advance(Duration::from_millis(1));
    let mut again = Box::pin(start(&world, KEY, PHONE));
    for _ in 0..10 {
        assert!(futures_util::poll!(&mut again).is_pending());
        tokio::task::yield_now().await;
    }
    gate.let_one_through();
    gate.let_one_through();
    let again = again.await;
    assert_eq!(again.status, 201, "{}", again.text);
    assert!(!is_replay(&again));
}

#[tokio::test]
async fn a_header_that_is_no_key_is_400_and_sends_nothing() {
    let world = World::new();
    for wrong in [
        "short",
        "\"short\"",
        "\"unclosed-and-long-enough",
        "has spaces and is bare",
    ] {
        let answer = start(&world, wrong, PHONE).await;
        answer.is(400, "invalid-request");
        assert!(answer.text.contains("Idempotency-Key"));
    }
    let long = "k".repeat(256);
    start(&world, &long, PHONE).await.is(400, "invalid-request");
    assert_eq!(world.pigeon.count(), 0);
}

#[tokio::test]
async fn a_key_whose_store_is_gone_runs_nothing() {
    let world = World::with(Setting {
        replays: Arc::new(Unreachable),
        ..Setting::default()
    });
    start(&world, KEY, PHONE)
        .await
        .is(503, "storage-unavailable");
    assert_eq!(world.pigeon.count(), 0);
}

#[tokio::test]
async fn the_kept_answer_is_sealed() {
    use watchword_core::memory::{MemoryStore, SHARDS};
    let store = Arc::new(MemoryStore::default());
    let world = World::with(Setting {
        store: store.clone(),
        replays: store.clone(),
        ..Setting::default()
    });
    let id = world.start(PHONE).await;
    let headers = [("idempotency-key", KEY), ("content-type", JSON)];
    let body = json!({ "code": world.code(&id) }).to_string();
    let path = format!("/v1/verifications/{id}/check");
    let approved = world.send(Method::POST, &path, &headers, body).await;
    let token = approved.body["token"].as_str().unwrap();
    let mut kept = Vec::new();
    for part in 0..SHARDS {
        store.snapshot(part, &mut kept);
    }
    assert!(kept.len() > 200, "the answer is in there");
    let kept = String::from_utf8_lossy(&kept);
    assert!(!kept.contains(&token[..40]) && !kept.contains("8e03978e"));
}

#[tokio::test]
async fn what_is_held_about_a_recipient_is_looked_up_each_time_whatever_the_key() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let about = json!({ "to": PHONE });
    let show = async |key: &str| {
        let headers = [("idempotency-key", key)];
        let shown = world
            .post_with("/v1/recipients/show", about.clone(), &headers)
            .await;
        assert!(!is_replay(shown.is_ok()));
        shown.body["verifications"].clone()
    };
    assert_eq!(show(KEY).await[0]["id"], id.as_str());
    assert_eq!(show("short").await[0]["id"], id.as_str());
    world
        .post("/v1/recipients/erase", about.clone())
        .await
        .is_ok();
    assert_eq!(show(KEY).await, json!([]));
    // Nor has it used the key up.
    let other = json!({ "to": "+14155550124" });
    let headers = [("idempotency-key", KEY)];
    let erased = world
        .post_with("/v1/recipients/erase", other, &headers)
        .await;
    assert!(!is_replay(erased.is_ok()));
}

#[test]
fn the_document_names_the_key_where_it_matters_and_nowhere_else() {
    let document: Value = serde_json::from_str(&watchword_http::openapi_json()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        let post = &item["post"];
        if post["tags"] != json!(["native"]) {
            continue;
        }
        let named = |member: &Value| member["name"] == "Idempotency-Key";
        let parameters = post["parameters"].as_array();
        let takes = parameters.is_some_and(|all| all.iter().any(named));
        assert_eq!(takes, path != "/v1/recipients/show", "{path}");
        let replays = post["responses"]
            .to_string()
            .contains("Idempotency-Replayed");
        assert_eq!(replays, takes, "{path}");
    }
}
