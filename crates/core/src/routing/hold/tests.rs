use proptest::prelude::*;

use super::*;

const T0: Duration = Duration::from_secs(1_000);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_wait_that_nobody_named_doubles_up_to_a_minute_and_half_of_it_is_chance() {
    let whole: Vec<_> = (0..8).map(|n| backoff(n, u32::MAX)).collect();
    assert_eq!(whole, [1, 2, 4, 8, 16, 32, 60, 60].map(s));
    let least: Vec<_> = (0..8).map(|n| backoff(n, 0) * 2).collect();
    assert_eq!(least, whole);
    assert_eq!(backoff(u32::MAX, u32::MAX), s(60));
}

#[test]
fn a_hold_lasts_as_long_as_the_provider_asks_and_at_most_an_hour() {
    let mut hold = Hold::default();
    assert_eq!(hold.left(T0), None);
    hold.throttled(Some(s(7)), 0, T0);
    assert_eq!(hold.left(T0), Some(s(7)));
    assert_eq!(hold.left(T0 + s(6)), Some(s(1)));
    assert_eq!(hold.left(T0 + s(7)), None);
    hold.throttled(Some(Duration::MAX), 0, T0 + s(7));
    assert_eq!(hold.left(T0 + s(7)), Some(Hold::LONGEST));
}

#[test]
fn holds_grow_until_the_provider_answers_otherwise() {
    let mut hold = Hold::default();
    let mut now = T0;
    let mut waits = Vec::new();
    for _ in 0..4 {
        // No wait that could be kept is as good as none.
        hold.throttled(Some(Duration::ZERO), u32::MAX, now);
        let left = hold.left(now).unwrap();
        waits.push(left);
        now += left;
    }
    assert_eq!(waits, [1, 2, 4, 8].map(s));
    hold.answered(now);
    hold.throttled(None, u32::MAX, now);
    assert_eq!(hold.left(now), Some(s(1)));
}

#[test]
fn answers_to_those_who_asked_before_a_hold_neither_end_nor_double_it() {
    let mut hold = Hold::default();
    for _ in 0..5 {
        hold.throttled(None, u32::MAX, T0);
        hold.answered(T0);
    }
    assert_eq!(hold.left(T0), Some(s(1)));
    // But one of them may know better how long it takes.
    hold.throttled(Some(s(9)), u32::MAX, T0);
    assert_eq!(hold.left(T0), Some(s(9)));
    hold.throttled(None, u32::MAX, T0 + s(9));
    assert_eq!(hold.left(T0 + s(9)), Some(s(2)));
}

#[test]
fn a_pair_is_held_four_times_as_long_each_time_and_an_hour_at_most() {
    let mut holds = PairHolds::default();
    let mut now = T0;
    let mut waits = Vec::new();
    for _ in 0..8 {
        holds.throttled(1, None, now);
        let left = holds.left(1, now).unwrap();
        waits.push(left.as_secs());
        now += left;
    }
    assert_eq!(waits, [1, 4, 16, 64, 256, 1024, 3600, 3600]);
    assert_eq!(holds.left(1, now), None);
}

#[test]
fn a_hold_of_one_recipient_holds_no_other() {
    let mut holds = PairHolds::default();
    holds.throttled(1, Some(s(30)), T0);
    assert_eq!(holds.left(1, T0), Some(s(30)));
    assert_eq!(holds.left(2, T0), None);
}

#[test]
fn a_pair_starts_over_after_a_message_was_taken_and_after_ten_quiet_minutes() {
    let mut holds = PairHolds::default();
    holds.throttled(1, None, T0);
    holds.throttled(1, None, T0 + s(1));
    holds.accepted(1, T0 + s(2));
    assert_eq!(holds.left(1, T0 + s(2)), Some(s(3)), "it asked before");
    holds.accepted(1, T0 + s(5));
    holds.throttled(1, None, T0 + s(5));
    assert_eq!(holds.left(1, T0 + s(5)), Some(s(1)));

    let quiet = T0 + s(6) + PairHolds::MEMORY;
    holds.throttled(1, None, quiet - s(1));
    assert_eq!(holds.left(1, quiet - s(1)), Some(s(4)));
    let quiet = quiet + s(3) + PairHolds::MEMORY;
    holds.throttled(1, None, quiet);
    assert_eq!(holds.left(1, quiet), Some(s(1)));
}

#[test]
fn answers_to_those_who_asked_before_do_not_lengthen_a_pairs_hold() {
    let mut holds = PairHolds::default();
    for _ in 0..9 {
        holds.throttled(1, None, T0);
    }
    assert_eq!(holds.left(1, T0), Some(s(1)));
    holds.throttled(1, Some(s(5)), T0);
    assert_eq!(holds.left(1, T0), Some(s(5)));
}

#[test]
fn however_many_recipients_are_held_only_so_many_are_known() {
    let mut holds = PairHolds::default();
    for recipient in 0..10 {
        holds.throttled(recipient, Some(s(1)), T0);
    }
    for recipient in 10..PairHolds::MOST as u64 * 3 {
        holds.throttled(recipient, Some(s(60)), T0);
        assert!(holds.pairs.len() <= PairHolds::MOST);
    }
    assert_eq!(holds.pairs.len(), PairHolds::MOST);
    // Those that end first went first.
    assert!((0..10).all(|recipient| holds.left(recipient, T0).is_none()));

    // Those that are over for long make room for all at once.
    let later = T0 + s(60) + PairHolds::MEMORY;
    holds.throttled(u64::MAX, None, later);
    assert_eq!(holds.pairs.len(), 1);
}

proptest! {
    /// Whatever the provider says and when: a hold never begins in the past, is never endless, and
    /// never ends earlier than the latest wait that was asked for.
    #[test]
    fn a_hold_keeps_every_wait_that_was_asked_for(
        history in prop::collection::vec((any::<u32>(), 0..5_000_u64, 0..20_000_u64), 1..60),
    ) {
        let mut hold = Hold::default();
        let mut now = T0;
        let mut latest = Duration::ZERO;
        for (draw, asked, pass) in history {
            let retry_after = (draw % 3 != 0).then(|| s(asked));
            if draw % 5 == 0 {
                hold.answered(now);
            } else {
                hold.throttled(retry_after, draw, now);
                let asked = retry_after.unwrap_or_default().min(Hold::LONGEST);
                latest = latest.max(now + asked);
                prop_assert!(hold.left(now).is_some());
            }
            let left = hold.left(now).unwrap_or_default();
            prop_assert!(now + left >= latest);
            prop_assert!(left <= Hold::LONGEST);
            now += Duration::from_millis(pass * 10);
        }
    }
}
