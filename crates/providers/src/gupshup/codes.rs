//! Gupshup's error numbers and messages.
//!
//! Source: Gupshup's page "Error codes". Numbers below 300 and of six digits are Meta's, passed
//! through.

use crate::http::meaning::{CodeTable, Meaning, find};
use crate::meta;

/// Every number of Gupshup's own that is known, once.
pub(super) const CODES: &CodeTable = &[
    // 1026 is Meta's 131026, cut short.
    (Meaning::InvalidRecipient, &[1002, 1013, 1026]),
    (Meaning::BlockedRecipient, &[1008, 1006, 1007, 1012]),
    (Meaning::Rejected, &[1010, 1011, 1014, 470, 4004]),
    (Meaning::Throttled, &[4001, 471]),
    (Meaning::Unavailable, &[500, 4002]),
    (
        Meaning::Misconfigured,
        &[1001, 1003, 1004, 1005, 4003, 4005],
    ),
];

/// What a number means.
pub(super) fn meaning(code: u32) -> Option<Meaning> {
    match code {
        0..300 | 100_000..=999_999 => meta::meaning(code),
        _ => find(CODES, code),
    }
}

/// Words in the message of an error that has no number, in lower case.
const WORDS: [(&str, Meaning); 4] = [
    ("authentication failed", Meaning::Misconfigured),
    ("portal user not found", Meaning::Misconfigured),
    ("too many requests", Meaning::Throttled),
    ("destination", Meaning::InvalidRecipient),
];

/// What the message of an error means.
pub(super) fn meaning_of_words(message: &str) -> Option<Meaning> {
    let message = message.to_ascii_lowercase();
    let found = WORDS.iter().find(|(words, _)| message.contains(words))?;
    Some(found.1)
}
