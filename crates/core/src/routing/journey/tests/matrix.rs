//! What comes after each outcome, whoever else waits; and what is waited for.

use std::collections::BTreeMap;

use super::*;

const TEN: Duration = Duration::from_secs(10);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Providers that answer as they are told, on a clock that only waits and answers move.
struct World {
    now: Duration,
    told: BTreeMap<Place, Outcome>,
    /// How long a "too fast" holds.
    hold: Duration,
    held: BTreeMap<Place, Duration>,
    closed: Vec<Place>,
    asked: Vec<Place>,
    waited: Vec<Duration>,
    passed: Vec<(Place, PassedOver)>,
}

impl World {
    /// Everybody else is down.
    fn new(told: impl IntoIterator<Item = (Place, Outcome)>) -> Self {
        Self {
            now: Duration::ZERO,
            told: told.into_iter().collect(),
            hold: s(4),
            held: BTreeMap::new(),
            closed: Vec::new(),
            asked: Vec::new(),
            waited: Vec::new(),
            passed: Vec::new(),
        }
    }

    fn walk(&mut self, duplicates: Duplicates, way: &[(Channel, usize)]) -> Verdict {
        let mut journey = Journey::new(duplicates, way.iter().copied());
        loop {
            let left = TEN.saturating_sub(self.now);
            let step = journey.step(left, |place| {
                let held = self.held.get(&place).copied().unwrap_or_default();
                if self.closed.contains(&place) {
                    Readiness::Closed
                } else if held > self.now {
                    Readiness::Held(held - self.now)
                } else {
                    Readiness::Ready
                }
            });
            match step {
                Step::Ask { place, .. } => {
                    self.asked.push(place);
                    let outcome = match self.told.get(&place) {
                        Some(outcome) => outcome.clone(),
                        None => of(Class::Unavailable),
                    };
                    if let Class::Throttled { retry_after } = outcome.class() {
                        let hold = retry_after.unwrap_or(self.hold);
                        self.held.insert(place, self.now + hold);
                    }
                    journey.after(place, &outcome);
                }
                Step::PassOver { place, why } => self.passed.push((place, why)),
                Step::Wait(wait) => {
                    self.waited.push(wait);
                    self.now += wait;
                }
                Step::Stop => return journey.verdict(),
            }
        }
    }
}

const fn at(stage: usize, position: usize) -> Place {
    Place { stage, position }
}

/// What follows an outcome of the first provider.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Nothing more.
    End,
    /// The same one, after a wait.
    Again,
    /// The next provider of the channel.
    Provider,
    /// The first provider of the next channel.
    Channel,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum InVain {
    Taken,
    Unavailable,
    Refused,
    Declined,
}

/// One row: what follows where nobody else waits, another provider, another channel, both; and the
/// verdict of each if everybody who is asked then is down.
type Row = (Outcome, [Then; 4], [InVain; 4]);

fn rows() -> Vec<Row> {
    use InVain::{Declined, Refused, Taken, Unavailable};
    use Then::{Again, Channel, End, Provider};
    let on = [End, Provider, Channel, Provider];
    let paced = [Again, Provider, Channel, Provider];
    let elsewhere = [End, End, Channel, Channel];
    let gone = [Refused, Refused, Declined, Declined];
    vec![
        (Outcome::accepted(None), [End; 4], [Taken; 4]),
        (of(Class::InvalidRecipient), elsewhere, gone),
        (of(Class::BlockedRecipient), elsewhere, gone),
        (of(Class::Rejected), on, [Declined; 4]),
        (throttled(), paced, [Unavailable; 4]),
        (throttled().about_recipient(), paced, [Declined; 4]),
        (of(Class::Unavailable), on, [Unavailable; 4]),
        (of(Class::Unavailable).about_recipient(), on, [Declined; 4]),
        (of(Class::Misconfigured), on, [Unavailable; 4]),
        (of(Class::Expired), on, [Declined; 4]),
        (of(Class::Unknown), on, [Taken; 4]),
    ]
}

const WAYS: [&[(Channel, usize)]; 4] = [
    &[(WHATSAPP, 1)],
    &[(WHATSAPP, 2)],
    &[(WHATSAPP, 1), (SMS, 1)],
    &[(WHATSAPP, 2), (SMS, 1)],
];

