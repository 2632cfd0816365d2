//! Starting, reading, resending, canceling.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use watchword_core::{Channel, Countries, Policy, Verdict};

use crate::stand_ins::Gate;
use crate::world::{PHONE, Setting, World};

#[tokio::test]
async fn a_start_answers_201_with_the_documented_members_and_no_more() {
    let world = World::new();
    let body = json!({ "to": "+1 (415) 555-0123", "purpose": "login" });
    let started = world.post("/v1/verifications", body).await;
    assert_eq!(started.status, StatusCode::CREATED);
    let id = started.body["id"].as_str().unwrap();
    assert_eq!(
        started.header("location"),
        format!("/v1/verifications/{id}")
    );
    assert_eq!(started.header("content-type"), "application/json");
    let expected = json!({
        "id": id,
        "status": "pending",
        "to": "+1••••••0123",
        "channel": "sms",
        "purpose": "login",
        "created_at": "2026-09-21T14:13:20.000Z",
        "expires_at": "2026-09-21T14:18:20.000Z",
        "resend_at": "2026-09-21T14:13:50.000Z",
        "attempts_remaining": 5,
        "deliveries": [{
            "id": id,
            "channel": "sms",
            "provider": "pigeon",
            "status": "accepted",
            "at": "2026-09-21T14:13:20.000Z",
        }],
    });
    assert_eq!(started.body, expected);
    let read = world.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!((read.status, read.body), (StatusCode::OK, expected));
}

#[tokio::test]
async fn under_a_prefix_the_location_leads_back_to_the_verification() {
    let mut world = World::new();
    world.router = axum::Router::new()
        .nest("/codes", world.router.into())
        .into();
    let started = world
        .post("/codes/v1/verifications", json!({ "to": PHONE }))
        .await;
    let read = world.get(started.header("location")).await;
    assert_eq!(read.body["id"], started.body["id"]);
    world.get("/codes/v1/nothing").await.is(404, "not-found");
}

#[tokio::test]
async fn metadata_comes_back_and_nothing_else_of_the_request_does() {
    let world = World::new();
    let body = json!({
        "to": "Someone@Example.com", "metadata": {"order": 7, "who": {"a": [1.5, null]}},
        "binding": {"amount": 10}, "locale": "pt_br", "remember_me": true,
        "end_user_ip": "203.0.113.7", "code_length": 8, "ttl": 60,
    });
    let started = world.post("/v1/verifications", body).await;
    started.is_ok();
    assert_eq!(
        started.body["metadata"],
        json!({"order": 7, "who": {"a": [1.5, null]}})
    );
    assert_eq!(started.body["channel"], "email");
    assert_eq!(started.body["purpose"], "default");
    assert_eq!(started.body["expires_at"], "2026-09-21T14:14:20.000Z");
    let id = started.body["id"].as_str().unwrap();
    assert_eq!(world.code(id).len(), 8);
    let read = world.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(read.body, started.body);
    assert!(!read.text.contains("203.0.113.7") && !read.text.to_lowercase().contains("someone"));
}

#[tokio::test]
async fn the_kind_of_recipient_decides_where_no_channel_is_named() {
    let world = World::without_limits();
    for (body, channel) in [
        (json!({ "to": PHONE }), "sms"),
        (json!({ "to": "a@example.com" }), "email"),
        (json!({ "to": PHONE, "channel": "voice" }), "voice"),
        (
            json!({ "to": PHONE, "channel": ["whatsapp", "sms"] }),
            "whatsapp",
        ),
    ] {
        let started = world.post("/v1/verifications", body).await;
        assert_eq!(started.body["channel"], channel, "{}", started.text);
    }
}

#[tokio::test]
async fn a_new_start_supersedes_the_pending_one() {
    let world = World::without_limits();
    let first = world.start(PHONE).await;
    let second = world.start(PHONE).await;
    let read = world.get(&format!("/v1/verifications/{first}")).await;
    assert_eq!(read.body["status"], "superseded");
    world
        .check(&first, &world.code(&first))
        .await
        .is(404, "not-found");
    world.check(&second, &world.code(&second)).await.is_ok();
}

#[tokio::test]
async fn a_resend_kills_the_code_before_and_keeps_the_id() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let old = world.code(&id);
    let path = format!("/v1/verifications/{id}/resend");
    let early = world.post(&path, json!({})).await;
    early.is(429, "resend-too-soon");
    assert_eq!(early.header("retry-after"), "30");
    world.clock.advance(Duration::from_secs(30));
    // A body is not needed, and then no content type either.
    let resent = world.send(axum::http::Method::POST, &path, &[], "").await;
    assert_eq!(resent.status, StatusCode::OK, "{}", resent.text);
    assert_eq!(resent.body["id"], id.as_str());
    assert_eq!(resent.body["attempts_remaining"], 5);
    let fresh = world.code(&id);
    assert_ne!(old, fresh);
    let missed = world.check(&id, &old).await;
    missed.is(422, "incorrect-code");
    world.check(&id, &fresh).await.is_ok();
}

