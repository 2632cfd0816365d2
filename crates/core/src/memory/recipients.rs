//! What is remembered of one recipient, and forgetting it.

use super::journal::Journal;
use super::record::Change;
use super::store::MemoryStore;
use crate::clock::Timestamp;
use crate::digest::{CodeDigest, RecipientIndex};
use crate::keys::{KeyId, Sealed};
use crate::store::{Remembered, StoreError};
use crate::verification::{Status, Verification};

/// The image of a row that was removed: nothing of it is left, and it is long forgotten.
fn blank(row: Verification) -> Verification {
    Verification {
        status: Status::Canceled,
        digest: CodeDigest::from_parts(KeyId::from_bytes([0; 4]), [0; 32]),
        expires_at: Timestamp::default(),
        details: Sealed::default(),
        deliveries: Vec::new(),
        outdated: 0,
        fallback: None,
        ..row
    }
}

impl<J: Journal> MemoryStore<J> {
    pub(super) async fn remembered_of(
        &self,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Result<Remembered, StoreError> {
        self.journal.ready()?;
        let (found, position) = {
            let shard = self.shard(recipient.tag());
            let all = shard.verifications();
            let theirs = all.filter(|row| row.recipient == recipient);
            let ledger = shard.ledger(recipient).unwrap_or_default();
            let found = Remembered::of(ledger, theirs, now);
            (found, self.journal.position())
        };
        self.settle(position).await?;
        Ok(found)
    }

    pub(super) async fn erase_all_of(
        &self,
        recipient: RecipientIndex,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.journal.ready()?;
        let (erased, position) = {
            let mut shard = self.shard(recipient.tag());
            let all = shard.verifications();
            let theirs: Vec<_> = all.filter(|row| row.recipient == recipient).collect();
            let (mut erased, mut record) = (0, Vec::new());
            for row in theirs {
                erased += u64::from(!row.is_forgettable(now));
                if shard.remove(row.id) {
                    self.live.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                }
                Change::put(&mut record, &blank(row));
            }
            let position = if record.is_empty() {
                self.journal.position()
            } else {
                // Under the lock of the shard: no image of before comes behind it.
                self.append(|out| out.append(&mut record))
            };
            (erased, position)
        };
        self.settle(position).await?;
        Ok(erased)
    }
}
