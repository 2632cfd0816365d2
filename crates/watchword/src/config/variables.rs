//! The environment and `.env` as layers of settings.

use std::collections::BTreeMap;
use std::path::Path;

use zeroize::Zeroizing;

use super::fault::Fault;
use super::origin::Origin;
use super::tree::{Table, Value, set};

/// What begins the name of every variable that is a setting of ours.
const PREFIX: &str = "WATCHWORD__";

/// The variables of the environment, above those of a `.env` file. Empty ones count as unset.
#[derive(Default)]
pub(crate) struct Variables(BTreeMap<String, (Zeroizing<String>, Origin)>);

impl Variables {
    /// Reads the environment of this process and `.env` in `folder`, if there is one.
    ///
    /// # Errors
    /// A `.env` that cannot be read, and a variable of ours that is no text.
    pub(crate) fn read(folder: &Path) -> Result<Self, Fault> {
        let mut variables = Self::default();
        let file = folder.join(".env");
        if file.exists() {
            let unreadable = |error: dotenvy::Error| {
                // The message of a syntax error quotes the line, which may hold a secret.
                let reason = match error {
                    dotenvy::Error::Io(error) => error.to_string(),
                    _ => "a line is not NAME=value".to_owned(),
                };
                Fault::general(format!("{} cannot be read: {reason}", file.display()))
            };
            for entry in dotenvy::from_path_iter(&file).map_err(unreadable)? {
                let (name, value) = entry.map_err(unreadable)?;
                let origin = Origin::DotEnv(name.as_str().into());
                variables.insert(name, value, origin);
            }
        }
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            let origin = Origin::Environment(name.into());
            match value.into_string() {
                Ok(value) => variables.insert(name.to_owned(), value, origin),
                Err(_) if name.starts_with(PREFIX) => {
                    return Err(Fault::general(format!("{name} is not UTF-8 text")));
                }
                Err(_) => {}
            }
        }
        Ok(variables)
    }

    fn insert(&mut self, name: String, value: String, origin: Origin) {
        if value.is_empty() {
            self.0.remove(&name);
        } else {
            self.0.insert(name, (Zeroizing::new(value), origin));
        }
    }

    /// One variable and where it is from.
    pub(crate) fn get(&self, name: &str) -> Option<(&str, &Origin)> {
        self.0
            .get(name)
            .map(|(value, origin)| (value.as_str(), origin))
    }

    /// The settings among them: `WATCHWORD__STORAGE__URL` is `storage.url`.
    pub(crate) fn settings(&self) -> Result<Table, Fault> {
        let mut table = Table::new();
        for (name, (value, origin)) in &self.0 {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let lower = rest.to_ascii_lowercase();
            let path: Vec<&str> = lower.split("__").collect();
            if path.iter().any(|step| step.is_empty()) {
                let message = format!("{name} is no setting; write {PREFIX}SECTION__KEY");
                return Err(Fault::general(message));
            }
            set(
                &mut table,
                &path,
                Value::loose(value.as_str(), origin.clone()),
            );
        }
        Ok(table)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Variables {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self::from_pairs(&pairs)
    }
}

#[cfg(test)]
impl Variables {
    pub(crate) fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        let mut variables = Self::default();
        for (name, value) in pairs {
            let origin = Origin::Environment((*name).into());
            variables.insert((*name).into(), (*value).into(), origin);
        }
        variables
    }
}
