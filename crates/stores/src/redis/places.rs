//! What this node remembers of the verifications that it lately sent: what their digests bind.
//!
//! A hint, no more: the server says which is the right one to a check whose place is not remembered,
//! or not the row's any more, and the check is sent again.

use std::collections::HashMap;

use parking_lot::Mutex;
use watchword_core::{
    Channel, CodeContext, Purpose, RecipientIndex, StartStep, Verification, VerificationId,
};

use super::row::{Told, channel_number};

/// Places in one generation; two are kept. Some 25 MB at most.
const MOST: usize = 50_000;

#[derive(Clone)]
pub(super) struct Place {
    pub(super) id: VerificationId,
    recipient: RecipientIndex,
    channel: Channel,
    purpose: Purpose,
}

impl Place {
    pub(super) fn context(&self) -> CodeContext<'_> {
        CodeContext {
            id: self.id,
            recipient: self.recipient,
            channel: self.channel,
            purpose: &self.purpose,
        }
    }

    /// As the server has it, for the key that the check names.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let purpose = self.purpose.as_str();
        let mut bytes = Vec::with_capacity(25 + purpose.len());
        bytes.extend(&self.id.as_bytes()[4..]);
        bytes.extend(&self.recipient.as_bytes()[4..]);
        bytes.push(channel_number(self.channel));
        bytes.extend(purpose.as_bytes());
        bytes
    }

    /// As the server said it.
    pub(super) fn told(mut told: Told<'_>, place: [u8; 4]) -> Option<Self> {
        Some(Self {
            id: VerificationId::from_bytes(told.in_place(place)?),
            recipient: RecipientIndex::from_bytes(told.in_place(place)?),
            channel: told.channel()?,
            purpose: Purpose::parse(told.text()?).ok()?,
        })
    }
}

impl From<&StartStep> for Place {
    fn from(step: &StartStep) -> Self {
        Self {
            id: step.id,
            recipient: step.recipient,
            channel: step.channel,
            purpose: step.purpose.clone(),
        }
    }
}

impl From<&Verification> for Place {
    fn from(row: &Verification) -> Self {
        Self {
            id: row.id,
            recipient: row.recipient,
            channel: row.channel,
            purpose: row.purpose.clone(),
        }
    }
}

#[derive(Default)]
pub(super) struct Places(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: Shelf,
    old: Shelf,
}

#[derive(Default)]
struct Shelf {
    places: HashMap<VerificationId, Place>,
    newest: HashMap<(RecipientIndex, Purpose), VerificationId>,
}

impl Places {
    pub(super) fn remember(&self, place: Place) {
        let mut all = self.0.lock();
        if all.young.places.len() >= MOST {
            all.old = std::mem::take(&mut all.young);
        }
        let recipient = (place.recipient, place.purpose.clone());
        all.young.newest.insert(recipient, place.id);
        all.young.places.insert(place.id, place);
    }

    pub(super) fn of(&self, id: VerificationId) -> Option<Place> {
        let all = self.0.lock();
        let known = all
            .young
            .places
            .get(&id)
            .or_else(|| all.old.places.get(&id));
        known.cloned()
    }

    pub(super) fn newest(&self, recipient: RecipientIndex, purpose: &Purpose) -> Option<Place> {
        let id = {
            let key = (recipient, purpose.clone());
            let all = self.0.lock();
            let known = all.young.newest.get(&key);
            *known.or_else(|| all.old.newest.get(&key))?
        };
        self.of(id)
    }
}
