//! API keys: who calls, for which app, and what they may do.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::app::AppId;
use crate::clock::Timestamp;
use crate::entropy::{Entropy, EntropyError, draw};
use crate::store::StoreError;

/// What the bearer of a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Start, resend and cancel verifications.
    #[serde(rename = "verifications:write")]
    WriteVerifications,
    /// Read verifications.
    #[serde(rename = "verifications:read")]
    ReadVerifications,
    /// Check codes.
    #[serde(rename = "verifications:check")]
    CheckVerifications,
    /// Vouch for a recipient, and so lift its lock.
    #[serde(rename = "recipients:unlock")]
    UnlockRecipients,
    /// See everything that is held about a recipient, and erase it.
    #[serde(rename = "recipients:manage")]
    ManageRecipients,
    /// Say on whose behalf a call is made, so that limits count the end user's address.
    #[serde(rename = "end_user_ip:assert")]
    AssertEndUserIp,
    /// Be told codes in answers, where a surface documents that.
    #[serde(rename = "codes:read")]
    ReadCodes,
}

impl Scope {
    /// Every scope, in the order in which documents list them.
    pub const ALL: [Self; 7] = [
        Self::WriteVerifications,
        Self::ReadVerifications,
        Self::CheckVerifications,
        Self::UnlockRecipients,
        Self::ManageRecipients,
        Self::AssertEndUserIp,
        Self::ReadCodes,
    ];

    /// What a key may do that was made without naming scopes: everything a back end needs that
    /// verifies its own users, and nothing that reveals a code, lifts a lock or tells of people.
    pub const USUAL: [Self; 4] = [
        Self::WriteVerifications,
        Self::ReadVerifications,
        Self::CheckVerifications,
        Self::AssertEndUserIp,
    ];

    /// The name on the command line and in listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WriteVerifications => "verifications:write",
            Self::ReadVerifications => "verifications:read",
            Self::CheckVerifications => "verifications:check",
            Self::UnlockRecipients => "recipients:unlock",
            Self::ManageRecipients => "recipients:manage",
            Self::AssertEndUserIp => "end_user_ip:assert",
            Self::ReadCodes => "codes:read",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not one of verifications:write, verifications:read, verifications:check, \
     recipients:unlock, recipients:manage, end_user_ip:assert, codes:read"
)]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == name)
            .ok_or(UnknownScope)
    }
}

/// The visible part of a key: 12 characters that name it in listings and logs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKeyId(String);

impl ApiKeyId {
    /// Reads the visible part.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = text.len() == ID_LEN && text.bytes().all(|b| ALPHABET.contains(&b));
        allowed.then(|| Self(text.to_owned()))
    }

    /// The 12 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeyId({self})")
    }
}

/// Alphanumeric only: some clients allow nothing else in a password.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_LEN: usize = 12;
const SECRET_LEN: usize = 52;
const CHECK_LEN: usize = 4;
const PREFIX: &str = "wk_";

/// A key as its bearer holds it: `wk_` + 12 characters that name it + 52 that are secret (260
/// bits) + 4 that catch typing errors. Shown once, when it is made.
pub struct ApiKey {
    id: ApiKeyId,
    text: Zeroizing<String>,
}

/// The text is no API key: its form or its check characters are wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an API key of this server's form (wk_…)")]
pub struct InvalidApiKey;

