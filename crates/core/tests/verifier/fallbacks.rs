//! Receipts, and the turn of the next channel.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::fakes::Pigeon;
use watchword_core::{
    About, Channel, DeliveryStatus, Event, Receipt, Received, StartRequest, Status, Turn, Verdict,
    VerificationId,
};

use crate::server::{PATIENCE, Server, crowd, generous, request};

/// Over WhatsApp, then by SMS, then by voice.
fn patient() -> StartRequest {
    StartRequest {
        channels: vec![Channel::Whatsapp, Channel::Sms, Channel::Voice],
        ..request(generous())
    }
}

fn about(about: About, status: DeliveryStatus) -> Receipt {
    Receipt {
        about,
        channel: Channel::Whatsapp,
        status,
        message_id: None,
        error: (status == DeliveryStatus::Failed).then(|| "invalid_recipient 131026".to_owned()),
    }
}

/// Of the message of this number, counted from 1.
fn receipt(id: VerificationId, number: u128, status: DeliveryStatus) -> Receipt {
    let delivery = About::Delivery {
        verification: id,
        delivery: Pigeon::delivery(id, number),
    };
    about(delivery, status)
}

/// What came of some receipts of the pigeon's.
#[derive(Default)]
struct Sum {
    known: usize,
    turns: Vec<Turn>,
}

async fn receive_of(server: &Server, provider: &str, receipts: Vec<Receipt>) -> Sum {
    let mut sum = Sum::default();
    for receipt in receipts {
        let received = server.verifier.receive(provider, receipt).await;
        let Received { known, turn } = received.expect("the store works");
        sum.known += usize::from(known);
        sum.turns.extend(turn);
    }
    sum
}

async fn receive(server: &Server, receipts: Vec<Receipt>) -> Sum {
    receive_of(server, "pigeon", receipts).await
}

async fn take(server: &Server, turns: Vec<Turn>) {
    for turn in turns {
        let taken = server.verifier.fall_back(turn).await;
        taken.expect("what was sealed can be opened");
    }
}

/// Looks after what is due, as every server does each second.
async fn look_after(server: &Server) {
    let turns = server.verifier.overdue().await.expect("the store works");
    take(server, turns).await;
}

#[tokio::test]
async fn a_failed_receipt_sends_the_same_code_over_the_next_channel() {
    let server = Server::new();
    let id = server.start(patient()).await;
    let code = server.code(id);
    let received = receive(&server, vec![receipt(id, 1, DeliveryStatus::Failed)]).await;
    assert_eq!((received.known, received.turns.len()), (1, 1));
    take(&server, received.turns).await;
    assert_eq!(server.pigeon.channels()[1], [Channel::Sms, Channel::Voice]);
    assert_eq!(server.code(id).expose(), code.expose());
    let row = server.row(id).await.unwrap();
    let seen = row.deliveries.iter();
    let seen: Vec<_> = seen
        .map(|delivery| (delivery.channel, delivery.status))
        .collect();
    let expected = [
        (Channel::Whatsapp, DeliveryStatus::Failed),
        (Channel::Sms, DeliveryStatus::Accepted),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        row.deliveries[0].error.as_deref(),
        Some("invalid_recipient 131026")
    );
    assert!(server.check(id, code).await.is_ok());
    let fell_back = Event::FellBack {
        channel: Channel::Sms,
        taken: true,
    };
    assert!(server.diary.take().contains(&fell_back));
}

#[tokio::test]
async fn each_channel_has_its_turn_and_after_the_last_there_is_none() {
    let server = Server::new();
    let id = server.start(patient()).await;
    for number in 1..4 {
        let failed = receipt(id, number, DeliveryStatus::Failed);
        let received = receive(&server, vec![failed.clone(), failed]).await;
        take(&server, received.turns).await;
    }
    let tried = server.pigeon.channels();
    let firsts: Vec<_> = tried.iter().map(|channels| channels[0]).collect();
    assert_eq!(firsts, [Channel::Whatsapp, Channel::Sms, Channel::Voice]);
    let row = server.row(id).await.unwrap();
    assert_eq!(row.status, Status::Pending, "the person may have it anyway");
}

#[tokio::test]
async fn silence_beyond_the_channels_patience_is_a_failure() {
    let server = Server::new();
    let id = server.start(patient()).await;
    server.clock.advance(PATIENCE - Duration::from_millis(1));
    look_after(&server).await;
    assert_eq!(server.pigeon.count(), 1, "not yet");
    server.clock.advance(Duration::from_millis(1));
    look_after(&server).await;
    assert_eq!(server.pigeon.count(), 2);
    // SMS has no patience of its own: only a failure moves on from it.
    server.clock.advance(PATIENCE * 3);
    look_after(&server).await;
    assert_eq!(server.pigeon.count(), 2);
    assert!(server.check(id, server.code(id)).await.is_ok());
}

#[tokio::test]
async fn a_message_that_arrived_or_a_code_that_was_used_needs_no_other_channel() {
    for arrives in [true, false] {
        let server = Server::new();
        let id = server.start(patient()).await;
        if arrives {
            receive(&server, vec![receipt(id, 1, DeliveryStatus::Delivered)]).await;
        } else {
            assert!(server.check(id, server.code(id)).await.is_ok());
        }
        server.clock.advance(PATIENCE);
        look_after(&server).await;
        let failed = receive(&server, vec![receipt(id, 1, DeliveryStatus::Failed)]).await;
        assert_eq!(failed.turns, [], "arrived: {arrives}");
        assert_eq!(server.pigeon.count(), 1, "arrived: {arrives}");
    }
}

