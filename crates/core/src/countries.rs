//! The countries that codes are sent to.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::recipient::{Recipient, Region};

/// Which countries' phone numbers are sent codes: all, unless a list says which.
///
/// Codes to countries where an operator has no users are what toll fraud lives on ("SMS pumping"):
/// numbers there earn money for whoever receives a message. Email addresses are not asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Countries(Option<Arc<[Region]>>);

impl Countries {
    /// These and no others.
    ///
    /// # Errors
    /// [`NoCountries`] if it is none: leave the list out to send everywhere.
    pub fn only(countries: impl IntoIterator<Item = Region>) -> Result<Self, NoCountries> {
        let mut listed: Vec<_> = countries.into_iter().collect();
        listed.sort_unstable();
        listed.dedup();
        if listed.is_empty() {
            return Err(NoCountries);
        }
        Ok(Self(Some(listed.into())))
    }

    /// Whether codes are sent to this recipient. A number that belongs to no country, as one of
    /// E.164 shape that nobody was given, is in no list.
    #[must_use]
    pub fn allow(&self, recipient: &Recipient) -> bool {
        let (Some(listed), Recipient::Phone(phone)) = (&self.0, recipient) else {
            return true;
        };
        let country = phone.country();
        country.is_some_and(|country| listed.binary_search(&country).is_ok())
    }
}

/// As a configuration writes it: `["DE", "GB"]`, or `all`.
impl fmt::Display for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(listed) = &self.0 else {
            return f.write_str("\"all\"");
        };
        f.write_str("[")?;
        for (place, country) in listed.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}\"{country}\"")?;
        }
        f.write_str("]")
    }
}

impl<'de> Deserialize<'de> for Countries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "neither \"all\" nor a list such as [\"DE\", \"GB\"]"
        )]
        enum Raw {
            Word(String),
            List(Vec<String>),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Word(word) if word == "all" => Ok(Self::default()),
            // As an environment lists them.
            Raw::Word(word) => Self::read(word.split(',').map(str::to_owned)),
            Raw::List(list) => Self::read(list),
        }
        .map_err(serde::de::Error::custom)
    }
}

impl Countries {
    fn read(codes: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let read = codes.into_iter().map(|code| {
            let region = code.trim().parse::<Region>();
            region.map_err(|unknown| format!("{code:?} {unknown}"))
        });
        let read: Vec<_> = read.collect::<Result<_, _>>()?;
        Self::only(read).map_err(|none| none.to_string())
    }
}

/// A list without a country, with which nobody would get a code by phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("names no country; leave it out, or write \"all\", to send everywhere")]
pub struct NoCountries;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipient::NumberRules;

    fn countries(toml: &str) -> Result<Countries, String> {
        #[derive(Deserialize)]
        struct File {
            countries: Countries,
        }
        let file = serde_json::from_str::<File>(&format!("{{\"countries\": {toml}}}"));
        file.map(|file| file.countries)
            .map_err(|error| error.to_string())
    }

    fn allowed(countries: &Countries, to: &str) -> bool {
        let recipient = Recipient::parse(to, &NumberRules::default()).unwrap();
        countries.allow(&recipient)
    }

    #[test]
    fn without_a_list_every_country_is_sent_to() {
        for everywhere in [Countries::default(), countries("\"all\"").unwrap()] {
            assert!(allowed(&everywhere, "+4915123456789"));
            assert!(allowed(&everywhere, "+1234567890"));
        }
    }

    #[test]
    fn a_list_is_of_countries_and_not_of_calling_codes() {
        let listed = countries(r#"["us", "DE"]"#).unwrap();
        assert!(allowed(&listed, "+12015550123"));
        assert!(allowed(&listed, "+4915123456789"));
        // The same calling code: Canada and Jamaica.
        assert!(!allowed(&listed, "+14165550123"));
        assert!(!allowed(&listed, "+18765550123"));
        assert!(!allowed(&listed, "+447400123456"));
    }

    #[test]
    fn a_number_of_no_country_is_in_no_list() {
        let listed = countries(r#"["US"]"#).unwrap();
        for to in [
            "+88213123456",
            "+8810123456789",
            "+979123456789",
            "+1000000000",
        ] {
            assert!(!allowed(&listed, to), "{to}");
        }
    }

    #[test]
    fn addresses_are_not_asked_for_their_country() {
        assert!(allowed(&countries(r#"["US"]"#).unwrap(), "anna@example.de"));
    }

    #[test]
    fn a_list_that_nobody_can_mean_is_refused() {
        assert!(countries("[]").unwrap_err().contains("names no country"));
        let unknown = countries(r#"["DE", "EU"]"#).unwrap_err();
        assert!(
            unknown.contains("\"EU\" is not an ISO 3166 code"),
            "{unknown}"
        );
        assert!(
            countries("7")
                .unwrap_err()
                .contains("neither \"all\" nor a list")
        );
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        assert_eq!(
            countries(r#"["gb", "DE", "DE"]"#).unwrap().to_string(),
            r#"["DE", "GB"]"#
        );
        assert_eq!(Countries::default().to_string(), "\"all\"");
    }
}
