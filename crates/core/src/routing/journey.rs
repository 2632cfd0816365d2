//! Who is asked next, whether waiting is worth it, and how a dispatch ended.

use std::time::Duration;

use super::outcome::{Class, Outcome};
use crate::channel::Channel;
use crate::messenger::Verdict;

/// How long a provider without a timeout of its own may take while another one waits for its turn.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How long one hand-over may take: the provider's own timeout if the operator gave one, else
/// [`PATIENCE`] while `another_waits`, and never more than what is left.
#[must_use]
pub fn allowance(own: Option<Duration>, left: Duration, another_waits: bool) -> Duration {
    match own {
        Some(own) => own.min(left),
        None if another_waits => PATIENCE.min(left),
        None => left,
    }
}

/// Whether a person may get the same code twice because an answer was lost on the way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// No: a lost answer ends the dispatch as if the message had been taken.
    Never,
    /// Once: the first lost answer goes to the next provider, a second one ends the dispatch.
    #[default]
    Once,
}

/// The least time that an ask after a wait must be left with: a shorter one would end in an answer
/// that is lost more often than in one that is read.
pub const LEAST_TURN: Duration = Duration::from_secs(1);

/// A wait as one of many keeps it who wait for the same provider: up to an eighth longer, half a
/// second at most, as `draw` (of all values alike) says.
#[must_use]
pub fn spread(wait: Duration, draw: u32) -> Duration {
    let most = (wait / 8).min(LEAST_TURN / 2);
    wait + most.mul_f64(f64::from(draw) / f64::from(u32::MAX))
}

/// A provider on the way: which channel of the way, and which provider of that channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The channel, counted from 0.
    pub stage: usize,
    /// The provider within the channel, counted from 0.
    pub position: usize,
}

/// Whether a provider can be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It asked to be left alone, or left alone about this recipient, for so long yet.
    Held(Duration),
    /// Its breaker is open.
    Closed,
}

/// Why a provider was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOver {
    /// No time was left.
    Deadline,
    /// Its breaker is open.
    Breaker,
    /// It asked to be left alone. It may be asked later, when nobody else took the message.
    Hold,
}

impl PassedOver {
    /// The name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Breaker => "breaker",
            Self::Hold => "hold",
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this provider, and say with [`Journey::after`] what came of it.
    Ask {
        /// Which one.
        place: Place,
        /// Whether another one could take its turn if it takes too long, see [`allowance`].
        another_waits: bool,
    },
    /// This provider was not asked; there is another step.
    PassOver {
        /// Which one.
        place: Place,
        /// Why not.
        why: PassedOver,
    },
    /// Nobody else can be asked, and somebody can again after so long: wait, then take a step.
    Wait(Duration),
    /// It is done, or nothing more may be tried.
    Stop,
}

/// The way of one message past channels and providers.
///
/// First every provider has its turn, in order, without any waiting. Those that are held are left
/// out then. If that was in vain, the ones that were held or said "too fast" are waited for, the
/// shortest wait first, as long as [`LEAST_TURN`] is left after it. Nobody is waited for once an
/// answer was lost: the message may have arrived.
#[derive(Clone, Debug)]
pub struct Journey {
    duplicates: Duplicates,
    lost_answers: u32,
    accepted: Option<Channel>,
    maybe: Option<Channel>,
    stages: Vec<Stage>,
    refused: bool,
    over: bool,
}

#[derive(Clone, Debug)]
struct Stage {
    channel: Channel,
    turns: Vec<Turn>,
    /// Whether a provider of it was asked or passed over.
    visited: bool,
    refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It has not come yet.
    Ahead,
    /// It was asked so many times, and may be asked once its hold ends.
    Again(u32),
    Done,
}

impl Turn {
    fn is_ahead(self) -> bool {
        self == Self::Ahead
    }
}

impl Journey {
    /// One dispatch asks a provider no oftener, however short the waits that it asks for.
    pub const MOST_TURNS: u32 = 6;

    /// A journey that has not begun, along channels with so many providers each.
    #[must_use]
    pub fn new(duplicates: Duplicates, way: impl IntoIterator<Item = (Channel, usize)>) -> Self {
        let stages = way.into_iter().map(|(channel, providers)| Stage {
            channel,
            turns: vec![Turn::Ahead; providers],
            visited: false,
            refused: false,
        });
        Self {
            duplicates,
            lost_answers: 0,
            accepted: None,
            maybe: None,
            stages: stages.collect(),
            refused: false,
            over: false,
        }
    }

