//! Result tokens: what an approval is worth to a third party.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::keys::KeyRing;
use crate::verification::Verification;

/// How long a result token is good.
pub const TOKEN_TTL: Duration = Duration::from_mins(10);

/// The `typ` of a result token (RFC 8725 section 3.11): no other token of this server has it.
pub const RESULT_TYPE: &str = "verification+jwt";

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    vid: String,
    purpose: &'a str,
    amr: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    iat: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    remember_me: bool,
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
    let mut amr = vec!["otp"];
    amr.extend(channel.and_then(Channel::authentication_method));
    let claims = Claims {
        iss: issuer,
        aud: verification.app.as_str(),
        sub: verification.recipient.to_string(),
        vid: verification.id.to_string(),
        purpose: verification.purpose.as_str(),
        amr,
        channel: channel.map(Channel::as_str),
        iat: now.as_secs(),
        exp: now.plus(TOKEN_TTL).as_secs(),
        // One approval, one token: the verification names it.
        jti: verification.id.to_string(),
        remember_me,
    };
    sign(keys, RESULT_TYPE, &claims)
}

/// A compact JWS (RFC 7515 section 7.1) of `claims` under the ring's newest key.
#[must_use]
pub fn sign<T: Serialize>(keys: &KeyRing, kind: &str, claims: &T) -> String {
    let header = Header {
        alg: "EdDSA",
        typ: kind,
        kid: keys.signing_key_id(),
    };
    // Both are plain structs of strings and numbers: they always have a JSON form.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let claims = serde_json::to_vec(claims).unwrap_or_default();
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = keys.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}
