//! How many rows there are, and whether they are the same ones.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::row::{Class, Row};
use crate::account::AccountRecord;
use crate::api_key::ApiKeyRecord;
use crate::clock::Timestamp;
use crate::memory;

/// Rows that end within the same five minutes are added up together.
const BUCKET_MILLIS: u64 = 300_000;

/// How many rows of each kind were met, and the sum of their fingerprints, by when they end. It
/// does not depend on the order in which they were met, and takes little room for any number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<(Class, u64), Sum>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    fingerprints: u128,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.fingerprints = self.fingerprints.wrapping_add(other.fingerprints);
    }
}

impl Tally {
    /// Adds a row in its canonical form.
    pub fn add(&mut self, row: &Row) {
        let bucket = row
            .ends()
            .map_or(u64::MAX, |end| end.as_millis() / BUCKET_MILLIS);
        let one = Sum {
            rows: 1,
            fingerprints: fingerprint(row),
        };
        self.0.entry((row.class(), bucket)).or_default().add(one);
    }

    /// How many rows of a kind there are.
    #[must_use]
    pub fn rows(&self, class: Class) -> u64 {
        self.sum(class, 0).rows
    }

    /// Whether there are none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what another one counted.
    pub fn extend(&mut self, other: &Self) {
        for (key, sum) in &other.0 {
            self.0.entry(*key).or_default().add(*sum);
        }
    }

    fn sum(&self, class: Class, from: u64) -> Sum {
        let mut all = Sum::default();
        let own = self.0.range((class, from)..=(class, u64::MAX));
        own.for_each(|(_, sum)| all.add(*sum));
        all
    }

    /// The kinds of which another store holds other rows.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Class> {
        let differs = |class: &Class| self.sum(*class, 0) != other.sum(*class, 0);
        Class::ALL.into_iter().filter(differs).collect()
    }

    /// The kinds of which the same store held other rows before, leaving out those that may have
    /// ended by `now`.
    #[must_use]
    pub fn changes(&self, before: &Self, now: Timestamp) -> Vec<Class> {
        let from = now.as_millis() / BUCKET_MILLIS + 1;
        let differs = |class: &Class| self.sum(*class, from) != before.sum(*class, from);
        Class::ALL.into_iter().filter(differs).collect()
    }
}

fn fingerprint(row: &Row) -> u128 {
    let mut image = Vec::with_capacity(512);
    match row {
        Row::ApiKey(record) => api_key(&mut image, record),
        Row::Account(record) => account(&mut image, record),
        row => memory::write(&mut image, row),
    }
    let mut hash = Sha256::new();
    hash.update(row.class().as_str());
    hash.update(&image);
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finalize()[..16]);
    u128::from_be_bytes(first)
}

fn field(image: &mut Vec<u8>, bytes: &[u8]) {
    image.extend((bytes.len() as u64).to_be_bytes());
    image.extend(bytes);
}

fn moment(image: &mut Vec<u8>, at: Option<Timestamp>) {
    let millis = at.map_or(u64::MAX, Timestamp::as_millis);
    image.extend(millis.to_be_bytes());
}

fn api_key(image: &mut Vec<u8>, record: &ApiKeyRecord) {
    field(image, record.id.as_str().as_bytes());
    field(image, record.name.as_bytes());
    field(image, record.app.as_str().as_bytes());
    field(image, &record.hash);
    moment(image, Some(record.created_at));
    moment(image, record.expires_at);
    moment(image, record.revoked_at);
    let scopes = record.scopes.iter();
    scopes.for_each(|scope| field(image, scope.as_str().as_bytes()));
}

