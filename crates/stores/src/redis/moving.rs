//! The store as rows, for moving them from one store to another.
//!
//! Nobody else works on it meanwhile, so that what belongs together may be read and written in
//! several calls.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::Value;
use uuid::Uuid;
use watchword_core::keys::Sealed;
use watchword_core::memory::{NamedMessage, ReplayEntry};
use watchword_core::moving::{Class, Pages, RecipientRow, Row, Rows, SourceRow};
use watchword_core::{
    DeliveryId, LONGEST_WINDOW, MessageKey, RecipientIndex, RecipientLedger, ReplayKey,
    SourceIndex, StoreError, Timestamp, VerificationId,
};

use super::call::{Call, Time};
use super::keys::Key;
use super::place::{self, Place, Prefix, first_four, prefix_of};
use super::reply::{Parts, bytes};
use super::scan::Scan;
use super::script;
use super::servers::Unreadable;
use super::store::RedisStore;

/// How long the steps let a key outlive what it holds.
const STEPS_GRACE: Duration = Duration::from_mins(5);
/// How long a copied one does: while the copy goes on, nothing of it may be gone.
const GRACE: Duration = Duration::from_mins(5 + 60);

struct Walk<'a> {
    store: &'a RedisStore,
    scan: Option<Scan>,
    /// Keys that were met. A scan may meet one twice.
    seen: HashSet<Key>,
}

#[async_trait]
impl Pages for Walk<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        let store = self.store;
        let scan = match &mut self.scan {
            Some(scan) => scan,
            None => {
                let scan = Scan::of(&store.servers, &store.calls.names).await?;
                self.scan.insert(scan)
            }
        };
        let Some((_, keys)) = scan.next().await? else {
            return Ok(None);
        };
        let keys = keys.iter().filter_map(|key| store.calls.names.kind(key));
        let fresh: Vec<Key> = keys.filter(|key| self.seen.insert(*key)).collect();
        let rows = fresh.into_iter().map(|key| store.rows_of(key));
        let rows = try_join_all(rows).await?;
        Ok(Some(rows.into_iter().flatten().collect()))
    }
}

impl RedisStore {
    pub(super) async fn value(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(&key);
        Ok(bytes(&self.servers.run(&key, &command).await?))
    }

