//! The account of a recipient: telling it, and erasing it.

use super::{Account, AccountRecord, Accounts, of_email, of_mobile};
use crate::app::AppId;
use crate::recipient::Recipient;
use crate::verifier::Failure;

impl Accounts {
    async fn record_of(
        &self,
        app: &AppId,
        whose: &Recipient,
    ) -> Result<Option<AccountRecord>, Failure> {
        let identifiers = match whose {
            Recipient::Email(email) => of_email(self.keys(), app, email),
            Recipient::Phone(mobile) => of_mobile(self.keys(), app, mobile),
        };
        Ok(self.parts().accounts.find(&identifiers).await?)
    }

    /// The account with this address or number.
    ///
    /// # Errors
    /// Only ours.
    pub async fn of(&self, app: &AppId, whose: &Recipient) -> Result<Option<Account>, Failure> {
        let found = self.record_of(app, whose).await?;
        let opened = found.map(|record| Account::open(&record, self.keys()));
        Ok(opened.transpose()?)
    }

    /// Removes the account with this address or number; whether there was one. Its access tokens
    /// are good until they end by themselves.
    ///
    /// # Errors
    /// Only ours.
    pub async fn erase(&self, app: &AppId, whose: &Recipient) -> Result<bool, Failure> {
        match self.record_of(app, whose).await? {
            Some(record) => Ok(self.parts().accounts.remove(record.id).await?),
            None => Ok(false),
        }
    }
}