impl ApiKey {
    /// A fresh key.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let random: Zeroizing<[u8; ID_LEN + SECRET_LEN]> = Zeroizing::new(draw(entropy)?);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 68));
        text.push_str(PREFIX);
        // 256 is a multiple of 32, so that every character is equally likely.
        text.extend(
            random
                .iter()
                .map(|byte| char::from(ALPHABET[usize::from(byte % 32)])),
        );
        let check = check_characters(&text);
        text.push_str(&check);
        let id = ApiKeyId(text[PREFIX.len()..PREFIX.len() + ID_LEN].to_owned());
        Ok(Self { id, text })
    }

    /// Reads a key that somebody brought along.
    ///
    /// # Errors
    /// [`InvalidApiKey`], which never carries the text.
    pub fn parse(text: &str) -> Result<Self, InvalidApiKey> {
        let whole = PREFIX.len() + ID_LEN + SECRET_LEN + CHECK_LEN;
        let body = text.strip_prefix(PREFIX).ok_or(InvalidApiKey)?;
        if text.len() != whole || !body.bytes().all(|b| ALPHABET.contains(&b)) {
            return Err(InvalidApiKey);
        }
        let (key, check) = text.split_at(whole - CHECK_LEN);
        if check_characters(key) != check {
            return Err(InvalidApiKey);
        }
        let id = ApiKeyId(body[..ID_LEN].to_owned());
        Ok(Self {
            id,
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// The visible part.
    #[must_use]
    pub const fn id(&self) -> &ApiKeyId {
        &self.id
    }

    /// The whole key.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is kept of it. With 260 random bits, a plain hash suffices.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }
}

fn check_characters(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let five_bits = |byte: &u8| char::from(ALPHABET[usize::from(byte % 32)]);
    digest.iter().take(CHECK_LEN).map(five_bits).collect()
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, redacted)", self.id)
    }
}

/// A key as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The visible part.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// For which app its bearer acts.
    pub app: AppId,
    /// What its bearer may do.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the whole key.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working by itself.
    pub expires_at: Option<Timestamp>,
    /// When somebody revoked it.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKeyRecord {
    /// The record of a fresh key.
    #[must_use]
    pub fn of(
        key: &ApiKey,
        name: String,
        app: AppId,
        scopes: Vec<Scope>,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let (id, hash) = (key.id.clone(), key.hash());
        Self {
            id,
            name,
            app,
            scopes,
            hash,
            created_at,
            expires_at,
            revoked_at: None,
        }
    }

    /// Whether `key` is this one and works at `now`. Takes the same time for every wrong key.
    #[must_use]
    pub fn admits(&self, key: &ApiKey, now: Timestamp) -> bool {
        let same = bool::from(self.hash.ct_eq(&key.hash()));
        same && self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether its bearer may do this.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Keeps API keys. Another process may add and revoke keys meanwhile; a store that caches them
/// notices within a second.
#[async_trait]
pub trait ApiKeyStore: Send + Sync + 'static {
    /// The key with this visible part, revoked or expired ones too.
    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError>;

    /// Adds a key. Its id is fresh.
    async fn add(&self, record: ApiKeyRecord) -> Result<(), StoreError>;

    /// Every key, oldest first.
    async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError>;

    /// Ends a key; whether there was a working one.
    async fn revoke(&self, id: &ApiKeyId, now: Timestamp) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::SeededEntropy;

    #[test]
    fn a_key_is_read_back_and_any_changed_character_is_noticed() {
        let key = ApiKey::generate(&SeededEntropy::new(3)).unwrap();
        let text = key.expose().to_owned();
        assert_eq!(ApiKey::parse(&text).unwrap().hash(), key.hash());
        let unnoticed = (PREFIX.len()..text.len())
            .filter(|at| {
                let mut typo = text.clone().into_bytes();
                typo[*at] = if typo[*at] == b'0' { b'1' } else { b'0' };
                ApiKey::parse(std::str::from_utf8(&typo).unwrap()).is_ok()
            })
            .count();
        assert_eq!(unnoticed, 0);
        assert!(!format!("{key:?}").contains(&text[15..40]));
    }

    #[test]
    fn a_revoked_or_expired_key_admits_nobody() {
        let key = ApiKey::generate(&SeededEntropy::new(3)).unwrap();
        let other = ApiKey::generate(&SeededEntropy::new(4)).unwrap();
        let now = Timestamp::from_millis(1000);
        let scopes = Scope::USUAL.to_vec();
        let mut record = ApiKeyRecord::of(&key, "shop".into(), AppId::default(), scopes, now, None);
        assert!(record.admits(&key, now));
        assert!(!record.admits(&other, now));
        record.expires_at = Some(now);
        assert!(!record.admits(&key, now));
        record.expires_at = None;
        record.revoked_at = Some(now);
        assert!(!record.admits(&key, now));
    }
}
