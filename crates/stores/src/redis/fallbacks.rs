//! Receipts, and whose turn is due.
//!
//! Which fallbacks are due is found through a few sorted sets, apart from the rows. They are an
//! index: an entry is written before the row that it stands for, the row decides, and an entry
//! whose row says otherwise is moved or dropped when it is met.

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::Value;
use uuid::Uuid;
use watchword_core::{DeliveryId, MessageKey, Note, StoreError, Timestamp, Turn, VerificationId};

use super::call::DUE_SETS;
use super::place::prefix_of;
use super::reply::{Parts, bytes, integer, list};
use super::row::Told;
use super::script;
use super::servers::Unreadable;
use super::store::RedisStore;

/// How long an entry is kept whose row does not know of it: the row may be on its way.
const STRAY: Duration = Duration::from_mins(1);

/// What a note came to.
struct Noted {
    turn: Option<Turn>,
    /// Until when its verification is remembered.
    until: Timestamp,
    /// When a turn became due before its time.
    at_once: Option<Timestamp>,
}

fn noted(mut told: Told<'_>, id: VerificationId) -> Option<Noted> {
    let (until, at_once) = (told.moment()?, told.maybe_moment()?);
    let turn = match told.two()?.checked_sub(1) {
        None => None,
        Some(next) => Some(Turn {
            next: u8::try_from(next).ok()?,
            verification: Box::new(told.verification(prefix_of(id))?),
        }),
    };
    Some(Noted {
        turn,
        until,
        at_once,
    })
}

impl RedisStore {
    pub(super) async fn note_hand_overs(
        &self,
        id: VerificationId,
        note: Note,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let planned = note.dispatched.and_then(|end| end.fallback);
        let expected = planned.and_then(|fallback| fallback.due);
        if let Some(due) = expected {
            self.expect(id, due, now).await?;
        }
        let call = self.calls.note(id, &note, now);
        let answer = self.servers.call(&call).await?;
        let told = Told::of(&answer).ok_or_else(Unreadable::error)?;
        if told.verdict == "gone" {
            return Ok(None);
        }
        let noted = noted(told, id).ok_or_else(Unreadable::error)?;
        if let Some(due) = noted.at_once {
            self.settle(id, None, Some(due), now).await?;
        }
        let names = note.names.iter().map(|(name, delivery)| async move {
            let key = self.calls.names.message(name.0);
            let call = self.calls.call(&script::NAME, key, now);
            let call = call
                .text(id.as_bytes())
                .text(delivery.0.as_bytes())
                .moment(noted.until);
            self.servers.call(&call).await
        });
        try_join_all(names).await?;
        Ok(noted.turn)
    }

    pub(super) async fn locate_message(
        &self,
        name: MessageKey,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, DeliveryId)>, StoreError> {
        let call = self
            .calls
            .call(&script::LOCATE, self.calls.names.message(name.0), now);
        let answer = self.servers.call(&call).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let mut parts = Parts::of(answer).ok_or_else(Unreadable::error)?;
        let delivery = |parts: &mut Parts| {
            let delivery = parts.array().map(Uuid::from_bytes)?;
            Some(DeliveryId(delivery))
        };
        let found = parts.id().zip(delivery(&mut parts));
        found.ok_or_else(Unreadable::error).map(Some)
    }

    pub(super) async fn find_overdue(
        &self,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<VerificationId>, StoreError> {
        let sets = (0..DUE_SETS).map(|set| self.overdue_of(set, most, now));
        let found = try_join_all(sets).await?;
        let mut found: Vec<_> = found.into_iter().flatten().collect();
        found.sort_unstable();
        let ids = found.into_iter().map(|(_, id)| id);
        Ok(ids.take(most).collect())
    }

    async fn overdue_of(
        &self,
        set: u16,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, VerificationId)>, StoreError> {
        let (mut found, mut offset) = (Vec::new(), 0_u64);
        while found.len() < most {
            let call = self
                .calls
                .call(&script::DUE, self.calls.names.due(set), now);
            let count = u64::try_from(most).unwrap_or(u64::MAX);
            let answer = self
                .servers
                .call(&call.number(offset).number(count))
                .await?;
            let (read_at, entries) = due_entries(answer).ok_or_else(Unreadable::error)?;
            let looks = entries.iter().map(|(score, id)| async move {
                let call = self.calls.of_verification(&script::FALL_BACK, *id, now);
                let answer = self.servers.call(&call.byte(1)).await?;
                let mut told = Told::of(&answer).ok_or_else(Unreadable::error)?;
                let due = match told.verdict {
                    "due" => Some(told.moment().ok_or_else(Unreadable::error)?),
                    _ => None,
                };
                Ok::<_, StoreError>((*score, *id, due))
            });
            for (score, id, due) in try_join_all(looks).await? {
                match due {
                    Some(due) if due <= read_at => {
                        found.push((due, id));
                        offset += 1;
                    }
                    None if score.plus(STRAY) > read_at => offset += 1,
                    due => self.settle(id, Some(score), due, now).await?,
                }
            }
            if entries.len() < most {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn take_turn(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let call = self.calls.of_verification(&script::FALL_BACK, id, now);
        let answer = self.servers.call(&call.byte(0)).await?;
        let mut told = Told::of(&answer).ok_or_else(Unreadable::error)?;
        if told.verdict == "none" {
            return Ok(None);
        }
        let read = || {
            let (due, next) = (told.moment()?, told.two()?.checked_sub(1)?);
            let row = told.verification(prefix_of(id))?;
            Some((due, u8::try_from(next).ok()?, row))
        };
        let (due, next, row) = read().ok_or_else(Unreadable::error)?;
        if let Err(error) = self.settle(id, Some(due), None, now).await {
            tracing::debug!(%error, "an entry of a fallback is dropped later");
        }
        Ok(Some(Turn {
            verification: Box::new(row),
            next,
        }))
    }

    /// Writes down when somebody has to look, by the caller's clock.
    async fn expect(
        &self,
        id: VerificationId,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let call = self
            .calls
            .call(&script::EXPECT, self.calls.names.due(id.tag()), now);
        let call = call.moment(due).text(id.as_bytes());
        self.servers.call(&call).await.map(drop)
    }

    /// Moves an entry to where its row says, or drops it, unless somebody moved it since it was
    /// `seen`; without that, whatever is there.
    async fn settle(
        &self,
        id: VerificationId,
        seen: Option<Timestamp>,
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let call = self
            .calls
            .call(&script::SETTLE, self.calls.names.due(id.tag()), now);
        let call = call
            .text(id.as_bytes())
            .maybe_number(seen.map(Timestamp::as_millis))
            .maybe_number(due.map(Timestamp::as_millis));
        self.servers.call(&call).await.map(drop)
    }
}

/// When the entries were read, and those that were due then.
fn due_entries(answer: Value) -> Option<(Timestamp, Vec<(Timestamp, VerificationId)>)> {
    let mut parts = Parts::of(answer)?;
    let read_at = parts.moment()?;
    let page = list(parts.value()?)?;
    let entries = page.chunks(2).map(|pair| {
        let [member, score] = pair else { return None };
        let id = bytes(member)?.try_into().ok()?;
        let score = u64::try_from(integer(score)?).ok()?;
        Some((
            Timestamp::from_millis(score),
            VerificationId::from_bytes(id),
        ))
    });
    Some((read_at, entries.collect::<Option<_>>()?))
}
