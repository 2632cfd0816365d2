//! The country that a national number is read in.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::PHONE_NUMBER_UTIL;
use serde::{Deserialize, Serialize};

/// A country or territory with phone numbers of its own, by its ISO 3166-1 alpha-2 code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(rlibphonenumber::Region);

impl Region {
    pub(super) const fn inner(self) -> rlibphonenumber::Region {
        self.0
    }

    /// The two capital letters of its code.
    #[must_use]
    pub fn letters(self) -> [u8; 2] {
        let text = self.0.as_region_str();
        match text.as_bytes() {
            [first, second] => [*first, *second],
            // Every country has two; what has three digits is none.
            _ => *b"ZZ",
        }
    }

    /// The region as the library names it; nothing for the global networks, which are no country.
    pub(super) fn from_inner(region: rlibphonenumber::Region) -> Option<Self> {
        PHONE_NUMBER_UTIL
            .get_country_code_for_region(region)
            .map(|_| Self(region))
    }
}

impl FromStr for Region {
    type Err = UnknownRegion;

    /// Reads a code in either case.
    fn from_str(code: &str) -> Result<Self, Self::Err> {
        let region = rlibphonenumber::Region::from_code(code).map_err(|_| UnknownRegion)?;
        Self::from_inner(region).ok_or(UnknownRegion)
    }
}

impl TryFrom<String> for Region {
    type Error = UnknownRegion;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        code.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.to_string()
    }
}

/// The code in upper case.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.as_region_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

/// The text is no code of a country with phone numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an ISO 3166 code of a country, such as US or DE")]
pub struct UnknownRegion;
