//! Apps: the tenants of one server.

use std::fmt;
use std::sync::Arc;

/// The name of a tenant. Everything counted or looked up belongs to exactly one.
///
/// 1 to 64 of `a-z`, `0-9`, `-` and `_`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(Arc<str>);

/// The text is no name of an app.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an app's name is 1 to 64 of a-z, 0-9, '-' and '_'")]
pub struct InvalidAppId;

impl AppId {
    /// The app of a server that names none.
    pub(crate) const DEFAULT: &str = "default";

    /// Reads the name of an app.
    ///
    /// # Errors
    /// [`InvalidAppId`] when it is empty, too long or holds another character.
    pub fn parse(name: &str) -> Result<Self, InvalidAppId> {
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
            return Err(InvalidAppId);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The app of a server that names none: `default`.
impl Default for AppId {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppId({})", self.0)
    }
}
