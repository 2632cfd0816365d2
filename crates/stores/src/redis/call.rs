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

    /// A call whose first argument is packed, and begins with the clock.
    pub(super) fn packed(
        script: &'static Script,
        key: Vec<u8>,
        time: Time,
        now: Timestamp,
    ) -> Self {
        let mut call = Self {
            script,
            keys: vec![key],
            arguments: Vec::with_capacity(5),
        };
        call.arguments.push(Vec::with_capacity(128));
        call.byte((time == Time::Server).into())
            .six(now.as_millis())
    }

    fn pack(mut self, bytes: &[u8]) -> Self {
        if let Some(first) = self.arguments.first_mut() {
            first.extend_from_slice(bytes);
        }
        self
    }

    /// Packs the part of a handle or of a recipient's index that its key does not say.
    pub(super) fn rest_of(self, bytes: &[u8; 16]) -> Self {
        self.pack(&bytes[4..])
    }

    /// Packs one byte.
    pub(super) fn byte(self, number: u8) -> Self {
        self.pack(&[number])
    }

    /// Packs two bytes.
    pub(super) fn two(self, number: u16) -> Self {
        self.pack(&number.to_be_bytes())
    }

    /// Packs four bytes.
    pub(super) fn four(self, number: u32) -> Self {
        self.pack(&number.to_be_bytes())
    }

    /// Packs six bytes: a moment or a span in milliseconds.
    pub(super) fn six(self, number: u64) -> Self {
        self.pack(&six(number))
    }

    /// Packs six bytes: a span in milliseconds.
    pub(super) fn spanning(self, span: Duration) -> Self {
        self.six(millis(span))
    }

    /// Packs quotas: how many, and of each how many entries in how long.
    pub(super) fn quotas(mut self, quotas: &[Quota]) -> Self {
        if let Some(first) = self.arguments.first_mut() {
            pack_quotas(first, quotas);
        }
        self
    }

    /// Packs the failures that a recipient bears, in as many bytes where there is none.
    pub(super) fn budget(self, budget: Option<FailureBudget>) -> Self {
        match budget {
            Some(budget) => self.quotas(&budget.quotas()),
            None => self.pack(&[0; 21]),
        }
    }

    /// Adds the quotas of a source as an argument, the last.
    pub(super) fn source_quotas(mut self, quotas: &[Quota]) -> Self {
        let mut packed = Vec::with_capacity(1 + 10 * quotas.len());
        pack_quotas(&mut packed, quotas);
        self.arguments.push(packed);
        self
    }

    /// Packs whether a send meets a quota that admits nothing at all.
    pub(super) fn barred(self, limits: &[Quota], budget: Option<FailureBudget>) -> Self {
        let mut failures = budget.into_iter().flat_map(FailureBudget::quotas);
        let none = |quota: &Quota| quota.max == 0;
        let barred = limits.iter().any(none) || failures.any(|quota| none(&quota));
        self.byte(barred.into())
    }

    /// Packs a code's attempts and life, what its send has to pay, and how long that is remembered.
    pub(super) fn terms(self, attempts: u32, terms: &SendTerms, ttl: Duration) -> Self {
        self.four(attempts)
            .spanning(ttl)
            .spanning(terms.cooldown)
            .spanning(terms.horizon())
            .spanning(terms.memory(ttl).slot)
            .budget(terms.failures)
            .quotas(&terms.recipient)
    }
}

fn pack_quotas(packed: &mut Vec<u8>, quotas: &[Quota]) {
    let count = u8::try_from(quotas.len()).unwrap_or(u8::MAX);
    packed.push(count);
    for quota in quotas.iter().take(usize::from(count)) {
        packed.extend_from_slice(&quota.max.to_be_bytes());
        packed.extend_from_slice(&six(millis(quota.window)));
    }
}

/// The last six bytes; moments and spans need no more.
fn six(number: u64) -> [u8; 6] {
    let bytes = number.min((1 << 48) - 1).to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// In whole milliseconds. A century is as good as for ever, and Lua counts it exactly.
fn millis(span: Duration) -> u64 {
    const CENTURY: u64 = 3_155_760_000_000;
    u64::try_from(span.as_millis()).map_or(CENTURY, |millis| millis.min(CENTURY))
}

fn put_digits(text: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// The names of keys. What has to change together bears the same tag in braces, and so is in the
/// same slot of a cluster; everything else is spread.
#[derive(Clone)]
pub(super) struct Names {
    pub(super) namespace: String,
}

/// How many sets the due fallbacks are spread over.
pub(super) const DUE_SETS: u16 = 16;

impl Names {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
        }
    }

    /// The first two bytes are the tag.
    pub(super) fn tagged(&self, letter: u8, bytes: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.namespace.len() + 8 + bytes.len());
        key.extend_from_slice(self.namespace.as_bytes());
        key.extend_from_slice(b":{");
        put_digits(&mut key, &bytes[..2]);
        key.extend_from_slice(&[b'}', letter]);
        key.extend_from_slice(&bytes[2..]);
        key
    }

    fn spread(&self, letter: u8, bytes: &[u8; 16]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.namespace.len() + 2 + 2 * bytes.len());
        key.extend_from_slice(self.namespace.as_bytes());
        key.extend_from_slice(&[b':', letter]);
        // Not the bytes themselves: among them may be braces.
        put_digits(&mut key, bytes);
        key
    }

    /// The place of a verification, which is that of its recipient.
    pub(super) fn place(&self, id: VerificationId) -> Vec<u8> {
        self.tagged(b'p', &id.as_bytes()[..4])
    }

    pub(super) fn place_of(&self, recipient: RecipientIndex) -> Vec<u8> {
        self.tagged(b'p', &recipient.as_bytes()[..4])
    }

    pub(super) fn failures(&self, recipient: RecipientIndex) -> Vec<u8> {
        self.tagged(b'f', recipient.as_bytes())
    }

    pub(super) fn source(&self, index: SourceIndex) -> Vec<u8> {
        self.spread(b's', index.as_bytes())
    }

    pub(super) fn replay(&self, key: [u8; 16]) -> Vec<u8> {
        self.spread(b'i', &key)
    }

    pub(super) fn message(&self, key: [u8; 16]) -> Vec<u8> {
        self.spread(b'm', &key)
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
