//! What a doctor says: one line a check, or one document for programs.

use serde_json::json;
use watchword_providers::probe::{Finding, Verdict};

use crate::failure::Failure;

/// One thing that was looked at.
pub(super) struct Check {
    /// What it belongs to: a setting, or `clock`.
    subject: String,
    finding: Finding,
}

impl Check {
    pub(super) fn of(subject: impl Into<String>, finding: Finding) -> Self {
        let subject = subject.into();
        Self { subject, finding }
    }

    pub(super) fn ok(
        subject: impl Into<String>,
        about: &'static str,
        said: impl Into<String>,
    ) -> Self {
        let finding = Finding {
            about,
            verdict: Verdict::Ok,
            said: said.into(),
            advice: None,
        };
        Self::of(subject, finding)
    }

    pub(super) fn new(
        verdict: Verdict,
        subject: impl Into<String>,
        about: &'static str,
        said: impl Into<String>,
        advice: &str,
    ) -> Self {
        let finding = Finding {
            about,
            verdict,
            said: said.into(),
            advice: Some(advice.to_owned()),
        };
        Self::of(subject, finding)
    }

    fn line(&self) -> String {
        let Finding {
            about,
            verdict,
            said,
            advice,
        } = &self.finding;
        let label = match verdict {
            Verdict::Ok => "ok",
            Verdict::Unknown => "cannot tell",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        };
        let mut line = format!("{label:<12} {} ({about}): {said}", self.subject);
        if let Some(advice) = advice {
            line.push_str("; ");
            line.push_str(advice);
        }
        line
    }

    fn json(&self) -> serde_json::Value {
        let verdict = match self.finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Unknown => "unknown",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        };
        json!({
            "subject": self.subject,
            "about": self.finding.about,
            "verdict": verdict,
            "said": self.finding.said,
            "advice": self.finding.advice,
        })
    }

    #[cfg(test)]
    pub(super) fn told(&self) -> (Verdict, String) {
        (self.finding.verdict, self.line())
    }
}

/// Everything that was looked at, in order.
#[derive(Default)]
pub(super) struct Report(Vec<Check>);

impl Report {
    pub(super) fn add(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.0.extend(checks);
    }

    /// The configuration stands against a start. Each of its lines says what to do.
    pub(super) fn refused(&mut self, failure: &Failure) {
        self.add(failure.lines().iter().map(|line| {
            let finding = Finding {
                about: "settings",
                verdict: Verdict::Problem,
                said: line.clone(),
                advice: None,
            };
            Check::of("configuration", finding)
        }));
    }

    fn count(&self, verdict: Verdict) -> usize {
        let all = self.0.iter();
        all.filter(|check| check.finding.verdict == verdict).count()
    }

    pub(super) fn problems(&self) -> usize {
        self.count(Verdict::Problem)
    }

    pub(super) fn lines(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(Check::line).collect();
        lines.join("\n")
    }

    pub(super) fn json(&self) -> String {
        let document = json!({
            "checks": self.0.iter().map(Check::json).collect::<Vec<_>>(),
            "problems": self.problems(),
            "warnings": self.count(Verdict::Warning),
        });
        format!("{document:#}")
    }
}
