//! The first form of rows in a file, which is only read any more: numbers and lengths of a fixed width,
//! and deliveries as JSON.

use super::names::NamedMessage;
use super::record::{Change, Class, CorruptRecord, STATUSES};
use super::replays::ReplayEntry;
use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, DeliveryId};
use crate::digest::{CodeDigest, RecipientIndex, SourceIndex};
use crate::id::VerificationId;
use crate::keys::{KeyId, Sealed};
use crate::ledger::{RecipientLedger, Slot};
use crate::limit::SlidingLog;
use crate::purpose::Purpose;
use crate::store::{MessageKey, ReplayKey};
use crate::verification::{Fallback, Verification};

/// The row of this kind, key and all.
///
/// # Errors
/// Where in `row` reading failed.
pub(super) fn read(class: Class, row: &[u8]) -> Result<Change, CorruptRecord> {
    let mut reader = Reader { row, at: 0 };
    let change = match class {
        Class::Verification => Change::Verification(Box::new(reader.verification()?)),
        Class::Ledger => Change::Ledger(
            RecipientIndex::from_bytes(reader.array()?),
            reader.ledger()?,
        ),
        Class::Source => Change::Source(SourceIndex::from_bytes(reader.array()?), reader.log()?),
        Class::Replay => Change::Replay(ReplayKey(reader.array()?), reader.replay()?),
        Class::Name => Change::Name(MessageKey(reader.array()?), reader.name()?),
    };
    if reader.at == row.len() {
        Ok(change)
    } else {
        reader.corrupt()
    }
}

