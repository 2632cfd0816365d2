//! The upstream accounts that messages leave through.
//!
//! A [`Provider`] is one account of one kind; the [`Courier`] is core's messenger over all of
//! them: it renders a message for each channel and hands it to the providers of the channel's
//! route until one takes it. Kinds that speak HTTP are a pure `request` and a pure `read` around
//! one [`http::Sender`].
//!
//! **Invariant:** no reply text, URL, code or recipient gets into an error, a log or an outcome.

#![forbid(unsafe_code)]

pub mod courier;
pub mod http;
mod inbox;
mod provider;
#[cfg(test)]
mod samples;
mod secret;
mod settings;
mod smtp;
mod webhook;

pub use courier::{Courier, CourierParts, HandOver, InvalidRoute, Observer, ProviderHealth};
pub use inbox::{InboxProvider, KeptMessages};
pub use provider::Provider;
pub use secret::Secret;
pub use settings::{
    BuildError, Builder, InboxSettings, ProviderSettings, SmtpSettings, WebhookSettings,
};
