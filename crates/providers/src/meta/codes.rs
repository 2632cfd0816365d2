//! Error numbers of Meta's WhatsApp Cloud API. Meta says to decide on the number alone: the HTTP
//! status of one and the same differs between its documents.
//!
//! Source: Meta's page "Error codes", 2026.

use crate::http::meaning::{CodeTable, Meaning, find};

/// Every number that is known, once. 200 to 299 are permissions.
pub(super) const CODES: &CodeTable = &[
    // 131030 is a recipient that a test number may not write to.
    (Meaning::InvalidRecipient, &[131_026, 131_021, 131_030]),
    (Meaning::BlockedRecipient, &[130_403, 131_050, 130_472]),
    (
        Meaning::Rejected,
        &[
            131_049, 131_047, 131_051, 131_009, 100, 131_008, 135_000, 130_497,
        ],
    ),
    (Meaning::Throttled, &[4, 80_007, 130_429, 131_064, 133_016]),
    // Too many to this number; others may go on.
    (Meaning::RecipientThrottled, &[131_056]),
    (
        Meaning::Unavailable,
        &[1, 2, 131_000, 131_016, 131_057, 133_004, 131_052, 131_053],
    ),
    // 131048 is a spam limit: it lasts for hours or days, and who sends too much that people report
    // has to change that. Waiting for it, or asking on, is in vain.
    (
        Meaning::Misconfigured,
        &[
            131_048, 0, 190, 3, 10, 131_005, 104, 33, 131_031, 368, 131_042, 131_045, 133_000,
            133_006, 133_010, 133_015, 131_037, 131_063, 132_000, 132_001, 132_005, 132_007,
            132_008, 132_012, 132_015, 132_016, 132_018, 132_068, 132_069, 134_011,
        ],
    ),
];

/// What a number means.
pub(crate) fn meaning(code: u32) -> Option<Meaning> {
    match code {
        200..=299 => Some(Meaning::Misconfigured),
        _ => find(CODES, code),
    }
}
