//! Clients that do not wait for their answer: what they asked for is done, and noted.

use std::pin::pin;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use serde_json::json;
use watchword_core::{Channel, CheckFailure, Event, Events, Subject};
use watchword_http::{Gate, SurfaceKind};

use crate::disk::Disk;
use crate::world::{JSON, PHONE, Setting, World, without_limits};
use crate::{another, last_code};

/// What happened, oldest first.
#[derive(Default)]
struct Diary(Mutex<Vec<Event>>);

impl Diary {
    fn has(&self, event: Event) -> bool {
        self.0.lock().contains(&event)
    }
}

impl Events for Diary {
    fn note(&self, event: Event, _: &Subject<'_>) {
        self.0.lock().push(event);
    }
}

/// A world whose store can be made to answer late.
struct Late {
    world: World,
    disk: Disk,
    diary: Arc<Diary>,
}

impl Late {
    fn serving(surface: SurfaceKind) -> Self {
        let (disk, diary) = (Disk::default(), Arc::new(Diary::default()));
        let world = World::with(Setting {
            serves: vec![surface],
            policy: Some(without_limits()),
            store: disk.store(),
            events: diary.clone(),
            gate: Arc::new(Gate::new(1)),
            ..Setting::default()
        });
        Self { world, disk, diary }
    }

    /// Asks, and hangs up once the store has been asked.
    async fn leave(&self, asked: &Asked) {
        let (method, path, body) = asked;
        let headers = [("content-type", JSON)];
        let body = body.clone();
        let mut answer = pin!(self.world.send(method.clone(), path, &headers, body));
        let polled = futures_util::poll!(&mut answer);
        assert!(polled.is_pending(), "{method} {path}: {polled:?}");
    }

    /// As [`Self::leave`]; what is noted before the store answers, and what after it.
    async fn noted(&self, asked: &Asked, event: Event) -> (bool, bool) {
        self.disk.stop();
        self.leave(asked).await;
        let before = self.diary.has(event);
        self.disk.go_on();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        (before, self.diary.has(event))
    }
}

type Asked = (Method, String, String);

fn post(path: impl Into<String>, body: &serde_json::Value) -> Asked {
    (Method::POST, path.into(), body.to_string())
}

/// How a code is asked for at a surface, and how `code` is checked there, with the handle that its answer gave.
async fn check(world: &World, surface: SurfaceKind, right: bool) -> Asked {
    let (path, body) = match surface {
        SurfaceKind::Native => ("/v1/verifications", json!({ "to": PHONE })),
        SurfaceKind::Otp => (
            "/api/otp/generate",
            json!({ "channel": "sms", "identifier": PHONE }),
        ),
        SurfaceKind::Whatsapp => ("/send-otp", json!({ "phone_number": PHONE })),
        SurfaceKind::Uuid => ("/", json!({ "channel": "sms", "to": PHONE })),
        SurfaceKind::Auth => panic!("has a test of its own"),
    };
    let sent = world.post(path, body).await;
    sent.is_ok();
    let code = last_code(world);
    let code = if right { code } else { another(&code) };
    match surface {
        SurfaceKind::Native => {
            let id = sent.body["id"].as_str().unwrap();
            let path = format!("/v1/verifications/{id}/check");
            post(path, &json!({ "code": code }))
        }
        SurfaceKind::Otp => post(
            "/api/otp/verify",
            &json!({ "channel": "sms", "identifier": PHONE, "code": code }),
        ),
        SurfaceKind::Whatsapp => {
            let body = json!({ "phone_number": PHONE, "otp": code });
            post("/verify-otp", &body)
        }
        _ => {
            let uuid = sent.body["info"]["uuid"].as_str().unwrap();
            (Method::GET, format!("/{uuid}/{code}"), String::new())
        }
    }
}

/// X4, L4: who guesses and hangs up before the answer leaves a trace all the same.
#[tokio::test]
async fn a_check_whose_client_hangs_up_is_noted_at_every_surface() {
    for surface in [
        SurfaceKind::Native,
        SurfaceKind::Otp,
        SurfaceKind::Whatsapp,
        SurfaceKind::Uuid,
    ] {
        let channel = match surface {
            SurfaceKind::Whatsapp => Channel::Whatsapp,
            _ => Channel::Sms,
        };
        for (right, event) in [
            (false, Event::CheckFailed(CheckFailure::Incorrect)),
            (true, Event::Approved(channel)),
        ] {
            let late = Late::serving(surface);
            let asked = check(&late.world, surface, right).await;
            let noted = late.noted(&asked, event).await;
            assert_eq!(noted, (false, true), "{surface}: {event:?}");
        }
    }
}

#[tokio::test]
async fn what_an_operator_asks_for_is_noted_even_if_they_hang_up() {
    let about = json!({ "to": PHONE });
    let late = Late::serving(SurfaceKind::Native);
    let id = late.world.start(PHONE).await;
    // Something to unlock.
    late.world
        .check(&id, &late.world.wrong_code(&id))
        .await
        .is(422, "incorrect-code");
    let cancel = format!("/v1/verifications/{id}");
    for (asked, event) in [
        ((Method::DELETE, cancel, String::new()), Event::Canceled),
        (post("/v1/recipients/unlock", &about), Event::Unlocked),
        (post("/v1/recipients/show", &about), Event::RecipientShown),
        (post("/v1/recipients/erase", &about), Event::RecipientErased),
    ] {
        let noted = late.noted(&asked, event).await;
        assert_eq!(noted, (false, true), "{event:?}");
    }
}

/// Else a stranger who hangs up again and again has any number of checks under way.
#[tokio::test]
async fn checks_that_were_left_keep_their_places_until_they_are_done() {
    for surface in [SurfaceKind::Native, SurfaceKind::Otp] {
        let late = Late::serving(surface);
        let asked = check(&late.world, surface, false).await;
        late.disk.stop();
        for _ in 0..4 {
            late.leave(&asked).await;
        }
        let (method, path, body) = asked;
        let again = || {
            let headers = [("content-type", JSON)];
            let (world, method) = (late.world.clone(), method.clone());
            let (path, body) = (path.clone(), body.clone());
            async move { world.send(method, &path, &headers, body).await.status }
        };
        let refused = again().now_or_never();
        assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE), "{surface}");
        late.disk.go_on();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(again().await.is_client_error(), "{surface}");
    }
}
