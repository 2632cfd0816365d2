//! How Meta signs its callbacks.
//!
//! Source: Meta's page "Create a webhook endpoint".

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::callback::Proofs;

/// Whether `X-Hub-Signature-256` is that of an app with one of these secrets, over these bytes.
pub(super) fn is_proven(secrets: &Proofs, header: &str, body: &[u8]) -> bool {
    let Some(signature) = header.strip_prefix("sha256=").and_then(digest) else {
        return false;
    };
    secrets.any(|secret| {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        mac.update(body);
        mac.verify_slice(&signature).is_ok()
    })
}

/// 32 bytes in 64 hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