struct Reader<'a> {
    row: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn corrupt<T>(&self) -> Result<T, CorruptRecord> {
        Err(CorruptRecord { at: self.at })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CorruptRecord> {
        let end = self
            .at
            .checked_add(len)
            .filter(|end| *end <= self.row.len());
        let Some(end) = end else {
            return self.corrupt();
        };
        let taken = &self.row[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CorruptRecord> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, CorruptRecord> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, CorruptRecord> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn bool(&mut self) -> Result<bool, CorruptRecord> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => self.corrupt(),
        }
    }

    fn moment(&mut self) -> Result<Timestamp, CorruptRecord> {
        Ok(Timestamp::from_millis(u64::from_le_bytes(self.array()?)))
    }

    /// A moment whose zero stands for none.
    fn maybe_moment(&mut self) -> Result<Option<Timestamp>, CorruptRecord> {
        Ok(Some(self.moment()?).filter(|at| *at != Timestamp::default()))
    }

    fn bytes(&mut self) -> Result<&'a [u8], CorruptRecord> {
        let len = self.u32()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Result<&'a str, CorruptRecord> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| CorruptRecord { at })
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T, CorruptRecord> {
        let index = usize::from(self.u8()?);
        all.get(index).copied().map_or_else(|| self.corrupt(), Ok)
    }

    fn log(&mut self) -> Result<SlidingLog, CorruptRecord> {
        let len = self.u32()?;
        let moments = (0..len).map(|_| self.moment()).collect::<Result<_, _>>()?;
        Ok(SlidingLog::from_moments(moments))
    }

    fn purpose(&mut self) -> Result<Purpose, CorruptRecord> {
        let at = self.at;
        Purpose::parse(self.text()?).map_err(|_| CorruptRecord { at })
    }

    fn verification(&mut self) -> Result<Verification, CorruptRecord> {
        let mut row = Verification {
            id: VerificationId::from_bytes(self.array()?),
            recipient: RecipientIndex::from_bytes(self.array()?),
            addressed: self.bool()?,
            app: AppId::parse(self.text()?).or_else(|_| self.corrupt())?,
            purpose: self.purpose()?,
            channel: self.one_of(&Channel::ALL)?,
            status: self.one_of(&STATUSES)?,
            digest: CodeDigest::from_parts(KeyId::from_bytes(self.array()?), self.array()?),
            attempts_left: self.u32()?,
            created_at: self.moment()?,
            sent_at: self.moment()?,
            expires_at: self.moment()?,
            ended_at: self.maybe_moment()?,
            details: Sealed::from_bytes(self.bytes()?),
            deliveries: self.deliveries()?,
            outdated: 0,
            fallback: None,
        };
        // Rows from before there were fallbacks end here.
        if self.at < self.row.len() {
            row.outdated = u16::from_le_bytes(self.array()?);
            row.fallback = self.fallback()?;
        }
        Ok(row)
    }

    fn fallback(&mut self) -> Result<Option<Fallback>, CorruptRecord> {
        let planned = self.bool()?;
        let next = self.u8()?;
        let due = self.maybe_moment()?;
        Ok(planned.then_some(Fallback { next, due }))
    }

    fn name(&mut self) -> Result<NamedMessage, CorruptRecord> {
        Ok(NamedMessage {
            verification: VerificationId::from_bytes(self.array()?),
            delivery: DeliveryId(uuid::Uuid::from_bytes(self.array()?)),
            until: self.moment()?,
        })
    }

    fn deliveries(&mut self) -> Result<Vec<Delivery>, CorruptRecord> {
        match self.bytes()? {
            [] => Ok(Vec::new()),
            json => serde_json::from_slice(json).or_else(|_| self.corrupt()),
        }
    }

    fn ledger(&mut self) -> Result<RecipientLedger, CorruptRecord> {
        Ok(RecipientLedger {
            sends: self.log()?,
            failures: self.log()?,
            row: self.u32()?,
            locked: self.bool()?,
            slots: (0..self.u32()?)
                .map(|_| {
                    Ok(Slot {
                        purpose: self.purpose()?,
                        id: VerificationId::from_bytes(self.array()?),
                        sent_at: self.maybe_moment()?,
                        until: self.moment()?,
                    })
                })
                .collect::<Result<_, _>>()?,
        })
    }

    fn replay(&mut self) -> Result<ReplayEntry, CorruptRecord> {
        let fingerprint = self.array()?;
        let until = self.moment()?;
        let answered = self.bool()?;
        let answer = Sealed::from_bytes(self.bytes()?);
        Ok(ReplayEntry {
            fingerprint,
            answer: answered.then_some(answer),
            until,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{FORMAT, Lane, READABLE, changes};
    use super::*;
    use crate::delivery::DeliveryStatus;
    use crate::fakes;
    use crate::verification::Status;

    #[test]
    fn what_an_earlier_server_wrote_is_read_as_it_was_meant() {
        assert!(READABLE.contains(&1) && FORMAT != 1);
        let read: Result<Vec<_>, _> = changes(&fakes::record_of_first_form(), Lane::ALL).collect();
        let read = read.unwrap();
        let [
            Change::Verification(started),
            Change::Ledger(recipient, asked),
            Change::Verification(noted),
            Change::Verification(approved),
            Change::Ledger(_, ended),
            Change::Source(_, source),
        ] = &read[..]
        else {
            panic!("{read:?}");
        };
        assert_eq!(started.status, Status::Pending);
        assert_eq!((started.attempts_left, started.ended_at), (5, None));
        let life = started.expires_at.as_millis() - started.sent_at.as_millis();
        assert_eq!(life, 3_600_000);
        assert_eq!(started.details.as_bytes().len(), 56);
        assert!(started.deliveries.is_empty() && started.fallback.is_none());
        let mut expected = (**started).clone();
        expected.deliveries = noted.deliveries.clone();
        assert_eq!(**noted, expected);
        let delivery = &noted.deliveries[0];
        assert_eq!(delivery.provider, "inbox");
        assert_eq!(delivery.status, DeliveryStatus::Accepted);
        assert_eq!(approved.status, Status::Approved);
        assert_eq!(approved.deliveries, noted.deliveries);
        assert!(approved.ended_at.is_some());
        assert_eq!(*recipient, started.recipient);
        assert_eq!(asked.sends.moments(), [started.sent_at]);
        assert_eq!(asked.slots[0].id, started.id);
        assert_eq!((ended.row, ended.locked), (0, false));
        assert_eq!(source.moments().len(), 1);
    }

    #[test]
    fn a_torn_row_is_refused_wherever_it_is_torn() {
        let record = fakes::record_of_first_form();
        let first = 5 + usize::from(record[1]);
        assert!(read(Class::Verification, &record[5..first]).is_ok());
        for end in 5..first {
            // A row from before there were fallbacks ends earlier.
            let is_whole = end == first - 12;
            let read = read(Class::Verification, &record[5..end]);
            assert_eq!(read.is_ok(), is_whole, "{end}");
        }
    }
}
