//! How a command ends that did not do what it was asked to.

use crate::config::Fault;
use crate::telemetry::chain;

/// What a person reads on standard error, one line each, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    lines: Vec<String>,
    code: u8,
}

impl Failure {
    /// It was refused: by the configuration, by the server, by the rules. Exit code 1.
    pub(crate) fn refused(line: impl Into<String>) -> Self {
        let lines = vec![line.into()];
        Self { lines, code: 1 }
    }

    /// Something that is needed could not be reached. Exit code 3. (2 is for usage.)
    pub(crate) fn unreachable(line: impl Into<String>) -> Self {
        let lines = vec![line.into()];
        Self { lines, code: 3 }
    }

    /// An error with its causes. Exit code 1.
    pub(crate) fn from_error(error: &dyn std::error::Error) -> Self {
        Self::refused(chain(error))
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        self.code
    }

    /// The lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        let lines = faults.iter().map(ToString::to_string).collect();
        Self { lines, code: 1 }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::from(vec![fault])
    }
}