    async fn set(&self, key: Vec<u8>, value: Vec<u8>, life: u64) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(value).arg("PX").arg(life);
        self.servers.run(&key, &command).await.map(drop)
    }

    pub(super) async fn failures_of(
        &self,
        recipient: RecipientIndex,
    ) -> Result<RecipientLedger, StoreError> {
        let kept = self.value(self.calls.names.failures(recipient)).await?;
        let Some(kept) = kept else {
            return Ok(RecipientLedger::default());
        };
        place::read_failures(&kept).ok_or_else(Unreadable::error)
    }

    pub(super) async fn place_at(&self, prefix: Prefix) -> Result<Place, StoreError> {
        let kept = self.value(self.calls.names.place_at(prefix)).await?;
        Place::read(prefix, &kept.unwrap_or_default()).ok_or_else(Unreadable::error)
    }

    /// What is kept under a key. One that is gone has ended.
    async fn rows_of(&self, key: Key) -> Result<Vec<Row>, StoreError> {
        match key {
            Key::Place(prefix) => {
                let mut rows = Vec::new();
                for record in self.place_at(prefix).await?.records {
                    let mut ledger = self.failures_of(record.recipient).await?;
                    ledger.slots = record.slots();
                    ledger.sends = record.sends;
                    rows.push(Row::Recipient(Box::new(RecipientRow {
                        index: record.recipient,
                        ledger,
                        horizon: record.horizon,
                    })));
                    let each = record.rows.into_iter();
                    rows.extend(each.map(|row| Row::Verification(Box::new(row.verification))));
                }
                Ok(rows)
            }
            Key::Failures(index) => {
                let recipient = RecipientIndex::from_bytes(index);
                let [a, b, c, d, ..] = index;
                let place = self.place_at([a, b, c, d]).await?;
                if place
                    .records
                    .iter()
                    .any(|known| known.recipient == recipient)
                {
                    // Told with its place.
                    return Ok(Vec::new());
                }
                Ok(vec![Row::Recipient(Box::new(RecipientRow {
                    index: recipient,
                    ledger: self.failures_of(recipient).await?,
                    horizon: Duration::ZERO,
                }))])
            }
            Key::Source(index) => self.source_row(SourceIndex::from_bytes(index)).await,
            Key::Name(name) => {
                let held = self.held(self.calls.names.message(name)).await?;
                Ok(held.map_or_else(Vec::new, |mut parts| {
                    let named = named(&mut parts);
                    named
                        .into_iter()
                        .map(|named| Row::Name(MessageKey(name), named))
                        .collect()
                }))
            }
            Key::Answer(key) => {
                let held = self.held(self.calls.names.replay(key)).await?;
                let Some(mut parts) = held else {
                    return Ok(Vec::new());
                };
                let entry = answer(&mut parts).ok_or_else(Unreadable::error)?;
                Ok(vec![Row::Answer(ReplayKey(key), entry)])
            }
            Key::Other => Ok(Vec::new()),
        }
    }

    async fn held(&self, key: Vec<u8>) -> Result<Option<Parts>, StoreError> {
        let call = Call::new(&script::HELD, key);
        let answer = self.servers.call(&call).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        Parts::of(answer).map(Some).ok_or_else(Unreadable::error)
    }

    async fn source_row(&self, index: SourceIndex) -> Result<Vec<Row>, StoreError> {
        let call = Call::new(&script::SOURCE, self.calls.names.source(index));
        let answer = self.servers.call(&call).await?;
        if answer == Value::Nil {
            return Ok(Vec::new());
        }
        let mut parts = Parts::of(answer).ok_or_else(Unreadable::error)?;
        let log = parts.value().as_ref().and_then(bytes);
        let sends = log
            .and_then(|log| place::log(&log))
            .ok_or_else(Unreadable::error)?;
        let dies = parts.moment().ok_or_else(Unreadable::error)?;
        let newest = sends.moments().last().copied().unwrap_or_default();
        let horizon = match self.calls.time {
            // Whole seconds, as two looks at the same key may be a millisecond apart.
            Time::Server => {
                let millis = dies.minus(STEPS_GRACE).since(newest).as_millis();
                let seconds = u64::try_from(millis.saturating_add(500) / 1000);
                Duration::from_secs(seconds.unwrap_or(u64::MAX)).min(LONGEST_WINDOW)
            }
            // By another clock than that of its time to live.
            Time::Caller => LONGEST_WINDOW,
        };
        Ok(vec![Row::Source(SourceRow {
            index,
            sends,
            horizon,
        })])
    }

    async fn put_place(
        &self,
        prefix: Prefix,
        rows: Vec<Row>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut place = self.place_at(prefix).await?;
        for row in rows {
            match row {
                Row::Verification(row) => {
                    place.record(row.recipient).put(*row);
                }
                Row::Recipient(row) => {
                    let record = place.record(row.index);
                    record.horizon = row.horizon;
                    record.put_slots(&row.ledger.slots);
                    record.sends = row.ledger.sends.clone();
                    if let Some(failures) = place::write_failures(&row.ledger) {
                        let end = RecipientLedger {
                            sends: watchword_core::SlidingLog::default(),
                            slots: Vec::new(),
                            ..row.ledger
                        };
                        let life = life(end.idle_from(Duration::ZERO), at);
                        self.set(self.calls.names.failures(row.index), failures, life)
                            .await?;
                    }
                }
                _ => {}
            }
        }
        place
            .records
            .retain(|record| !record.rows.is_empty() || !record.sends.is_empty());
        if place.records.is_empty() {
            return Ok(());
        }
        let life = life(Some(place.until()), at);
        self.set(self.calls.names.place_at(prefix), place.write(), life)
            .await
    }

    async fn put_row(&self, row: Row, at: Timestamp) -> Result<(), StoreError> {
        let call = match &row {
            Row::Verification(row) => {
                let due = row.fallback.and_then(|fallback| fallback.due);
                let Some(due) = due else { return Ok(()) };
                Call::new(&script::EXPECT, self.calls.names.due(row.id.tag()))
                    .at(Time::Caller, at)
                    .moment(due)
                    .text(row.id.as_bytes())
            }
            Row::Source(source) => {
                let mut log = Vec::new();
                place::put_log(&mut log, &source.sends);
                let key = self.calls.names.source(source.index);
                return self.set(key, log, life(row.ends(), at)).await;
            }
            Row::Name(key, named) => Call::new(&script::PUT_NAME, self.calls.names.message(key.0))
                .text(named.verification.as_bytes())
                .text(named.delivery.0.as_bytes())
                .moment(named.until)
                .number(life(row.ends(), at)),
            Row::Answer(key, entry) => {
                let call = Call::new(&script::PUT_ANSWER, self.calls.names.replay(key.0))
                    .text(entry.fingerprint)
                    .moment(entry.until)
                    .number(life(row.ends(), at));
                match &entry.answer {
                    Some(answer) => call.text(answer.as_bytes()),
                    None => call,
                }
            }
            Row::Recipient(_) | Row::ApiKey(_) | Row::Account(_) => return Ok(()),
        };
        self.servers.call(&call).await.map(drop)
    }
}