#[test]
fn every_outcome_leads_to_whoever_waits_and_to_its_verdict() {
    for (outcome, then, in_vain) in rows() {
        for ((way, then), in_vain) in WAYS.into_iter().zip(then).zip(in_vain) {
            let what = format!("{outcome}, {way:?}");
            let mut world = World::new([(FIRST, outcome.clone())]);
            let verdict = world.walk(Duplicates::Once, way);
            let next = match then {
                Then::End => None,
                Then::Again => Some(at(0, 0)),
                Then::Provider => Some(at(0, 1)),
                Then::Channel => Some(at(1, 0)),
            };
            assert_eq!(world.asked.get(1).copied(), next, "{what}");
            let waits = matches!(outcome.class(), Class::Throttled { .. });
            assert_eq!(!world.waited.is_empty(), waits, "{what}");
            let expected = match in_vain {
                InVain::Taken => Verdict::Taken(WHATSAPP),
                InVain::Unavailable => Verdict::Unavailable,
                InVain::Refused => Verdict::Refused,
                InVain::Declined => Verdict::Declined,
            };
            assert_eq!(verdict, expected, "{what}");

            // Whoever comes next may take it.
            if let Some(next) = next.filter(|next| *next != FIRST) {
                let taken = Outcome::accepted(None);
                let mut world = World::new([(FIRST, outcome.clone()), (next, taken)]);
                let verdict = world.walk(Duplicates::Once, way);
                assert_eq!(verdict, Verdict::Taken(way[next.stage].0), "{what}");
                assert_eq!(world.asked, [FIRST, next], "{what}");
                assert!(world.waited.is_empty(), "{what}");
            }

            // Without second copies only a lost answer differs.
            let mut once = World::new([(FIRST, outcome.clone())]);
            once.walk(Duplicates::Never, way);
            if *outcome.class() == Class::Unknown {
                assert_eq!(once.asked, [FIRST], "{what}");
            } else {
                assert_eq!(once.asked, world.asked, "{what}");
            }
        }
    }
}

#[test]
fn a_throttled_provider_is_asked_again_as_long_as_the_wait_and_a_turn_fit() {
    // Waits of 4 s: at 0, 4 and 8; another would end past the tenth second.
    let mut world = World::new([(FIRST, throttled())]);
    assert_eq!(
        world.walk(Duplicates::Once, &[(SMS, 1)]),
        Verdict::Unavailable
    );
    assert_eq!(world.asked, [FIRST; 3]);
    assert_eq!(world.waited, [s(4); 2]);
    for (wait, asked) in [(9_000, 2), (9_001, 1), (60_000, 1)] {
        let retry_after = Some(Duration::from_millis(wait));
        let mut world = World::new([(FIRST, of(Class::Throttled { retry_after }))]);
        let verdict = world.walk(Duplicates::Once, &[(SMS, 1)]);
        assert_eq!(verdict, Verdict::Unavailable);
        assert_eq!(world.asked.len(), asked, "{wait}");
    }
}

#[test]
fn the_shortest_wait_is_waited_first() {
    let wait = |seconds| {
        let retry_after = Some(s(seconds));
        of(Class::Throttled { retry_after })
    };
    let mut world = World::new([
        (at(0, 0), wait(5)),
        (at(0, 1), wait(3)),
        (at(1, 0), wait(4)),
    ]);
    world.walk(Duplicates::Once, &[(WHATSAPP, 2), (SMS, 1)]);
    let [w1, w2, s1] = [at(0, 0), at(0, 1), at(1, 0)];
    // At 0, 0, 0, 3, 4, 5, 6, 8, and 9.
    assert_eq!(world.asked, [w1, w2, s1, w2, s1, w1, w2, s1, w2]);
    assert_eq!(world.now, s(9));
}

#[test]
fn a_held_provider_is_left_out_while_somebody_else_can_be_asked() {
    let taken = || Outcome::accepted(None);
    let way = [(WHATSAPP, 1), (SMS, 1)];
    let mut world = World::new([(at(0, 0), taken()), (at(1, 0), taken())]);
    world.held.insert(FIRST, s(2));
    assert_eq!(world.walk(Duplicates::Once, &way), Verdict::Taken(SMS));
    assert_eq!(world.asked, [at(1, 0)]);
    assert_eq!(world.passed, [(FIRST, PassedOver::Hold)]);
    assert!(world.waited.is_empty());

    // Nobody else took it: the wait is worth it.
    let mut world = World::new([(at(0, 0), taken()), (at(1, 0), of(Class::InvalidRecipient))]);
    world.held.insert(FIRST, s(2));
    assert_eq!(world.walk(Duplicates::Once, &way), Verdict::Taken(WHATSAPP));
    assert_eq!(world.asked, [at(1, 0), FIRST]);
    assert_eq!(world.waited, [s(2)]);
}

