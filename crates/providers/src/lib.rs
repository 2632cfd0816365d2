//! The upstream accounts that messages leave through.
//!
//! A [`Provider`] is one account of one kind; the [`Courier`] is core's messenger over all of
//! them: it renders a message for each channel and hands it to the providers of the channel's
//! route until one takes it. Kinds that speak HTTP are a pure `request` and a pure `read` around
//! one [`http::Sender`].
//!
//! **Invariant:** no reply text, URL, code or recipient gets into an error, a log or an outcome.

#![forbid(unsafe_code)]

mod callback;
pub mod courier;
mod describe;
mod gupshup;
pub mod http;
mod inbox;
mod language;
mod meta;
pub mod probe;
mod provider;
#[cfg(test)]
mod samples;
mod secret;
mod settings;
mod smtp;
mod twilio;
mod webhook;

pub use callback::{CallbackDesk, CallbackPlace, CallbackReader};
pub use courier::{Courier, CourierParts, HandOver, InvalidRoute, Observer, ProviderHealth};
pub use describe::Descriptions;
pub use gupshup::GupshupSettings;
pub use inbox::{InboxProvider, KeptMessages};
pub use language::{ByLanguage, OneOrMany};
pub use meta::MetaSettings;
pub use provider::Provider;
pub use secret::Secret;
pub use settings::{
    BuildError, Builder, InboxSettings, ProviderSettings, SmtpSettings, WebhookSettings,
};
pub use twilio::{TwilioSmsSettings, TwilioVoiceSettings, TwilioWhatsappSettings};
