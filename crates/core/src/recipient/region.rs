//! The country that a national number is read in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// All codes there are, in their order. The library knows them, too; but it reads its tables, some five
/// megabytes, when it is first asked, and a configuration is no reason to.
const CODES: &str = "\
    ACADAEAFAGAIALAMAOARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBWBYBZCACCCDCFCGCHCICKCL\
    CMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGTGU\
    GWGYHKHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMC\
    MDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPRPSPT\
    PWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTATCTDTGTHTJTKTLTMTNTOTRTTTVTWTZ\
    UAUGUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW";

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
        let region = Self(region);
        let (codes, _) = CODES.as_bytes().as_chunks();
        codes.binary_search(&region.letters()).ok().map(|_| region)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rlibphonenumber::PHONE_NUMBER_UTIL;

    #[test]
    fn the_codes_are_those_of_the_library() {
        let supported = PHONE_NUMBER_UTIL.get_supported_regions();
        let supported: BTreeSet<_> = supported.map(|it| it.as_region_str().to_string()).collect();
        let all: String = supported.into_iter().collect();
        assert_eq!(super::CODES, all);
    }

    #[test]
    fn what_has_no_numbers_is_no_region() {
        for code in ["ZZ", "001", "AQ", "AAA", "", "É"] {
            assert!(code.parse::<super::Region>().is_err(), "{code}");
        }
        assert!("us".parse::<super::Region>().is_ok());
    }
}
