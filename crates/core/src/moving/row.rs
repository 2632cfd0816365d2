//! What a row is, whichever store keeps it.

use std::time::Duration;

use crate::account::AccountRecord;
use crate::api_key::ApiKeyRecord;
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::digest::{RecipientIndex, SourceIndex};
use crate::ledger::RecipientLedger;
use crate::limit::SlidingLog;
use crate::memory::{NamedMessage, ReplayEntry};
use crate::store::{MessageKey, ReplayKey};
use crate::verification::{RETENTION, Verification};

/// One row of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A verification, live or still readable.
    Verification(Box<Verification>),
    /// The counters of a recipient.
    Recipient(Box<RecipientRow>),
    /// The sends of a source.
    Source(SourceRow),
    /// A message by its provider's name for it.
    Name(MessageKey, NamedMessage),
    /// An idempotency key, and the answer kept under it.
    Answer(ReplayKey, ReplayEntry),
    /// An API key.
    ApiKey(Box<ApiKeyRecord>),
    /// An account.
    Account(Box<AccountRecord>),
}

/// The counters of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientRow {
    /// Whose they are.
    pub index: RecipientIndex,
    /// The counters.
    pub ledger: RecipientLedger,
    /// How long its newest send has to be remembered.
    pub horizon: Duration,
}

/// The sends of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// Whose they are.
    pub index: SourceIndex,
    /// When there were some.
    pub sends: SlidingLog,
    /// How long the newest has to be remembered.
    pub horizon: Duration,
}

/// The kinds of rows, in the order in which people are told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// [`Row::Verification`]
    Verifications,
    /// [`Row::Recipient`]
    Recipients,
    /// [`Row::Source`]
    Sources,
    /// [`Row::Name`]
    MessageNames,
    /// [`Row::Answer`]
    IdempotencyKeys,
    /// [`Row::ApiKey`]
    ApiKeys,
    /// [`Row::Account`]
    Accounts,
}

impl Class {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Verifications,
        Self::Recipients,
        Self::Sources,
        Self::MessageNames,
        Self::IdempotencyKeys,
        Self::ApiKeys,
        Self::Accounts,
    ];

    /// What people call them.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verifications => "verifications",
            Self::Recipients => "recipients",
            Self::Sources => "sources",
            Self::MessageNames => "message names",
            Self::IdempotencyKeys => "idempotency keys",
            Self::ApiKeys => "API keys",
            Self::Accounts => "accounts",
        }
    }
}

impl Row {
    /// Of which kind it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Verification(_) => Class::Verifications,
            Self::Recipient(_) => Class::Recipients,
            Self::Source(_) => Class::Sources,
            Self::Name(..) => Class::MessageNames,
            Self::Answer(..) => Class::IdempotencyKeys,
            Self::ApiKey(_) => Class::ApiKeys,
            Self::Account(_) => Class::Accounts,
        }
    }

    /// From when on nothing in it can matter any more; `None` if that never comes by itself.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        match self {
            Self::Verification(row) => Some(row.expires_at.plus(RETENTION)),
            Self::Recipient(row) => row.ledger.idle_from(row.horizon),
            Self::Source(row) => {
                let newest = row.sends.moments().last();
                Some(newest.map_or_else(Timestamp::default, |at| at.plus(row.horizon)))
            }
            Self::Name(_, named) => Some(named.until),
            Self::Answer(_, entry) => Some(entry.until),
            Self::ApiKey(_) | Self::Account(_) => None,
        }
    }

    /// Whether it can still matter.
    #[must_use]
    pub fn matters(&self, at: Timestamp) -> bool {
        self.ends().is_none_or(|end| at < end)
    }

    /// The same in the one form that every store can keep: no text holds a NUL, and what has no
    /// order has a certain one.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        match &mut self {
            Self::Verification(row) => row.deliveries.iter_mut().for_each(Delivery::drop_nul),
            Self::Recipient(row) => {
                let by_purpose = |slot: &crate::ledger::Slot| slot.purpose.as_str().to_owned();
                row.ledger.slots.sort_by_key(by_purpose);
            }
            Self::ApiKey(record) => record.scopes.sort_unstable(),
            Self::Account(record) => {
                let place = |one: &crate::account::Identifier| {
                    (one.kind.as_str(), one.key.to_bytes(), one.index)
                };
                record.identifiers.sort_by_key(place);
            }
            Self::Source(_) | Self::Name(..) | Self::Answer(..) => {}
        }
        self
    }
}
