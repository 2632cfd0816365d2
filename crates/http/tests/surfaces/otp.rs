//! Codes by email, SMS and WhatsApp under `/api/otp`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::Method;
use serde_json::json;
use watchword_core::{Channel, Clock as _, Dispatch, Envelope, Messenger, Verdict};
use watchword_http::SurfaceKind;

use crate::world::{Answer, PHONE, Setting, World};
use crate::{another, last_code, public, public_with};

const OTP: [SurfaceKind; 1] = [SurfaceKind::Otp];

pub async fn generate(world: &World, channel: &str, identifier: &str) -> Answer {
    let body = json!({ "channel": channel, "identifier": identifier });
    world.post("/api/otp/generate", body).await
}

pub async fn verify(world: &World, channel: &str, identifier: &str, code: &str) -> Answer {
    let body = json!({ "channel": channel, "identifier": identifier, "code": code });
    world.post("/api/otp/verify", body).await
}

#[track_caller]
fn says(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(
        (answer.status.as_u16(), &answer.body),
        (status, &json!({ "detail": detail }))
    );
}

#[tokio::test]
async fn a_code_is_sent_over_the_channel_and_verified_once() {
    for (channel, identifier) in [
        ("sms", PHONE),
        ("whatsapp", PHONE),
        ("email", "ada@example.com"),
    ] {
        let world = public(&OTP);
        let sent = generate(&world, channel, identifier).await;
        let expires_at = world.clock.now().as_secs() + 300;
        assert_eq!(
            sent.body,
            json!({ "detail": "OTP sent", "expires_at": expires_at })
        );
        assert_eq!(sent.status, 200);
        let code = last_code(&world);
        says(
            &verify(&world, channel, identifier, &another(&code)).await,
            400,
            "Invalid or expired code",
        );
        says(
            &verify(&world, channel, identifier, &code).await,
            200,
            "Verified",
        );
        says(
            &verify(&world, channel, identifier, &code).await,
            400,
            "Invalid or expired code",
        );
    }
}

#[tokio::test]
async fn the_channel_is_part_of_what_is_verified() {
    let world = public(&OTP);
    assert_eq!(generate(&world, "sms", PHONE).await.status, 200);
    let by_sms = last_code(&world);
    says(
        &verify(&world, "whatsapp", PHONE, &by_sms).await,
        400,
        "Invalid or expired code",
    );
    // The other channel has a code and a cooldown of its own.
    assert_eq!(generate(&world, "whatsapp", PHONE).await.status, 200);
    let by_whatsapp = last_code(&world);
    if by_sms != by_whatsapp {
        says(
            &verify(&world, "sms", PHONE, &by_whatsapp).await,
            400,
            "Invalid or expired code",
        );
    }
    says(
        &verify(&world, "sms", PHONE, &by_sms).await,
        200,
        "Verified",
    );
    says(
        &verify(&world, "whatsapp", PHONE, &by_whatsapp).await,
        200,
        "Verified",
    );
}

#[tokio::test]
async fn the_first_thing_that_is_wrong_is_told() {
    let world = public(&OTP);
    for (body, detail) in [
        (json!({}), "Invalid channel"),
        (
            json!({ "channel": "voice", "identifier": PHONE }),
            "Invalid channel",
        ),
        (
            json!({ "channel": 1, "identifier": PHONE }),
            "Invalid channel",
        ),
        (json!({ "channel": "sms" }), "Invalid identifier"),
        (
            json!({ "channel": "sms", "identifier": "ada@example.com" }),
            "Invalid identifier",
        ),
        (
            json!({ "channel": "email", "identifier": PHONE }),
            "Invalid identifier",
        ),
        (
            json!({ "channel": "email", "identifier": "a@b@example.com" }),
            "Invalid identifier",
        ),
        (
            json!({ "channel": "sms", "identifier": "+19005550123" }),
            "Invalid identifier",
        ),
        (
            json!({ "channel": "sms", "identifier": "not a number" }),
            "Invalid identifier",
        ),
    ] {
        for path in ["/api/otp/generate", "/api/otp/verify"] {
            says(&world.post(path, body.clone()).await, 400, detail);
        }
    }
    for code in [json!(null), json!(""), json!("12x4!6"), json!(123_456)] {
        let body = json!({ "channel": "sms", "identifier": PHONE, "code": code });
        says(
            &world.post("/api/otp/verify", body).await,
            400,
            "Invalid code",
        );
    }
    // What the document does not name does not matter, nor case and space around a channel.
    let more = json!({ "channel": " SMS ", "identifier": " +1 415 555 0123 ", "lang": "en" });
    assert_eq!(world.post("/api/otp/generate", more).await.status, 200);
    assert_eq!(world.pigeon.count(), 1);
}

