//! Registrations that wait for their code: sealed, in the metadata of their verification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::PasswordHash;
use crate::app::AppId;
use crate::details::Details;
use crate::entropy::{Entropy, EntropyError};
use crate::keys::{KeyRing, Sealed};
use crate::recipient::{Email, Phone, Recipient};

/// The name of the member.
const REGISTRATION: &str = "registration";

/// The details of a registration beside its number.
pub(super) struct Pending {
    pub(super) email: Email,
    pub(super) password: PasswordHash,
}

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "e")]
    email: Zeroizing<String>,
    #[serde(rename = "p")]
    password: Zeroizing<String>,
}

impl Pending {
    /// As metadata of a verification of `mobile`. Sealed once more within what a verification
    /// seals anyway: metadata are shown to whoever may read verifications.
    pub(super) fn to_metadata(
        &self,
        app: &AppId,
        mobile: &Phone,
        keys: &KeyRing,
        entropy: &dyn Entropy,
    ) -> Result<Value, EntropyError> {
        let written = Written {
            email: Zeroizing::new(self.email.canonical().to_owned()),
            password: Zeroizing::new(self.password.expose().to_owned()),
        };
        // Two strings: they always have a JSON form.
        let json = Zeroizing::new(serde_json::to_vec(&written).unwrap_or_default());
        let sealed = keys.seal(&place(app, mobile), &json, entropy)?;
        let sealed = STANDARD_NO_PAD.encode(sealed.as_bytes());
        Ok(serde_json::json!({ (REGISTRATION): sealed }))
    }

    /// The registration that hangs on a verification of `mobile`, if one does.
    pub(super) fn of(
        details: &Details,
        app: &AppId,
        mobile: &Phone,
        keys: &KeyRing,
    ) -> Option<Self> {
        let sealed = details.metadata.as_ref()?.get(REGISTRATION)?.as_str()?;
        let sealed = Sealed::from_bytes(&STANDARD_NO_PAD.decode(sealed).ok()?);
        let json = keys.open(&place(app, mobile), &sealed).ok()?;
        let written: Written = serde_json::from_slice(&json).ok()?;
        let Recipient::Email(email) = Recipient::from_canonical(&written.email) else {
            return None;
        };
        let password = PasswordHash::from_phc(&written.password)?;
        Some(Self { email, password })
    }

    /// Whether its address is this one, in whatever case it is written.
    pub(super) fn is_of(&self, email: &Email) -> bool {
        let own = self.email.canonical();
        own.eq_ignore_ascii_case(email.canonical())
    }
}

fn place(app: &AppId, mobile: &Phone) -> Zeroizing<Vec<u8>> {
    // An app's name has no NUL.
    let parts = [
        b"registration".as_slice(),
        app.as_str().as_bytes(),
        mobile.canonical().as_bytes(),
    ];
    Zeroizing::new(parts.join(&0))
}
