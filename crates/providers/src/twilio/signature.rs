//! How Twilio signs its callbacks.
//!
//! Source: Twilio's page "Webhooks security", and the request validators of its libraries for
//! Python and Node.js.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::callback::{Proofs, only, same};

/// The parameter that has the digest of a body that is no form.
const BODY_DIGEST: &str = "bodySHA256";

/// What JavaScript's `querystring` leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A request as far as its signature goes.
pub(super) struct Signed<'a> {
    /// The address without its query, as the outside sees it.
    pub(super) base: &'a Url,
    /// The query as it came.
    pub(super) query: Option<&'a str>,
    /// The body as it came.
    pub(super) body: &'a [u8],
}

impl Signed<'_> {
    /// Whether the body is vouched for by a digest in the query, and not field by field.
    pub(super) fn has_body_digest(&self) -> bool {
        let pairs = form_urlencoded::parse(self.query.unwrap_or_default().as_bytes());
        pairs.into_iter().any(|(name, _)| name == BODY_DIGEST)
    }

    /// Whether a signature is one of the account with these tokens.
    pub(super) fn is_proven(&self, tokens: &Proofs, signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        let fields = if self.has_body_digest() {
            let digest = Sha256::digest(self.body)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>();
            match only(self.query, BODY_DIGEST) {
                Some(given) if same(&digest, &given) => String::new(),
                _ => return false,
            }
        } else {
            fields(self.body)
        };
        let addresses = addresses(self.base, self.query);
        tokens.any(|token| {
            addresses.iter().fold(false, |passed, address| {
                #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
                let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("any length");
                mac.update(address.as_bytes());
                mac.update(fields.as_bytes());
                mac.verify_slice(&signature).is_ok() | passed
            })
        })
    }
}

/// The fields of a form as they are signed: by name, each value once, nothing between.
fn fields(body: &[u8]) -> String {
    let mut fields: BTreeMap<Cow<'_, str>, BTreeSet<Cow<'_, str>>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        fields.entry(name).or_default().insert(value);
    }
    let mut text = String::with_capacity(body.len());
    for (name, values) in &fields {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    text
}

/// Every spelling of the address that Twilio may have signed: with the port and without, and with
/// the query as it came, as a URL parser writes it, and encoded anew.
fn addresses(base: &Url, query: Option<&str>) -> Vec<String> {
    let host = base.host_str().unwrap_or_default();
    let mut authorities = vec![host.to_owned()];
    if let Some(port) = base.port_or_known_default() {
        authorities.push(format!("{host}:{port}"));
    }
    let mut queries = vec![query.map_or_else(String::new, |query| format!("?{query}"))];
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        let mut parsed = base.clone();
        parsed.set_query(Some(query));
        queries.push(format!("?{}", parsed.query().unwrap_or_default()));
        queries.push(format!("?{}", encoded_anew(query)));
        queries.sort_unstable();
        queries.dedup();
    }
    let (scheme, path) = (base.scheme(), base.path());
    let join = |(authority, query)| format!("{scheme}://{authority}{path}{query}");
    let pairs = authorities.iter().flat_map(|authority| {
        let with = move |query| (authority, query);
        queries.iter().map(with)
    });
    pairs.map(join).collect()
}

fn encoded_anew(query: &str) -> String {
    let pairs = form_urlencoded::parse(query.as_bytes()).map(|(name, value)| {
        let encode = |text| utf8_percent_encode(text, PLAIN);
        format!("{}={}", encode(&name), encode(&value))
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests;
