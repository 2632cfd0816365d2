//! What is wrong with a configuration, one line each.

use std::fmt;

use super::origin::Origin;

/// One thing to correct. Prints as one line: where, what, and what to do.
///
/// **Invariant:** never carries the value of a setting that may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The setting, such as `storage.url`; empty when it is not about one.
    pub(crate) path: String,
    /// Who set it.
    pub(crate) origin: Option<Origin>,
    /// What is wrong, and what would be right.
    pub(crate) message: String,
}

impl Fault {
    /// A fault of one setting.
    pub(crate) fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            origin: None,
            message: message.into(),
        }
    }

    /// A fault of no single setting.
    pub(crate) fn general(message: impl Into<String>) -> Self {
        Self::at("", message)
    }

    /// The same with who set it.
    pub(crate) fn from(mut self, origin: Option<&Origin>) -> Self {
        self.origin = self.origin.or_else(|| origin.cloned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

/// What `unknown` may have been meant as: the most similar of `known`, if any is similar enough.
pub(crate) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let unknown = unknown.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&unknown, name), name))
        .filter(|(distance, name)| {
            *distance <= (name.len() / 3).max(1) || name.starts_with(&unknown)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `unknown key; did you mean …?`
pub(crate) fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("unknown {what}; did you mean `{near}`?");
    }
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return format!("unknown {what}");
    }
    format!("unknown {what}; known here: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_its_key_and_another_word_does_not() {
        let known = ["url", "accounts_url", "max_live"];
        assert_eq!(nearest("ulr", known), Some("url"));
        assert_eq!(nearest("max_lives", known), Some("max_live"));
        assert_eq!(nearest("MAX_LIVE", known), Some("max_live"));
        assert_eq!(nearest("zebra", known), None);
    }

    #[test]
    fn a_fault_reads_as_one_line() {
        let fault = Fault::at("storage.ulr", unknown("key", "ulr", ["url", "max_live"]));
        let fault = fault.from(Some(&Origin::Line(
            std::path::Path::new("a.toml").into(),
            7,
        )));
        assert_eq!(
            fault.to_string(),
            "storage.ulr: unknown key; did you mean `url`? (a.toml:7)"
        );
    }
}