fn account(image: &mut Vec<u8>, record: &AccountRecord) {
    field(image, record.id.as_bytes());
    field(image, record.app.as_str().as_bytes());
    field(image, record.email_status.as_str().as_bytes());
    moment(image, Some(record.created_at));
    image.extend(record.key.to_bytes());
    field(image, record.sealed.as_bytes());
    for one in &record.identifiers {
        field(image, one.kind.as_str().as_bytes());
        image.extend(one.key.to_bytes());
        image.extend(one.index);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::account::{AccountId, EmailStatus};
    use crate::app::AppId;
    use crate::clock::Timestamp;
    use crate::fakes;
    use crate::keys::{KeyId, Sealed};
    use crate::ledger::RecipientLedger;
    use crate::limit::SlidingLog;
    use crate::moving::{RecipientRow, SourceRow};
    use crate::verification::Verification;

    const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);

    fn of(rows: &[Row]) -> Tally {
        let mut tally = Tally::default();
        rows.iter().for_each(|row| tally.add(row));
        tally
    }

    fn verification(change: impl FnOnce(&mut Verification)) -> Row {
        let mut row = fakes::pending(T0);
        change(&mut row);
        Row::Verification(Box::new(row))
    }

    fn recipient(change: impl FnOnce(&mut RecipientLedger)) -> Row {
        let mut ledger = RecipientLedger {
            sends: SlidingLog::from_moments(vec![T0]),
            ..RecipientLedger::default()
        };
        change(&mut ledger);
        let index = fakes::pending(T0).recipient;
        Row::Recipient(Box::new(RecipientRow {
            index,
            ledger,
            horizon: HOUR,
        }))
    }

    fn account(change: impl FnOnce(&mut AccountRecord)) -> Row {
        let mut record = AccountRecord {
            id: AccountId::from_bytes([1; 16]),
            app: AppId::default(),
            email_status: EmailStatus::Unverified,
            created_at: T0,
            key: KeyId::from_bytes([2; 4]),
            sealed: Sealed::from_bytes(b"sealed"),
            identifiers: Vec::new(),
        };
        change(&mut record);
        Row::Account(Box::new(record))
    }

    #[test]
    fn whatever_counts_shows_when_it_differs() {
        let same = [verification(|_| {}), recipient(|_| {}), account(|_| {})];
        let milli = Duration::from_millis(1);
        let changed = [
            verification(|row| row.attempts_left -= 1),
            verification(|row| row.outdated = 1),
            verification(|row| row.expires_at = row.expires_at.plus(milli)),
            recipient(|ledger| ledger.locked = true),
            recipient(|ledger| ledger.row = 1),
            recipient(|ledger| ledger.sends = SlidingLog::from_moments(vec![T0.plus(milli)])),
            recipient(|ledger| ledger.failures = SlidingLog::from_moments(vec![T0])),
            account(|record| record.email_status = EmailStatus::Verified),
            account(|record| record.sealed = Sealed::from_bytes(b"sealeD")),
        ];
        let before = of(&same);
        assert_eq!(before.differences(&of(&same)), []);
        for row in changed {
            let mut rows = same.clone().to_vec();
            rows.retain(|one| one.class() != row.class());
            let class = row.class();
            rows.push(row);
            let after = of(&rows);
            assert_eq!(after.rows(class), 1);
            assert_eq!(before.differences(&after), [class], "{rows:?}");
            assert_eq!(after.changes(&before, T0), [class], "{rows:?}");
        }
        assert_eq!(before.differences(&of(&same[1..])), [Class::Verifications]);
    }

    #[test]
    fn the_order_in_which_rows_are_met_does_not_matter() {
        let rows = [verification(|_| {}), recipient(|_| {}), account(|_| {})];
        let mut back = rows.clone();
        back.reverse();
        assert_eq!(of(&rows), of(&back));
    }

    /// A store may remove what has ended between two readings.
    #[test]
    fn what_may_have_ended_meanwhile_is_no_change() {
        let source = Row::Source(SourceRow {
            index: crate::digest::SourceIndex::from_bytes([1; 16]),
            sends: SlidingLog::from_moments(vec![T0]),
            horizon: HOUR,
        });
        let (before, after) = (of(&[source, account(|_| {})]), of(&[account(|_| {})]));
        assert_eq!(after.changes(&before, T0), [Class::Sources]);
        assert_eq!(after.changes(&before, T0.plus(HOUR)), []);
        assert_eq!(of(&[]).changes(&after, T0.plus(HOUR)), [Class::Accounts]);
    }
}
