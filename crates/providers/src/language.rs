//! Settings that depend on the language of a message.

use std::collections::BTreeMap;

use serde::Deserialize;
use watchword_core::Locale;

use crate::settings::Fault;

/// One text for every language, or a table of texts by language tag (`en`, `pt-BR`) with a
/// `default` for the languages that it does not have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text, or a table of texts by language")]
pub enum ByLanguage {
    /// The same for every language.
    One(String),
    /// By language tag, and `default`.
    Table(BTreeMap<String, String>),
}

/// A text, or a list of texts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub enum OneOrMany {
    /// A list of one.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// A table by language that was read and found good.
pub(crate) struct Languages {
    default: String,
    others: BTreeMap<Locale, String>,
}

impl Languages {
    /// Reads the setting called `setting`; `check` says what is wrong with one text.
    pub(crate) fn read(
        setting: &'static str,
        given: &ByLanguage,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Result<Self, Fault> {
        let table = match given {
            ByLanguage::One(text) => {
                check(text).map_err(|fault| (setting, fault.to_owned()))?;
                return Ok(Self {
                    default: text.clone(),
                    others: BTreeMap::new(),
                });
            }
            ByLanguage::Table(table) => table,
        };
        let mut default = None;
        let mut others = BTreeMap::new();
        for (tag, text) in table {
            check(text).map_err(|fault| (setting, format!("of `{tag}` {fault}")))?;
            if tag == "default" {
                default = Some(text.clone());
                continue;
            }
            let locale: Locale = tag
                .parse()
                .map_err(|fault| (setting, format!("has the key `{tag}`, which {fault}")))?;
            others.insert(locale, text.clone());
        }
        let default = default.ok_or_else(|| {
            let fault = "has no `default` for the languages that it does not list";
            (setting, fault.to_owned())
        })?;
        Ok(Self { default, others })
    }

    /// Every text, once.
    pub(crate) fn all(&self) -> std::collections::BTreeSet<&str> {
        let others = self.others.values().map(String::as_str);
        others.chain([self.default.as_str()]).collect()
    }

    /// The text for a language: its own, or that of the nearest more general one.
    pub(crate) fn get(&self, locale: &Locale) -> &str {
        let found = locale.lookup().find_map(|tag| {
            let (_, text) = self
                .others
                .iter()
                .find(|(known, _)| known.as_str() == tag)?;
            Some(text)
        });
        found.unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Languages, Fault> {
        let table = entries
            .iter()
            .map(|(tag, text)| ((*tag).to_owned(), (*text).to_owned()));
        let given = ByLanguage::Table(table.collect());
        let check = |text: &str| (text != "bad").then_some(()).ok_or("is bad");
        Languages::read("content_sid", &given, check)
    }

    #[test]
    fn a_language_gets_its_own_text_or_that_of_a_more_general_one_or_the_default() {
        let table = read(&[("default", "d"), ("pt", "p"), ("pt_br", "b")]).unwrap();
        for (tag, text) in [("pt-BR", "b"), ("pt-PT", "p"), ("pt", "p"), ("en", "d")] {
            assert_eq!(table.get(&tag.parse().unwrap()), text, "{tag}");
        }
        let all: Vec<_> = table.all().into_iter().collect();
        assert_eq!(all, ["b", "d", "p"]);
        let one = ByLanguage::One("x".to_owned());
        let one = Languages::read("language", &one, |_| Ok(())).unwrap();
        assert_eq!(one.get(&"hi".parse().unwrap()), "x");
    }

    #[test]
    fn a_table_without_default_or_with_a_wrong_tag_or_text_is_refused() {
        for (entries, part) in [
            (&[("en", "e")][..], "has no `default`"),
            (&[("default", "d"), ("no tag", "x")], "`no tag`"),
            (&[("default", "d"), ("de", "bad")], "of `de` is bad"),
        ] {
            let (setting, fault) = read(entries).err().unwrap();
            assert_eq!(setting, "content_sid");
            assert!(fault.contains(part), "{fault}");
        }
    }
}
