//! What providers report later, and the turn of the next channel.

use super::send::{envelope, plan};
use super::{Failure, Verifier, about};
use crate::callback::{About, Receipt};
use crate::delivery::Delivery;
use crate::details::Details;
use crate::event::{Event, Subject};
use crate::messenger::Verdict;
use crate::step::{Dispatched, Note, Turn};
use crate::store::MessageKey;

/// How many due fallbacks are taken at a time.
const BATCH: usize = 256;

/// What came of a receipt.
#[derive(Debug, Default)]
pub struct Received {
    /// Whether it was about a message of ours.
    pub known: bool,
    /// The turn that it gave, to be given to [`Verifier::fall_back`] by a task that outlives the
    /// callback.
    pub turn: Option<Turn>,
}

impl Verifier {
    /// Takes in what an authenticated callback of `provider` said of one message. Only its
    /// delivery changes, and only forward; what is about a message that nobody knows is dropped.
    /// Doing so again changes nothing.
    ///
    /// # Errors
    /// Only ours; the provider should report again then.
    pub async fn receive(&self, provider: &str, receipt: Receipt) -> Result<Received, Failure> {
        let now = self.now();
        let place = match &receipt.about {
            About::Delivery {
                verification,
                delivery,
            } => Some((*verification, *delivery)),
            About::Message(name) => {
                let key = self.message_key(provider, name);
                let found = self.parts.store.locate(key, now).await;
                self.watch(found)?
            }
        };
        let Some((verification, id)) = place else {
            return Ok(Received::default());
        };
        let subject = Subject {
            verification: Some(verification),
            provider: Some(provider),
            ..Subject::default()
        };
        self.note_event(Event::Receipt(receipt.channel, receipt.status), &subject);
        let note = Note {
            deliveries: vec![Delivery {
                id,
                channel: receipt.channel,
                provider: provider.to_owned(),
                status: receipt.status,
                at: now,
                message_id: receipt.message_id,
                error: receipt.error,
            }],
            ..Note::default()
        };
        let turn = self.parts.store.note(verification, note, now).await;
        Ok(Received {
            known: true,
            turn: self.watch(turn)?,
        })
    }

    /// The turns whose time has come. Nobody else gets the same ones: each has to be given to
    /// [`Self::fall_back`].
    ///
    /// # Errors
    /// Only the store's. Turns that were taken before it failed are in the answer of no later
    /// call; so the answer of a failure is what was taken until then, if anything was.
    pub async fn overdue(&self) -> Result<Vec<Turn>, Failure> {
        let due = self.parts.store.overdue(BATCH, self.now()).await;
        let mut turns = Vec::new();
        for id in self.watch(due)? {
            let turn = self.parts.store.fall_back(id, self.now()).await;
            match self.watch(turn) {
                Ok(turn) => turns.extend(turn),
                Err(error) if turns.is_empty() => return Err(error.into()),
                Err(_) => break,
            }
        }
        Ok(turns)
    }

    /// Sends the same code over the next channel, if it still lives.
    ///
    /// # Errors
    /// Only ours: what was sealed cannot be opened.
    pub async fn fall_back(&self, turn: Turn) -> Result<(), Failure> {
        let verification = *turn.verification;
        let details = Details::open(verification.id, &verification.details, &self.parts.keys)?;
        let (Some(to), Some(code)) = (details.to.clone(), details.code.clone()) else {
            return Ok(());
        };
        let next = usize::from(turn.next);
        let channels = details.channels.get(next..).unwrap_or_default().to_vec();
        let (Some(first), true) = (channels.first().copied(), verification.is_live(self.now()))
        else {
            return Ok(());
        };
        let mut envelope = envelope(&verification, &details, to, &code);
        envelope.channels = channels;
        let left = verification.expires_at.since(self.now());
        let deadline = self.parts.deadline.min(left);
        let dispatch = self.parts.messenger.dispatch(envelope, deadline).await;
        let taken = match dispatch.verdict {
            Verdict::Taken(channel) => Some(channel),
            Verdict::Unavailable | Verdict::Refused | Verdict::Declined => None,
        };
        let event = Event::FellBack {
            channel: taken.unwrap_or(first),
            taken: taken.is_some(),
        };
        self.note_event(event, &about(&verification));
        let fallback = taken.and_then(|channel| plan(&self.parts, &details, channel, self.now()));
        let end = Dispatched {
            sent_at: verification.sent_at,
            fallback,
        };
        self.conclude(&verification, dispatch.deliveries, end).await;
        Ok(())
    }

    /// Notes the end of a dispatch. The message is out (or not) whatever the store says of its
    /// log, so a failure only counts.
    pub(super) async fn conclude(
        &self,
        verification: &crate::verification::Verification,
        deliveries: Vec<Delivery>,
        end: Dispatched,
    ) {
        let tracked = deliveries
            .iter()
            .filter(|delivery| self.parts.messenger.tracks(&delivery.provider));
        let names = tracked
            .filter_map(|delivery| {
                let name = delivery.message_id.as_deref()?;
                Some((self.message_key(&delivery.provider, name), delivery.id))
            })
            .collect();
        let note = Note {
            deliveries,
            dispatched: Some(end),
            names,
        };
        let noted = self.parts.store.note(verification.id, note, self.now());
        let _ = self.watch(noted.await);
    }

    fn message_key(&self, provider: &str, name: &str) -> MessageKey {
        let fields: [&[u8]; 3] = [b"message", provider.as_bytes(), name.as_bytes()];
        let fingerprint = self.parts.keys.fingerprint(&fields);
        let mut key = [0; 16];
        key.copy_from_slice(&fingerprint[..16]);
        MessageKey(key)
    }
}
