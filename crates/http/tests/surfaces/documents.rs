//! The OpenAPI document of `otp` and `whatsapp` against their answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};
use watchword_core::{Scope, Verdict};
use watchword_http::{SurfaceKind, SurfaceSettings};

use crate::stand_ins::Unreachable;
use crate::world::{JSON, PHONE, Setting, World, without_limits};
use crate::{another, last_code, otp, public_with, whatsapp};

type Given = BTreeSet<(String, String, u16)>;

fn document() -> Value {
    serde_json::from_str(&watchword_http::openapi_json()).unwrap()
}

fn documented(kind: SurfaceKind) -> Given {
    let mut all = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["tags"] != json!([kind.as_str()]) {
                continue;
            }
            assert!(operation["summary"].is_string(), "{method} {path}");
            let statuses = operation["responses"].as_object().unwrap().keys();
            all.extend(
                statuses
                    .map(|status| (method.to_uppercase(), path.clone(), status.parse().unwrap())),
            );
        }
    }
    all
}

/// A surface, as its callers find it when nothing and when everything is wrong.
async fn answers(kind: SurfaceKind) -> Given {
    let observed = Arc::default();
    let world = |setting: Setting| {
        let mut world = public_with(&[kind], setting);
        world.observed = Arc::clone(&observed);
        world
    };
    let open = world(Setting::default());
    let unlimited = world(Setting {
        policy: Some(without_limits()),
        ..Setting::default()
    });
    let gone = world(Setting {
        store: Arc::new(Unreachable),
        ..Setting::default()
    });
    let closed = SurfaceSettings {
        require_api_key: true,
        ..SurfaceSettings::documented(kind, None)
    };
    let closed = world(Setting {
        surfaces: [(kind, closed)].into(),
        ..Setting::default()
    });
    let (posts, gets): (&[&str], &[&str]) = match kind {
        SurfaceKind::Otp => (&["/api/otp/generate", "/api/otp/verify"], &[]),
        _ => (
            &["/send-otp", "/resend-otp", "/verify-otp"],
            &["/health", "/debug/whatsapp", "/debug/test-request"],
        ),
    };
    let body = json!({
        "channel": "sms", "identifier": PHONE, "code": "123456", "phone_number": PHONE, "otp": "123456",
    });
    for path in posts {
        gone.post(path, body.clone()).await;
        closed.post(path, body.clone()).await;
        closed.as_app("default", &[]).post(path, body.clone()).await;
        open.post(path, json!({})).await;
        let foreign = [
            ("origin", "https://evil.example"),
            ("content-type", "text/plain"),
        ];
        open.send(Method::POST, path, &foreign, "{}").await;
        let large = [("content-type", JSON)];
        open.send(Method::POST, path, &large, vec![b' '; 20_000])
            .await;
    }
    for path in gets {
        for asked in [&open, &gone, &closed, &open.as_app("default", &[])] {
            asked.get(path).await;
        }
        open.as_app("default", &[Scope::ReadVerifications])
            .get(path)
            .await;
    }
    match kind {
        SurfaceKind::Otp => otp_lives(&open, &unlimited).await,
        _ => whatsapp_lives(&open, &unlimited).await,
    }
    let observed = observed.lock().clone();
    let plain = |(method, path, status, _)| (method, path, status);
    observed.into_iter().map(plain).collect()
}

async fn otp_lives(open: &World, unlimited: &World) {
    otp::generate(open, "sms", PHONE).await.is_ok();
    otp::generate(open, "sms", PHONE).await;
    otp::verify(open, "sms", PHONE, &last_code(open))
        .await
        .is_ok();
    for channel in ["sms", "whatsapp"] {
        otp::generate(unlimited, channel, PHONE).await.is_ok();
    }
    let wrong = another(&last_code(unlimited));
    for channel in [
        "sms", "sms", "sms", "sms", "sms", "whatsapp", "whatsapp", "whatsapp", "whatsapp",
    ] {
        otp::verify(unlimited, channel, PHONE, &wrong).await;
    }
    // Nine failures, then a tenth, and one more.
    for _ in 0..2 {
        otp::generate(unlimited, "sms", PHONE).await;
        let wrong = another(&last_code(unlimited));
        otp::verify(unlimited, "sms", PHONE, &wrong).await;
    }
    let locked = otp::verify(unlimited, "whatsapp", PHONE, &wrong).await;
    assert_eq!(locked.status, 429, "{}", locked.text);
    open.pigeon.answer(Some(Verdict::Unavailable));
    otp::generate(open, "sms", "+14155550199").await;
}

async fn whatsapp_lives(open: &World, unlimited: &World) {
    whatsapp::send(open, PHONE).await.is_ok();
    whatsapp::send(open, PHONE).await;
    whatsapp::verify(open, PHONE, &last_code(open))
        .await
        .is_ok();
    for _ in 0..3 {
        whatsapp::resend(open, PHONE).await;
    }
    whatsapp::verify(open, PHONE, &last_code(open)).await;
    whatsapp::send(open, PHONE).await;
    for _ in 0..2 {
        whatsapp::resend(unlimited, PHONE).await.is_ok();
        let wrong = another(&last_code(unlimited));
        for _ in 0..5 {
            whatsapp::verify(unlimited, PHONE, &wrong).await;
        }
    }
    whatsapp::resend(unlimited, PHONE).await;
    let locked = whatsapp::send(unlimited, PHONE).await;
    assert_eq!(locked.status, 429, "{}", locked.text);
}

#[tokio::test]
async fn every_documented_status_is_given_and_no_other() {
    for kind in [SurfaceKind::Otp, SurfaceKind::Whatsapp] {
        let (documented, mut given) = (documented(kind), answers(kind).await);
        // What needs a configured provider is among the fixtures.
        for path in ["/debug/whatsapp", "/debug/test-request"] {
            given.extend((kind == SurfaceKind::Whatsapp).then(|| ("GET".into(), path.into(), 200)));
        }
        // A number is locked only once its code is dead, but for the other codes of other surfaces.
        given.extend(
            (kind == SurfaceKind::Whatsapp).then(|| ("POST".into(), "/verify-otp".into(), 429)),
        );
        let missing: Vec<_> = documented.difference(&given).collect();
        let more: Vec<_> = given.difference(&documented).collect();
        assert!(
            missing.is_empty(),
            "documented and never given: {missing:#?}"
        );
        assert!(more.is_empty(), "given and not documented: {more:#?}");
    }
}

#[test]
fn the_document_of_all_surfaces_has_a_tag_for_each_and_no_schema_of_two() {
    let document = document();
    let tags = document["tags"].as_array().unwrap();
    for kind in SurfaceKind::ALL {
        let named = tags.iter().filter(|tag| tag["name"] == kind.as_str());
        assert_eq!(named.count(), 1, "{kind}");
        assert!(
            kind == SurfaceKind::Native || !documented(kind).is_empty(),
            "{kind}"
        );
    }
}
