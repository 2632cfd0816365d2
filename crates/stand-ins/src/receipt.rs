//! What a provider says later of a message that it took.

use serde::{Deserialize, Serialize};

/// One report, in the provider's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Such as `sent`, `delivered`, `read`, `undelivered`, `failed`; of a call `completed`.
    pub status: String,
    /// The provider's number, of a failure.
    #[serde(default)]
    pub code: Option<u32>,
}

impl Receipt {
    /// A report without a number.
    #[must_use]
    pub fn new(status: &str) -> Self {
        Self {
            status: status.to_owned(),
            code: None,
        }
    }

    /// A failure with its number.
    #[must_use]
    pub fn failed(status: &str, code: u32) -> Self {
        Self {
            status: status.to_owned(),
            code: Some(code),
        }
    }
}

/// A report that was sent, and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// What was reported.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// The HTTP status that came back; nothing when none came.
    pub answered: Option<u16>,
}

/// The last first, and everything twice.
pub(crate) fn disordered(mut plan: Vec<Receipt>) -> Vec<Receipt> {
    plan.reverse();
    let again = plan.clone();
    plan.extend(again);
    plan
}