#[tokio::test]
async fn a_resend_can_take_another_channel_that_reaches_the_recipient() {
    let world = World::without_limits();
    let id = world.start(PHONE).await;
    let path = format!("/v1/verifications/{id}/resend");
    let resent = world.post(&path, json!({ "channel": "voice" })).await;
    assert_eq!(resent.body["channel"], "voice", "{}", resent.text);
    let wrong = world.post(&path, json!({ "channel": "email" })).await;
    wrong.is(400, "invalid-request");
    assert_eq!(wrong.pointers(), ["/channel"]);
}

#[tokio::test]
async fn a_canceled_code_is_dead_and_canceling_again_is_fine() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let path = format!("/v1/verifications/{id}");
    for _ in 0..2 {
        let canceled = world.delete(&path).await;
        assert_eq!(
            (canceled.status, &canceled.body["status"]),
            (StatusCode::OK, &json!("canceled"))
        );
    }
    world
        .check(&id, &world.code(&id))
        .await
        .is(404, "not-found");
    world
        .post(&format!("{path}/resend"), json!({}))
        .await
        .is(404, "not-found");
}

#[tokio::test]
async fn an_approved_verification_cannot_be_canceled() {
    let world = World::new();
    let id = world.start(PHONE).await;
    world.check(&id, &world.code(&id)).await.is_ok();
    world
        .delete(&format!("/v1/verifications/{id}"))
        .await
        .is(409, "conflict");
    let read = world.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(read.body["status"], "approved");
}

#[tokio::test]
async fn delivery_that_fails_is_a_503_and_costs_nothing_and_a_refusal_is_a_422_and_costs_a_send() {
    let world = World::new();
    world.pigeon.answer(Some(Verdict::Unavailable));
    for _ in 0..5 {
        let failed = world
            .post("/v1/verifications", json!({ "to": PHONE }))
            .await;
        failed.is(503, "delivery-failed");
        assert!(!failed.header("retry-after").is_empty());
    }
    world.pigeon.answer(Some(Verdict::Refused));
    let refused = world
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await;
    refused.is(422, "recipient-unreachable");
    world.pigeon.answer(Some(Verdict::Taken(Channel::Sms)));
    let early = world
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await;
    early.is(429, "resend-too-soon");
}

#[tokio::test]
async fn a_channel_without_a_provider_is_a_400_that_names_it() {
    let world = World::new();
    world.pigeon.serve(false);
    for body in [
        json!({ "to": PHONE }),
        json!({ "to": PHONE, "channel": "sms" }),
    ] {
        let refused = world.post("/v1/verifications", body).await;
        refused.is(400, "invalid-request");
        assert_eq!(refused.pointers(), ["/channel"]);
    }
    assert_eq!(world.pigeon.count(), 0);
}

#[tokio::test]
async fn a_premium_rate_number_is_refused_before_any_provider_is_asked() {
    let world = World::new();
    for to in ["+19005550123", "+881612345678"] {
        let refused = world.post("/v1/verifications", json!({ "to": to })).await;
        refused.is(403, "destination-refused");
    }
    assert_eq!(world.pigeon.count(), 0);
}

#[tokio::test]
async fn a_country_that_is_not_listed_is_refused_by_name_of_the_member() {
    let world = World::with(Setting {
        policy: Some(Policy {
            countries: Countries::only(["DE".parse().unwrap()]).unwrap(),
            ..Policy::default()
        }),
        ..Setting::default()
    });
    let start = async |to: &str| {
        let body = json!({ "to": to, "channel": "sms" });
        world.post("/v1/verifications", body).await
    };
    let refused = start("+14155550123").await;
    refused.is(403, "destination-refused");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("/to ") && detail.contains("country"),
        "{detail}"
    );
    start("+4915123456789").await.is_ok();
    assert_eq!(world.pigeon.count(), 1);
}

/// A client that hangs up while its message is on the way gets no half-done verification: what was
/// begun is finished. Seen to fail with the work run in the request itself.
#[tokio::test]
async fn a_start_goes_on_when_its_client_hangs_up() {
    let gate = Arc::new(Gate::closed());
    let world = World::with(Setting {
        messenger: Some(gate.clone()),
        ..Setting::default()
    });
    let mut starting = Box::pin(world.post("/v1/verifications", json!({ "to": PHONE })));
    for _ in 0..10 {
        assert!(futures_util::poll!(&mut starting).is_pending());
        tokio::task::yield_now().await;
    }
    drop(starting);
    assert_eq!(gate.pigeon.count(), 0, "the message waits");
    gate.let_one_through();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.pigeon.count(), 1);
    let code = gate.pigeon.codes()[0].expose().to_owned();
    let body = json!({ "to": PHONE, "code": code });
    let approved = world.post("/v1/verifications/check", body).await;
    let id = approved.body["id"].as_str().unwrap().to_owned();
    let read = world.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(
        read.body["deliveries"][0]["status"], "accepted",
        "and the delivery was noted"
    );
}
