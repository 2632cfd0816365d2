//! Accounts: who registered with an email address, a mobile number and a password.
//!
//! An account comes to be in two steps. What somebody says of themselves hangs, sealed, on the one
//! verification that it was said for ([`Accounts::register`]); it is gone when that ends. The row
//! is made by whoever brings the right code ([`Accounts::verify`]), and only then. So nobody who
//! says the same number later changes what an earlier attempt will become.
//!
//! **Invariant:** a store of accounts holds keyed indexes and sealed texts, nothing that a thief of
//! the store could read, and neither passwords nor hashes of them are ever printed.

mod accounts;
#[cfg(feature = "testing")]
pub mod conformance;
mod erasure;
mod hash_memory;
mod memory;
mod outcome;
mod password;
mod pending;
mod renewal;
mod token;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::app::AppId;
use crate::clock::Timestamp;
use crate::entropy::{Entropy, EntropyError, draw};
use crate::keys::{KeyId, KeyRing, Sealed, Unsealable};
use crate::recipient::{Email, Phone, Recipient};
use crate::store::StoreError;

pub use accounts::{AccountParts, Accounts, LOGIN, Registration, SIGNUP};
pub use hash_memory::HashMemory;
pub use memory::MemoryAccounts;
pub use outcome::{RegisterError, ResendError, Verified, VerifyError};
pub use password::{
    Announced, HashCost, HashError, InvalidPassword, Password, PasswordHash, PasswordHasher,
    WeakHashCost,
};
pub use renewal::Renewed;
pub use token::{ACCESS_TYPE, AccessToken, AccessTokenLife};

/// Names an account: a random UUID of version 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Uuid);

impl AccountId {
    /// A fresh id.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let builder = uuid::Builder::from_random_bytes(draw(entropy)?);
        Ok(Self(builder.into_uuid()))
    }

    /// The id whose bytes these are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What is known of an email address of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailStatus {
    /// Its owner only said so: good for no login, no reset and no merge.
    Unverified,
    /// Its owner showed that mail to it arrives.
    Verified,
}

impl EmailStatus {
    /// The name in a store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
        }
    }

    /// Reads the name. What is no name proves nothing.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "verified" => Self::Verified,
            _ => Self::Unverified,
        }
    }
}

/// An account, opened.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// Whose it is.
    pub app: AppId,
    /// Its address: no other account of the app has it, in whatever case it is written.
    pub email: Email,
    /// What is known of the address.
    pub email_status: EmailStatus,
    /// Its number: no other account of the app has it. Its owner showed that codes arrive.
    pub mobile: Phone,
    /// What is kept of its password.
    pub password: PasswordHash,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An account as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// Its name.
    pub id: AccountId,
    /// Whose it is.
    pub app: AppId,
    /// What is known of its address.
    pub email_status: EmailStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// The key that was the newest when it was written.
    pub key: KeyId,
    /// Address, number and what is kept of the password.
    pub sealed: Sealed,
    /// What it is found by, under each key that was in the ring when it was written.
    pub identifiers: Vec<Identifier>,
}

/// What an account is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentifierKind {
    /// Its address.
    Email,
    /// Its number.
    Mobile,
}

impl IdentifierKind {
    /// The name in a store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Mobile => "mobile",
        }
    }
}

/// An address or a number of an app as a store finds it: a keyed index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    /// Of what.
    pub kind: IdentifierKind,
    /// Under which key.
    pub key: KeyId,
    /// HMAC over app, kind and canonical form.
    pub index: [u8; 16],
}

/// What is sealed of an account.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "e")]
    email: Zeroizing<String>,
    #[serde(rename = "m")]
    mobile: Zeroizing<String>,
    #[serde(rename = "p")]
    password: Zeroizing<String>,
}

