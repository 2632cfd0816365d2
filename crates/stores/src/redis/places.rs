//! What this node remembers of the verifications that it lately sent: what their digests bind.
//!
//! A hint, no more: a check whose place is not remembered, or not the row's any more, is joined
//! where the row is, at four times the cost for the server.

use std::collections::HashMap;

use parking_lot::Mutex;
use watchword_core::{
    Channel, CodeContext, Purpose, RecipientIndex, StartStep, Verification, VerificationId,
};

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

    /// What a digest joins to the MAC of a code: see [`watchword_core::CodeDigest::bind`].
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (channel, purpose) = (self.channel.as_str(), self.purpose.as_str());
        let length = u16::try_from(purpose.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(64 + purpose.len());
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.recipient.as_bytes());
        bytes.push(u8::try_from(channel.len()).unwrap_or(u8::MAX));
        bytes.extend(channel.as_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(purpose.as_bytes());
        bytes
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
