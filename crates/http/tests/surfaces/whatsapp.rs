//! Codes by WhatsApp at the root.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use watchword_core::{Scope, Verdict};
use watchword_http::SurfaceKind;

use crate::stand_ins::Unreachable;
use crate::world::{Answer, Setting, World};
use crate::{another, last_code, public, public_with};

const WHATSAPP: [SurfaceKind; 1] = [SurfaceKind::Whatsapp];
/// The number of the document, which nobody can have.
const NUMBER: &str = "+1234567890";

pub async fn send(world: &World, number: &str) -> Answer {
    world
        .post("/send-otp", json!({ "phone_number": number }))
        .await
}

pub async fn resend(world: &World, number: &str) -> Answer {
    world
        .post("/resend-otp", json!({ "phone_number": number }))
        .await
}

pub async fn verify(world: &World, number: &str, code: &str) -> Answer {
    let body = json!({ "phone_number": number, "otp": code });
    world.post("/verify-otp", body).await
}

#[track_caller]
fn says(answer: &Answer, status: u16, message: &str) {
    let told = (answer.status.as_u16(), answer.body["message"].as_str());
    assert_eq!(told, (status, Some(message)), "{}", answer.text);
    assert_eq!(answer.body["success"], status == 200);
}

#[tokio::test]
async fn a_code_is_sent_resent_and_verified_once() {
    let world = public(&WHATSAPP);
    let sent = send(&world, NUMBER).await;
    let data = json!({ "phone_number": NUMBER });
    let done = |message: &str| json!({ "success": true, "message": message, "data": data });
    assert_eq!(
        (sent.status.as_u16(), &sent.body),
        (200, &done("OTP sent successfully"))
    );
    let first = last_code(&world);
    let resent = resend(&world, NUMBER).await;
    assert_eq!(
        (resent.status.as_u16(), &resent.body),
        (200, &done("OTP resent successfully"))
    );
    assert_eq!(world.pigeon.count(), 2, "always a fresh code");
    let code = last_code(&world);
    if first != code {
        says(&verify(&world, NUMBER, &first).await, 400, "Invalid OTP");
    }
    says(
        &verify(&world, NUMBER, &another(&code)).await,
        400,
        "Invalid OTP",
    );
    let verified = verify(&world, NUMBER, &code).await;
    assert_eq!(
        (verified.status.as_u16(), &verified.body),
        (200, &done("OTP verified successfully"))
    );
    says(
        &verify(&world, NUMBER, &code).await,
        400,
        "OTP not found or expired",
    );
}

#[tokio::test]
async fn a_send_is_refused_while_a_code_lives_and_a_resend_is_not() {
    let world = public(&WHATSAPP);
    send(&world, NUMBER).await.is_ok();
    let live = send(&world, NUMBER).await;
    says(
        &live,
        409,
        "OTP already sent. Please wait for expiry or use resend endpoint.",
    );
    assert_eq!(live.body["data"], json!({ "phone_number": NUMBER }));
    world.clock.advance(Duration::from_secs(180));
    let gone = verify(&world, NUMBER, &last_code(&world)).await;
    says(&gone, 400, "OTP not found or expired");
    send(&world, NUMBER).await.is_ok();
    // A resend needs no code that lives.
    resend(&world, "+1234567891").await.is_ok();
}

#[tokio::test]
async fn what_is_no_number_is_told_so_by_every_call() {
    let world = public(&WHATSAPP);
    for number in [
        json!("abc"),
        json!(""),
        json!("+0123456789"),
        json!(1_234_567_890),
        json!(null),
    ] {
        let body = json!({ "phone_number": number, "otp": "123456" });
        for path in ["/send-otp", "/resend-otp", "/verify-otp"] {
            says(
                &world.post(path, body.clone()).await,
                400,
                "Invalid phone number format",
            );
        }
    }
    let body = json!({ "phone_number": NUMBER, "otp": "" });
    says(&world.post("/verify-otp", body).await, 400, "Invalid OTP");
    assert_eq!(world.pigeon.count(), 0);
}

#[tokio::test]
async fn limits_and_failed_sends_are_told_with_the_time_to_wait() {
    let world = public(&WHATSAPP);
    for _ in 0..3 {
        resend(&world, NUMBER).await.is_ok();
    }
    for refused in [
        resend(&world, NUMBER).await,
        resend(&world, "1234567890").await,
    ] {
        says(&refused, 429, "Too many requests. Please try again later.");
        assert!(!refused.header("retry-after").is_empty());
    }
    world.pigeon.answer(Some(Verdict::Unavailable));
    let failed = send(&world, "+1234567891").await;
    says(&failed, 503, "Failed to send OTP. Please try again later.");
    assert_eq!(failed.header("retry-after"), "5");
    world.pigeon.answer(Some(Verdict::Refused));
    let refused = send(&world, "+1234567892").await;
    says(&refused, 503, "Failed to send OTP. Please try again later.");
    let known = world.as_app("default", &[Scope::WriteVerifications]);
    let refused = send(&known, "+1234567893").await;
    says(&refused, 400, "This number cannot be reached by WhatsApp");
}

#[tokio::test]
async fn health_says_whether_the_store_answers() {
    let healthy = public(&WHATSAPP).get("/health").await;
    let expected = json!({ "status": "healthy", "message": "WhatsApp OTP API is running" });
    assert_eq!((healthy.status.as_u16(), &healthy.body), (200, &expected));
    let setting = Setting {
        store: Arc::new(Unreachable),
        ..Setting::default()
    };
    let sick = public_with(&WHATSAPP, setting).get("/health").await;
    assert_eq!(
        (sick.status.as_u16(), &sick.body["status"]),
        (503, &json!("unhealthy"))
    );
}

#[tokio::test]
async fn debug_pages_are_closed_to_strangers_outside_dev_mode() {
    let world = public(&WHATSAPP);
    let dev = public_with(
        &WHATSAPP,
        Setting {
            dev: true,
            ..Setting::default()
        },
    );
    for path in ["/debug/whatsapp", "/debug/test-request"] {
        assert_eq!(world.get(path).await.status, 401, "{path}");
        assert_eq!(
            world.as_app("default", &[]).get(path).await.status,
            403,
            "{path}"
        );
        let foreign = [("host", "evil.example")];
        let answer = dev.send(Method::GET, path, &foreign, "").await;
        assert_eq!(answer.status, 401, "{path} under a foreign name");
        // Nothing is configured in this world; whoever may ask is told that.
        for asking in [&dev, &world.as_app("default", &[Scope::ReadVerifications])] {
            says(&asking.get(path).await, 503, "WhatsApp is not configured");
        }
    }
}

#[tokio::test]
async fn a_code_is_in_an_answer_only_where_codes_are_exposed() {
    let setting = Setting {
        dev: true,
        expose_codes: true,
        ..Setting::default()
    };
    let world = public_with(&WHATSAPP, setting);
    let sent = send(&world, NUMBER).await;
    assert_eq!(sent.body["data"]["otp"], json!(last_code(&world)));
    let dev = public_with(
        &WHATSAPP,
        Setting {
            dev: true,
            ..Setting::default()
        },
    );
    let sent = send(&dev, NUMBER).await;
    assert_eq!(sent.body["data"], json!({ "phone_number": NUMBER }));
}