/// A program whose HTTP client calls everything a form, as curl does.
#[tokio::test]
async fn json_that_curl_calls_a_form_is_taken() {
    let world = public(&OTP);
    let body = json!({ "channel": "sms", "identifier": PHONE }).to_string();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = world
        .send(Method::POST, "/api/otp/generate", &headers, body)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn a_second_code_waits_for_the_cooldown_and_says_how_long() {
    let world = public(&OTP);
    generate(&world, "sms", PHONE).await.is_ok();
    world.clock.advance(Duration::from_secs(10));
    let refused = generate(&world, "sms", PHONE).await;
    says(
        &refused,
        429,
        "OTP recently sent. Please wait before requesting another.",
    );
    assert_eq!(refused.header("retry-after"), "20");
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(30));
        generate(&world, "sms", PHONE).await.is_ok();
    }
    world.clock.advance(Duration::from_secs(30));
    let refused = generate(&world, "sms", PHONE).await;
    says(&refused, 429, "Too many requests. Please try again later.");
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_code_dies_with_its_time_its_attempts_and_its_successor() {
    let world = public(&OTP);
    generate(&world, "sms", PHONE).await.is_ok();
    let code = last_code(&world);
    world.clock.advance(Duration::from_secs(300));
    says(
        &verify(&world, "sms", PHONE, &code).await,
        400,
        "Invalid or expired code",
    );
    generate(&world, "sms", PHONE).await.is_ok();
    let code = last_code(&world);
    for _ in 0..5 {
        says(
            &verify(&world, "sms", PHONE, &another(&code)).await,
            400,
            "Invalid or expired code",
        );
    }
    says(
        &verify(&world, "sms", PHONE, &code).await,
        400,
        "Invalid or expired code",
    );
    world.clock.advance(Duration::from_secs(30));
    generate(&world, "sms", PHONE).await.is_ok();
    let fresh = last_code(&world);
    says(&verify(&world, "sms", PHONE, &fresh).await, 200, "Verified");
}

#[tokio::test]
async fn too_many_wrong_codes_lock_a_recipient_whatever_the_code() {
    let world = public_with(
        &OTP,
        Setting {
            policy: Some(crate::world::without_limits()),
            ..Setting::default()
        },
    );
    for channel in ["sms", "whatsapp"] {
        generate(&world, channel, PHONE).await.is_ok();
        let code = last_code(&world);
        for _ in 0..5 {
            verify(&world, channel, PHONE, &another(&code)).await;
        }
    }
    let locked = generate(&world, "sms", PHONE).await;
    says(&locked, 429, "Too many requests. Please try again later.");
    assert!(!locked.header("retry-after").is_empty());
}

/// Serves some channels and no others.
struct Only(Channel);

#[async_trait]
impl Messenger for Only {
    fn serves(&self, channel: Channel) -> bool {
        channel == self.0
    }

    async fn dispatch(&self, _: Envelope, _: Duration) -> Dispatch {
        Dispatch {
            verdict: Verdict::Unavailable,
            deliveries: Vec::new(),
        }
    }
}

#[tokio::test]
async fn a_channel_without_a_provider_and_a_failed_delivery_are_500() {
    let none = |channel| Setting {
        messenger: Some(Arc::new(Only(channel))),
        ..Setting::default()
    };
    let world = public_with(&OTP, none(Channel::Email));
    says(
        &generate(&world, "sms", PHONE).await,
        500,
        "SMS provider not configured",
    );
    says(
        &generate(&world, "whatsapp", PHONE).await,
        500,
        "WhatsApp provider not configured",
    );
    let failed = generate(&world, "email", "ada@example.com").await;
    says(
        &failed,
        500,
        "The message could not be sent. Please try again later.",
    );
    let world = public_with(&OTP, none(Channel::Sms));
    let refused = generate(&world, "email", "ada@example.com").await;
    says(&refused, 500, "DEFAULT_FROM_EMAIL is not configured");
}
