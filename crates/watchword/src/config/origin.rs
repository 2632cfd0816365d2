//! Where a setting came from, for messages and for `config show`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The place that gave a setting its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// What dev mode brings along.
    Dev,
    /// A line of a configuration file.
    Line(Arc<Path>, usize),
    /// A variable of the environment.
    Environment(Arc<str>),
    /// A variable of a `.env` file.
    DotEnv(Arc<str>),
    /// The content of the file that another setting names.
    SecretFile(Arc<Path>),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dev => f.write_str("dev mode"),
            Self::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Environment(name) => write!(f, "{name} in the environment"),
            Self::DotEnv(name) => write!(f, "{name} in .env"),
            Self::SecretFile(file) => write!(f, "file {}", file.display()),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}