#[test]
fn nobody_is_waited_for_in_vain() {
    // A channel that refused the recipient, an open breaker, a message that may have arrived.
    let mut world = World::new([(at(0, 1), of(Class::InvalidRecipient))]);
    world.held.insert(FIRST, s(2));
    assert_eq!(world.walk(Duplicates::Once, &[(SMS, 2)]), Verdict::Refused);
    assert_eq!((world.asked.len(), world.waited.len()), (1, 0));

    let mut world = World::new([(FIRST, throttled())]);
    world.closed.push(at(0, 1));
    world.hold = s(60);
    world.walk(Duplicates::Once, &[(SMS, 2)]);
    assert_eq!((world.asked.len(), world.waited.len()), (1, 0));
    assert_eq!(world.passed, [(at(0, 1), PassedOver::Breaker)]);

    let mut world = World::new([(at(0, 1), of(Class::Unknown))]);
    world.held.insert(FIRST, s(2));
    let verdict = world.walk(Duplicates::Once, &[(SMS, 2)]);
    assert_eq!(verdict, Verdict::Taken(SMS));
    assert_eq!((world.asked.len(), world.waited.len()), (1, 0));
}

#[test]
fn a_breaker_that_opens_during_a_wait_ends_it() {
    let mut journey = Journey::new(Duplicates::Once, [(SMS, 1)]);
    journey.after(FIRST, &throttled());
    assert_eq!(
        journey.step(TEN, |_| Readiness::Held(s(2))),
        Step::Wait(s(2))
    );
    assert_eq!(journey.step(TEN, |_| Readiness::Closed), Step::Stop);
    let ask = Step::Ask {
        place: FIRST,
        another_waits: false,
    };
    assert_eq!(journey.step(TEN, |_| Readiness::Ready), ask);
    journey.passed_over(FIRST);
    assert_eq!(journey.step(TEN, |_| Readiness::Ready), Step::Stop);
}

#[test]
fn one_dispatch_asks_a_provider_six_times_at_most() {
    let mut world = World::new([(FIRST, throttled())]);
    world.hold = Duration::from_millis(1);
    world.walk(Duplicates::Once, &[(SMS, 1)]);
    assert_eq!(world.asked.len(), 6);
}

#[test]
fn without_time_nobody_is_asked() {
    let mut world = World::new([]);
    world.now = TEN;
    let verdict = world.walk(Duplicates::Once, &[(WHATSAPP, 1), (SMS, 1)]);
    assert_eq!(verdict, Verdict::Unavailable);
    assert!(world.asked.is_empty());
    assert_eq!(
        world.passed,
        [at(0, 0), at(1, 0)].map(|place| (place, PassedOver::Deadline))
    );
}

#[test]
fn another_one_waits_only_if_it_could_be_asked_in_time() {
    for (other, waits) in [
        (Readiness::Ready, true),
        (Readiness::Held(PATIENCE), true),
        (Readiness::Held(PATIENCE + s(1)), false),
        (Readiness::Closed, false),
    ] {
        let mut journey = Journey::new(Duplicates::Once, [(WHATSAPP, 1), (SMS, 1)]);
        let step = journey.step(TEN, |place| match place {
            FIRST => Readiness::Ready,
            _ => other,
        });
        let ask = Step::Ask {
            place: FIRST,
            another_waits: waits,
        };
        assert_eq!(step, ask, "{other:?}");
    }
}

#[test]
fn those_who_wait_for_one_provider_do_not_come_back_at_once() {
    for wait in [s(1), s(4), s(60)] {
        let latest = spread(wait, u32::MAX);
        assert_eq!(spread(wait, 0), wait);
        assert!(latest > wait && latest <= wait + LEAST_TURN / 2);
    }
}

proptest! {
    /// Whatever providers do: a walk ends, within its time, with no provider asked while it is
    /// held or too often, and never after somebody took the message.
    #[test]
    fn every_walk_ends_in_time(
        told in prop::collection::btree_map((0..3_usize, 0..3_usize), 0..11_usize, 0..9),
        held in prop::collection::btree_map((0..3_usize, 0..3_usize), 0..12_000_u64, 0..9),
        closed in prop::collection::vec((0..3_usize, 0..3_usize), 0..3),
        hold in 1..6_000_u64,
    ) {
        let outcomes = all();
        let mut world = World::new(
            told.into_iter().map(|((i, j), n)| (at(i, j), outcomes[n].clone())),
        );
        world.hold = Duration::from_millis(hold);
        world.held = held
            .into_iter()
            .map(|((i, j), wait)| (at(i, j), Duration::from_millis(wait)))
            .collect();
        world.closed = closed.into_iter().map(|(i, j)| at(i, j)).collect();
        world.walk(Duplicates::Once, &[(WHATSAPP, 3), (SMS, 3), (Channel::Voice, 3)]);
        prop_assert!(world.now <= TEN - LEAST_TURN);
        for place in &world.asked {
            let times = world.asked.iter().filter(|other| *other == place).count();
            prop_assert!(times <= Journey::MOST_TURNS as usize);
            prop_assert!(!world.closed.contains(place));
        }
        let taken = world.asked.iter().position(|place| {
            let told = world.told.get(place);
            told.is_some_and(|outcome| matches!(outcome.class(), Class::Accepted { .. }))
        });
        prop_assert!(taken.is_none_or(|taken| taken + 1 == world.asked.len()));
    }
}
