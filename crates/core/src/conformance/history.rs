//! Random histories: which steps there are, and how they are drawn.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::desk::{MINUTE, Order, SECOND, other_app, quota};
use crate::app::AppId;
use crate::channel::Channel;
use crate::delivery::DeliveryStatus;
use crate::policy::{FailureBudget, WhenPending};

/// Few of everything, so that steps meet: two apps, people and purposes, four codes.
const CODES: [&str; 4] = ["111111", "222222", "333333", "444444"];
const BINDINGS: [&str; 2] = ["null", r#"{"amount":10}"#];
const PURPOSES: [&str; 2] = ["login", "signup"];

/// One step of a history. Numbers pick out of what there is at that moment.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Start(Draw),
    Resend {
        which: usize,
        draw: Draw,
    },
    Check {
        which: usize,
        draw: Draw,
    },
    CheckNewest(Draw),
    Cancel {
        which: usize,
        foreign: bool,
    },
    /// Withdraws a send that was not withdrawn yet.
    Withdraw {
        which: usize,
    },
    Fail {
        which: usize,
        late: bool,
    },
    Note {
        which: usize,
        delivery: u8,
        status: DeliveryStatus,
        end: Option<End>,
    },
    /// Somebody looks after what is due.
    FallBack {
        which: usize,
    },
    Overdue,
    Unlock(Draw),
    Get {
        which: usize,
        foreign: bool,
    },
    Newest(Draw),
    /// Time passes.
    Pass(Duration),
    /// The time that the last refusal named passes, or a millisecond less.
    WaitOut {
        short: bool,
    },
    /// It is the moment at which a code dies or is forgotten, or a millisecond before.
    Edge {
        which: usize,
        forgotten: bool,
        short: bool,
    },
    /// The clock steps back.
    Back(Duration),
}

/// The end of a dispatch.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Which channel is next, and how long it waits.
    pub(super) next: Option<(u8, Option<Duration>)>,
    /// Whether it carried an earlier code.
    pub(super) late: bool,
}

/// An order, drawn from a few of each kind.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    pub(super) foreign: bool,
    to: u32,
    purpose: usize,
    channel: Channel,
    code: usize,
    binding: usize,
    attempts: u32,
    brief: bool,
    terms: usize,
    source: Option<u8>,
    lenient: bool,
    pub(super) keeps: bool,
    pub(super) anonymous: bool,
}

impl Draw {
    pub(super) fn order(&self) -> Order {
        let (cooldown, limits) = match self.terms {
            0 => (Duration::ZERO, Vec::new()),
            1 => (SECOND * 30, vec![quota(3, MINUTE * 10)]),
            _ => (
                Duration::ZERO,
                vec![quota(2, MINUTE), quota(4, MINUTE * 60)],
            ),
        };
        let budget = if self.lenient {
            FailureBudget::default()
        } else {
            FailureBudget {
                per_hour: 3,
                per_day: 5,
                in_a_row: 8,
            }
        };
        Order {
            app: app(self.foreign),
            to: self.to,
            purpose: PURPOSES[self.purpose],
            channel: self.channel,
            code: CODES[self.code],
            binding: BINDINGS[self.binding],
            attempts: self.attempts,
            ttl: if self.brief { MINUTE } else { MINUTE * 5 },
            cooldown,
            limits,
            source: self
                .source
                .map(|who| (who, vec![quota(2, MINUTE), quota(4, MINUTE * 10)])),
            failures: Some(budget),
            when_pending: if self.keeps {
                WhenPending::Refuse
            } else {
                WhenPending::Replace
            },
        }
    }
}

pub(super) fn app(foreign: bool) -> AppId {
    if foreign {
        other_app()
    } else {
        AppId::default()
    }
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.05)
}

fn draw() -> impl Strategy<Value = Draw> {
    let second = || prop::bool::weighted(0.25);
    let whom = (
        rarely(),
        second().prop_map(u32::from),
        second().prop_map(usize::from),
        rarely(),
    );
    let what = (
        select(vec![Channel::Sms, Channel::Voice]),
        0..CODES.len(),
        rarely().prop_map(usize::from),
        1..6_u32,
        second(),
    );
    let terms = (
        0..3_usize,
        prop::option::weighted(0.6, 0..2_u8),
        second(),
        prop::bool::weighted(0.2),
    );
    (whom, what, terms).prop_map(|(whom, what, terms)| Draw {
        foreign: whom.0,
        to: whom.1,
        purpose: whom.2,
        anonymous: whom.3,
        channel: what.0,
        code: what.1,
        binding: what.2,
        attempts: what.3,
        brief: what.4,
        terms: terms.0,
        source: terms.1,
        lenient: terms.2,
        keeps: terms.3,
    })
}

fn end() -> impl Strategy<Value = End> {
    let waits = [0, 1, 10_000, 30_000, 59_999];
    let wait = select(waits.map(Duration::from_millis).to_vec());
    let next = (1..4_u8, prop::option::weighted(0.7, wait));
    (prop::option::weighted(0.8, next), rarely()).prop_map(|(next, late)| End { next, late })
}

pub(super) fn step(back: bool) -> impl Strategy<Value = Step> {
    // Mostly the newest, which is the most alive.
    let which = || prop_oneof![6 => Just(0_usize), 3 => 1..4_usize];
    // Mostly short ones: a long one ends everything that is under way.
    let spans = [
        1, 1, 999, 1000, 5000, 10_000, 29_999, 30_000, 30_000, 59_999, 60_000, 300_000, 3_600_000,
        86_400_000,
    ];
    let spans: Vec<_> = spans.into_iter().map(Duration::from_millis).collect();
    let statuses = vec![
        DeliveryStatus::Unknown,
        DeliveryStatus::Accepted,
        DeliveryStatus::Sent,
        DeliveryStatus::Failed,
        DeliveryStatus::Delivered,
        DeliveryStatus::Read,
    ];
    let furthest = if back { 60_000_u64 } else { 0 };
    prop_oneof![
        9 => draw().prop_map(Step::Start),
        5 => (which(), draw()).prop_map(|(which, draw)| Step::Resend { which, draw }),
        14 => (which(), draw()).prop_map(|(which, draw)| Step::Check { which, draw }),
        6 => draw().prop_map(Step::CheckNewest),
        1 => (which(), rarely()).prop_map(|(which, foreign)| Step::Cancel { which, foreign }),
        2 => which().prop_map(|which| Step::Withdraw { which }),
        1 => (which(), rarely()).prop_map(|(which, late)| Step::Fail { which, late }),
        4 => (which(), 0..3_u8, select(statuses), prop::option::weighted(0.5, end()))
            .prop_map(|(which, delivery, status, end)| Step::Note { which, delivery, status, end }),
        1 => which().prop_map(|which| Step::FallBack { which }),
        1 => Just(Step::Overdue),
        1 => draw().prop_map(Step::Unlock),
        2 => (which(), rarely()).prop_map(|(which, foreign)| Step::Get { which, foreign }),
        1 => draw().prop_map(Step::Newest),
        2 => select(spans).prop_map(Step::Pass),
        2 => any::<bool>().prop_map(|short| Step::WaitOut { short }),
        1 => (which(), any::<bool>(), any::<bool>())
            .prop_map(|(which, forgotten, short)| Step::Edge { which, forgotten, short }),
        1 => (0..=furthest).prop_map(|millis| Step::Back(Duration::from_millis(millis))),
    ]
}
