//! Looking at a Gupshup account. Its pages name no free request for the key of an account: the
//! balance and the templates need a partner's token.

use crate::probe::{Finding, Learned, Question};

pub(super) fn learn(question: &Question) -> Learned {
    let unknown = Finding::unknown(
        "credentials",
        "not checkable: Gupshup has no free request that shows whether `api_key`, `source`, \
         `app_name` and `template_id` are right",
        "send a code to yourself with `watchword send`",
    );
    Learned {
        findings: vec![
            Finding::ok(question.about, "Gupshup's API answers"),
            unknown,
        ],
        next: Vec::new(),
    }
}
