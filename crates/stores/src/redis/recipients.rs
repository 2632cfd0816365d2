//! What is remembered of one recipient, and forgetting it.
//!
//! Both are asked for by people, now and then. So what a place holds is read and written here, and
//! exchanged in one step if nobody changed it meanwhile, in place of one more script that knows its form.

use watchword_core::{RecipientIndex, Remembered, StoreError, Timestamp};

use super::call::Call;
use super::place::{Place, first_four, past};
use super::row::{Told, UNKNOWN};
use super::script;
use super::servers::Unreadable;
use super::store::RedisStore;

/// How often a place is read that others change meanwhile.
const TRIES: usize = 20;

#[derive(Debug, thiserror::Error)]
#[error("the recipient was worked on again and again while it was erased")]
struct NeverStill;

impl RedisStore {
    pub(super) async fn remembered_of(
        &self,
        index: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError> {
        let mut ledger = self.failures_of(index).await?;
        let place = self.place_at(first_four(index.as_bytes())).await?;
        let record = place
            .records
            .into_iter()
            .find(|record| record.recipient == index);
        let Some(record) = record else {
            return Ok(Remembered::of(ledger, Vec::new(), now));
        };
        ledger.slots = record.slots();
        ledger.sends = record.sends;
        let rows = record.rows.into_iter().map(|row| row.verification);
        Ok(Remembered::of(ledger, rows, now))
    }

    pub(super) async fn erase_all_of(
        &self,
        index: RecipientIndex,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let key = self.calls.names.place_of(index);
        for _ in 0..TRIES {
            let Some(held) = self.value(key.clone()).await? else {
                return Ok(0);
            };
            let place = Place::read(first_four(index.as_bytes()), &held);
            let mut place = place.ok_or_else(Unreadable::error)?;
            let Some(erased) = erase(&mut place, index, now) else {
                return Ok(0);
            };
            let call = Call::new(&script::EXCHANGE, key.clone());
            let call = call.text(held).text(place.write());
            let answer = self.servers.call(&call).await?;
            let told = Told::of(&answer).ok_or_else(Unreadable::error)?;
            if told.verdict == "exchanged" {
                return Ok(erased);
            }
        }
        Err(StoreError::unavailable(NeverStill))
    }
}

/// Takes out what is kept of its verifications; how many there were, if there is anything of it.
/// Which of them was the newest of its purpose stays, and since when: the wait for the next send.
fn erase(place: &mut Place, index: RecipientIndex, now: Timestamp) -> Option<u64> {
    let mut records = place.records.iter_mut();
    let record = records.find(|record| record.recipient == index)?;
    let known = record.rows.iter();
    let erased = known.filter(|row| !row.verification.is_forgettable(now));
    let erased = erased.count().try_into().unwrap_or(u64::MAX);
    record.rows.retain(|row| row.newest.is_some());
    let slots = record.slots();
    for (row, slot) in record.rows.iter_mut().zip(&slots) {
        (row.verification, row.short) = (past(index, slot), UNKNOWN);
    }
    Some(erased)
}
