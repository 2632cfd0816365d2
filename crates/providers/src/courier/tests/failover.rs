//! What happens after each kind of failure at each position.

use super::*;

const W: Channel = Channel::Whatsapp;
const S: Channel = Channel::Sms;

#[derive(Clone, Copy, Debug)]
enum Goes {
    Provider,
    Channel,
}

fn classes() -> Vec<(Outcome, Goes)> {
    vec![
        (of(Class::Rejected), Goes::Provider),
        (of(Class::Throttled { retry_after: None }), Goes::Provider),
        (
            of(Class::Throttled { retry_after: None }).about_recipient(),
            Goes::Provider,
        ),
        (of(Class::Unavailable), Goes::Provider),
        (of(Class::Unavailable).about_recipient(), Goes::Provider),
        (of(Class::Misconfigured), Goes::Provider),
        (of(Class::Expired), Goes::Provider),
        (of(Class::Unknown), Goes::Provider),
        (of(Class::InvalidRecipient), Goes::Channel),
        (of(Class::BlockedRecipient), Goes::Channel),
    ]
}

/// Each class at each of the six places of two routes of three; those before it are down, those
/// behind it are well.
#[tokio::test(start_paused = true)]
async fn every_failure_at_every_place_goes_on_to_the_right_provider() {
    for (outcome, goes) in classes() {
        for place in 0..NAMES.len() {
            let stage = Stage::new();
            for name in &NAMES[..place] {
                stage.puppet(name).answer(Class::Unavailable);
            }
            stage
                .puppet(NAMES[place])
                .tell(Told::Answer(outcome.clone()));
            let next = match goes {
                Goes::Provider => place + 1,
                Goes::Channel if place < 3 => 3,
                Goes::Channel => NAMES.len(),
            };

            let dispatch = stage.dispatch(&[W, S]).await;

            let what = format!("{outcome} at {}", NAMES[place]);
            let mut expected = NAMES[..=place].to_vec();
            expected.extend(NAMES.get(next));
            // The last resort is waited for, and says the same.
            if next == NAMES.len() && matches!(outcome.class(), Class::Throttled { .. }) {
                assert!(stage.asked().len() > expected.len(), "{what}");
                expected.resize(stage.asked().len(), NAMES[place]);
            }
            assert_eq!(stage.asked(), expected, "{what}");

            // The code is one, the deliveries are many, each with an id of its own.
            let log = stage.log.lock();
            assert!(log.iter().all(|given| given.code == CODE), "{what}");
            let ids: std::collections::BTreeSet<_> = log.iter().map(|given| given.id).collect();
            assert_eq!(ids.len(), log.len(), "{what}");
            let rows: Vec<_> = dispatch
                .deliveries
                .iter()
                .map(|row| (row.provider.as_str(), row.channel, row.id.0))
                .collect();
            let given: Vec<_> = log
                .iter()
                .map(|given| (given.provider, given.channel, given.id))
                .collect();
            assert_eq!(rows, given, "{what}");
            let row = &dispatch.deliveries[place];
            assert_eq!(row.status, outcome.status(), "{what}");
            assert_eq!(
                row.error.as_deref(),
                Some(outcome.to_string().as_str()),
                "{what}"
            );

            let verdict = match NAMES.get(next) {
                Some(name) if name.starts_with('w') => Verdict::Taken(W),
                Some(_) => Verdict::Taken(S),
                // The last of the last: only its own answer is left to judge by.
                None if *outcome.class() == Class::Unknown => Verdict::Taken(S),
                None if outcome.is_refusal() => Verdict::Declined,
                None => Verdict::Unavailable,
            };
            assert_eq!(dispatch.verdict, verdict, "{what}");
        }
    }
}

#[tokio::test]
async fn a_recipient_that_every_channel_refuses_is_refused() {
    let stage = Stage::new();
    stage.puppet("w1").answer(Class::InvalidRecipient);
    stage.puppet("s1").answer(Class::Unavailable);
    stage.puppet("s2").answer(Class::BlockedRecipient);
    let dispatch = stage.dispatch(&[W, S]).await;
    assert_eq!(dispatch.verdict, Verdict::Refused);
    assert_eq!(stage.asked(), ["w1", "s1", "s2"]);
}

#[tokio::test]
async fn an_answer_is_lost_twice_at_most_and_once_where_no_copy_is_wanted() {
    for (duplicates, asked) in [(Duplicates::Once, 2), (Duplicates::Never, 1)] {
        let stage = Stage::with(None, duplicates);
        for puppet in &stage.puppets {
            puppet.answer(Class::Unknown);
        }
        let dispatch = stage.dispatch(&[W, S]).await;
        assert_eq!(dispatch.verdict, Verdict::Taken(W));
        assert_eq!(stage.asked().len(), asked);
        let status = dispatch.deliveries.last().unwrap().status;
        assert_eq!(status, DeliveryStatus::Unknown);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_provider_costs_one_timeout() {
    let timeout = Duration::from_secs(2);
    let stage = Stage::with(Some(timeout), Duplicates::Once);
    stage.puppet("w1").tell(Told::Hang);
    let began = Instant::now();
    let dispatch = stage.dispatch(&[W, S]).await;
    assert_eq!(began.elapsed(), timeout);
    assert_eq!(stage.asked(), ["w1", "w2"]);
    assert_eq!(dispatch.verdict, Verdict::Taken(W));
    let row = &dispatch.deliveries[0];
    assert_eq!(row.error.as_deref(), Some("unknown: timeout"));
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_of_its_own_a_provider_gets_three_seconds_while_another_waits() {
    let stage = Stage::new();
    stage.puppet("s1").tell(Told::Hang);
    let began = Instant::now();
    stage.dispatch(&[S]).await;
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    // The last one gets what is left.
    stage.puppet("s2").answer(Class::Unavailable);
    let slow = Told::AnswerAfter(Duration::from_secs(6), Outcome::accepted(None));
    stage.puppet("s3").tell(slow);
    let began = Instant::now();
    let dispatch = stage.dispatch(&[S]).await;
    assert_eq!(began.elapsed(), Duration::from_secs(9));
    assert_eq!(dispatch.verdict, Verdict::Taken(S));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_whatever_the_providers_do() {
    let stage = Stage::with(Some(Duration::from_secs(60)), Duplicates::Once);
    let slow = Told::AnswerAfter(Duration::from_secs(4), of(Class::Unavailable));
    for puppet in &stage.puppets {
        puppet.tell(slow.clone());
    }
    let began = Instant::now();
    let dispatch = stage.dispatch(&[W, S]).await;
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(stage.asked(), ["w1", "w2", "w3"]);
    // The third was cut off; what became of it is not known.
    assert_eq!(dispatch.verdict, Verdict::Taken(W));

    let stage = Stage::new();
    let envelope = envelope(&[W, S]);
    let dispatch = stage.courier.dispatch(envelope, Duration::ZERO).await;
    assert_eq!(dispatch.verdict, Verdict::Unavailable);
    assert!(stage.asked().is_empty());
}
