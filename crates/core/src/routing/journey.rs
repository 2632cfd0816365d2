//! What comes next after an outcome, and how a dispatch ended.

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

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is done, or nothing more may be tried.
    Stop,
    /// The next provider of the same channel; after the last one, the next channel.
    Provider,
    /// The next channel, whatever providers this one has left.
    Channel,
}

/// The way of one message past channels and providers.
#[derive(Clone, Debug)]
pub struct Journey {
    duplicates: Duplicates,
    lost_answers: u32,
    accepted: Option<Channel>,
    maybe: Option<Channel>,
    /// Whether each channel that was tried or passed over refused the recipient.
    channels: Vec<(Channel, bool)>,
    refused: bool,
}

impl Journey {
    /// A journey that has not begun.
    #[must_use]
    pub const fn new(duplicates: Duplicates) -> Self {
        Self {
            duplicates,
            lost_answers: 0,
            accepted: None,
            maybe: None,
            channels: Vec::new(),
            refused: false,
        }
    }

    /// Takes note of an outcome and says what comes next.
    pub fn after(&mut self, channel: Channel, outcome: &Outcome) -> Next {
        self.visit(channel, outcome.class().refuses_recipient());
        self.refused |= outcome.is_refusal();
        match outcome.class() {
            Class::Accepted { .. } => {
                self.accepted = self.accepted.or(Some(channel));
                Next::Stop
            }
            Class::InvalidRecipient | Class::BlockedRecipient => Next::Channel,
            Class::Rejected
            | Class::Throttled { .. }
            | Class::Unavailable
            | Class::Misconfigured
            | Class::Expired => Next::Provider,
            Class::Unknown => {
                self.maybe = self.maybe.or(Some(channel));
                self.lost_answers += 1;
                match self.duplicates {
                    Duplicates::Once if self.lost_answers == 1 => Next::Provider,
                    Duplicates::Once | Duplicates::Never => Next::Stop,
                }
            }
        }
    }

    /// Takes note that a provider of this channel was not asked: its breaker is open, or no time
    /// was left.
    pub fn passed_over(&mut self, channel: Channel) {
        self.visit(channel, false);
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
        if self.channels.iter().all(|(_, refused)| *refused) {
            Verdict::Refused
        } else {
            Verdict::Declined
        }
    }

    fn visit(&mut self, channel: Channel, refuses: bool) {
        match self
            .channels
            .iter_mut()
            .find(|(known, _)| *known == channel)
        {
            Some((_, refused)) => *refused |= refuses,
            None => self.channels.push((channel, refuses)),
        }
    }
}

#[cfg(test)]
mod tests;
