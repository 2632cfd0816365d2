//! Accounts are not kept in Redis: they have to outlive everything that expires.

use async_trait::async_trait;
use watchword_core::StoreError;
use watchword_core::account::{AccountId, AccountRecord, AccountStore, CreateOutcome, Identifier};
use watchword_core::keys::KeyId;

/// Refuses every account.
pub(crate) struct NoAccounts;

fn refused<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable(
        "Redis keeps no accounts; name a SQL database for them (storage.accounts_url)",
    ))
}

#[async_trait]
impl AccountStore for NoAccounts {
    async fn create(&self, _: AccountRecord) -> Result<CreateOutcome, StoreError> {
        refused()
    }

    /// There is none to be found.
    async fn find(&self, _: &[Identifier]) -> Result<Option<AccountRecord>, StoreError> {
        Ok(None)
    }

    async fn outdated(
        &self,
        _: KeyId,
        _: Option<AccountId>,
        _: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        Ok(Vec::new())
    }

    async fn renew(&self, _: AccountRecord) -> Result<bool, StoreError> {
        refused()
    }

    async fn remove(&self, _: AccountId) -> Result<bool, StoreError> {
        Ok(false)
    }
}
