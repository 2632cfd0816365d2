//! Apps: the tenants of one server.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The name of a tenant. Everything counted or looked up belongs to exactly one.
///
/// 1 to 64 of `a-z`, `0-9`, `-` and `_`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct AppId(
    // Nothing for the app of a server that names none: each verification and each caller names its
    // app, and mostly it is that one.
    Option<Arc<str>>,
);

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
        Ok(Self((name != Self::DEFAULT).then(|| name.into())))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(Self::DEFAULT)
    }
}

/// As their names are.
impl Ord for AppId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for AppId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppId({self})")
    }
}
