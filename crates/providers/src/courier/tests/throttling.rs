//! Holds and waits, on a clock that only waiting moves.

use watchword_core::routing::LEAST_TURN;

use super::*;

const S: [Channel; 1] = [Channel::Sms];
const BOTH: [Channel; 2] = [Channel::Whatsapp, Channel::Sms];

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A stage whose text messages go through `s1` only.
fn alone() -> Stage {
    let mut stage = Stage::new();
    let mut parts = parts(&stage.puppets);
    parts
        .routes
        .insert(Channel::Sms, Route::new(names(&["s1"])));
    stage.courier = Courier::new(parts).unwrap();
    stage
}

async fn dispatch_to(stage: &Stage, to: &str) -> Dispatch {
    let mut envelope = envelope(&S);
    envelope.to = Recipient::from_canonical(to);
    stage.courier.dispatch(envelope, secs(10)).await
}

/// Between a wait and the latest that many who keep it come back.
fn assert_waited(began: Instant, wait: Duration) {
    let took = began.elapsed();
    assert!(
        took >= wait && took < wait + LEAST_TURN,
        "{took:?} for {wait:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttled_provider_is_left_for_the_next_one_at_once() {
    for channels in [&S[..], &BOTH] {
        let stage = Stage::new();
        for puppet in &stage.puppets[..5] {
            puppet.throttle_once(Some(secs(2)));
        }
        let began = Instant::now();
        let dispatch = stage.dispatch(channels).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
        assert_eq!(*stage.asked().last().unwrap(), "s3");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_resort_is_asked_again_after_the_wait_that_it_asks_for() {
    let stage = alone();
    stage.puppet("s1").throttle_once(Some(secs(4)));
    let began = Instant::now();
    let dispatch = stage.dispatch(&S).await;
    assert_waited(began, secs(4));
    assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
    assert_eq!(stage.asked(), ["s1", "s1"]);
    let statuses: Vec<_> = dispatch.deliveries.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [DeliveryStatus::Failed, DeliveryStatus::Accepted]);
    let log = stage.log.lock();
    assert_ne!(log[0].id, log[1].id);
    assert_eq!(log[0].code, log[1].code);
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_of_its_own_the_last_resort_is_asked_again_ever_more_slowly() {
    let stage = alone();
    stage
        .puppet("s1")
        .answer(Class::Throttled { retry_after: None });
    let began = Instant::now();
    let dispatch = stage.dispatch(&S).await;
    assert_eq!(dispatch.verdict, Verdict::Unavailable);
    // After at most 1, 2 and 4 s; the next wait may be too long.
    let asked = stage.asked().len();
    assert!((4..=5).contains(&asked), "{asked}");
    assert!(began.elapsed() <= secs(10) - LEAST_TURN / 2);
    assert_eq!(dispatch.deliveries.len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_ends_the_dispatch_at_once() {
    for wait in [10, 3600] {
        let stage = alone();
        stage.puppet("s1").throttle_once(Some(secs(wait)));
        let began = Instant::now();
        let dispatch = stage.dispatch(&S).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(dispatch.verdict, Verdict::Unavailable);
        // So does the next one, without asking.
        let dispatch = stage.dispatch(&S).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(dispatch.verdict, Verdict::Unavailable);
        assert!(dispatch.deliveries.is_empty());
        assert_eq!(stage.asked(), ["s1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_past_the_life_of_the_code() {
    let stage = alone();
    stage.puppet("s1").throttle_once(Some(secs(4)));
    let mut envelope = envelope(&S);
    envelope.expires_at = SetClock::default().now().plus(secs(3));
    let began = Instant::now();
    let dispatch = stage.courier.dispatch(envelope, secs(10)).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(dispatch.verdict, Verdict::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn others_leave_a_held_provider_out_until_its_wait_is_over() {
    let stage = Stage::new();
    stage.puppet("s1").throttle_once(Some(secs(30)));
    stage.dispatch(&S).await;
    stage.log.lock().clear();
    stage.dispatch(&S).await;
    tokio::time::advance(secs(29)).await;
    stage.dispatch(&S).await;
    assert_eq!(stage.asked(), ["s2", "s2"]);
    tokio::time::advance(secs(1)).await;
    stage.dispatch(&S).await;
    assert_eq!(stage.asked(), ["s2", "s2", "s1"]);
}

#[tokio::test(start_paused = true)]
async fn others_wait_for_a_held_provider_when_nobody_else_takes_the_message() {
    let stage = Stage::new();
    stage.puppet("s1").throttle_once(Some(secs(5)));
    stage.dispatch(&S).await;
    stage.puppet("s2").answer(Class::Unavailable);
    stage.puppet("s3").answer(Class::Rejected);
    stage.log.lock().clear();
    let began = Instant::now();
    let dispatch = stage.dispatch(&S).await;
    assert_waited(began, secs(5));
    assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
    assert_eq!(stage.asked(), ["s2", "s3", "s1"]);
}

#[tokio::test(start_paused = true)]
async fn many_who_wait_for_one_provider_come_back_apart() {
    let stage = alone();
    stage.puppet("s1").throttle_once(Some(secs(4)));
    let began = Instant::now();
    let back = || async {
        let dispatch = stage.dispatch(&S).await;
        assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
        began.elapsed()
    };
    let (first, second, third, fourth) = tokio::join!(back(), back(), back(), back());
    let times = [first, second, third, fourth];
    let apart: std::collections::BTreeSet<_> = times.into_iter().collect();
    assert!(apart.len() > 2, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn throttling_however_often_opens_no_breaker() {
    let stage = Stage::new();
    let throttled = Class::Throttled { retry_after: None };
    stage.puppet("s1").answer(throttled);
    for _ in 0..50 {
        stage.dispatch(&S).await;
        tokio::time::advance(secs(61)).await;
    }
    let health = stage.courier.health();
    let s1 = health.iter().find(|one| one.name == "s1").unwrap();
    assert_eq!(s1.breaker.as_str(), "closed");
    let asked = stage.asked().iter().filter(|name| **name == "s1").count();
    assert_eq!(asked, 50);
}

#[tokio::test(start_paused = true)]
async fn too_many_to_one_recipient_holds_no_other() {
    let (ann, bob) = (NUMBER, "+12015550199");
    let stage = Stage::new();
    let pair = of(Class::Throttled { retry_after: None }).about_recipient();
    stage.puppet("s1").tell(Told::Each(vec![pair]));
    dispatch_to(&stage, ann).await;
    dispatch_to(&stage, ann).await;
    dispatch_to(&stage, bob).await;
    assert_eq!(stage.asked(), ["s1", "s2", "s2", "s1"]);
    let health = stage.courier.health();
    assert!(health.iter().all(|one| one.held_for.is_none()));
    // 4^0 s.
    tokio::time::advance(secs(1)).await;
    dispatch_to(&stage, ann).await;
    assert_eq!(*stage.asked().last().unwrap(), "s1");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_held_again_is_held_four_times_as_long() {
    let stage = alone();
    let pair = || of(Class::Throttled { retry_after: None }).about_recipient();
    stage
        .puppet("s1")
        .tell(Told::Each(vec![pair(), pair(), pair()]));
    let began = Instant::now();
    // 1 s and 4 s fit in ten, 16 s do not.
    let dispatch = stage.dispatch(&S).await;
    assert_waited(began, secs(5));
    assert_eq!(stage.asked().len(), 3);
    assert_eq!(dispatch.verdict, Verdict::Declined, "it was asked");
    let dispatch = stage.dispatch(&S).await;
    assert_eq!(dispatch.verdict, Verdict::Unavailable, "nobody was");
    tokio::time::advance(secs(16)).await;
    let dispatch = stage.dispatch(&S).await;
    assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
}

#[tokio::test(start_paused = true)]
async fn the_text_gives_the_lifetime_that_is_left_after_a_wait() {
    let clock = Arc::new(SetClock::default());
    let stage = Stage::new();
    let mut parts = parts(&stage.puppets);
    parts
        .routes
        .insert(Channel::Sms, Route::new(names(&["s1"])));
    parts.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let courier = Courier::new(parts).unwrap();
    stage.puppet("s1").throttle_once(Some(secs(4)));
    let dispatch = courier.dispatch(envelope(&S), secs(10));
    let passes = async {
        tokio::time::sleep(secs(1)).await;
        clock.advance(secs(90));
    };
    tokio::join!(dispatch, passes);
    let log = stage.log.lock();
    assert_ne!(log[0].text, log[1].text);
}
