//! Accounts of a server that keeps nothing.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{AccountId, AccountRecord, AccountStore, CreateOutcome, Identifier};
use crate::keys::KeyId;
use crate::store::StoreError;

/// Keeps accounts in this process.
#[derive(Default)]
pub struct MemoryAccounts(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    accounts: BTreeMap<AccountId, AccountRecord>,
    identifiers: HashMap<Identifier, AccountId>,
}

impl Rows {
    fn index(&mut self, record: &AccountRecord) {
        for identifier in &record.identifiers {
            self.identifiers.insert(*identifier, record.id);
        }
    }
}

#[async_trait]
impl AccountStore for MemoryAccounts {
    async fn create(&self, record: AccountRecord) -> Result<CreateOutcome, StoreError> {
        let mut rows = self.0.lock();
        let taken = |identifier| rows.identifiers.contains_key(identifier);
        if record.identifiers.iter().any(taken) {
            return Ok(CreateOutcome::Taken);
        }
        rows.index(&record);
        rows.accounts.insert(record.id, record);
        Ok(CreateOutcome::Created)
    }

    async fn find(&self, any_of: &[Identifier]) -> Result<Option<AccountRecord>, StoreError> {
        let rows = self.0.lock();
        let id = any_of.iter().find_map(|one| rows.identifiers.get(one));
        Ok(id.and_then(|id| rows.accounts.get(id)).cloned())
    }

    async fn outdated(
        &self,
        newest: KeyId,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        let rows = self.0.lock();
        let rows = rows.accounts.values();
        let wanted =
            |row: &&AccountRecord| row.key != newest && after.is_none_or(|after| row.id > after);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(rows.filter(wanted).take(limit).cloned().collect())
    }

    async fn renew(&self, record: AccountRecord) -> Result<bool, StoreError> {
        let mut rows = self.0.lock();
        if !rows.accounts.contains_key(&record.id) {
            return Ok(false);
        }
        rows.identifiers.retain(|_, id| *id != record.id);
        rows.index(&record);
        rows.accounts.insert(record.id, record);
        Ok(true)
    }

    async fn remove(&self, id: AccountId) -> Result<bool, StoreError> {
        let mut rows = self.0.lock();
        rows.identifiers.retain(|_, account| *account != id);
        Ok(rows.accounts.remove(&id).is_some())
    }
}
