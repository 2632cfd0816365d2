//! What happened, for whoever counts it.

use crate::api_key::ApiKeyId;
use crate::app::AppId;
use crate::channel::Channel;
use crate::delivery::DeliveryStatus;
use crate::digest::RecipientIndex;
use crate::id::VerificationId;
use crate::recipient::Region;

/// Something that the rules decided. Carries nothing that names a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A verification was started and a provider took its message.
    Started(Channel),
    /// A fresh code was sent for a pending verification.
    Resent(Channel),
    /// A send was refused.
    SendRefused(SendRefusal),
    /// A check was approved.
    Approved(Channel),
    /// A check failed.
    CheckFailed(CheckFailure),
    /// A provider told how far a message came.
    Receipt(Channel, DeliveryStatus),
    /// The next channel had its turn, and a provider took the message, or none did.
    FellBack {
        /// The channel that it was taken over, or the first one that was tried.
        channel: Channel,
        /// Whether a provider took it.
        taken: bool,
    },
    /// A verification was canceled.
    Canceled,
    /// A failed check was the last that a recipient bears: it is locked until somebody unlocks it.
    Locked,
    /// A recipient was unlocked.
    Unlocked,
    /// Everything that is held about a recipient was told.
    RecipientShown,
    /// Everything that is held about a recipient, but its counters, was erased.
    RecipientErased,
    /// A code was shown to a caller who may see codes.
    CodeShown,
    /// The store did not answer or is full.
    StoreFailed,
}

/// Why a send was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendRefusal {
    /// No code is sent to the number's country.
    Country,
    /// The source asked too often.
    SourceLimit,
    /// The recipient was sent too much.
    RecipientLimit,
    /// The last send is too fresh.
    Cooldown,
    /// The recipient's failure budget is used up.
    Locked,
    /// A code lives already.
    Live,
    /// No provider could be reached.
    Undeliverable,
    /// Every channel refused the recipient.
    Unreachable,
}

impl SendRefusal {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::SourceLimit => "source_limit",
            Self::RecipientLimit => "recipient_limit",
            Self::Cooldown => "cooldown",
            Self::Locked => "locked",
            Self::Live => "live",
            Self::Undeliverable => "undeliverable",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Why a check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFailure {
    /// Not the code.
    Incorrect,
    /// The attempts were used up.
    Exhausted,
    /// The recipient's failure budget is used up.
    Locked,
    /// Nothing to check.
    NotFound,
}

impl CheckFailure {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incorrect => "incorrect",
            Self::Exhausted => "exhausted",
            Self::Locked => "locked",
            Self::NotFound => "not_found",
        }
    }
}

/// What an event is about, as far as it is known where it happens. Carries nothing that names a
/// person either: recipients are keyed indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Whose verification.
    pub app: Option<&'a AppId>,
    /// Which verification.
    pub verification: Option<VerificationId>,
    /// Whose code.
    pub recipient: Option<RecipientIndex>,
    /// Who asked for it.
    pub by: Option<&'a ApiKeyId>,
    /// The provider that carries or carried the code.
    pub provider: Option<&'a str>,
    /// The country of the number that the code goes to. Known of sends that a provider took, and
    /// of approvals.
    pub country: Option<Region>,
}

/// Takes note of events. Must not block.
pub trait Events: Send + Sync + 'static {
    /// Takes note of one.
    fn note(&self, event: Event, subject: &Subject<'_>);
}

/// Both take note.
impl<A: Events, B: Events> Events for (A, B) {
    fn note(&self, event: Event, subject: &Subject<'_>) {
        self.0.note(event, subject);
        self.1.note(event, subject);
    }
}

/// One takes note, if there is one.
impl<E: Events> Events for Option<E> {
    fn note(&self, event: Event, subject: &Subject<'_>) {
        if let Some(events) = self {
            events.note(event, subject);
        }
    }
}

/// Another part of the program holds it too.
impl<E: Events + ?Sized> Events for std::sync::Arc<E> {
    fn note(&self, event: Event, subject: &Subject<'_>) {
        (**self).note(event, subject);
    }
}

/// Nobody counts.
impl Events for () {
    fn note(&self, _event: Event, _subject: &Subject<'_>) {}
}