    /// Takes a step, with so much time left.
    pub fn step(&mut self, left: Duration, readiness: impl Fn(Place) -> Readiness) -> Step {
        if self.over {
            return Step::Stop;
        }
        let next = self.places(Turn::is_ahead).next();
        if let Some(place) = next {
            let why = match readiness(place) {
                _ if left.is_zero() => PassedOver::Deadline,
                Readiness::Closed => PassedOver::Breaker,
                Readiness::Held(_) => PassedOver::Hold,
                Readiness::Ready => {
                    let mut behind = self.places(Turn::is_ahead).skip(1);
                    let another_waits = behind.any(|other| match readiness(other) {
                        Readiness::Ready => true,
                        Readiness::Held(wait) => wait <= PATIENCE,
                        Readiness::Closed => false,
                    });
                    return Step::Ask {
                        place,
                        another_waits,
                    };
                }
            };
            self.visit(place);
            self.stages[place.stage].turns[place.position] = match why {
                PassedOver::Hold => Turn::Again(0),
                PassedOver::Deadline | PassedOver::Breaker => Turn::Done,
            };
            return Step::PassOver { place, why };
        }
        if self.lost_answers > 0 {
            return Step::Stop;
        }
        let soonest = self
            .places(|turn| matches!(turn, Turn::Again(_)))
            .filter_map(|place| match readiness(place) {
                Readiness::Ready => Some((Duration::ZERO, place)),
                Readiness::Held(wait) => Some((wait, place)),
                Readiness::Closed => None,
            })
            .min();
        match soonest {
            Some((wait, place)) if wait.is_zero() && !left.is_zero() => Step::Ask {
                place,
                another_waits: false,
            },
            Some((wait, _)) if !wait.is_zero() && wait.saturating_add(LEAST_TURN) <= left => {
                Step::Wait(wait)
            }
            _ => Step::Stop,
        }
    }

    /// Takes note of what came of asking a provider.
    pub fn after(&mut self, place: Place, outcome: &Outcome) {
        self.visit(place);
        self.refused |= outcome.is_refusal();
        let stage = &mut self.stages[place.stage];
        let turn = &mut stage.turns[place.position];
        let asked = match *turn {
            Turn::Again(asked) => asked + 1,
            Turn::Ahead | Turn::Done => 1,
        };
        *turn = Turn::Done;
        match outcome.class() {
            Class::Accepted { .. } => {
                self.accepted = self.accepted.or(Some(stage.channel));
                self.over = true;
            }
            Class::InvalidRecipient | Class::BlockedRecipient => {
                stage.refused = true;
                stage.turns.fill(Turn::Done);
            }
            Class::Throttled { .. } if asked < Self::MOST_TURNS => *turn = Turn::Again(asked),
            Class::Throttled { .. }
            | Class::Rejected
            | Class::Unavailable
            | Class::Misconfigured
            | Class::Expired => {}
            Class::Unknown => {
                self.maybe = self.maybe.or(Some(stage.channel));
                self.lost_answers += 1;
                self.over = match self.duplicates {
                    Duplicates::Once => self.lost_answers > 1,
                    Duplicates::Never => true,
                };
            }
        }
    }

    /// Takes note that a provider could not be asked after all, because its breaker opened.
    pub fn passed_over(&mut self, place: Place) {
        self.visit(place);
        self.stages[place.stage].turns[place.position] = Turn::Done;
    }

    /// How it ended.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if let Some(channel) = self.accepted.or(self.maybe) {
            return Verdict::Taken(channel);
        }
        if !self.refused {
            return Verdict::Unavailable;
        }
        let mut visited = self.stages.iter().filter(|stage| stage.visited);
        if visited.all(|stage| stage.refused) {
            Verdict::Refused
        } else {
            Verdict::Declined
        }
    }

    fn visit(&mut self, place: Place) {
        self.stages[place.stage].visited = true;
    }

    fn places(&self, which: impl Fn(Turn) -> bool) -> impl Iterator<Item = Place> {
        let stages = self.stages.iter().enumerate();
        let turns = stages.flat_map(|(stage, at)| {
            let turns = at.turns.iter().enumerate();
            turns.map(move |(position, turn)| (Place { stage, position }, *turn))
        });
        turns.filter_map(move |(place, turn)| which(turn).then_some(place))
    }
}

#[cfg(test)]
mod tests;
