use proptest::prelude::*;

use super::*;

const T0: Duration = Duration::from_secs(1_000);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Asks once and records; whether leave was given.
fn ask(breaker: &mut Breaker, signal: Signal, now: Duration) -> bool {
    match breaker.permit(now) {
        Some(permit) => {
            breaker.record(permit, signal, now);
            true
        }
        None => false,
    }
}

fn opened(now: Duration) -> Breaker {
    let mut breaker = Breaker::new();
    for _ in 0..Breaker::IN_A_ROW {
        assert!(ask(&mut breaker, Signal::Failed, now));
    }
    breaker
}

#[test]
fn five_failures_in_a_row_open_it_and_an_answer_between_starts_over() {
    let mut breaker = Breaker::new();
    for signal in [Signal::Failed; 4] {
        ask(&mut breaker, signal, T0);
    }
    ask(&mut breaker, Signal::Answered, T0);
    for signal in [Signal::Failed; 4] {
        ask(&mut breaker, signal, T0);
    }
    assert_eq!(breaker.state(T0), BreakerState::Closed);
    ask(&mut breaker, Signal::Failed, T0);
    assert_eq!(
        breaker.state(T0),
        BreakerState::Open {
            retry_in: Breaker::FIRST_PAUSE
        }
    );
    assert!(breaker.permit(T0 + s(4)).is_none());
}

#[test]
fn half_of_twenty_failures_within_thirty_seconds_open_it() {
    let mut breaker = Breaker::new();
    let turns = |breaker: &mut Breaker, turns: u64, from: Duration, step: u64| {
        for turn in 0..turns {
            let signal = if turn % 2 == 0 {
                Signal::Answered
            } else {
                Signal::Failed
            };
            assert!(ask(breaker, signal, from + s(turn * step)));
        }
    };
    turns(&mut breaker, 19, T0, 1);
    assert_eq!(breaker.state(T0 + s(19)), BreakerState::Closed);
    ask(&mut breaker, Signal::Failed, T0 + s(19));
    assert!(matches!(
        breaker.state(T0 + s(19)),
        BreakerState::Open { .. }
    ));

    // The same share spread over a longer span does not.
    let mut breaker = Breaker::new();
    turns(&mut breaker, 60, T0, 2);
    assert_eq!(breaker.state(T0 + s(120)), BreakerState::Closed);
}

#[test]
fn what_an_operator_has_to_mend_opens_it_at_once() {
    let mut breaker = Breaker::new();
    ask(&mut breaker, Signal::Broken, T0);
    assert_eq!(
        breaker.state(T0),
        BreakerState::Open {
            retry_in: Breaker::BROKEN_PAUSE
        }
    );
}

#[test]
fn a_provider_that_is_asked_too_often_is_neither_failing_nor_well() {
    let mut breaker = Breaker::new();
    for _ in 0..100 {
        assert!(ask(&mut breaker, Signal::Paced, T0));
    }
    assert_eq!(breaker.state(T0), BreakerState::Closed);
    // It does not make good what failed before.
    for signal in [Signal::Failed; 4] {
        ask(&mut breaker, signal, T0);
    }
    ask(&mut breaker, Signal::Paced, T0);
    ask(&mut breaker, Signal::Failed, T0);
    assert!(matches!(breaker.state(T0), BreakerState::Open { .. }));

    // A probe that is answered so neither closes the breaker nor doubles its pause.
    let now = T0 + Breaker::FIRST_PAUSE;
    assert!(ask(&mut breaker, Signal::Paced, now));
    let at_once = BreakerState::Open {
        retry_in: Duration::ZERO,
    };
    assert_eq!(breaker.state(now), at_once);
    assert!(ask(&mut breaker, Signal::Failed, now));
    assert_eq!(
        breaker.state(now),
        BreakerState::Open {
            retry_in: Breaker::FIRST_PAUSE * 2
        }
    );
}

