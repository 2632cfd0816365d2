//! Access tokens: what a login is worth to the services behind this one.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::entropy::{Entropy, EntropyError, draw};
use crate::keys::KeyRing;
use crate::token::sign;

/// The `typ` of an access token (RFC 9068 section 2.1): no other token of this server has it.
pub const ACCESS_TYPE: &str = "at+jwt";

/// How long access tokens are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessTokenLife {
    /// Usually.
    pub usual: Duration,
    /// When the user wants to be remembered.
    pub remembered: Duration,
}

/// Half an hour, or thirty days.
impl Default for AccessTokenLife {
    fn default() -> Self {
        Self {
            usual: Duration::from_mins(30),
            remembered: Duration::from_hours(30 * 24),
        }
    }
}

impl AccessTokenLife {
    /// How long the token of one login is good.
    #[must_use]
    pub const fn of(self, remember_me: bool) -> Duration {
        if remember_me {
            self.remembered
        } else {
            self.usual
        }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    amr: Vec<&'a str>,
    iat: u64,
    exp: u64,
    jti: Uuid,
}

/// A signed access token. Whoever holds it is let in, so it does not print.
#[derive(Clone)]
pub struct AccessToken {
    text: String,
    /// How long it is good.
    pub expires_in: Duration,
}

/// Whom a token lets in, how they showed who they are, and for how long.
pub(super) struct Grant<'a> {
    pub(super) issuer: &'a str,
    pub(super) app: &'a AppId,
    pub(super) subject: &'a str,
    pub(super) channel: Channel,
    pub(super) life: Duration,
}

impl AccessToken {
    /// Signs a JWT (RFC 7519) under EdDSA (RFC 8037) with the claims of RFC 9068 that this server
    /// has an answer to: `iss`, `aud` (the app), `sub`, `iat`, `exp`, `jti`, and `amr` (RFC 8176),
    /// which says `otp`, and `sms` where that is how the code travelled. Neither address nor
    /// number is in it.
    pub(super) fn sign(
        keys: &KeyRing,
        grant: &Grant<'_>,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, EntropyError> {
        let mut amr = vec!["otp"];
        amr.extend(grant.channel.authentication_method());
        let claims = Claims {
            iss: grant.issuer,
            aud: grant.app.as_str(),
            sub: grant.subject,
            amr,
            iat: now.as_secs(),
            exp: now.plus(grant.life).as_secs(),
            jti: uuid::Builder::from_random_bytes(draw(entropy)?).into_uuid(),
        };
        Ok(Self {
            text: sign(keys, ACCESS_TYPE, &claims),
            expires_in: grant.life,
        })
    }

    /// The compact JWS.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(redacted)")
    }
}
