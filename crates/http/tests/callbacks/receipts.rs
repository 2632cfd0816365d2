//! What comes of receipts.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use tower::ServiceExt as _;
use watchword_core::{About, Callback, DeliveryStatus, Limit, Per, Policy, VerificationId};

use crate::stand_ins::Unreachable;
use crate::world::{World, receipt};

const PHONE: &str = "+14155550123";

async fn statuses(world: &World, id: VerificationId) -> Vec<String> {
    let view = world.view(id).await;
    let deliveries = view["deliveries"].as_array().unwrap().iter();
    deliveries
        .map(|delivery| delivery["status"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_receipt_moves_its_delivery_and_nothing_else() {
    let world = World::new();
    let id = world.start(PHONE, &["sms"]).await;
    let other = world.start("+14155550124", &["sms"]).await;
    world.reads(Callback::Receipts(vec![receipt(
        id,
        DeliveryStatus::Delivered,
    )]));
    let answer = world.call("x").await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (200, ""));
    assert_eq!(statuses(&world, id).await, ["delivered"]);
    assert_eq!(world.view(id).await["status"], "pending");
    assert_eq!(statuses(&world, other).await, ["accepted"]);
}

#[tokio::test]
async fn repeated_and_disordered_receipts_end_in_the_furthest_state() {
    use DeliveryStatus::{Accepted, Delivered, Failed, Read, Sent, Unknown};
    let world = World::new();
    let id = world.start(PHONE, &["sms"]).await;
    let order = [
        Delivered, Sent, Read, Accepted, Failed, Unknown, Delivered, Read,
    ];
    let all = order.iter().cycle().take(1000);
    let receipts: Vec<_> = all.map(|status| receipt(id, *status)).collect();
    world.reads(Callback::Receipts(receipts));
    for _ in 0..3 {
        assert_eq!(world.call("x").await.status, 200);
        assert_eq!(statuses(&world, id).await, ["read"]);
    }
    assert_eq!(world.pigeon.count(), 1, "nothing was sent again");
}

#[tokio::test]
async fn receipts_about_nobody_are_taken_and_dropped() {
    let world = World::new();
    let id = world.start(PHONE, &["sms"]).await;
    let unknown = VerificationId::parse("0192d3a4-5b6c-8d7e-8f90-123456789abc").unwrap();
    let mut nameless = receipt(id, DeliveryStatus::Read);
    nameless.about = About::Message("wamid.unknown".to_owned());
    let receipts = vec![receipt(unknown, DeliveryStatus::Read), nameless];
    world.reads(Callback::Receipts(receipts.clone()));
    assert_eq!(world.call("x").await.status, 200);
    assert_eq!(statuses(&world, id).await, ["accepted"]);
    // Nor does one provider speak for another.
    world.reads(Callback::Receipts(vec![receipt(id, DeliveryStatus::Read)]));
    let answer = world
        .send(Method::POST, "/callbacks/my%20sms", &[], "x")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(statuses(&world, id).await, ["accepted"]);
}

#[tokio::test]
async fn what_is_not_proven_changes_nothing() {
    let world = World::new();
    let id = world.start(PHONE, &["whatsapp", "sms"]).await;
    for callback in [Callback::Refused, Callback::Forbidden, Callback::Unreadable] {
        world.reads(callback);
        assert!(world.call("x").await.status.is_client_error());
    }
    world.reception.finish().await;
    assert_eq!(statuses(&world, id).await, ["accepted"]);
    assert_eq!(world.pigeon.count(), 1);
}

#[tokio::test]
async fn a_provider_is_asked_to_come_again_while_the_store_is_away() {
    let world = World::with(Policy::default(), Some(Arc::new(Unreachable)));
    let id = VerificationId::parse("0192d3a4-5b6c-8d7e-8f90-123456789abc").unwrap();
    let one = receipt(id, DeliveryStatus::Delivered);
    world.reads(Callback::Receipts(vec![one; 3]));
    let answer = world.call("x").await;
    answer.is(503, "storage-unavailable");
    assert!(!answer.header("retry-after").is_empty());
    // A callback that says nothing needs no store.
    world.reads(Callback::Receipts(Vec::new()));
    assert_eq!(world.call("x").await.status, 200);
}

#[tokio::test]
async fn callbacks_need_no_key_and_cost_their_source_nothing() {
    let policy = Policy {
        limits: vec![Limit {
            per: Per::Source,
            max: 1,
            window: Duration::from_mins(10),
        }],
        ..Policy::default()
    };
    let world = World::with(policy, None);
    for callback in [Callback::Receipts(Vec::new()), Callback::Refused] {
        world.reads(callback.clone());
        for _ in 0..20 {
            let status = world.call("x").await.status;
            assert_eq!(status == 200, callback != Callback::Refused);
        }
    }
    world.start(PHONE, &["sms"]).await;
}

#[tokio::test]
async fn a_message_that_failed_goes_out_over_the_next_channel_once() {
    let world = World::new();
    let id = world.start(PHONE, &["whatsapp", "sms"]).await;
    let failed = receipt(id, DeliveryStatus::Failed);
    world.reads(Callback::Receipts(vec![failed.clone(), failed]));
    for _ in 0..3 {
        assert_eq!(world.call("x").await.status, 200);
    }
    world.reception.finish().await;
    assert_eq!(world.pigeon.count(), 2);
    assert_eq!(statuses(&world, id).await, ["failed", "accepted"]);
}

/// Providers hang up after some seconds. What they said is taken in all the same.
#[tokio::test]
async fn a_callback_counts_even_if_the_provider_hangs_up() {
    let world = World::new();
    let id = world.start(PHONE, &["whatsapp", "sms"]).await;
    world.reads(Callback::Receipts(vec![receipt(
        id,
        DeliveryStatus::Failed,
    )]));
    let request = Request::post("/callbacks/pigeon")
        .body(Body::from("x"))
        .unwrap();
    let mut answering = Box::pin(world.router.clone().oneshot(request));
    // It has begun, and nobody waits for the end.
    let mut context = Context::from_waker(Waker::noop());
    assert!(answering.as_mut().poll(&mut context).is_pending());
    drop(answering);
    world.reception.finish().await;
    assert_eq!(world.pigeon.count(), 2);
    assert_eq!(statuses(&world, id).await, ["failed", "accepted"]);
}