#[tokio::test]
async fn a_crowd_of_servers_over_one_store_falls_back_once() {
    let first = Server::new();
    let servers = [first.beside(), first.beside(), first.beside(), first];
    let id = servers[0].start(patient()).await;
    servers
        .iter()
        .for_each(|server| server.clock.advance(PATIENCE));
    crowd(64, |number| {
        let server = Arc::clone(&servers[number % servers.len()]);
        async move {
            if number % 2 == 0 {
                look_after(&server).await;
            } else {
                let failed = vec![receipt(id, 1, DeliveryStatus::Failed)];
                let received = receive(&server, failed).await;
                take(&server, received.turns).await;
            }
        }
    })
    .await;
    assert_eq!(
        servers[0].pigeon.count(),
        2,
        "the start's message and one more"
    );
}

#[tokio::test]
async fn ten_thousand_receipts_in_disorder_change_deliveries_and_nothing_else() {
    let server = Server::new();
    let mut ids = Vec::new();
    for number in 0..100_u32 {
        let mut order = patient();
        order.to = Some(crate::server::number(&format!("+1415555{number:04}")));
        ids.push(server.start(order).await);
    }
    let before = ids.iter().map(|id| server.row(*id));
    let before = futures_util::future::join_all(before).await;
    let states = [
        DeliveryStatus::Read,
        DeliveryStatus::Sent,
        DeliveryStatus::Accepted,
        DeliveryStatus::Failed,
        DeliveryStatus::Delivered,
    ];
    // Read comes first for all of them: whatever follows is late or doubled.
    let receipts = states.iter().cycle().take(100).flat_map(|state| {
        let of_all = ids.iter().map(|id| receipt(*id, 1, *state));
        of_all.collect::<Vec<_>>()
    });
    let receipts: Vec<_> = receipts.collect();
    assert_eq!(receipts.len(), 10_000);
    for some in receipts.chunks(250) {
        let received = receive(&server, some.to_vec()).await;
        assert_eq!((received.known, received.turns.len()), (250, 0));
    }
    for (id, before) in ids.into_iter().zip(before) {
        let mut before = before.unwrap();
        let after = server.row(id).await.unwrap();
        before.deliveries[0].status = DeliveryStatus::Read;
        before.deliveries[0].at = after.deliveries[0].at;
        before.fallback = None;
        assert_eq!(after, before);
    }
    assert_eq!(server.pigeon.count(), 100);
}

#[tokio::test]
async fn receipts_of_strangers_and_of_other_providers_are_dropped() {
    let server = Server::new();
    let id = server.start(patient()).await;
    let stranger = VerificationId::from_bytes([9; 16]);
    let failed = |id| vec![receipt(id, 1, DeliveryStatus::Failed)];
    assert_eq!(receive(&server, failed(stranger)).await.turns, []);
    let other = receive_of(&server, "crow", failed(id)).await;
    assert_eq!(other.turns, [], "only its own provider may tell");
    let row = server.row(id).await.unwrap();
    assert_eq!(row.deliveries.len(), 1);
    assert_eq!(row.deliveries[0].status, DeliveryStatus::Accepted);
}

#[tokio::test]
async fn a_receipt_that_brings_only_the_providers_name_finds_its_message() {
    let server = Server::new();
    server.pigeon.name_messages();
    let id = server.start(patient()).await;
    let named = |name: &str| {
        let name = About::Message(name.to_owned());
        vec![about(name, DeliveryStatus::Delivered)]
    };
    assert_eq!(receive(&server, named("pigeon-2")).await.known, 0);
    let of_another = receive_of(&server, "crow", named("pigeon-1")).await;
    assert_eq!(of_another.known, 0);
    assert_eq!(receive(&server, named("pigeon-1")).await.known, 1);
    let row = server.row(id).await.unwrap();
    assert_eq!(row.deliveries[0].status, DeliveryStatus::Delivered);
}

#[tokio::test]
async fn a_code_is_kept_only_where_another_channel_may_have_to_carry_it() {
    let server = Server::new();
    let app = watchword_core::AppId::default();
    let single = server.start(request(generous())).await;
    let overview = server.verifier.get(&app, single).await.unwrap().unwrap();
    assert!(overview.details.code.is_none());
    let several = server.start(patient()).await;
    let overview = server.verifier.get(&app, several).await.unwrap().unwrap();
    assert!(overview.details.code.is_some());
}

#[tokio::test]
async fn a_turn_in_which_no_provider_takes_the_message_leaves_the_code_alive() {
    let server = Server::new();
    let id = server.start(patient()).await;
    let code = server.code(id);
    server.pigeon.answer(Some(Verdict::Unavailable));
    let received = receive(&server, vec![receipt(id, 1, DeliveryStatus::Failed)]).await;
    take(&server, received.turns).await;
    let fell_back = Event::FellBack {
        channel: Channel::Sms,
        taken: false,
    };
    assert!(server.diary.take().contains(&fell_back));
    assert!(server.check(id, code).await.is_ok());
}

#[tokio::test]
async fn a_resend_sends_a_fresh_code_over_every_channel_again() {
    let server = Server::new();
    let id = server.start(patient()).await;
    let old = server.code(id);
    server.resend(id).await.unwrap();
    let fresh = server.code(id);
    assert_ne!(old.expose(), fresh.expose());
    let late = receive(&server, vec![receipt(id, 1, DeliveryStatus::Failed)]).await;
    assert_eq!(late.turns, [], "it was of the old code");
    let received = receive(&server, vec![receipt(id, 2, DeliveryStatus::Failed)]).await;
    take(&server, received.turns).await;
    assert_eq!(server.code(id).expose(), fresh.expose());
    assert_eq!(server.pigeon.channels()[2][0], Channel::Sms);
}
