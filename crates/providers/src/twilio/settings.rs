//! What an operator writes about a Twilio account.

use std::time::Duration;

use serde::Deserialize;
use watchword_core::span;

use super::message::From;
use super::{Account, TwilioSms, TwilioVoice, TwilioWhatsapp};
use crate::callback::Proofs;
use crate::language::{ByLanguage, Languages};
use crate::secret::Secret;
use crate::settings::Fault;
use crate::settings::upstream::{base_url, basic, is_number};

/// The settings of the kind `twilio-sms`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioSmsSettings {
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// The account's own token. Callbacks need it even where an API key does the sending. While it
    /// is replaced, both with a space between; the first one signs in.
    #[serde(default)]
    pub auth_token: Option<Secret>,
    /// `SK` and 32 hexadecimal digits; used in place of `auth_token`, together with `api_secret`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The secret of `api_key`.
    #[serde(default)]
    pub api_secret: Option<Secret>,
    /// The sender: a number such as `+12015550100`, a short code, or an alphanumeric id.
    #[serde(default)]
    pub from: Option<String>,
    /// `MG` and 32 hexadecimal digits; in place of `from`, or with it.
    #[serde(default)]
    pub messaging_service_sid: Option<String>,
    /// Where the API is; `https://api.twilio.com` unless given.
    #[serde(default)]
    pub base_url: Option<String>,
    /// How long one hand-over may take.
    #[serde(default, with = "span::option")]
    pub timeout: Option<Duration>,
}

/// The settings of the kind `twilio-whatsapp`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioWhatsappSettings {
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// The account's own token. Callbacks need it even where an API key does the sending. While it
    /// is replaced, both with a space between; the first one signs in.
    #[serde(default)]
    pub auth_token: Option<Secret>,
    /// `SK` and 32 hexadecimal digits; used in place of `auth_token`, together with `api_secret`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The secret of `api_key`.
    #[serde(default)]
    pub api_secret: Option<Secret>,
    /// The sender's number, `+12015550100`; `whatsapp:` before it may be left out.
    #[serde(default)]
    pub from: Option<String>,
    /// `MG` and 32 hexadecimal digits; in place of `from`, or with it.
    #[serde(default)]
    pub messaging_service_sid: Option<String>,
    /// The approved authentication template, `HX` and 32 hexadecimal digits; or a table of them by
    /// language.
    pub content_sid: ByLanguage,
    /// Where the API is; `https://api.twilio.com` unless given.
    #[serde(default)]
    pub base_url: Option<String>,
    /// How long one hand-over may take.
    #[serde(default, with = "span::option")]
    pub timeout: Option<Duration>,
}

/// The settings of the kind `twilio-voice`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioVoiceSettings {
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// The account's own token. Callbacks need it even where an API key does the sending. While it
    /// is replaced, both with a space between; the first one signs in.
    #[serde(default)]
    pub auth_token: Option<Secret>,
    /// `SK` and 32 hexadecimal digits; used in place of `auth_token`, together with `api_secret`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The secret of `api_key`.
    #[serde(default)]
    pub api_secret: Option<Secret>,
    /// The caller: a Twilio number or a verified caller id, `+12015550100`.
    pub from: String,
    /// Where the API is; `https://api.twilio.com` unless given.
    #[serde(default)]
    pub base_url: Option<String>,
    /// How long one hand-over may take.
    #[serde(default, with = "span::option")]
    pub timeout: Option<Duration>,
}

/// What all three say of the account.
struct Given<'a> {
    account_sid: &'a str,
    auth_token: Option<&'a Secret>,
    api_key: Option<&'a str>,
    api_secret: Option<&'a Secret>,
    base_url: Option<&'a str>,
}

macro_rules! given {
    ($settings:expr) => {
        Given {
            account_sid: $settings.account_sid.trim(),
            auth_token: $settings.auth_token.as_ref(),
            api_key: $settings.api_key.as_deref().map(str::trim),
            api_secret: $settings.api_secret.as_ref(),
            base_url: $settings.base_url.as_deref(),
        }
    };
}