impl Account {
    /// Seals and indexes it under the keys of the ring.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn seal(
        &self,
        keys: &KeyRing,
        entropy: &dyn Entropy,
    ) -> Result<AccountRecord, EntropyError> {
        let written = Written {
            email: Zeroizing::new(self.email.canonical().to_owned()),
            mobile: Zeroizing::new(self.mobile.canonical().to_owned()),
            password: Zeroizing::new(self.password.expose().to_owned()),
        };
        // Three strings: they always have a JSON form.
        let json = Zeroizing::new(serde_json::to_vec(&written).unwrap_or_default());
        let mut identifiers = of_email(keys, &self.app, &self.email);
        identifiers.extend(of_mobile(keys, &self.app, &self.mobile));
        Ok(AccountRecord {
            id: self.id,
            app: self.app.clone(),
            email_status: self.email_status,
            created_at: self.created_at,
            key: newest(keys),
            sealed: keys.seal(&place(self.id), &json, entropy)?,
            identifiers,
        })
    }

    /// Opens what a store kept.
    ///
    /// # Errors
    /// [`Unsealable`] when it was changed, or its key has left the ring.
    pub fn open(record: &AccountRecord, keys: &KeyRing) -> Result<Self, Unsealable> {
        let json = keys.open(&place(record.id), &record.sealed)?;
        let written: Written = serde_json::from_slice(&json).map_err(|_| Unsealable)?;
        let email = Recipient::from_canonical(&written.email);
        let mobile = Recipient::from_canonical(&written.mobile);
        let (Recipient::Email(email), Recipient::Phone(mobile)) = (email, mobile) else {
            return Err(Unsealable);
        };
        Ok(Self {
            id: record.id,
            app: record.app.clone(),
            email,
            email_status: record.email_status,
            mobile,
            password: PasswordHash::from_phc(&written.password).ok_or(Unsealable)?,
            created_at: record.created_at,
        })
    }
}

fn newest(keys: &KeyRing) -> KeyId {
    keys.ids()
        .first()
        .copied()
        .unwrap_or_else(|| keys.index_id())
}

/// A seal of one account opens at no other.
fn place(id: AccountId) -> Vec<u8> {
    [b"account/".as_slice(), id.as_bytes()].concat()
}

/// Where an account with this address would be found.
fn of_email(keys: &KeyRing, app: &AppId, email: &Email) -> Vec<Identifier> {
    // A mailbox hardly ever tells cases apart, and nobody should have the twin of another's address.
    let spelling = Zeroizing::new(email.canonical().to_ascii_lowercase());
    identifiers(keys, app, IdentifierKind::Email, &spelling)
}

/// Where an account with this number would be found.
fn of_mobile(keys: &KeyRing, app: &AppId, mobile: &Phone) -> Vec<Identifier> {
    identifiers(keys, app, IdentifierKind::Mobile, mobile.canonical())
}

fn identifiers(
    keys: &KeyRing,
    app: &AppId,
    kind: IdentifierKind,
    spelling: &str,
) -> Vec<Identifier> {
    let fields = [
        b"account".as_slice(),
        app.as_str().as_bytes(),
        kind.as_str().as_bytes(),
        spelling.as_bytes(),
    ];
    let indexes = keys.lasting_indexes(&fields).into_iter();
    let identifier = |(key, index)| Identifier { kind, key, index };
    indexes.map(identifier).collect()
}

/// What came of making an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It is there.
    Created,
    /// Another account has its address or its number; nothing was made.
    Taken,
}

/// Keeps accounts.
///
/// Each method is one atomic step, durable when it has answered. Two accounts never have an
/// identifier in common, however many are made at the same time, by whatever nodes.
#[async_trait]
pub trait AccountStore: Send + Sync + 'static {
    /// Makes an account, unless another has one of its identifiers.
    async fn create(&self, record: AccountRecord) -> Result<CreateOutcome, StoreError>;

    /// An account that has one of these identifiers.
    async fn find(&self, any_of: &[Identifier]) -> Result<Option<AccountRecord>, StoreError>;

    /// Accounts that were written when another key than this was the newest, in the order of
    /// their ids, from behind `after` on, at most `limit`.
    async fn outdated(
        &self,
        newest: KeyId,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError>;

    /// Puts the same account, sealed and indexed anew, in place of what was there; whether it was
    /// there.
    async fn renew(&self, record: AccountRecord) -> Result<bool, StoreError>;

    /// Removes an account and what it was found by; whether it was there.
    async fn remove(&self, id: AccountId) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests;
