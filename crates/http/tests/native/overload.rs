//! More than the server can: sends are refused, checks are not, and a refusal costs nobody anything.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;
use tokio::task::{JoinSet, yield_now};
use watchword_http::{Departing, Gate, SurfaceKind};

use crate::documents::calls;
use crate::stand_ins;
use crate::world::{JSON, PHONE, Setting, World, without_limits};

/// A world whose gate lets so many sends in at a time, and that gate.
fn narrow(sends: usize, setting: Setting) -> (World, Arc<Gate>) {
    let gate = Arc::new(Gate::new(sends));
    let world = World::with(Setting {
        gate: Arc::clone(&gate),
        ..setting
    });
    (world, gate)
}

/// A body that never comes.
fn never() -> Body {
    let pending = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    Body::from_stream(pending)
}

#[tokio::test]
async fn sends_beyond_the_bound_are_refused_while_checks_pass_and_are_charged_nothing() {
    let messenger = Arc::new(stand_ins::Gate::closed());
    let (world, gate) = narrow(
        3,
        Setting {
            messenger: Some(messenger.clone()),
            ..Setting::default()
        },
    );
    messenger.let_one_through();
    let id = world.start(PHONE).await;
    let code = messenger.pigeon.codes().pop().unwrap();

    let mut sends = JoinSet::new();
    for n in 0..3 {
        let world = world.clone();
        let to = format!("+1415555019{n}");
        sends.spawn(async move { world.start(&to).await });
    }
    while messenger.waiting() < 4 {
        yield_now().await;
    }
    for n in 0..10 {
        let refused = world
            .post("/v1/verifications", json!({ "to": "+14155550177" }))
            .await;
        refused.is(503, "overloaded");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert_eq!(wait, n % 4 + 1, "not all of them come back at once");
    }
    assert_eq!(messenger.waiting(), 4, "nothing was sent");
    let path = format!("/v1/verifications/{id}/check");
    let approved = world.post(&path, json!({ "code": code.expose() })).await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text);

    for _ in 0..3 {
        messenger.let_one_through();
    }
    assert_eq!(sends.join_all().await.len(), 3);
    let figures = gate.figures();
    assert_eq!((figures.sends_in_flight, figures.sends_refused), (0, 10));
    messenger.let_one_through();
    // Ten refusals took nothing of its three sends in ten minutes.
    world.start("+14155550177").await;
}

#[tokio::test]
async fn checks_have_a_bound_as_well_and_health_has_none() {
    let (world, gate) = narrow(1, Setting::default());
    let mut checks = JoinSet::new();
    for _ in 0..4 {
        let world = world.clone();
        checks.spawn(async move {
            let headers = [("content-type", JSON)];
            let path = "/v1/verifications/check";
            world.send(Method::POST, path, &headers, never()).await
        });
    }
    for _ in 0..100 {
        yield_now().await;
    }
    let check = json!({ "to": PHONE, "code": "000000" });
    let refused = world.post("/v1/verifications/check", check.clone()).await;
    refused.is(503, "overloaded");
    assert_eq!(gate.figures().checks_refused, 1);
    let keys = world.get("/.well-known/jwks.json").await;
    assert_eq!(keys.status, StatusCode::OK);
    world.start(PHONE).await;
    // Who hangs up gives the place back.
    checks.shutdown().await;
    let answered = world.post("/v1/verifications/check", check).await;
    answered.is(422, "incorrect-code");
}

#[tokio::test]
async fn every_surface_refuses_in_its_own_words() {
    let surfaces = [
        (
            SurfaceKind::Auth,
            "/api/v1/auth/request-otp",
            r#"{"detail":"Unable to send OTP at this moment. Please try again later."}"#,
        ),
        (
            SurfaceKind::Otp,
            "/api/otp/generate",
            r#"{"detail":"The server has too much to do. Please try again later."}"#,
        ),
        (
            SurfaceKind::Whatsapp,
            "/send-otp",
            r#"{"success":false,"message":"The server has too much to do. Please try again later.","data":{}}"#,
        ),
        (
            SurfaceKind::Uuid,
            "/",
            r#"{"status":503,"message":"SERVICE_UNAVAILABLE"}"#,
        ),
    ];
    for (surface, path, words) in surfaces {
        let (world, _) = narrow(
            1,
            Setting {
                serves: vec![surface],
                ..Setting::default()
            },
        );
        let headers = [("content-type", JSON)];
        let mut first = Box::pin(world.send(Method::POST, path, &headers, never()));
        assert!(futures_util::poll!(&mut first).is_pending());
        let refused = world.post(path, json!({})).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        let (said, expected): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(&refused.text).unwrap(),
            serde_json::from_str(words).unwrap(),
        );
        assert_eq!(said, expected);
        assert_eq!(refused.header("retry-after"), "1", "{path}");
    }
}

