//! The use cases: start, check, resend, cancel, look, unlock, tell and erase.
//!
//! Every surface calls these and translates what comes back. A request's way is: surface →
//! `Verifier` → store step → messenger → store step → surface.

mod charge;
mod check;
mod receipts;
mod recipients;
mod request;
mod send;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use check::{Approved, CheckError, CheckRequest, ResultToken, Whose};
pub use receipts::Received;
pub use recipients::Known;
pub use request::{Sent, Source, StartRequest, Terms};
pub use send::{ResendRequest, SendError};

use crate::api_key::ApiKeyId;
use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::{Clock, Timestamp};
use crate::delivery::{Delivery, DeliveryStatus};
use crate::details::Details;
use crate::entropy::{Entropy, EntropyError};
use crate::event::{Event, Events, Subject};
use crate::id::VerificationId;
use crate::keys::KeyRing;
use crate::messenger::Messenger;
use crate::recipient::Recipient;
use crate::step::CancelOutcome;
use crate::store::{Readiness, Store, StoreError};
use crate::verification::{Status, Verification};

/// What a [`Verifier`] works with.
pub struct Parts {
    /// Where things are kept.
    pub store: Arc<dyn Store>,
    /// Who carries messages.
    pub messenger: Arc<dyn Messenger>,
    /// The keys of the server.
    pub keys: Arc<KeyRing>,
    /// The time by which the store counts: what is shown has to agree with what it does.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Who counts what happens.
    pub events: Arc<dyn Events>,
    /// Who signs result tokens: the server's public URL, or its name.
    pub issuer: String,
    /// How long a start may wait for providers.
    pub deadline: Duration,
    /// How long a message of a channel may go without a word of its arrival before the next channel
    /// has its turn; a channel that is not here waits for a failure.
    pub fallback_after: BTreeMap<Channel, Duration>,
    /// The longest window or cooldown of any policy: how long sends are remembered.
    pub horizon: Duration,
}

/// Starts, checks and ends verifications. The one way to them for every surface.
pub struct Verifier {
    parts: Parts,
}

/// A verification together with what was sealed of it.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Its row.
    pub verification: Verification,
    /// Where it stands now.
    pub status: Status,
    /// What was sealed of it.
    pub details: Details,
}

/// Something inside this server failed; the caller could not have prevented it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// What was sealed cannot be opened: its key has left the ring.
    #[error(transparent)]
    Sealed(#[from] crate::keys::Unsealable),
}

/// What could not be canceled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such verification of this app.
    #[error("there is no such verification")]
    NotFound,
    /// It has another end.
    #[error("the verification has ended")]
    Ended(Status),
    /// Our fault.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Verifier {
    /// A verifier over its parts.
    #[must_use]
    pub const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// The time, as this verifier sees it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// The keys of the server.
    #[must_use]
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.parts.keys
    }

    /// The source of randomness.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        self.parts.entropy.as_ref()
    }

    /// Whether a channel has any provider.
    #[must_use]
    pub fn serves(&self, channel: Channel) -> bool {
        self.parts.messenger.serves(channel)
    }

    /// Whether the store would answer now.
    ///
    /// # Errors
    /// When it would not.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.parts.store.ready().await
    }

    /// Whether the store would answer now, and how well.
    ///
    /// # Errors
    /// When it would not.
    pub async fn readiness(&self) -> Result<Readiness, StoreError> {
        self.parts.store.readiness().await
    }

    /// A verification of `app`, whatever its state, until some minutes after its end.
    ///
    /// # Errors
    /// Only ours; an unknown handle is `None`.
    pub async fn get(&self, app: &AppId, id: VerificationId) -> Result<Option<Overview>, Failure> {
        let found = self.parts.store.get(app, id, self.now()).await;
        match self.watch(found)? {
            Some(verification) => Ok(Some(self.overview(verification)?)),
            None => Ok(None),
        }
    }

    /// Calls a pending verification off. Doing so again is fine.
    ///
    /// # Errors
    /// [`CancelError`].
    pub async fn cancel(&self, app: &AppId, id: VerificationId) -> Result<Overview, CancelError> {
        let outcome = self.parts.store.cancel(app, id, self.now()).await;
        match self.watch(outcome).map_err(Failure::from)? {
            CancelOutcome::Canceled(verification) => {
                self.note_event(Event::Canceled, &about(&verification));
                Ok(self.overview(*verification)?)
            }
            CancelOutcome::Ended(status) => Err(CancelError::Ended(status)),
            CancelOutcome::NotFound => Err(CancelError::NotFound),
        }
    }

    /// The code that was sent, for a caller who may see codes. That it was shown is noted.
    pub fn reveal<'a>(&self, sent: &'a Sent, by: Option<&ApiKeyId>) -> &'a str {
        let subject = Subject {
            by,
            ..about(&sent.overview.verification)
        };
        self.note_event(Event::CodeShown, &subject);
        sent.code.expose()
    }

    fn overview(&self, verification: Verification) -> Result<Overview, Failure> {
        let details = Details::open(verification.id, &verification.details, &self.parts.keys)?;
        let status = verification.status_at(self.now());
        Ok(Overview {
            verification,
            status,
            details,
        })
    }

    fn note_event(&self, event: Event, subject: &Subject<'_>) {
        self.parts.events.note(event, subject);
    }

    /// Lets the counters see that the store failed.
    fn watch<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if answer.is_err() {
            self.note_event(Event::StoreFailed, &Subject::default());
        }
        answer
    }
}

fn about(verification: &Verification) -> Subject<'_> {
    Subject {
        app: Some(&verification.app),
        verification: Some(verification.id),
        recipient: Some(verification.recipient),
        provider: travelled(verification).map(|delivery| delivery.provider.as_str()),
        ..Subject::default()
    }
}

/// The same of a code that a provider took, with the country that it goes to.
fn about_sent<'a>(verification: &'a Verification, details: &Details) -> Subject<'a> {
    Subject {
        country: details.to.as_ref().and_then(Recipient::country),
        ..about(verification)
    }
}

/// The hand-over that the code most likely came by: the last one that a provider took.
fn travelled(verification: &Verification) -> Option<&Delivery> {
    let taken = |delivery: &&Delivery| !matches!(delivery.status, DeliveryStatus::Failed);
    verification.deliveries.iter().rev().find(taken)
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}
