//! What surfaces share: a recipient has one budget, wherever its codes come from.

use std::time::Duration;

use serde_json::json;
use watchword_core::Scope;
use watchword_http::SurfaceKind;

use crate::world::{PHONE, World};
use crate::{another, last_code, otp, public, whatsapp};

const ALL: [SurfaceKind; 3] = [SurfaceKind::Native, SurfaceKind::Otp, SurfaceKind::Whatsapp];

fn keyed(world: &World) -> World {
    world.as_app("default", &Scope::ALL)
}

#[tokio::test]
async fn three_codes_in_ten_minutes_are_three_over_all_surfaces() {
    let world = public(&ALL);
    otp::generate(&world, "sms", PHONE).await.is_ok();
    whatsapp::send(&world, "+1 (415) 555-0123").await.is_ok();
    let native = keyed(&world);
    native
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await
        .is_ok();
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(otp::generate(&world, "whatsapp", PHONE).await.status, 429);
    assert_eq!(whatsapp::resend(&world, PHONE).await.status, 429);
    let refused = native
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await;
    refused.is(429, "rate-limited");
    assert_eq!(world.pigeon.count(), 3);
}

#[tokio::test]
async fn a_code_of_one_surface_is_worth_nothing_at_another() {
    let world = public(&ALL);
    otp::generate(&world, "whatsapp", PHONE).await.is_ok();
    let code = last_code(&world);
    assert_eq!(whatsapp::verify(&world, PHONE, &code).await.status, 400);
    let body = json!({ "to": PHONE, "code": code });
    keyed(&world)
        .post("/v1/verifications/check", body)
        .await
        .is(404, "not-found");
    assert_eq!(
        otp::verify(&world, "whatsapp", PHONE, &code).await.status,
        200
    );
}

#[tokio::test]
async fn wrong_codes_at_one_surface_count_at_the_others() {
    let world = public(&ALL);
    otp::generate(&world, "sms", PHONE).await.is_ok();
    let wrong = another(&last_code(&world));
    for _ in 0..5 {
        otp::verify(&world, "sms", PHONE, &wrong).await;
    }
    whatsapp::send(&world, PHONE).await.is_ok();
    let code = last_code(&world);
    for _ in 0..5 {
        whatsapp::verify(&world, PHONE, &another(&code)).await;
    }
    let native = keyed(&world);
    let refused = native
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await;
    refused.is(429, "recipient-locked");
}

#[tokio::test]
async fn a_source_has_thirty_sends_at_a_surface_and_its_victims_none_less() {
    let world = public(&ALL);
    for index in 0..30 {
        let number = format!("+1415555{:04}", 100 + index);
        whatsapp::send(&world, &number).await.is_ok();
    }
    let refused = whatsapp::send(&world, "+14155550199").await;
    assert_eq!(refused.status, 429);
    assert!(!refused.header("retry-after").is_empty());
    // Sources are counted at each surface; recipients everywhere.
    otp::generate(&world, "sms", "+14155550199").await.is_ok();
    let owner = world.from("192.0.2.200");
    whatsapp::send(&owner, "+14155550199").await.is_ok();
    whatsapp::resend(&owner, "+14155550199").await.is_ok();
}

#[tokio::test]
async fn no_answer_holds_a_code() {
    let world = public(&ALL);
    let mut answers = Vec::new();
    for index in 0..20 {
        let number = format!("+1415555{:04}", 100 + index);
        answers.push(whatsapp::resend(&world, &number).await);
        let code = last_code(&world);
        answers.push(whatsapp::send(&world, &number).await);
        answers.push(whatsapp::verify(&world, &number, &another(&code)).await);
        answers.push(whatsapp::verify(&world, &number, &code).await);
        answers.push(otp::generate(&world, "sms", &number).await);
        let code = last_code(&world);
        answers.push(otp::verify(&world, "sms", &number, &code).await);
    }
    let codes = world.codes();
    assert_eq!(codes.len(), 40);
    for answer in answers {
        let runs = answer.text.split(|c: char| !c.is_ascii_alphanumeric());
        let runs: Vec<_> = runs.collect();
        let held = codes.iter().find(|code| runs.contains(&code.as_str()));
        assert_eq!(held, None, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_locked_recipient_cannot_even_use_the_right_code_elsewhere() {
    let world = public(&ALL);
    whatsapp::send(&world, PHONE).await.is_ok();
    let right = last_code(&world);
    for channel in ["sms", "whatsapp"] {
        otp::generate(&world, channel, PHONE).await.is_ok();
        let wrong = another(&last_code(&world));
        for _ in 0..5 {
            otp::verify(&world, channel, PHONE, &wrong).await;
        }
    }
    let locked = whatsapp::verify(&world, PHONE, &right).await;
    assert_eq!(locked.status, 429, "{}", locked.text);
    assert!(!locked.header("retry-after").is_empty());
    world.clock.advance(Duration::from_secs(3600));
    whatsapp::send(&world, PHONE).await.is_ok();
}
