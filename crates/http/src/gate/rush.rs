//! When sends stand in line, and when one is refused: the decision, without a clock or a task.
//!
//! A server with more requests than processor time queues them where nobody sees it: among the tasks
//! that could run. Now and then a send lets all of those go first and looks how long that took. Once it
//! took too long, every send stands in a line that others pass, so that checks do not wait behind sends.
//! A line that is long, slow, and stays so refuses.

use std::time::{Duration, Instant};

/// How often one send finds out how late the server is.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A thread that was free for a send only after so long is late.
const LATE: Duration = Duration::from_millis(3);
/// How long sends stand in line after the last of them that found the server late.
const LATE_FOR: Duration = Duration::from_millis(500);
/// More than this many in line are a crowd, if they wait …
const CROWD: usize = 1024;
/// … so long …
const SLOW: Duration = Duration::from_millis(20);
/// … and have done so all this time. A burst is over by then.
const STANDING: Duration = Duration::from_millis(500);
/// Sends that have to get in for one to be refused. A refusal costs nearly half a send, most of it in
/// the sockets, so that a server which refused all of what is too much would do little else. Who is
/// neither let in nor refused waits, which costs nothing.
const SENDS_A_REFUSAL: u32 = 12;
/// Refusals that may be saved up.
const MOST_SAVED: u32 = 64;

/// What becomes of a send that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It goes in.
    AtOnce,
    /// It lets everybody else go first, once, and tells how long that took.
    Look,
    /// It stands in line.
    InLine,
    /// It is refused.
    Refused,
}

/// How the sends of one server get in.
#[derive(Debug, Default)]
pub(super) struct Rush {
    looked_at: Option<Instant>,
    late_until: Option<Instant>,
    crowded_since: Option<Instant>,
    in_line: usize,
    /// Sends that got in and have not paid for a refusal.
    earned: u32,
}

impl Rush {
    /// A send has arrived. One that is to stand in line does so from now on.
    pub(super) fn arrive(&mut self, now: Instant) -> Turn {
        let late = self.late_until.is_some_and(|until| now < until);
        if !late && self.in_line == 0 {
            self.crowded_since = None;
            let fresh = self.looked_at.is_some_and(|at| now < at + LOOK_EVERY);
            if fresh {
                return Turn::AtOnce;
            }
            self.looked_at = Some(now);
            return Turn::Look;
        }
        self.stand(now)
    }

    /// A send that has to wait has arrived. It stands in line from now on, or is refused.
    pub(super) fn stand(&mut self, now: Instant) -> Turn {
        if self.in_line == 0 {
            self.crowded_since = None;
        }
        let standing = self.crowded_since.is_some_and(|at| now >= at + STANDING);
        if standing && self.earned >= SENDS_A_REFUSAL {
            self.earned -= SENDS_A_REFUSAL;
            return Turn::Refused;
        }
        self.in_line += 1;
        Turn::InLine
    }

    /// A send that looked could have gone in after `wait`.
    pub(super) fn looked(&mut self, now: Instant, wait: Duration) {
        if wait >= LATE {
            self.late_until = Some(now + LATE_FOR);
        }
    }

    /// A send leaves the line for the server, after `wait`.
    pub(super) fn enter(&mut self, now: Instant, wait: Duration) {
        if self.in_line > CROWD && wait >= SLOW {
            self.crowded_since.get_or_insert(now);
        } else {
            self.crowded_since = None;
        }
        self.earned = (self.earned + 1).min(SENDS_A_REFUSAL * MOST_SAVED);
        self.looked(now, wait);
        self.leave();
    }

    /// A send leaves the line for good: its client hung up.
    pub(super) fn leave(&mut self) {
        self.in_line = self.in_line.saturating_sub(1);
    }