#[test]
fn one_probe_goes_out_at_a_time_and_an_answer_closes_it() {
    let mut breaker = opened(T0);
    let now = T0 + Breaker::FIRST_PAUSE;
    let probe = breaker.permit(now).unwrap();
    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
    assert!(breaker.permit(now).is_none());
    breaker.record(probe, Signal::Answered, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    assert!(breaker.permit(now).is_some() && breaker.permit(now).is_some());
}

#[test]
fn the_pause_doubles_with_every_probe_that_fails_up_to_five_minutes() {
    let mut breaker = opened(T0);
    let mut now = T0;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let BreakerState::Open { retry_in } = breaker.state(now) else {
            panic!("closed");
        };
        pauses.push(retry_in.as_secs());
        now += retry_in;
        assert!(ask(&mut breaker, Signal::Failed, now));
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn an_outcome_from_before_it_opened_changes_nothing() {
    let mut breaker = Breaker::new();
    let slow = breaker.permit(T0).unwrap();
    for _ in 0..Breaker::IN_A_ROW {
        ask(&mut breaker, Signal::Failed, T0);
    }
    breaker.record(slow, Signal::Answered, T0 + s(1));
    assert!(matches!(breaker.state(T0), BreakerState::Open { .. }));
    // Nor while a probe is out.
    let probe = breaker.permit(T0 + s(5)).unwrap();
    breaker.record(slow, Signal::Answered, T0 + s(5));
    assert_eq!(breaker.state(T0 + s(5)), BreakerState::HalfOpen);
    breaker.record(probe, Signal::Failed, T0 + s(6));
    assert!(matches!(
        breaker.state(T0 + s(6)),
        BreakerState::Open { .. }
    ));
}

#[test]
fn a_probe_that_is_given_up_or_lost_lets_the_next_one_out() {
    let mut breaker = opened(T0);
    let now = T0 + s(5);
    let probe = breaker.permit(now).unwrap();
    breaker.record(probe, Signal::Abandoned, now);
    let lost = breaker.permit(now).unwrap();
    assert!(breaker.permit(now + s(119)).is_none());
    let late = now + Breaker::LOST_PROBE;
    let probe = breaker.permit(late).unwrap();
    breaker.record(lost, Signal::Answered, late);
    assert_eq!(breaker.state(late), BreakerState::HalfOpen);
    breaker.record(probe, Signal::Answered, late);
    assert_eq!(breaker.state(late), BreakerState::Closed);
}

proptest! {
    /// Over any history: while it is open nobody asks, at most one asks until a probe is answered,
    /// and a provider that answers again is asked again within the longest pause.
    #[test]
    fn any_history_leaves_a_breaker_that_recovers(
        history in prop::collection::vec((0..6_u8, 0..20_000_u64), 0..200),
    ) {
        let mut breaker = Breaker::new();
        let mut now = T0;
        let mut out: Vec<Permit> = Vec::new();
        for (what, wait) in history {
            now += Duration::from_millis(wait);
            let before = breaker.state(now);
            if what == 0 {
                match (before, breaker.permit(now)) {
                    (BreakerState::Closed, None) => prop_assert!(false, "closed and refused"),
                    (BreakerState::Open { retry_in }, Some(_)) => {
                        prop_assert!(retry_in.is_zero());
                        prop_assert_eq!(breaker.permit(now), None);
                    }
                    (_, Some(permit)) => out.push(permit),
                    (_, None) => {}
                }
                continue;
            }
            let signal = [
                Signal::Answered,
                Signal::Failed,
                Signal::Broken,
                Signal::Paced,
                Signal::Abandoned,
            ][usize::from(what - 1)];
            if let Some(permit) = out.pop() {
                breaker.record(permit, signal, now);
            } else {
                ask(&mut breaker, signal, now);
            }
            if let BreakerState::Open { retry_in } = breaker.state(now) {
                prop_assert!(retry_in <= Breaker::LONGEST_PAUSE);
            }
        }
        now += Breaker::LONGEST_PAUSE.max(Breaker::LOST_PROBE);
        prop_assert!(ask(&mut breaker, Signal::Answered, now));
        prop_assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    /// The window never opens the breaker on less than twenty hand-overs.
    #[test]
    fn fewer_than_twenty_hand_overs_open_nothing_unless_five_fail_in_a_row(
        signals in prop::collection::vec(any::<bool>(), 0..20),
    ) {
        let mut breaker = Breaker::new();
        let mut row = 0;
        for failed in signals {
            row = if failed { row + 1 } else { 0 };
            prop_assume!(row < 5);
            let signal = if failed { Signal::Failed } else { Signal::Answered };
            prop_assert!(ask(&mut breaker, signal, T0));
        }
        prop_assert!(breaker.permit(T0).is_some() || row >= 5);
    }
}
