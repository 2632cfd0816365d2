//! Templates: how a code becomes a message in its reader's language.
//!
//! A template is text with `{code}`, `{service}`, `{minutes}`, `{lifetime}`, `{purpose}` and
//! `{purpose_note}` in it; `{{` and `}}` are braces. The note is the purpose in brackets after a
//! space, and nothing for the default purpose. The lifetime is a number with its unit, `5 minutes`,
//! in the language of the message if that is a built-in one, else in the default one.
//!
//! What fills a template cannot add lines, links or direction marks, so it cannot make a message
//! say something else, nor forge the last line that binds a code to a web site.

mod builtin;
mod pattern;
mod value;
mod webotp;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use webotp::{AppHash, WebOtpDomain};

use crate::channel::Channel;
use crate::code::Code;
use crate::message::{Locale, SecretText};
use crate::purpose::Purpose;
use builtin::Builtin;
use pattern::{Pattern, Values};

/// An operator's own texts for one language, or for all. What is left out falls back to more
/// general texts and in the end to the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateTexts {
    /// The text for SMS and WhatsApp, and for email and voice unless they have their own.
    pub text: Option<String>,
    /// The text part of a mail.
    pub email: Option<String>,
    /// What a call says.
    pub voice: Option<String>,
    /// The subject of a mail. Subjects show on locked screens and in the logs of mail servers, so
    /// the built-in ones hold no code.
    pub subject: Option<String>,
    /// The HTML part of a mail. What fills it is escaped. A mail whose text is the operator's own
    /// and that has no HTML of the same language goes out without an HTML part.
    pub html: Option<String>,
}

/// What the templates of one app are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateSettings {
    /// The name that messages give, at most [`Templates::MAX_SERVICE_CHARS`] characters.
    pub service: String,
    /// The language of a message when there are no texts in the one that was asked for.
    pub default_locale: Locale,
    /// The web site that a code in an SMS is for: browsers fill the code in there and nowhere else.
    pub webotp_domain: Option<WebOtpDomain>,
    /// The hash by which Android hands an SMS to the app.
    pub app_hash: Option<AppHash>,
    /// The operator's own texts for every language that has none of its own.
    pub texts: TemplateTexts,
    /// The operator's own texts by language.
    pub locales: BTreeMap<Locale, TemplateTexts>,
}

impl Default for TemplateSettings {
    fn default() -> Self {
        Self {
            service: "Watchword".to_owned(),
            default_locale: Locale::default(),
            webotp_domain: None,
            app_hash: None,
            texts: TemplateTexts::default(),
            locales: BTreeMap::new(),
        }
    }
}

/// The texts of a message.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The subject of a mail; nothing on other channels.
    pub subject: Option<SecretText>,
    /// The text.
    pub text: SecretText,
    /// The HTML part of a mail, if it has one.
    pub html: Option<SecretText>,
}

/// What a message has to say.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// How the message travels.
    pub channel: Channel,
    /// The code.
    pub code: &'a Code,
    /// What the code authorises.
    pub purpose: &'a Purpose,
    /// The language that was asked for; without one the default language is taken.
    pub locale: Option<&'a Locale>,
    /// How long the code still lives. Messages say it in whole minutes, forgiving the seconds that
    /// the message took to leave, or in seconds below a minute.
    pub lifetime: Duration,
}

/// The templates of one app, checked when they were made, so that rendering cannot fail.
#[derive(Debug)]
pub struct Templates {
    service: String,
    default_locale: Locale,
    webotp_domain: Option<WebOtpDomain>,
    app_hash: Option<AppHash>,
    texts: Texts,
    locales: BTreeMap<Locale, Texts>,
}

impl Templates {
    /// The longest name of a service, in characters.
    pub const MAX_SERVICE_CHARS: usize = 40;
    /// The longest template, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Reads the templates of one app.
    ///
    /// # Errors
    /// [`InvalidTemplate`] names the setting and what is wrong with it.
    pub fn new(settings: &TemplateSettings) -> Result<Self, InvalidTemplate> {
        let locales = settings
            .locales
            .iter()
            .map(|(locale, texts)| {
                Ok((
                    locale.clone(),
                    Texts::new(texts, &format!("locales.{locale}"))?,
                ))
            })
            .collect::<Result<_, InvalidTemplate>>()?;
        Ok(Self {
            service: value::service(&settings.service)?,
            default_locale: settings.default_locale.clone(),
            webotp_domain: settings.webotp_domain.clone(),
            app_hash: settings.app_hash.clone(),
            texts: Texts::new(&settings.texts, "texts")?,
            locales,
        })
    }

    /// The name that messages give.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The language of messages when none is asked for.
    #[must_use]
    pub const fn default_locale(&self) -> &Locale {
        &self.default_locale
    }

