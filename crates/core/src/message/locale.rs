//! The language of a message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A language tag such as `en`, `pt-BR` or `zh-Hant-TW` (BCP 47), in its usual case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locale(String);

impl Locale {
    /// The longest tag. RFC 5646 section 4.4.1 has tags of 35 characters at most in practice.
    const MAX_BYTES: usize = 35;

    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag, and then the tags to look for in its place, each more general than the one before
    /// (RFC 4647 section 3.4).
    pub fn lookup(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |tag| {
            let (mut general, _) = tag.rsplit_once('-')?;
            // A single character announces what follows it and means nothing alone.
            while let Some((rest, last)) = general.rsplit_once('-')
                && last.len() == 1
            {
                general = rest;
            }
            Some(general)
        })
    }
}

impl Default for Locale {
    /// English.
    fn default() -> Self {
        Self("en".to_owned())
    }
}

impl FromStr for Locale {
    type Err = InvalidLocale;

    /// Reads a tag in any case, and with underscores as in POSIX locales.
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        if raw.len() > Self::MAX_BYTES {
            return Err(InvalidLocale);
        }
        let mut tag = String::with_capacity(raw.len());
        let mut after_singleton = false;
        for (position, subtag) in raw.split(['-', '_']).enumerate() {
            let letters = subtag.bytes().all(|b| b.is_ascii_alphabetic());
            let fits = (1..=8).contains(&subtag.len())
                && subtag.bytes().all(|b| b.is_ascii_alphanumeric())
                && (position > 0 || (letters && subtag.len() >= 2));
            if !fits {
                return Err(InvalidLocale);
            }
            if position > 0 {
                tag.push('-');
            }
            let subtag = subtag.to_ascii_lowercase();
            // RFC 5646 section 2.1.1.
            match subtag.len() {
                2 if position > 0 && !after_singleton => tag.push_str(&subtag.to_ascii_uppercase()),
                4 if position > 0 && !after_singleton && letters => {
                    tag.push_str(&subtag[..1].to_ascii_uppercase());
                    tag.push_str(&subtag[1..]);
                }
                _ => tag.push_str(&subtag),
            }
            after_singleton |= subtag.len() == 1;
        }
        Ok(Self(tag))
    }
}

impl TryFrom<String> for Locale {
    type Error = InvalidLocale;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        raw.parse()
    }
}

impl From<Locale> for String {
    fn from(locale: Locale) -> Self {
        locale.0
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no language tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a language tag such as en or pt-BR")]
pub struct InvalidLocale;

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(raw: &str) -> Vec<String> {
        raw.parse::<Locale>()
            .unwrap()
            .lookup()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_locale_is_looked_up_from_the_special_to_the_general() {
        assert_eq!(lookup("pt-BR"), ["pt-BR", "pt"]);
        assert_eq!(lookup("zh-hant-tw"), ["zh-Hant-TW", "zh-Hant", "zh"]);
        assert_eq!(lookup("zh-Hant-CN-x-private1-private2").len(), 5);
        assert_eq!(
            lookup("zh-Hant-CN-x-private1-private2")[1..3],
            ["zh-Hant-CN-x-private1", "zh-Hant-CN"]
        );
    }

    #[test]
    fn every_spelling_of_a_locale_is_one_locale() {
        for raw in ["pt-BR", "pt_BR", "PT-br", "pt-br"] {
            assert_eq!(raw.parse::<Locale>().unwrap().as_str(), "pt-BR");
        }
    }

    #[test]
    fn texts_that_are_no_language_tag_are_refused() {
        for raw in [
            "",
            "e",
            "-en",
            "en-",
            "en--US",
            "en US",
            "engermany",
            "en-\u{660}",
            "../en",
            "12",
            &"en-".repeat(20),
        ] {
            assert_eq!(raw.parse::<Locale>(), Err(InvalidLocale), "{raw:?}");
        }
    }
}
