//! Limits, and what is told of them.

use std::time::Duration;

use serde_json::json;
use watchword_core::{Policy, Scope};

use crate::world::{Answer, PHONE, Setting, World};

fn number(index: usize) -> String {
    format!("+1415555{:04}", 100 + index)
}

async fn start(world: &World, index: usize) -> Answer {
    world
        .post("/v1/verifications", json!({ "to": number(index) }))
        .await
}

#[tokio::test]
async fn a_source_gets_thirty_sends_and_is_told_how_it_stands() {
    let world = World::new();
    for index in 0..30 {
        let started = start(&world, index).await;
        started.is_ok();
        assert_eq!(started.header("ratelimit-policy"), r#""send";q=30;w=600"#);
        let expected = format!(r#""send";r={};t={}"#, 29 - index, 600 - index);
        assert_eq!(started.header("ratelimit"), expected);
        world.clock.advance(Duration::from_secs(1));
    }
    let refused = start(&world, 30).await;
    refused.is(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), "570");
    assert_eq!(refused.header("ratelimit"), r#""send";r=0;t=570"#);
    // Another source is not affected, the same /64 is.
    let v6 = world.from("2001:db8:1:2::1");
    for index in 0..30 {
        start(&v6, 100 + index).await.is_ok();
    }
    start(&world.from("2001:db8:1:2:ffff::9"), 140)
        .await
        .is(429, "rate-limited");
    start(&world.from("2001:db8:1:3::1"), 140).await.is_ok();
    world.clock.advance(Duration::from_secs(570));
    start(&world, 30).await.is_ok();
}

/// E4: how often somebody else used a recipient or an address is nobody's business.
#[tokio::test]
async fn what_is_left_is_told_of_the_callers_own_address_only() {
    let world = World::without_limits_of_recipients();
    let body = json!({ "to": PHONE, "end_user_ip": "203.0.113.7" });
    let asserted = world.post("/v1/verifications", body).await;
    asserted.is_ok();
    assert_eq!(asserted.header("ratelimit"), "");
    assert_eq!(asserted.header("ratelimit-policy"), "");
    let strict = World::new();
    strict.start(PHONE).await;
    let refused = strict
        .post("/v1/verifications", json!({ "to": PHONE }))
        .await;
    refused.is(429, "resend-too-soon");
    assert_eq!(refused.header("ratelimit"), "");
}

#[tokio::test]
async fn a_recipient_gets_three_sends_in_any_ten_minutes_in_any_spelling() {
    let world = World::new();
    let spellings = [
        "+14155550123",
        "+1 415 555 0123",
        "001 (415) 555-0123",
        "tel:+1-415-555-0123",
    ];
    for to in &spellings[..3] {
        world
            .post("/v1/verifications", json!({ "to": to }))
            .await
            .is_ok();
        world.clock.advance(Duration::from_secs(60));
    }
    let refused = world
        .post("/v1/verifications", json!({ "to": spellings[3] }))
        .await;
    refused.is(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), "420");
    assert_eq!(world.pigeon.count(), 3);
}

/// P3, X69: with the scope the limits follow the asserted address; without it nothing changes.
#[tokio::test]
async fn only_a_key_with_the_scope_chooses_the_address_that_is_counted() {
    let world = World::new();
    let assert = async |world: &World, index: usize, address: String| {
        let body = json!({ "to": number(index), "end_user_ip": address });
        world.post("/v1/verifications", body).await
    };
    for index in 0..31 {
        assert(&world, index, format!("203.0.113.{index}"))
            .await
            .is_ok();
    }
    for index in 0..30 {
        assert(&world, 100 + index, "2001:db8::1".to_owned())
            .await
            .is_ok();
    }
    assert(&world, 130, "2001:db8::2".to_owned())
        .await
        .is(429, "rate-limited");
    let usual = [Scope::WriteVerifications, Scope::ReadVerifications];
    let without = world.as_app("default", &usual).from("192.0.2.77");
    for index in 0..30 {
        assert(&without, 200 + index, format!("203.0.113.{}", 100 + index))
            .await
            .is_ok();
    }
    assert(&without, 230, "203.0.113.250".to_owned())
        .await
        .is(429, "rate-limited");
    // What is ignored is not read either.
    let ignored = World::new().as_app("default", &usual);
    assert(&ignored, 0, "nonsense".to_owned()).await.is_ok();
}

/// T6: who is refused for their own sends leaves the recipient's untouched.
#[tokio::test]
async fn a_source_over_its_limit_costs_its_victim_nothing() {
    let (world, victim) = (World::new(), "+14155550199");
    for index in 0..30 {
        start(&world, index).await.is_ok();
    }
    for _ in 0..5 {
        world
            .post("/v1/verifications", json!({ "to": victim }))
            .await
            .is(429, "rate-limited");
    }
    let owner = world.from("192.0.2.200");
    for _ in 0..3 {
        owner.start(victim).await;
        world.clock.advance(Duration::from_secs(30));
    }
}

impl World {
    fn without_limits_of_recipients() -> Self {
        let mut policy = Policy::default();
        policy
            .limits
            .retain(|limit| limit.per == watchword_core::Per::Source);
        Self::with(Setting {
            policy: Some(policy),
            ..Setting::default()
        })
    }
}