    /// Writes the texts of a message. They hold the code.
    #[must_use]
    pub fn render(&self, occasion: &Occasion<'_>) -> Rendered {
        let locale = occasion.locale.unwrap_or(&self.default_locale);
        let builtin = Builtin::lookup(locale, &self.default_locale);
        let values = Values::new(&self.service, occasion, builtin);
        let own = || self.own_texts(locale);
        match occasion.channel {
            Channel::Email => {
                let texts = own().find(|texts| texts.mail().is_some());
                let (text, html) = match texts {
                    Some(texts) => (texts.mail(), texts.html.as_ref()),
                    None => (
                        None,
                        own()
                            .find_map(|texts| texts.html.as_ref())
                            .or(Some(&builtin.html)),
                    ),
                };
                let subject = own().find_map(|texts| texts.subject.as_ref());
                Rendered {
                    subject: Some(secret(subject.unwrap_or(&builtin.subject).line(&values))),
                    text: secret(text.unwrap_or(&builtin.email).text(&values, 0)),
                    html: html.map(|html| secret(html.html(&values))),
                }
            }
            Channel::Sms => {
                let text = own().find_map(|texts| texts.text.as_ref());
                let (domain, hash) = (self.webotp_domain.as_ref(), self.app_hash.as_ref());
                let room = webotp::room(domain, hash);
                let mut text = text.unwrap_or(&builtin.text).text(&values, room);
                let capacity = text.capacity();
                webotp::append(&mut text, domain, hash, occasion.code);
                debug_assert_eq!(text.capacity(), capacity, "a copy stayed behind");
                Rendered {
                    subject: None,
                    text: secret(text),
                    html: None,
                }
            }
            Channel::Whatsapp => {
                let text = own().find_map(|texts| texts.text.as_ref());
                let text = text.unwrap_or(&builtin.text).text(&values, 0);
                Rendered {
                    subject: None,
                    text: secret(text),
                    html: None,
                }
            }
            Channel::Voice => {
                let text = own().find_map(|texts| texts.voice.as_ref().or(texts.text.as_ref()));
                let text = text.unwrap_or(&builtin.voice).speech(&values);
                Rendered {
                    subject: None,
                    text: secret(text),
                    html: None,
                }
            }
        }
    }

    /// The language that a call speaks whose text was asked for in `locale`: that one where there are texts for it, else the
    /// default. Texts for every language are taken to be in the default one.
    #[must_use]
    pub fn spoken_in<'a>(&'a self, locale: &'a Locale) -> &'a Locale {
        let is_said = |texts: &Texts| texts.voice.is_some() || texts.text.is_some();
        let mut tags = locale.lookup();
        let has_own = tags.any(|tag| {
            let mut own = self.locales.iter();
            own.any(|(language, texts)| language.as_str() == tag && is_said(texts))
        });
        if has_own || (!is_said(&self.texts) && Builtin::speaks(locale)) {
            locale
        } else {
            &self.default_locale
        }
    }

    /// The operator's own texts that suit a language, the most special first.
    fn own_texts<'a>(&'a self, locale: &'a Locale) -> impl Iterator<Item = &'a Texts> {
        let of = |locale: &'a Locale| {
            let tags = locale.lookup();
            let suitable =
                tags.filter_map(|tag| self.locales.iter().find(|(own, _)| own.as_str() == tag));
            suitable.map(|(_, texts)| texts)
        };
        let fallback = (!Builtin::speaks(locale)).then(|| of(&self.default_locale));
        of(locale)
            .chain(std::iter::once(&self.texts))
            .chain(fallback.into_iter().flatten())
    }
}

fn secret(text: String) -> SecretText {
    SecretText::new(text)
}

/// The texts of one language, read.
#[derive(Debug, Default)]
struct Texts {
    text: Option<Pattern>,
    email: Option<Pattern>,
    voice: Option<Pattern>,
    subject: Option<Pattern>,
    html: Option<Pattern>,
}

impl Texts {
    fn new(texts: &TemplateTexts, place: &str) -> Result<Self, InvalidTemplate> {
        let read = |name: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            Pattern::parse(text)
                .map(Some)
                .map_err(|fault| InvalidTemplate {
                    setting: format!("{place}.{name}"),
                    fault,
                })
        };
        let read_with_code = |name: &str, text: &Option<String>| {
            let pattern = read(name, text)?;
            if pattern.as_ref().is_some_and(|pattern| !pattern.has_code()) {
                let setting = format!("{place}.{name}");
                return Err(InvalidTemplate {
                    setting,
                    fault: TemplateFault::NoCode,
                });
            }
            Ok(pattern)
        };
        Ok(Self {
            text: read_with_code("text", &texts.text)?,
            email: read_with_code("email", &texts.email)?,
            voice: read_with_code("voice", &texts.voice)?,
            subject: read("subject", &texts.subject)?,
            html: read_with_code("html", &texts.html)?,
        })
    }

    fn mail(&self) -> Option<&Pattern> {
        self.email.as_ref().or(self.text.as_ref())
    }
}

/// A setting of the templates that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {fault}")]
pub struct InvalidTemplate {
    /// The setting, such as `service` or `locales.pt-BR.text`.
    pub setting: String,
    /// What is wrong with it.
    pub fault: TemplateFault,
}

/// What is wrong with a setting of the templates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// A placeholder that does not exist.
    #[error(
        "has the unknown placeholder {{{0}}}; known are {{code}}, {{service}}, {{minutes}}, {{lifetime}}, {{purpose}}, {{purpose_note}}; write {{{{ and }}}} for braces"
    )]
    Placeholder(String),
    /// A brace that has no partner.
    #[error("has a single brace; write {{{{ or }}}} for a brace")]
    Brace,
    /// A message without the code.
    #[error("does not contain {{code}}")]
    NoCode,
    /// Empty, or nothing but white space.
    #[error("is empty")]
    Empty,
    /// Too long.
    #[error("is too long")]
    TooLong,
    /// Characters that could make a message say something else.
    #[error("has control characters, direction marks or parts of a web address")]
    Forbidden,
}

#[cfg(test)]
mod tests;
