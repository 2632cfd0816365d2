//! Routing: what a provider's answer means, and what comes next.
//!
//! Pure: time is an argument, and nothing here sends anything. The courier asks
//! [`Journey::after`] after every hand-over and [`Journey::verdict`] at the end; a [`Breaker`]
//! per provider says whether a provider may be asked at all.
//!
//! # What comes next
//!
//! | outcome | next | counts for the breaker as |
//! | --- | --- | --- |
//! | `accepted` | stop | answer |
//! | `invalid_recipient`, `blocked_recipient` | next channel | answer |
//! | `rejected`, `expired` | next provider | answer |
//! | `throttled` | next provider | pause for as long as the provider asks, else failure |
//! | `unavailable` | next provider | failure |
//! | `misconfigured` | next provider | opens it at once |
//! | `unknown` | by policy, see [`Duplicates`] | failure |
//!
//! An outcome that is [about this recipient alone](Outcome::about_recipient), such as a full
//! mailbox, never counts against the provider: else a stranger with a few such addresses could
//! take the provider away from everybody. After the last provider of a channel comes the next
//! channel.
//!
//! # The verdict
//!
//! | what happened, over all channels | verdict | limit slots |
//! | --- | --- | --- |
//! | somebody accepted it | `Taken` | spent |
//! | nobody accepted it, and somebody may have (`unknown`) | `Taken` | spent |
//! | on every channel, a provider refused the recipient | `Refused` | spent |
//! | a provider was reached and refused, but not the recipient on every channel | `Declined` | spent |
//! | none could be reached, or none could serve anybody now | `Unavailable` | given back |
//!
//! A channel whose providers were all passed over (open breaker, no time left) counts as not
//! refused. `rejected`, `expired` and a temporary refusal of this recipient alone are refusals by a
//! provider that was reached: slots stay spent, so that nobody tries for free what a provider's
//! fraud guard turns away.

mod breaker;
mod journey;
mod outcome;
mod route;

pub use breaker::{Breaker, BreakerState, Permit, Signal};
pub use journey::{Duplicates, Journey, Next, PATIENCE, allowance};
pub use outcome::{Class, Detail, Outcome};
pub use route::{InvalidPrefix, Route};
