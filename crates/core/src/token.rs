//! Result tokens: what an approval is worth to a third party.

use std::fmt::Display;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::digest::RecipientIndex;
use crate::keys::KeyRing;
use crate::verification::Verification;

/// How long a result token is good.
pub const TOKEN_TTL: Duration = Duration::from_mins(10);

/// The `typ` of a result token (RFC 8725 section 3.11): no other token of this server has it.
pub const RESULT_TYPE: &str = "verification+jwt";

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: Shown<RecipientIndex>,
    vid: Uuid,
    purpose: &'a str,
    amr: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    iat: u64,
    exp: u64,
    jti: Uuid,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    remember_me: bool,
}

/// Written as it reads.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Signs that a verification was approved: a JWT (RFC 7519) under EdDSA (RFC 8037), good for ten
/// minutes, for the app that asked. Its `sub` is the recipient's index, never the recipient.
/// Without a `channel` this server sent nothing, and says nothing of how the code travelled.
#[must_use]
pub fn result_token(
    keys: &KeyRing,
    issuer: &str,
    verification: &Verification,
    channel: Option<Channel>,
    remember_me: bool,
    now: Timestamp,
) -> String {
    let method = channel.and_then(Channel::authentication_method);
    let amr = ["otp", method.unwrap_or_default()];
    let claims = Claims {
        iss: issuer,
        aud: verification.app.as_str(),
        sub: Shown(verification.recipient),
        vid: verification.id.as_uuid(),
        purpose: verification.purpose.as_str(),
        amr: &amr[..1 + usize::from(method.is_some())],
        channel: channel.map(Channel::as_str),
        iat: now.as_secs(),
        exp: now.plus(TOKEN_TTL).as_secs(),
        // One approval, one token: the verification names it.
        jti: verification.id.as_uuid(),
        remember_me,
    };
    sign(keys, RESULT_TYPE, &claims)
}

/// A compact JWS (RFC 7515 section 7.1) of `claims` under the ring's newest key. `kind` is its `typ`.
#[must_use]
pub fn sign<T: Serialize>(keys: &KeyRing, kind: &str, claims: &T) -> String {
    // A key's id is base64, so there is nothing to escape.
    let kid = keys.signing_key_id();
    let header = format!(r#"{{"alg":"EdDSA","typ":"{kind}","kid":"{kid}"}}"#);
    let mut json = Vec::with_capacity(CLAIMS);
    // A plain struct of strings and numbers: it always has a JSON form.
    let _ = serde_json::to_writer(&mut json, claims);
    let mut token = String::with_capacity((header.len() + json.len() + SIGNATURE) * 4 / 3 + 5);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(json, &mut token);
    let signature = keys.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// More bytes than claims mostly have.
const CLAIMS: usize = 512;

/// The bytes of a signature.
const SIGNATURE: usize = 64;
