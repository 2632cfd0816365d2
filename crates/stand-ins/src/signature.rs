//! How providers sign what they send.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// `X-Twilio-Signature` of a form, or of a GET (no fields): the address as it was configured,
/// followed by every field, sorted, name and value with nothing between; of a name that comes
/// several times each distinct value once. HMAC-SHA1 by the account's token, in base64.
#[must_use]
pub fn twilio(auth_token: &str, url: &str, fields: &[(String, String)]) -> String {
    let mut signed = url.to_owned();
    for (name, value) in fields.iter().collect::<BTreeSet<_>>() {
        signed.push_str(name);
        signed.push_str(value);
    }
    let mut mac = keyed::<Hmac<Sha1>>(auth_token.as_bytes());
    mac.update(signed.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The address of a JSON callback of Twilio: with the digest of its body in the query. The
/// signature is that of this address without fields.
#[must_use]
pub fn twilio_json_url(url: &str, body: &[u8]) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}bodySHA256={}", hex(&Sha256::digest(body)))
}

/// `X-Hub-Signature-256` of a body as it is sent: HMAC-SHA256 by the app's secret.
#[must_use]
pub fn hub(app_secret: &str, body: &[u8]) -> String {
    let mut mac = keyed::<Hmac<Sha256>>(app_secret.as_bytes());
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as KeyInit>::new_from_slice(key).expect("any length")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
