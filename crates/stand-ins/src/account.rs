//! The accounts that stand-ins know, and the settings that fit them.
//!
//! All of it is made up; nothing here opens a door anywhere.

use crate::family::Family;

/// Twilio's account.
pub const TWILIO_ACCOUNT_SID: &str = "AC00000000000000000000000000000001";
/// Its token, which signs callbacks as well.
pub const TWILIO_AUTH_TOKEN: &str = "stand-in-auth-token";
/// An API key of it.
pub const TWILIO_API_KEY: &str = "SK00000000000000000000000000000001";
/// The secret of the API key.
pub const TWILIO_API_SECRET: &str = "stand-in-api-secret";
/// The one number that it sends and calls from.
pub const TWILIO_NUMBER: &str = "+12015550100";
/// Its messaging service.
pub const TWILIO_MESSAGING_SERVICE_SID: &str = "MG00000000000000000000000000000001";
/// Its approved authentication template in English.
pub const TWILIO_CONTENT_SID: &str = "HX00000000000000000000000000000001";
/// The same in German.
pub const TWILIO_CONTENT_SID_DE: &str = "HX00000000000000000000000000000002";
/// One that waits for approval.
pub const TWILIO_CONTENT_SID_PENDING: &str = "HX00000000000000000000000000000003";

/// Meta's sending number.
pub const META_PHONE_NUMBER_ID: &str = "100000000000001";
/// The WhatsApp Business Account that the number and the templates belong to.
pub const META_BUSINESS_ACCOUNT_ID: &str = "100000000000002";
/// The token of a system user.
pub const META_ACCESS_TOKEN: &str = "stand-in-access-token";
/// What signs webhooks.
pub const META_APP_SECRET: &str = "stand-in-app-secret";
/// What Meta repeats when a callback URL is registered.
pub const META_VERIFY_TOKEN: &str = "stand-in-verify-token";
/// The approved authentication template.
pub const META_TEMPLATE: &str = "verification_code";
/// The languages that the template is approved in, as Meta writes them.
pub const META_LANGUAGES: [&str; 9] = ["en_US", "en", "es", "pt_BR", "fr", "de", "hi", "ar", "id"];

/// Gupshup's key.
pub const GUPSHUP_API_KEY: &str = "stand-in-api-key";
/// The name of the app.
pub const GUPSHUP_APP_NAME: &str = "StandIn";
/// The number that it sends from.
pub const GUPSHUP_SOURCE: &str = "12015550101";
/// The approved authentication template.
pub const GUPSHUP_TEMPLATE_ID: &str = "00000000-0000-4000-8000-000000000001";
/// The word that callbacks bring along, because Gupshup does not sign them.
pub const GUPSHUP_CALLBACK_TOKEN: &str = "stand-in-callback-token";

/// The provider kinds of a family.
#[must_use]
pub const fn kinds(family: Family) -> &'static [&'static str] {
    match family {
        Family::Twilio => &["twilio-sms", "twilio-whatsapp", "twilio-voice"],
        Family::Meta => &["meta-whatsapp"],
        Family::Gupshup => &["gupshup-whatsapp"],
    }
}

/// The settings of a provider of this kind that sends to a stand-in at `base_url`, as the lines of
/// a TOML table. Nothing for a kind that no stand-in plays.
#[must_use]
pub fn settings(kind: &str, base_url: &str) -> Option<String> {
    let twilio = format!(
        "account_sid = \"{TWILIO_ACCOUNT_SID}\"\nauth_token = \"{TWILIO_AUTH_TOKEN}\"\n\
         from = \"{TWILIO_NUMBER}\"\n"
    );
    let own = match kind {
        "twilio-sms" | "twilio-voice" => twilio,
        "twilio-whatsapp" => format!(
            "{twilio}content_sid = {{ default = \"{TWILIO_CONTENT_SID}\", \
             de = \"{TWILIO_CONTENT_SID_DE}\" }}\n"
        ),
        "meta-whatsapp" => format!(
            "phone_number_id = \"{META_PHONE_NUMBER_ID}\"\naccess_token = \"{META_ACCESS_TOKEN}\"\n\
             app_secret = \"{META_APP_SECRET}\"\nverify_token = \"{META_VERIFY_TOKEN}\"\n\
             template = \"{META_TEMPLATE}\"\nlanguage = {{ default = \"en_US\", es = \"es\", \
             pt = \"pt_BR\", fr = \"fr\", de = \"de\", hi = \"hi\", ar = \"ar\", id = \"id\" }}\n"
        ),
        "gupshup-whatsapp" => format!(
            "api_key = \"{GUPSHUP_API_KEY}\"\nsource = \"{GUPSHUP_SOURCE}\"\n\
             app_name = \"{GUPSHUP_APP_NAME}\"\ntemplate_id = \"{GUPSHUP_TEMPLATE_ID}\"\n\
             callback_token = \"{GUPSHUP_CALLBACK_TOKEN}\"\n"
        ),
        _ => return None,
    };
    Some(format!(
        "kind = \"{kind}\"\nbase_url = \"{base_url}\"\n{own}"
    ))
}
