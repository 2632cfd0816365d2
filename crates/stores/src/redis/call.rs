//! What a script is called with.

use std::time::Duration;

use watchword_core::{
    FailureBudget, Quota, RecipientIndex, SendTerms, SourceIndex, Timestamp, VerificationId,
};

use super::script::Script;

/// Whose time rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// The server's: nodes whose clocks differ agree on it.
    #[default]
    Server,
    /// The caller's, as in the tests of every store.
    Caller,
}

/// One call of a step. All its keys are in the slot of the first.
pub(super) struct Call {
    pub(super) script: &'static Script,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(script: &'static Script, key: Vec<u8>) -> Self {
        Self {
            script,
            keys: vec![key],
            arguments: Vec::with_capacity(24),
        }
    }

    pub(super) fn key(mut self, key: Vec<u8>) -> Self {
        self.keys.push(key);
        self
    }

    /// The arguments of the clock, which come first.
    pub(super) fn at(self, time: Time, now: Timestamp) -> Self {
        let clock = match time {
            Time::Server => "server",
            Time::Caller => "caller",
        };
        self.text(clock).moment(now)
    }

    pub(super) fn text(mut self, text: impl AsRef<[u8]>) -> Self {
        self.arguments.push(text.as_ref().to_vec());
        self
    }

    pub(super) fn maybe_text(self, text: Option<impl AsRef<[u8]>>) -> Self {
        let marked = text.map_or_else(
            || vec![b'-'],
            |text| [b"+", text.as_ref()].concat(), // so that an empty text is none of those
        );
        self.text(marked)
    }

    pub(super) fn number(self, number: impl Into<u64>) -> Self {
        self.text(number.into().to_string())
    }

    pub(super) fn maybe_number(self, number: Option<impl Into<u64>>) -> Self {
        match number {
            Some(number) => self.number(number),
            None => self.text(""),
        }
    }

    pub(super) fn moment(self, at: Timestamp) -> Self {
        self.number(at.as_millis())
    }

    pub(super) fn span(self, span: Duration) -> Self {
        self.number(millis(span))
    }

    pub(super) fn quotas(self, quotas: &[Quota]) -> Self {
        let counted = self.number(u64::try_from(quotas.len()).unwrap_or(u64::MAX));
        let all = quotas.iter();
        all.fold(counted, |call, quota| {
            call.number(quota.max).span(quota.window)
        })
    }

    pub(super) fn budget(self, budget: Option<FailureBudget>) -> Self {
        let parts = budget.map(|budget| [budget.per_hour, budget.per_day, budget.in_a_row]);
        (0..3).fold(self, |call, part| {
            call.maybe_number(parts.map(|parts| parts[part]))
        })
    }

    /// What a send of a code that lives for `ttl` has to pay, and how long it is remembered.
    pub(super) fn terms(self, terms: &SendTerms, ttl: Duration) -> Self {
        self.budget(terms.failures)
            .span(terms.cooldown)
            .quotas(&terms.recipient)
            .span(terms.horizon())
            .span(terms.memory(ttl).slot)
    }
}

/// In whole milliseconds. A century is as good as for ever, and Lua counts it exactly.
fn millis(span: Duration) -> u64 {
    const CENTURY: u64 = 3_155_760_000_000;
    u64::try_from(span.as_millis()).map_or(CENTURY, |millis| millis.min(CENTURY))
}

/// The names of keys. What has to change together bears the same tag in braces, and so is in the
/// same slot of a cluster; everything else is spread.
#[derive(Clone)]
pub(super) struct Names {
    namespace: String,
}

/// How many sets the due fallbacks are spread over.
pub(super) const DUE_SETS: u16 = 16;

impl Names {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
        }
    }

    fn tagged(&self, tag: u16, letter: char, bytes: &[u8; 16]) -> Vec<u8> {
        let mut key = format!("{}:{{{tag:04x}}}{letter}", self.namespace).into_bytes();
        key.extend(bytes);
        key
    }

    fn spread(&self, letter: char, bytes: &[u8; 16]) -> Vec<u8> {
        let mut key = format!("{}:{letter}", self.namespace).into_bytes();
        // Not the bytes themselves: among them may be braces.
        key.extend(
            bytes
                .iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes()),
        );
        key
    }

    pub(super) fn verification(&self, id: VerificationId) -> Vec<u8> {
        self.tagged(id.tag(), 'v', id.as_bytes())
    }

    pub(super) fn recipient(&self, index: RecipientIndex) -> Vec<u8> {
        self.tagged(index.tag(), 'r', index.as_bytes())
    }

    pub(super) fn source(&self, index: SourceIndex) -> Vec<u8> {
        self.spread('s', index.as_bytes())
    }

    pub(super) fn replay(&self, key: [u8; 16]) -> Vec<u8> {
        self.spread('i', &key)
    }

    pub(super) fn message(&self, key: [u8; 16]) -> Vec<u8> {
        self.spread('m', &key)
    }

    /// One of the sets of due fallbacks.
    pub(super) fn due(&self, set: u16) -> Vec<u8> {
        format!("{}:due:{{{}}}", self.namespace, set % DUE_SETS).into_bytes()
    }

    pub(super) fn api_keys(&self) -> Vec<u8> {
        format!("{}:{{api-keys}}", self.namespace).into_bytes()
    }

    pub(super) fn api_keys_version(&self) -> Vec<u8> {
        format!("{}:{{api-keys}}:version", self.namespace).into_bytes()
    }

    pub(super) fn secrets(&self) -> Vec<u8> {
        format!("{}:{{secrets}}", self.namespace).into_bytes()
    }
}
