//! Breakers, as the courier uses them.

use watchword_core::routing::{Breaker, BreakerState};

use super::*;

fn health(stage: &Stage, name: &str) -> ProviderHealth {
    let health = stage.courier.health();
    health.into_iter().find(|one| one.name == name).unwrap()
}

fn open(seconds: u64) -> BreakerState {
    BreakerState::Open {
        retry_in: Duration::from_secs(seconds),
    }
}

const S: [Channel; 1] = [Channel::Sms];

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_five_times_in_a_row_is_left_alone_for_a_while() {
    let stage = Stage::new();
    stage.puppet("s1").answer(Class::Unavailable);
    for _ in 0..Breaker::IN_A_ROW {
        stage.dispatch(&S).await;
    }
    assert_eq!(health(&stage, "s1").breaker, open(5));
    stage.log.lock().clear();
    let dispatch = stage.dispatch(&S).await;
    assert_eq!(stage.asked(), ["s2"]);
    assert_eq!(dispatch.deliveries.len(), 1);

    // It is well again: one probe closes the breaker.
    stage
        .puppet("s1")
        .tell(Told::Answer(Outcome::accepted(None)));
    tokio::time::advance(Breaker::FIRST_PAUSE).await;
    stage.log.lock().clear();
    stage.dispatch(&S).await;
    assert_eq!(stage.asked(), ["s1"]);
    assert_eq!(health(&stage, "s1").breaker, BreakerState::Closed);
    assert_eq!(health(&stage, "s1").failure, None);
}

#[tokio::test(start_paused = true)]
async fn one_probe_goes_out_at_a_time() {
    let stage = Stage::new();
    stage.puppet("s1").answer(Class::Misconfigured);
    stage.dispatch(&S).await;
    assert_eq!(health(&stage, "s1").breaker, open(30));
    assert_eq!(
        health(&stage, "s1").failure.as_deref(),
        Some("misconfigured: told")
    );
    tokio::time::advance(Breaker::BROKEN_PAUSE).await;
    stage.log.lock().clear();
    let slow = Told::AnswerAfter(Duration::from_secs(1), Outcome::accepted(None));
    stage.puppet("s1").tell(slow);
    tokio::join!(stage.dispatch(&S), stage.dispatch(&S), stage.dispatch(&S));
    assert_eq!(stage.asked(), ["s1", "s2", "s2"]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_went_away_does_not_hold_the_breaker() {
    let stage = Stage::new();
    stage.puppet("s1").answer(Class::Misconfigured);
    stage.dispatch(&S).await;
    tokio::time::advance(Breaker::BROKEN_PAUSE).await;
    stage.puppet("s1").tell(Told::Hang);
    let short = Duration::from_millis(10);
    let gone = tokio::time::timeout(short, stage.dispatch(&S)).await;
    assert!(gone.is_err());
    stage
        .puppet("s1")
        .tell(Told::Answer(Outcome::accepted(None)));
    stage.log.lock().clear();
    stage.dispatch(&S).await;
    assert_eq!(stage.asked(), ["s1"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_a_rest_is_left_alone_that_long() {
    let stage = Stage::new();
    let retry_after = Some(Duration::from_secs(90));
    stage.puppet("s1").answer(Class::Throttled { retry_after });
    stage.dispatch(&S).await;
    assert_eq!(health(&stage, "s1").breaker, open(90));
}

#[tokio::test(start_paused = true)]
async fn refused_recipients_and_full_mailboxes_never_take_a_provider_away() {
    for outcome in [
        of(Class::InvalidRecipient),
        of(Class::BlockedRecipient),
        of(Class::Rejected),
        of(Class::Unavailable).about_recipient(),
        of(Class::Throttled { retry_after: None }).about_recipient(),
    ] {
        let stage = Stage::new();
        stage.puppet("s1").tell(Told::Answer(outcome.clone()));
        for _ in 0..50 {
            stage.dispatch(&S).await;
        }
        assert_eq!(
            health(&stage, "s1").breaker,
            BreakerState::Closed,
            "{outcome}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn when_every_breaker_is_open_nobody_is_asked_and_slots_come_back() {
    let stage = Stage::new();
    for puppet in &stage.puppets {
        puppet.answer(Class::Misconfigured);
    }
    let both = [Channel::Whatsapp, Channel::Sms];
    assert_eq!(stage.dispatch(&both).await.verdict, Verdict::Unavailable);
    stage.log.lock().clear();
    let dispatch = stage.dispatch(&both).await;
    assert_eq!(dispatch.verdict, Verdict::Unavailable);
    assert!(dispatch.deliveries.is_empty() && stage.asked().is_empty());
}

#[tokio::test]
async fn health_lists_providers_in_the_order_of_the_configuration() {
    let stage = Stage::new();
    let listed: Vec<_> = stage
        .courier
        .health()
        .into_iter()
        .map(|one| (one.name, one.kind, one.channels))
        .collect();
    let expected: Vec<_> = NAMES
        .iter()
        .map(|name| {
            let channel = if name.starts_with('w') {
                Channel::Whatsapp
            } else {
                Channel::Sms
            };
            ((*name).to_owned(), "puppet", vec![channel])
        })
        .collect();
    assert_eq!(listed, expected);
}
