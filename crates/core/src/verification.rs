//! The verification: one code on its way to one recipient, from start to an end state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::digest::{Candidate, CodeContext, CodeDigest, RecipientIndex};
use crate::id::VerificationId;
use crate::keys::Sealed;
use crate::purpose::Purpose;

/// How long a verification can still be read after its code died. Nothing can be checked then.
pub const RETENTION: Duration = Duration::from_mins(5);

/// The most deliveries that one verification remembers. Its limits admit far fewer; what comes
/// beyond them is no hand-over of ours.
pub const MAX_DELIVERIES: usize = 64;

/// What comes next if the message does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Which of the channels that were asked for is the next, counted from 0.
    pub next: u8,
    /// When it starts without a word from a provider; never, where the channel before it has no
    /// `fallback_after`.
    pub due: Option<Timestamp>,
}

/// Where a verification stands. All but `Pending` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A code is on its way or waiting to be typed.
    Pending,
    /// The right code came in time.
    Approved,
    /// The caller called it off.
    Canceled,
    /// The code's life ended.
    Expired,
    /// Every attempt was used up.
    Exhausted,
    /// A newer one of the same recipient and purpose took its place.
    Superseded,
    /// No provider took the message.
    Failed,
}

impl Status {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Exhausted => "exhausted",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }
}

/// One verification, as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Its handle.
    pub id: VerificationId,
    /// Whose it is.
    pub app: AppId,
    /// Whom it verifies.
    pub recipient: RecipientIndex,
    /// Whether there is a recipient, whose failure budget its checks count against. Without one,
    /// the index is random and nothing but the attempts limits the guesses.
    pub addressed: bool,
    /// What its code authorises.
    pub purpose: Purpose,
    /// The channel that its code was first sent over.
    pub channel: Channel,
    /// Where it stood at the last step. Read [`Self::status_at`] instead: time passes between.
    pub status: Status,
    /// What is kept of its code.
    pub digest: CodeDigest,
    /// Guesses that its code still bears.
    pub attempts_left: u32,
    /// When it was started.
    pub created_at: Timestamp,
    /// When its present code was sent.
    pub sent_at: Timestamp,
    /// When its present code dies.
    pub expires_at: Timestamp,
    /// When it reached its end, unless that is the end of its life.
    pub ended_at: Option<Timestamp>,
    /// What a resend needs, sealed: see [`crate::Details`].
    pub details: Sealed,
    /// Its hand-overs, oldest first.
    pub deliveries: Vec<Delivery>,
    /// How many of its deliveries, the oldest ones, carried an earlier code.
    pub outdated: u16,
    /// What comes next if no hand-over of the present code arrives. Taken once.
    pub fallback: Option<Fallback>,
}

/// What came of one guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// The right code. At most one guess of a verification ever gets this.
    Right,
    /// Not the code; so many attempts are left.
    Wrong {
        /// Guesses that the code still bears.
        attempts_left: u32,
    },
    /// The code's attempts were used up before.
    Exhausted,
    /// There is nothing to guess: expired, consumed, canceled, superseded or failed.
    Gone,
}

impl Verification {
    /// The same, made and sent at this moment, with a code that lives so long.
    #[must_use]
    pub(crate) fn begun(self, at: Timestamp, ttl: Duration) -> Self {
        Self {
            created_at: at,
            sent_at: at,
            expires_at: at.plus(ttl),
            ..self
        }
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> Status {
        match self.status {
            Status::Pending if now >= self.expires_at => Status::Expired,
            status => status,
        }
    }

    /// Whether its code can still be checked.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.status_at(now) == Status::Pending
    }

    /// Whether a store may forget it.
    #[must_use]
    pub fn is_forgettable(&self, now: Timestamp) -> bool {
        now >= self.expires_at.plus(RETENTION)
    }

    /// What its digest binds beside app, binding and code.
    #[must_use]
    pub fn context(&self) -> CodeContext<'_> {
        CodeContext {
            id: self.id,
            recipient: self.recipient,
            channel: self.channel,
            purpose: &self.purpose,
        }
    }

    /// Applies one guess. Every store runs this inside its atomic step: the attempt is spent
    /// before the comparison, and both are kept together.
    pub fn guess(&mut self, candidates: &[Candidate], now: Timestamp) -> Guess {
        match self.status_at(now) {
            Status::Pending => {}
            Status::Exhausted => return Guess::Exhausted,
            _ => return Guess::Gone,
        }
        let Some(attempts_left) = self.attempts_left.checked_sub(1) else {
            return Guess::Exhausted;
        };
        self.attempts_left = attempts_left;
        if self.digest.matches(candidates, self.context()) {
            self.end(Status::Approved, now);
            return Guess::Right;
        }
        if attempts_left == 0 {
            self.end(Status::Exhausted, now);
        }
        Guess::Wrong { attempts_left }
    }

    /// Ends it, if it has not ended; whether it did.
    pub fn end(&mut self, status: Status, now: Timestamp) -> bool {
        let live = self.is_live(now);
        if live {
            self.status = status;
            self.ended_at = Some(now);
        }
        live
    }

    /// Takes in what is newly known of its hand-overs; whether anything was new. `present` says
    /// whether those that nobody knew of carried the present code.
    pub fn note(&mut self, deliveries: &[Delivery], present: bool) -> bool {
        let mut changed = false;
        for newer in deliveries {
            let place = self
                .deliveries
                .iter()
                .position(|known| known.id == newer.id);
            match place {
                Some(place) => changed |= self.deliveries[place].advance(newer),
                None if self.deliveries.len() < MAX_DELIVERIES => {
                    self.insert(newer.clone(), present);
                    changed = true;
                }
                None => {}
            }
        }
        changed
    }

    fn insert(&mut self, delivery: Delivery, present: bool) {
        // Mostly there is one and never another; a list that grows by itself makes room for four.
        self.deliveries.reserve_exact(1);
        if present {
            self.deliveries.push(delivery);
        } else {
            let place = usize::from(self.outdated).min(self.deliveries.len());
            self.deliveries.insert(place, delivery);
            self.outdated += 1;
        }
    }

    /// The hand-overs of its present code.
    #[must_use]
    pub fn present_deliveries(&self) -> &[Delivery] {
        self.deliveries
            .get(usize::from(self.outdated)..)
            .unwrap_or_default()
    }

    /// From now on its deliveries carry a fresh code.
    pub(crate) fn outdate(&mut self) {
        self.outdated = u16::try_from(self.deliveries.len()).unwrap_or(u16::MAX);
        self.fallback = None;
    }
}