    /// How many stand in line.
    pub(super) fn in_line(&self) -> usize {
        self.in_line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A rush at a clock that the test sets.
    struct Day {
        rush: Rush,
        now: Instant,
    }

    impl Day {
        fn new() -> Self {
            Self {
                rush: Rush::default(),
                now: Instant::now(),
            }
        }

        fn arrive(&mut self) -> Turn {
            self.rush.arrive(self.now)
        }

        /// A send finds that its thread was free after `wait`.
        fn look(&mut self, wait: Duration) {
            assert_eq!(self.arrive(), Turn::Look);
            self.now += wait;
            self.rush.looked(self.now, wait);
        }

        fn late() -> Self {
            let mut day = Self::new();
            day.look(LATE);
            day
        }

        /// So many stand in line, and for `span` the first of them gets in every millisecond, after `wait`,
        /// while another comes for it.
        fn stand(&mut self, many: usize, wait: Duration, span: Duration) -> usize {
            let mut refused = 0;
            while self.rush.in_line() < many {
                assert_eq!(self.arrive(), Turn::InLine);
            }
            let end = self.now + span;
            while self.now < end {
                self.now += MS;
                self.rush.enter(self.now, wait);
                while self.rush.in_line() < many {
                    refused += usize::from(self.arrive() == Turn::Refused);
                    assert!(refused < 1_000_000, "nobody gets in");
                }
            }
            refused
        }
    }

    #[test]
    fn while_threads_are_free_at_once_sends_go_in_and_one_now_and_then_looks() {
        let mut day = Day::new();
        let mut looks = 0;
        for _ in 0..100_000 {
            day.now += MS / 10;
            match day.arrive() {
                Turn::AtOnce => {}
                Turn::Look => {
                    looks += 1;
                    day.rush.looked(day.now, LATE - MS / 10);
                }
                turn => panic!("{turn:?}"),
            }
        }
        assert_eq!(looks, 5000);
    }

    #[test]
    fn a_late_server_has_its_sends_in_line_until_it_was_on_time_for_a_while() {
        let mut day = Day::late();
        assert_eq!(day.arrive(), Turn::InLine);
        day.rush.enter(day.now, MS);
        day.now += LATE_FOR - MS;
        assert_eq!(day.arrive(), Turn::InLine);
        day.rush.enter(day.now, LATE);
        day.now += LATE_FOR - MS;
        assert_eq!(day.arrive(), Turn::InLine, "it was late once more");
        day.rush.enter(day.now, MS);
        day.now += MS;
        assert_eq!(day.arrive(), Turn::Look);
    }

    #[test]
    fn nobody_passes_those_who_stand_in_line() {
        let mut day = Day::late();
        assert_eq!(day.arrive(), Turn::InLine);
        day.now += LATE_FOR * 10;
        assert_eq!(day.arrive(), Turn::InLine);
        day.rush.leave();
        day.rush.leave();
        assert_eq!(day.arrive(), Turn::Look);
    }

    #[test]
    fn a_burst_is_not_refused() {
        for _ in 0..3 {
            let mut day = Day::late();
            // All at once, and gone within the time that a crowd is given.
            for _ in 0..4096 {
                assert_eq!(day.arrive(), Turn::InLine);
            }
            for _ in 0..4096 {
                day.now += STANDING / 4100;
                day.rush.enter(day.now, SLOW * 10);
                assert_eq!(day.arrive(), Turn::InLine);
                day.rush.leave();
            }
        }
    }

    #[test]
    fn a_short_line_is_never_refused_however_slow() {
        let mut day = Day::late();
        assert_eq!(day.stand(CROWD, SLOW * 50, STANDING * 20), 0);
    }

    #[test]
    fn a_long_line_that_moves_fast_is_not_refused() {
        let mut day = Day::late();
        assert_eq!(day.stand(CROWD * 4, SLOW - MS, STANDING * 20), 0);
    }

    #[test]
    fn a_long_and_slow_line_that_stays_refuses_one_for_some_that_get_in() {
        let mut day = Day::late();
        assert_eq!(day.stand(CROWD + 1, SLOW, STANDING), 0);
        let seconds = 60;
        let refused = day.stand(CROWD + 1, SLOW, Duration::from_secs(seconds));
        let entered = usize::try_from(seconds * 1000).unwrap();
        // A minute's, and what was saved up before.
        let most = entered / SENDS_A_REFUSAL as usize + MOST_SAVED as usize;
        assert!((entered / SENDS_A_REFUSAL as usize..=most).contains(&refused));
    }

    #[test]
    fn a_busy_day_does_not_pay_for_a_flood_of_refusals() {
        let mut day = Day::late();
        assert_eq!(day.stand(CROWD, SLOW, Duration::from_mins(10)), 0);
        assert_eq!(day.stand(CROWD + 1, SLOW, STANDING), 0);
        let refused = day.stand(CROWD + 1, SLOW, MS);
        assert!(refused <= MOST_SAVED as usize + 1, "{refused}");
    }

    #[test]
    fn refusing_ends_when_the_line_was_short_once() {
        let mut day = Day::late();
        assert!(day.stand(CROWD + 1, SLOW, STANDING * 4) > 0);
        while day.rush.in_line() > CROWD - 1 {
            day.rush.enter(day.now, SLOW);
        }
        assert_eq!(day.stand(CROWD + 1, SLOW, STANDING), 0);
    }
}