/// The time to live of what counts until then; of what counts for good, a hundred years.
fn life(end: Option<Timestamp>, at: Timestamp) -> u64 {
    const FOR_GOOD: u64 = 3_155_760_000_000;
    let life = end.map(|end| (end.since(at) + GRACE).as_millis());
    life.map_or(FOR_GOOD, |life| u64::try_from(life).unwrap_or(FOR_GOOD))
}

fn named(parts: &mut Parts) -> Option<NamedMessage> {
    Some(NamedMessage {
        verification: parts.id()?,
        delivery: DeliveryId(Uuid::from_bytes(parts.array()?)),
        until: parts.moment()?,
    })
}

fn answer(parts: &mut Parts) -> Option<ReplayEntry> {
    Some(ReplayEntry {
        fingerprint: parts.array()?,
        until: parts.moment()?,
        answer: parts.maybe(|answer| bytes(answer).map(|bytes| Sealed::from_bytes(&bytes)))?,
    })
}

/// The place of a row that has one.
fn prefix(row: &Row) -> Result<Option<Prefix>, StoreError> {
    let (own, handles): (Prefix, Vec<VerificationId>) = match row {
        Row::Verification(row) => (first_four(row.recipient.as_bytes()), vec![row.id]),
        Row::Recipient(row) => {
            let slots = row.ledger.slots.iter();
            (
                first_four(row.index.as_bytes()),
                slots.map(|slot| slot.id).collect(),
            )
        }
        _ => return Ok(None),
    };
    if handles.iter().any(|id| prefix_of(*id) != own) {
        return Err(StoreError::unavailable(
            "a handle does not lead to the place of its recipient: an earlier release made it; \
             copy again when its code has died",
        ));
    }
    Ok(Some(own))
}

#[async_trait]
impl Rows for RedisStore {
    fn classes(&self) -> &[Class] {
        &[
            Class::Verifications,
            Class::Recipients,
            Class::Sources,
            Class::MessageNames,
            Class::IdempotencyKeys,
        ]
    }

    fn pages(&self) -> Box<dyn Pages + '_> {
        Box::new(Walk {
            store: self,
            scan: None,
            seen: HashSet::new(),
        })
    }

    async fn put(&self, rows: Vec<Row>, at: Timestamp) -> Result<(), StoreError> {
        let mut places: BTreeMap<Prefix, Vec<Row>> = BTreeMap::new();
        let mut others = Vec::new();
        for row in rows {
            let place = prefix(&row)?;
            if let Some(place) = place {
                places.entry(place).or_default().push(row.clone());
            }
            others.push(row);
        }
        // Entries of fallbacks that are due go before their rows, as in the steps.
        try_join_all(others.into_iter().map(|row| self.put_row(row, at))).await?;
        let places = places.into_iter();
        let put = places.map(|(prefix, rows)| self.put_place(prefix, rows, at));
        try_join_all(put).await.map(drop)
    }
}
