//! Accounts outlive keys: bringing them under the newest one.

use super::accounts::Accounts;
use super::{Account, newest};
use crate::keys::Unsealable;
use crate::verifier::Failure;

/// How many accounts are read at a time.
const PAGE: u32 = 200;

/// What [`Accounts::renew`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Accounts that are now sealed under the newest key.
    pub renewed: u64,
    /// Accounts that no key of the ring opens.
    pub unreadable: u64,
}

impl Accounts {
    /// Seals and indexes every account under the newest key that is not yet. To be called before
    /// the server serves: once an old key has left the ring, what only it opens stays closed.
    ///
    /// # Errors
    /// Only ours.
    pub async fn renew(&self) -> Result<Renewed, Failure> {
        let (keys, entropy) = (self.keys(), self.parts().verifier.entropy());
        let (newest, mut after, mut done) = (newest(keys), None, Renewed::default());
        loop {
            let page = self.parts().accounts.outdated(newest, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(done);
            };
            after = Some(last.id);
            for record in page {
                match Account::open(&record, keys) {
                    Ok(account) => {
                        let renewed = account.seal(keys, entropy)?;
                        done.renewed += u64::from(self.parts().accounts.renew(renewed).await?);
                    }
                    Err(Unsealable) => done.unreadable += 1,
                }
            }
        }
    }
}
