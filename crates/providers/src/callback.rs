//! Callbacks: what providers tell about messages that they took.
//!
//! A kind that takes them has a [`CallbackReader`], which is pure: the proof first, over the raw
//! bytes and in constant time, then the parsing. [`CallbackDesk`] is core's port over all of them.

mod json;
mod proof;

use std::borrow::Cow;
use std::sync::Arc;

use reqwest::Url;
use uuid::Uuid;
use watchword_core::routing::Outcome;
use watchword_core::{
    About, Callback, CallbackRequest, Callbacks, DeliveryId, Message, VerificationId,
};

pub(crate) use json::parse as parse_json;
pub(crate) use proof::{Proofs, same};

use crate::http::is_loopback;
use crate::provider::Provider;

/// Reads the callbacks of one provider.
pub trait CallbackReader: Send + Sync {
    /// Authenticates a callback, and reads it. Nothing is parsed before it is proven to be from
    /// the provider, beyond what the proof itself needs.
    fn read(&self, request: &CallbackRequest<'_>) -> Callback;
}

/// No more receipts of one callback are read. Meta bundles 1,000 at most.
pub(crate) const MAX_RECEIPTS: usize = 1000;

/// Where callbacks are taken: that of a provider goes to its reader.
pub struct CallbackDesk(Vec<Arc<dyn Provider>>);

impl CallbackDesk {
    /// A desk for these providers.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Provider>>) -> Self {
        Self(providers)
    }
}

impl Callbacks for CallbackDesk {
    fn read(&self, provider: &str, request: &CallbackRequest<'_>) -> Option<Callback> {
        let provider = self.0.iter().find(|known| known.name() == provider)?;
        Some(provider.callbacks()?.read(request))
    }
}

/// Where the callbacks of one provider arrive, as the outside sees it.
#[derive(Clone, Debug)]
pub struct CallbackPlace(Url);

impl CallbackPlace {
    /// `{public_url}/callbacks/{name}`; nothing if `public_url` is no web address.
    #[must_use]
    pub fn new(public_url: &str, name: &str) -> Option<Self> {
        let mut url = Url::parse(public_url).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        url.set_query(None);
        url.set_fragment(None);
        url.path_segments_mut()
            .ok()?
            .pop_if_empty()
            .extend(["callbacks", name]);
        Some(Self(url))
    }

    /// The address itself.
    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }

    /// Whether an API at `base` can call here. One that is elsewhere refuses whole messages over
    /// an address of this machine.
    pub(crate) fn is_reachable_from(&self, base: &Url) -> bool {
        let is_local = |url: &Url| url.host_str().is_some_and(is_loopback);
        !is_local(&self.0) || is_local(base)
    }
}

/// The value of a parameter that is in a query exactly once.
pub(crate) fn only<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut found = pairs.filter(|(known, _)| known == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// What a message is about, as a provider gets it along: `{verification}{separator}{delivery}`.
pub(crate) fn reference(message: &Message, separator: &str) -> String {
    let (verification, delivery) = (message.verification_id, message.delivery_id);
    format!(
        "{}{separator}{}",
        verification.hyphenated(),
        delivery.hyphenated()
    )
}

/// The hand-over that a provider got along and brings back.
pub(crate) fn about(verification: &str, delivery: &str) -> Option<About> {
    Some(About::Delivery {
        verification: VerificationId::parse(verification)?,
        delivery: DeliveryId(Uuid::try_parse(delivery).ok()?),
    })
}

/// The provider's name for a message, if it is a plain short word.
pub(crate) fn message_id(text: &str) -> Option<&str> {
    let fits = (1..=Outcome::MAX_MESSAGE_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(text)
}

#[cfg(test)]
pub(crate) mod samples;

#[cfg(test)]
mod tests;
