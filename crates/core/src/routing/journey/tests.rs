mod matrix;

use proptest::prelude::*;

use super::*;
use crate::routing::Detail;

const SMS: Channel = Channel::Sms;
const WHATSAPP: Channel = Channel::Whatsapp;

fn of(class: Class) -> Outcome {
    Outcome::new(class).with(Detail::Word("test"))
}

fn throttled() -> Outcome {
    of(Class::Throttled { retry_after: None })
}

fn all() -> Vec<Outcome> {
    vec![
        Outcome::accepted(None),
        of(Class::InvalidRecipient),
        of(Class::BlockedRecipient),
        of(Class::Rejected),
        throttled(),
        throttled().about_recipient(),
        of(Class::Unavailable),
        of(Class::Unavailable).about_recipient(),
        of(Class::Misconfigured),
        of(Class::Expired),
        of(Class::Unknown),
    ]
}

/// The first provider of the first channel.
const FIRST: Place = Place {
    stage: 0,
    position: 0,
};

#[test]
fn a_second_lost_answer_ends_the_dispatch() {
    let mut journey = Journey::new(Duplicates::Once, [(SMS, 3)]);
    for position in 0..2 {
        let place = Place { stage: 0, position };
        let step = journey.step(PATIENCE, |_| Readiness::Ready);
        assert!(matches!(step, Step::Ask { place: asked, .. } if asked == place));
        journey.after(place, &of(Class::Unknown));
    }
    assert_eq!(journey.step(PATIENCE, |_| Readiness::Ready), Step::Stop);
    assert_eq!(journey.verdict(), Verdict::Taken(SMS));
}

/// Takes note of what happened, one provider each.
fn verdict(way: &[(Channel, Option<Outcome>)]) -> Verdict {
    let mut stages: Vec<(Channel, usize)> = Vec::new();
    let mut places = Vec::new();
    for (channel, _) in way {
        let known = stages.iter().position(|(known, _)| known == channel);
        let stage = known.unwrap_or_else(|| {
            stages.push((*channel, 0));
            stages.len() - 1
        });
        let position = stages[stage].1;
        places.push(Place { stage, position });
        stages[stage].1 += 1;
    }
    let mut journey = Journey::new(Duplicates::Once, stages);
    for (place, (_, outcome)) in places.into_iter().zip(way) {
        match outcome {
            Some(outcome) => journey.after(place, outcome),
            None => journey.passed_over(place),
        }
    }
    journey.verdict()
}

#[test]
fn slots_come_back_only_when_no_provider_was_reached() {
    assert_eq!(verdict(&[]), Verdict::Unavailable);
    assert_eq!(verdict(&[(SMS, None)]), Verdict::Unavailable);
    for outcome in [
        throttled(),
        of(Class::Unavailable),
        of(Class::Misconfigured),
    ] {
        assert_eq!(
            verdict(&[(SMS, Some(outcome.clone())), (WHATSAPP, None)]),
            Verdict::Unavailable,
            "{outcome}"
        );
    }
    for outcome in [
        of(Class::Rejected),
        of(Class::Expired),
        throttled().about_recipient(),
        of(Class::Unavailable).about_recipient(),
    ] {
        assert_eq!(
            verdict(&[(SMS, Some(outcome.clone())), (SMS, Some(throttled()))]),
            Verdict::Declined,
            "{outcome}"
        );
    }
}

#[test]
fn a_recipient_is_refused_when_every_channel_refuses_it() {
    let invalid = || Some(of(Class::InvalidRecipient));
    let blocked = || Some(of(Class::BlockedRecipient));
    let down = || Some(of(Class::Unavailable));
    assert_eq!(verdict(&[(SMS, invalid())]), Verdict::Refused);
    assert_eq!(
        verdict(&[(WHATSAPP, blocked()), (SMS, invalid())]),
        Verdict::Refused
    );
    // The one that answered spoke for the channel.
    assert_eq!(
        verdict(&[(SMS, down()), (SMS, None), (SMS, invalid())]),
        Verdict::Refused
    );
    // The other channel may reach it later, and yet somebody was asked.
    assert_eq!(
        verdict(&[(WHATSAPP, invalid()), (SMS, down())]),
        Verdict::Declined
    );
    assert_eq!(
        verdict(&[(WHATSAPP, invalid()), (SMS, None)]),
        Verdict::Declined
    );
}

#[test]
fn a_message_that_may_have_arrived_is_taken() {
    let lost = || Some(of(Class::Unknown));
    assert_eq!(
        verdict(&[(SMS, lost()), (SMS, Some(of(Class::Rejected)))]),
        Verdict::Taken(SMS)
    );
    assert_eq!(
        verdict(&[(WHATSAPP, lost()), (SMS, Some(Outcome::accepted(None)))]),
        Verdict::Taken(SMS)
    );
    assert_eq!(
        verdict(&[(WHATSAPP, lost()), (SMS, Some(of(Class::InvalidRecipient)))]),
        Verdict::Taken(WHATSAPP)
    );
}

#[test]
fn a_provider_gets_its_own_timeout_or_what_is_left() {
    let s = Duration::from_secs;
    assert_eq!(allowance(Some(s(8)), s(10), true), s(8));
    assert_eq!(allowance(Some(s(8)), s(2), false), s(2));
    assert_eq!(allowance(None, s(10), true), PATIENCE);
    assert_eq!(allowance(None, s(10), false), s(10));
    assert_eq!(allowance(None, s(1), true), s(1));
}

proptest! {
    /// Whatever the order: `Taken` if and only if somebody took it or may have, slots back only
    /// if nobody refused anything, `Refused` only if nothing but the recipient was in the way.
    #[test]
    fn the_verdict_follows_from_what_happened(
        way in prop::collection::vec(
            (prop::sample::select(vec![WHATSAPP, SMS, Channel::Voice]), 0..12_usize),
            0..9,
        ),
    ) {
        let all = all();
        let way: Vec<_> = way
            .into_iter()
            .map(|(channel, n)| (channel, all.get(n).cloned()))
            .collect();
        let tried = || way.iter().filter_map(|(channel, outcome)| Some((channel, outcome.as_ref()?)));
        let taken = tried().any(|(_, o)| matches!(o.class(), Class::Accepted { .. } | Class::Unknown));
        let refusal = tried().any(|(_, o)| o.is_refusal());
        let every_channel = way.iter().all(|(channel, _)| {
            tried().any(|(other, o)| other == channel && o.class().refuses_recipient())
        });
        match verdict(&way) {
            Verdict::Taken(_) => prop_assert!(taken),
            Verdict::Unavailable => prop_assert!(!taken && !refusal),
            Verdict::Refused => prop_assert!(!taken && refusal && every_channel),
            Verdict::Declined => prop_assert!(!taken && refusal && !every_channel),
        }
    }
}
