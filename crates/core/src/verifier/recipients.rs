//! What is held about a recipient: lifting its lock, telling it, and erasing it.

use super::{Failure, Overview, Verifier};
use crate::api_key::ApiKeyId;
use crate::app::AppId;
use crate::details::Details;
use crate::digest::RecipientIndex;
use crate::event::{Event, Subject};
use crate::ledger::RecipientLedger;
use crate::recipient::Recipient;
use crate::verification::Verification;

/// Everything that is held about a recipient of an app, but for accounts.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it is found by, here and in the audit log.
    pub index: RecipientIndex,
    /// Its counters.
    pub ledger: RecipientLedger,
    /// Its verifications whose details can be opened, oldest first.
    pub verifications: Vec<Overview>,
    /// Those whose details no key of the ring opens any more.
    pub unreadable: Vec<Verification>,
}

impl Verifier {
    /// Lifts the lock of a recipient, as somebody vouched for it, and forgets its failures;
    /// whether there was anything to lift.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn unlock(
        &self,
        app: &AppId,
        to: &Recipient,
        by: Option<&ApiKeyId>,
    ) -> Result<bool, Failure> {
        let index = self.parts.keys.recipient_index(app, to);
        let unlocked = self.parts.store.unlock(index, self.now()).await;
        let unlocked = self.watch(unlocked)?;
        if unlocked {
            self.note_of(Event::Unlocked, app, index, by);
        }
        Ok(unlocked)
    }

    /// Everything that is held about a recipient. That it was told is noted.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn known(
        &self,
        app: &AppId,
        to: &Recipient,
        by: Option<&ApiKeyId>,
    ) -> Result<Known, Failure> {
        let index = self.parts.keys.recipient_index(app, to);
        let remembered = self.parts.store.remembered(index, self.now()).await;
        let remembered = self.watch(remembered)?;
        self.note_of(Event::RecipientShown, app, index, by);
        let mut known = Known {
            index,
            ledger: remembered.ledger,
            verifications: Vec::new(),
            unreadable: Vec::new(),
        };
        for row in remembered.verifications {
            match Details::open(row.id, &row.details, &self.parts.keys) {
                Ok(_) => known.verifications.push(self.overview(row)?),
                Err(_) => known.unreadable.push(row),
            }
        }
        Ok(known)
    }

    /// Forgets the verifications of a recipient, live ones too; how many there were. Its counters
    /// stay, under its keyed index: else erasing would be a way around every budget.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn erase(
        &self,
        app: &AppId,
        to: &Recipient,
        by: Option<&ApiKeyId>,
    ) -> Result<u64, Failure> {
        let index = self.parts.keys.recipient_index(app, to);
        let erased = self.parts.store.erase(index, self.now()).await;
        let erased = self.watch(erased)?;
        // Also where nothing was left of it: somebody asked for it, and it is done.
        self.note_of(Event::RecipientErased, app, index, by);
        Ok(erased)
    }

    fn note_of(&self, event: Event, app: &AppId, recipient: RecipientIndex, by: Option<&ApiKeyId>) {
        let subject = Subject {
            app: Some(app),
            recipient: Some(recipient),
            by,
            ..Subject::default()
        };
        self.note_event(event, &subject);
    }
}
