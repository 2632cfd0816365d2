//! Three sends in ten minutes, for a number and for whoever asks, over all of the surface's sends.

use std::time::Duration;

use watchword_core::Verdict;

use crate::world::{EMAIL, MOBILE, PASSWORD, World};

const TOO_MANY: &str = "Too many attempts. Please try again in 10 minutes.";

#[tokio::test]
async fn three_sends_in_ten_minutes_are_the_most_for_a_number_over_all_calls() {
    let world = World::new();
    let from = |number: u8| world.from(&format!("198.51.100.{number}"));
    assert_eq!(from(1).register(EMAIL, MOBILE, PASSWORD).await.status, 202);
    assert_eq!(from(2).resend(MOBILE).await.status, 200);
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(from(3).request_otp("+14155550123", false).await.status, 200);
    let refused = from(4).request_otp(MOBILE, false).await;
    refused.says(429, TOO_MANY);
    assert_eq!(refused.header("retry-after"), "540");
    from(5).resend(MOBILE).await.says(429, TOO_MANY);
    from(6)
        .register(EMAIL, MOBILE, PASSWORD)
        .await
        .says(429, TOO_MANY);
    assert_eq!(world.pigeon.count(), 3);
    world.clock.advance(Duration::from_mins(9));
    assert_eq!(from(7).request_otp(MOBILE, false).await.status, 200);
}

#[tokio::test]
async fn three_sends_in_ten_minutes_are_the_most_for_an_address_over_all_numbers_and_calls() {
    let world = World::new();
    assert_eq!(world.register(EMAIL, MOBILE, PASSWORD).await.status, 202);
    assert_eq!(world.resend(MOBILE).await.status, 200);
    assert_eq!(world.request_otp("4155550124", false).await.status, 200);
    world
        .request_otp("4155550125", false)
        .await
        .says(429, TOO_MANY);
    let other = world
        .register("b@example.com", "4155550126", PASSWORD)
        .await;
    other.says(429, TOO_MANY);
    world.resend(MOBILE).await.says(429, TOO_MANY);
    // What was refused cost the numbers nothing.
    let elsewhere = world.from("198.51.100.1");
    for _ in 0..3 {
        assert_eq!(elsewhere.request_otp("4155550125", false).await.status, 200);
    }
    // Nor is a registration pending that nobody got a code of.
    let third = world.from("198.51.100.2");
    let free = third
        .register("c@example.com", "4155550126", PASSWORD)
        .await;
    assert_eq!(free.status, 202);
}

#[tokio::test]
async fn what_no_provider_took_costs_nothing() {
    let world = World::new();
    world.pigeon.answer(Some(Verdict::Unavailable));
    for _ in 0..5 {
        assert_eq!(world.register(EMAIL, MOBILE, PASSWORD).await.status, 503);
        assert_eq!(world.request_otp(MOBILE, false).await.status, 503);
    }
    world.pigeon.answer(None);
    for _ in 0..3 {
        assert_eq!(world.register(EMAIL, MOBILE, PASSWORD).await.status, 202);
    }
}

#[tokio::test]
async fn refused_registrations_and_wrong_bodies_cost_no_send() {
    let world = World::new();
    world.account(EMAIL, MOBILE).await;
    for _ in 0..4 {
        assert_eq!(world.register(EMAIL, MOBILE, PASSWORD).await.status, 409);
        assert_eq!(world.register("no", MOBILE, PASSWORD).await.status, 422);
        assert_eq!(world.resend(MOBILE).await.status, 404);
    }
    assert_eq!(world.request_otp(MOBILE, false).await.status, 200);
    assert_eq!(world.request_otp(MOBILE, false).await.status, 200);
}

#[tokio::test]
async fn nine_questions_in_ten_minutes_are_the_most_that_an_address_has_about_who_is_registered() {
    let world = World::new();
    world.account(EMAIL, MOBILE).await;
    let stranger = world.from("198.51.100.7");
    for _ in 0..4 {
        let known = stranger.register(EMAIL, "4155550177", PASSWORD).await;
        assert_eq!(known.status, 409);
        assert_eq!(stranger.resend(MOBILE).await.status, 404);
    }
    let known = stranger
        .register("x@example.com", MOBILE, "another one")
        .await;
    assert_eq!(known.status, 409);
    // Known or not, nobody learns any more, and no password is hashed for it.
    for email in [EMAIL, "free@example.com"] {
        let refused = stranger.register(email, "4155550178", PASSWORD).await;
        refused.says(429, TOO_MANY);
        assert_eq!(refused.header("retry-after"), "600");
    }
    stranger.resend(MOBILE).await.says(429, TOO_MANY);
    // Its sends are another matter, and so is everybody else.
    assert_eq!(stranger.request_otp("4155550179", false).await.status, 200);
    let neighbour = world.from("198.51.100.8");
    assert_eq!(neighbour.resend(MOBILE).await.status, 404);
    world.clock.advance(Duration::from_mins(10));
    assert_eq!(stranger.resend(MOBILE).await.status, 404);
}

#[tokio::test]
async fn ten_failures_an_hour_lock_a_number_whatever_is_sent() {
    let world = World::without_limits();
    for _ in 0..2 {
        world.register(EMAIL, MOBILE, PASSWORD).await;
        for _ in 0..5 {
            assert_eq!(world.verify(MOBILE, &world.wrong_code()).await.status, 400);
        }
    }
    world.request_otp(MOBILE, false).await.says(429, TOO_MANY);
    world
        .register(EMAIL, MOBILE, PASSWORD)
        .await
        .says(429, TOO_MANY);
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(world.request_otp(MOBILE, false).await.status, 200);
}
