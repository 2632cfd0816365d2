//! Breakers, as the courier uses them.

use watchword_core::routing::{Breaker, BreakerState, PATIENCE};

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
async fn a_provider_that_asks_for_a_rest_is_left_alone_that_long_and_its_breaker_too() {
    let stage = Stage::new();
    let retry_after = Some(Duration::from_secs(90));
    stage.puppet("s1").throttle_once(retry_after);
    stage.dispatch(&S).await;
    let held = health(&stage, "s1");
    assert_eq!(held.held_for, retry_after);
    assert_eq!(held.breaker, BreakerState::Closed);
    assert_eq!(held.failure.as_deref(), Some("throttled: told"));
    stage.log.lock().clear();
    tokio::time::advance(Duration::from_secs(89)).await;
    stage.dispatch(&S).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(health(&stage, "s1").held_for, None);
    stage.dispatch(&S).await;
    assert_eq!(stage.asked(), ["s2", "s1"]);
    assert_eq!(health(&stage, "s1").failure, None);
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

#[tokio::test(start_paused = true)]
async fn a_hanging_provider_costs_its_time_until_its_breaker_opens_and_then_none() {
    let stage = Stage::new();
    stage.puppet("s1").tell(Told::Hang);
    for _ in 0..Breaker::IN_A_ROW {
        let began = Instant::now();
        let dispatch = stage.dispatch(&S).await;
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
    }
    stage.log.lock().clear();
    let began = Instant::now();
    stage.dispatch(&S).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(stage.asked(), ["s2"]);
    let failure = health(&stage, "s1").failure;
    assert_eq!(failure.as_deref(), Some("unknown: timeout"));

    // Its probe costs one more.
    tokio::time::advance(Breaker::FIRST_PAUSE).await;
    let began = Instant::now();
    tokio::join!(stage.dispatch(&S), stage.dispatch(&S));
    assert_eq!(began.elapsed(), PATIENCE);
    assert_eq!(stage.asked(), ["s2", "s1", "s2", "s2"]);
    assert_eq!(health(&stage, "s1").breaker, open(10));
}

/// Lines of the log of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata
            .target()
            .starts_with("watchword_providers::courier::lane")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write as _;
        let _ = write!(self.0, " {field}={value:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_of_a_breaker_and_every_hold_is_one_line_in_the_log() {
    let lines = Lines::default();
    // While there is one subscriber only, a call site that another thread reaches first asks that
    // thread's, which is none, and stays silent.
    let _second = tracing::Dispatch::new(Lines::default());
    let _guard = tracing::subscriber::set_default(lines.clone());
    let stage = Stage::new();
    let s1 = stage.puppet("s1");
    s1.answer(Class::Misconfigured);
    for _ in 0..20 {
        stage.dispatch(&S).await;
    }
    tokio::time::advance(Breaker::BROKEN_PAUSE).await;
    s1.throttle_once(Some(Duration::from_secs(7)));
    for _ in 0..20 {
        stage.dispatch(&S).await;
    }
    tokio::time::advance(Duration::from_secs(7)).await;
    for _ in 0..20 {
        stage.dispatch(&S).await;
    }
    let lines = lines.0.lock();
    let expected = [
        "ERROR message=breaker opened: the provider is not asked for a while provider=\"s1\" \
         failure=\"misconfigured: told\" retry_in_ms=30000",
        "WARN message=hold begun: the provider asks for fewer messages provider=\"s1\" \
         failure=\"throttled: told\" hold_ms=7000",
        "INFO message=breaker closed: the provider answers provider=\"s1\"",
    ];
    assert_eq!(*lines, expected);
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
