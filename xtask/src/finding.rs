//! What a check says when something is not as it should be.

use std::fmt;

/// One thing to put right: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// From the root of the repository.
    pub(crate) path: String,
    /// Counted from one.
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn new(
        path: &str,
        line: usize,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}\n    {}",
            self.path, self.line, self.what, self.advice
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_place_then_fault_then_advice() {
        let finding = Finding::new("crates/core/src/code.rs", 7, "too long", "split it");
        assert_eq!(
            finding.to_string(),
            "crates/core/src/code.rs:7: too long\n    split it"
        );
    }
}
