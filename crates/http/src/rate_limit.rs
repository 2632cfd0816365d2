//! `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers-11): what a caller has left.
//!
//! Only for callers that said who they are, and only about the address that they called from: what
//! other people did to a recipient is nobody's business.

use std::io::{self, Write as _};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use watchword_core::{Per, Policy, Quota, Standing};

use crate::problem::whole_seconds;

/// Both headers of one answer.
#[derive(Clone, Debug)]
pub struct RateLimit {
    policy: HeaderValue,
    current: Option<HeaderValue>,
}

impl RateLimit {
    /// The limits that the policy sets a source; `None` if it sets none.
    pub(crate) fn of(policy: &Policy) -> Option<Self> {
        let quotas = policy.quotas(Per::Source);
        let policy = header(|listed| {
            for (index, quota) in quotas.iter().enumerate() {
                let and = if index > 0 { ", " } else { "" };
                let window = whole_seconds(quota.window);
                let name = name(index);
                write!(listed, "{and}\"{name}\";q={};w={window}", quota.max)?;
            }
            Ok(())
        })?;
        (!policy.is_empty()).then_some(Self {
            policy,
            current: None,
        })
    }

    /// With what is left of the tightest limit.
    pub(crate) fn standing(self, policy: &Policy, standing: Standing) -> Self {
        let quotas = policy.quotas(Per::Source);
        let index = quotas.iter().position(|quota| *quota == standing.quota);
        self.left(index.unwrap_or(0), standing.remaining, standing.until_more)
    }

    /// With nothing left for so long.
    pub(crate) fn used_up(self, policy: &Policy, wait: Duration) -> Self {
        let quotas = policy.quotas(Per::Source);
        // The limit that makes one wait this long has a window at least as long.
        let could = |quota: &Quota| quota.window >= wait;
        self.left(quotas.iter().position(could).unwrap_or(0), 0, wait)
    }

    fn left(mut self, index: usize, remaining: u32, window: Duration) -> Self {
        let window = whole_seconds(window);
        let name = name(index);
        self.current = header(|current| write!(current, "\"{name}\";r={remaining};t={window}"));
        self
    }

    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static("ratelimit-policy"), self.policy);
        if let Some(current) = self.current {
            headers.insert(HeaderName::from_static("ratelimit"), current);
        }
    }
}

/// Room for what the usual policy lists.
const ROOM: usize = 64;

fn header(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Option<HeaderValue> {
    let mut text = Vec::with_capacity(ROOM);
    write(&mut text).ok()?;
    HeaderValue::from_bytes(&text).ok()
}

fn name(index: usize) -> &'static str {
    ["send", "send-2", "send-3", "send-4"][index.min(3)]
}

#[cfg(test)]
mod tests {
    use watchword_core::Limit;

    use super::*;

    fn written(rate_limit: Option<RateLimit>) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        if let Some(rate_limit) = rate_limit {
            rate_limit.write(&mut headers);
        }
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        headers.iter().map(text).collect()
    }

    #[test]
    fn however_many_limits_there_are_all_are_listed() {
        let limit = Limit {
            per: Per::Source,
            max: 100_000,
            window: Duration::from_hours(24 * 7),
        };
        let policy = Policy {
            limits: vec![limit; 30],
            ..Policy::default()
        };
        let written = written(RateLimit::of(&policy));
        assert_eq!(written[0].1.matches("q=100000;w=604800").count(), 30);
    }

    #[test]
    fn the_headers_are_lists_of_strings_with_integer_parameters() {
        let policy = Policy::default();
        let quota = policy.quotas(Per::Source)[0];
        let standing = Standing {
            quota,
            remaining: 29,
            until_more: Duration::from_millis(599_500),
        };
        let headers = RateLimit::of(&policy).map(|limit| limit.standing(&policy, standing));
        assert_eq!(
            written(headers),
            [
                (
                    "ratelimit-policy".to_owned(),
                    r#""send";q=30;w=600"#.to_owned()
                ),
                ("ratelimit".to_owned(), r#""send";r=29;t=600"#.to_owned()),
            ]
        );
    }

    #[test]
    fn without_a_limit_for_sources_there_is_no_header() {
        let recipients = |limit: &Limit| limit.per == Per::Recipient;
        let mut policy = Policy::default();
        policy.limits.retain(recipients);
        assert!(RateLimit::of(&policy).is_none());
    }
}