/// As many sends as may be at a store on the network. They are there until they end, or for long: this messenger is not
/// [`Departing`].
async fn at_store(messenger: &Arc<stand_ins::Gate>, gate: &Arc<Gate>) -> (World, JoinSet<String>) {
    let world = World::with(Setting {
        messenger: Some(messenger.clone()),
        gate: Arc::clone(gate),
        policy: Some(without_limits()),
        ..Setting::default()
    });
    let before = messenger.waiting();
    let mut sends = JoinSet::new();
    for n in 10..74 {
        let world = world.clone();
        sends.spawn(async move { world.start(&format!("+14155550{n}0")).await });
    }
    while messenger.waiting() < before + 64 {
        yield_now().await;
    }
    (world, sends)
}

#[tokio::test(start_paused = true)]
async fn sends_that_wait_for_a_store_stand_in_a_line_that_checks_pass() {
    let messenger = Arc::new(stand_ins::Gate::closed());
    let gate = Arc::new(Gate::new(1000).before_remote_store(64));
    let (world, mut sends) = at_store(&messenger, &gate).await;
    messenger.let_one_through();
    let id = sends.join_next().await.unwrap().unwrap();
    let code = messenger.pigeon.codes().pop().unwrap();

    let come = || {
        let world = world.clone();
        tokio::spawn(async move { world.start(PHONE).await })
    };
    let mut line = vec![come(), come(), come()];
    // One takes the place of that which ended.
    while messenger.waiting() < 65 || gate.figures().sends_in_line < 2 {
        yield_now().await;
    }
    let path = format!("/v1/verifications/{id}/check");
    let body = json!({ "code": code.expose() });
    let approved = world.post(&path, body).await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text);

    // Who hangs up leaves it, and nothing was done for them.
    let hung_up = line.pop().unwrap();
    hung_up.abort();
    assert!(hung_up.await.is_err());
    assert_eq!(gate.figures().sends_in_line, 1);
    messenger.let_one_through();
    while messenger.waiting() < 66 {
        yield_now().await;
    }
    assert_eq!(gate.figures().sends_in_line, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_asked_by_the_next_all_the_same() {
    let messenger = Arc::new(stand_ins::Gate::closed());
    let gate = Arc::new(Gate::new(1000).before_remote_store(64));
    let (world, _sends) = at_store(&messenger, &gate).await;
    let began = tokio::time::Instant::now();
    tokio::spawn(async move { world.start(PHONE).await });
    while messenger.waiting() < 65 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() <= std::time::Duration::from_millis(252));
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_its_provider_has_left_the_store() {
    let messenger = Arc::new(stand_ins::Gate::closed());
    let world = World::with(Setting {
        messenger: Some(Arc::new(Departing::by(messenger.clone()))),
        gate: Arc::new(Gate::new(1000).before_remote_store(1)),
        ..Setting::default()
    });
    let began = tokio::time::Instant::now();
    for to in [PHONE, "+14155550177"] {
        let world = world.clone();
        tokio::spawn(async move { world.start(to).await });
    }
    while messenger.waiting() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() <= std::time::Duration::from_millis(2));
}

/// What sends and checks are told when there is too much to do.
pub(crate) async fn answers_of_full_servers(world: &impl Fn(Setting) -> World) {
    let id = "0192d3a4-5b6c-8d7e-8f90-123456789abc";
    let headers = [("content-type", JSON)];
    for (kind, held) in [("/verifications", 1), ("/check", 4), ("/resend", 1)] {
        let world = world(Setting {
            gate: Arc::new(Gate::new(1)),
            ..Setting::default()
        });
        let calls: Vec<_> = calls(id)
            .into_iter()
            .filter(|(method, path, _)| *method == Method::POST && path.ends_with(kind))
            .collect();
        // They wait for bodies that never come.
        let mut others: Vec<_> = (0..held)
            .map(|_| Box::pin(world.send(Method::POST, &calls[0].1, &headers, never())))
            .collect();
        for other in &mut others {
            assert!(futures_util::poll!(other).is_pending());
        }
        for (method, path, body) in calls.clone() {
            let refused = world.send(method, &path, &headers, body).await;
            refused.is(503, "overloaded");
            assert_eq!(refused.header("retry-after").len(), 1);
        }
    }
}