impl Given<'_> {
    fn account(&self) -> Result<Account, Fault> {
        sid("account_sid", self.account_sid, "AC")?;
        let tokens = self
            .auth_token
            .map(|token| Proofs::read("auth_token", token))
            .transpose()?;
        let token = tokens.as_ref().and_then(Proofs::first);
        let (authorization, credential) = match (self.api_key, self.api_secret, token) {
            (Some(key), Some(secret), _) => {
                sid("api_key", key, "SK")?;
                (basic("api_secret", key, secret)?, "api_key")
            }
            (Some(_), None, _) => return Err(fault("api_secret", "is missing beside `api_key`")),
            (None, Some(_), _) => return Err(fault("api_key", "is missing beside `api_secret`")),
            (None, None, Some(token)) => {
                let setting = "auth_token";
                (basic(setting, self.account_sid, token)?, setting)
            }
            (None, None, None) => {
                let missing = "is missing; give it, or `api_key` and `api_secret`";
                return Err(fault("auth_token", missing));
            }
        };
        Ok(Account {
            base: base_url(self.base_url, "https://api.twilio.com")?,
            sid: self.account_sid.to_owned(),
            authorization,
            credential,
            tokens,
            callbacks: None,
        })
    }
}

impl TwilioSmsSettings {
    pub(crate) fn provider(&self) -> Result<TwilioSms, Fault> {
        let account = given!(self).account()?;
        let from = self.from.as_deref().map(str::trim).map(|from| {
            let sign = |byte: u8| byte.is_ascii_alphanumeric() || b" &+_-".contains(&byte);
            let id = (1..=11).contains(&from.len()) && from.bytes().all(sign);
            if is_number(from) || (id && !from.starts_with('+')) {
                return Ok(from.to_owned());
            }
            let wrong = "is no sender: a number such as +12015550100, a short code, or up to 11 \
                         letters and digits";
            Err(fault("from", wrong))
        });
        Ok(TwilioSms {
            account,
            from: sender(from.transpose()?, self.messaging_service_sid.as_deref())?,
        })
    }
}

impl TwilioWhatsappSettings {
    pub(crate) fn provider(&self) -> Result<TwilioWhatsapp, Fault> {
        let account = given!(self).account()?;
        let from = self.from.as_deref().map(str::trim).map(|from| {
            let number = from.strip_prefix("whatsapp:").unwrap_or(from);
            if is_number(number) {
                return Ok(format!("whatsapp:{number}"));
            }
            Err(fault("from", "is no number such as +12015550100"))
        });
        let is_content = |text: &str| {
            let wrong = "is not HX and 32 hexadecimal digits";
            is_sid(text, "HX").then_some(()).ok_or(wrong)
        };
        Ok(TwilioWhatsapp {
            account,
            from: sender(from.transpose()?, self.messaging_service_sid.as_deref())?,
            content: Languages::read("content_sid", &self.content_sid, is_content)?,
        })
    }
}

impl TwilioVoiceSettings {
    pub(crate) fn provider(&self) -> Result<TwilioVoice, Fault> {
        let account = given!(self).account()?;
        let from = self.from.trim();
        if !is_number(from) {
            return Err(fault("from", "is no number such as +12015550100"));
        }
        Ok(TwilioVoice {
            account,
            from: from.to_owned(),
        })
    }
}

fn sender(number: Option<String>, service: Option<&str>) -> Result<From, Fault> {
    let service = service.map(str::trim);
    if let Some(service) = service {
        sid("messaging_service_sid", service, "MG")?;
    }
    if number.is_none() && service.is_none() {
        let missing = "is missing; give it, or `messaging_service_sid`";
        return Err(fault("from", missing));
    }
    Ok(From {
        number,
        service: service.map(str::to_owned),
    })
}

fn sid(setting: &'static str, text: &str, prefix: &str) -> Result<(), Fault> {
    if is_sid(text, prefix) {
        return Ok(());
    }
    let wrong = format!("is not {prefix} and 32 hexadecimal digits");
    Err(fault(setting, &wrong))
}

fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn fault(setting: &'static str, fault: &str) -> Fault {
    (setting, fault.to_owned())
}
