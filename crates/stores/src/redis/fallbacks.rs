//! Receipts, and whose turn is due.
//!
//! Which fallbacks are due is found through a few sorted sets, apart from the rows. They are an
//! index: an entry is written before the row that it stands for, the row decides, and an entry
//! whose row says otherwise is moved or dropped when it is met.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
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
        // In a cluster, what is noted lies on other shards than its entry and its names: none of them
        // being gone keeps the rest from being written.
        let mut written = Ok(());
        if let Some(due) = expected {
            written = self.expect(id, due, now).await;
        }
        let call = self.calls.note(id, &note, now);
        let answer = self.servers.call(&call).await?;
        let told = Told::of(&answer).ok_or_else(Unreadable::error)?;
        if told.verdict == "gone" {
            return Ok(None);
        }
        let noted = noted(told, id).ok_or_else(Unreadable::error)?;
        if let Some(due) = noted.at_once {
            written = written.and(self.settle(id, None, Some(due), now).await);
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
        for named in join_all(names).await {
            written = written.and(named.map(drop));
        }
        written.map(|()| noted.turn)
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
        let (mut found, mut answered, mut failed) = (Vec::new(), false, None);
        for of_set in join_all(sets).await {
            match of_set {
                Ok(of_set) => {
                    answered = true;
                    found.extend(of_set);
                }
                Err(error) => {
                    waits(&error);
                    failed = failed.or(Some(error));
                }
            }
        }
        if let (false, Some(error)) = (answered, failed) {
            return Err(error);
        }
        found.sort_unstable();
        let ids = found.into_iter().map(|(_, id)| id);
        Ok(ids.take(most).collect())
    }

    /// Those of one set whose rows can be asked at present.
    async fn overdue_of(
        &self,
        set: u16,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, VerificationId)>, StoreError> {
        let began = Instant::now();
        let (mut found, mut offset) = (Vec::new(), 0_u64);
        loop {
            let (read_at, entries) = match self.due_page(set, offset, most, now).await {
                Ok(page) => page,
                Err(error) if found.is_empty() => return Err(error),
                Err(error) => {
                    waits(&error);
                    return Ok(found);
                }
            };
            let looks = entries
                .iter()
                .map(|(score, id)| async move { (*score, *id, self.due_of(*id, now).await) });
            let mut moved = Vec::new();
            for (score, id, due) in join_all(looks).await {
                match due {
                    Ok(Some(due)) if due <= read_at => found.push((due, id)),
                    Ok(None) if score.plus(STRAY) > read_at => {}
                    Ok(due) => {
                        moved.push((id, score, due));
                        continue;
                    }
                    Err(error) => waits(&error),
                }
                offset += 1;
            }
            for (id, score, due) in moved {
                if let Err(error) = self.settle(id, Some(score), due, now).await {
                    waits(&error);
                    return Ok(found);
                }
            }
            // A row on a server that hangs has taken the time that there was.
            if entries.len() < most || found.len() >= most || self.servers.is_late(began) {
                return Ok(found);
            }
        }
    }

    async fn due_page(
        &self,
        set: u16,
        offset: u64,
        most: usize,
        now: Timestamp,
    ) -> Result<(Timestamp, Vec<(Timestamp, VerificationId)>), StoreError> {
        let key = self.calls.names.due(set);
        let count = u64::try_from(most).unwrap_or(u64::MAX);
        let call = self.calls.call(&script::DUE, key, now);
        let answer = self
            .servers
            .call(&call.number(offset).number(count))
            .await?;
        due_entries(answer).ok_or_else(Unreadable::error)
    }

    /// When the turn of a verification is due, as its row says.
    async fn due_of(
        &self,
        id: VerificationId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let call = self.calls.of_verification(&script::FALL_BACK, id, now);
        let answer = self.servers.call(&call.byte(1)).await?;
        let mut told = Told::of(&answer).ok_or_else(Unreadable::error)?;
        match told.verdict {
            "due" => told.moment().ok_or_else(Unreadable::error).map(Some),
            _ => Ok(None),
        }
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

/// Says that a due fallback is left until its server is there again.
fn waits(error: &StoreError) {
    tracing::debug!(%error, "a due fallback waits for its server");
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
