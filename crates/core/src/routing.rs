//! Routing: what a provider's answer means, and what comes next.
//!
//! Pure: time and chance are arguments, and nothing here sends anything or waits. The courier asks
//! [`Journey::step`] whom to ask, tells [`Journey::after`] what came of it, and has
//! [`Journey::verdict`] at the end. A [`Breaker`] per provider says whether a provider may be asked
//! at all, a [`Hold`] and its [`PairHolds`] whether it asked to be left alone.
//!
//! # What comes next
//!
//! | outcome | next | counts for the breaker as |
//! | --- | --- | --- |
//! | `accepted` | stop | answer |
//! | `invalid_recipient`, `blocked_recipient` | next channel | answer |
//! | `rejected`, `expired` | next provider | answer |
//! | `throttled` | next provider; the last resort is waited for and asked again | nothing |
//! | `throttled`, this recipient only | the same | answer |
//! | `unavailable` | next provider | failure |
//! | `misconfigured` | next provider | opens it at once |
//! | `unknown` | by policy, see [`Duplicates`] | failure |
//!
//! An outcome that is [about this recipient alone](Outcome::about_recipient), such as a full
//! mailbox, never counts against the provider: else a stranger with a few such addresses could
//! take the provider away from everybody. After the last provider of a channel comes the next
//! channel.
//!
//! # Throttling
//!
//! A provider that says "too fast" is held: for everybody as long as it asks for (an hour at most),
//! else by [`backoff`]; for one recipient, where it is about that one only (Meta's pair limit),
//! 4^n s or as long as it asks for. While something else can be tried, a held provider is left out.
//! When nothing else is left and the wait and [`LEAST_TURN`] fit in the time that is, the dispatch
//! waits and asks again; else it ends at once.
//!
//! Throttling never moves a breaker, however often it comes: the holds space it out, and a breaker
//! that also opened would keep the provider closed after it said when to come back. It does not
//! close one either: a provider that counts requests before it looks at credentials says "too fast"
//! to wrong ones, too.
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
//! A channel whose providers were all passed over (open breaker, hold, no time left) counts as not
//! refused. `rejected`, `expired` and a temporary refusal of this recipient alone are refusals by a
//! provider that was reached: slots stay spent, so that nobody tries for free what a provider's
//! fraud guard turns away.

mod breaker;
mod hold;
mod journey;
mod outcome;
mod route;

pub use breaker::{Breaker, BreakerState, Permit, Signal};
pub use hold::{Hold, PairHolds, backoff};
pub use journey::{
    Duplicates, Journey, LEAST_TURN, PATIENCE, PassedOver, Place, Readiness, Step, allowance,
    spread,
};
pub use outcome::{Class, Detail, Outcome};
pub use route::{InvalidPrefix, Route};
