//! The courier: core's messenger over all configured providers.

mod lane;
mod observer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use watchword_core::routing::{Class, Duplicates, Journey, Next, Outcome, Route, allowance};
use watchword_core::{
    AppId, Channel, Clock, Delivery, DeliveryId, Dispatch, Entropy, Envelope, Locale, Message,
    Messenger, Occasion, Templates,
};

use lane::Lane;
pub use lane::ProviderHealth;
pub use observer::{HandOver, Observer};

use crate::provider::Provider;

/// What a courier is made of.
pub struct CourierParts {
    /// Every configured provider, in the order in which health lists them.
    pub providers: Vec<Arc<dyn Provider>>,
    /// The names of the providers of each channel, in the order tried. A channel that is not here
    /// is not served.
    pub routes: BTreeMap<Channel, Route<String>>,
    /// The texts of messages.
    pub templates: Templates,
    /// The texts of apps that have their own.
    pub app_templates: BTreeMap<AppId, Templates>,
    /// Whether a lost answer may lead to a second copy.
    pub duplicates: Duplicates,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for the ids of deliveries.
    pub entropy: Arc<dyn Entropy>,
    /// Who is told of every hand-over.
    pub observer: Arc<dyn Observer>,
}

/// Hands messages to providers, in the order of the channel's route, until one takes it.
///
/// The rule of what comes next is core's [`Journey`]. Dropping a dispatch gives it up; a provider
/// that was just asked may still take the message.
pub struct Courier {
    lanes: Vec<Arc<Lane>>,
    routes: BTreeMap<Channel, Route<Arc<Lane>>>,
    templates: Templates,
    app_templates: BTreeMap<AppId, Templates>,
    duplicates: Duplicates,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
}

impl Courier {
    /// A courier.
    ///
    /// # Errors
    /// [`InvalidRoute`] when a route has no provider, one that does not exist, one twice, or one
    /// that cannot carry its channel; or when two providers have one name.
    pub fn new(parts: CourierParts) -> Result<Self, InvalidRoute> {
        let mut lanes: Vec<Arc<Lane>> = Vec::new();
        for provider in parts.providers {
            if lanes.iter().any(|lane| lane.name() == provider.name()) {
                return Err(InvalidRoute::SameName(provider.name().to_owned()));
            }
            lanes.push(Arc::new(Lane::new(provider)));
        }
        let mut routes = BTreeMap::new();
        for (channel, route) in parts.routes {
            for names in route.lists() {
                if names.is_empty() {
                    return Err(InvalidRoute::Empty(channel));
                }
                if let Some(twice) = (1..names.len()).find(|n| names[..*n].contains(&names[*n])) {
                    let provider = names[twice].clone();
                    return Err(InvalidRoute::Twice { channel, provider });
                }
            }
            let route = route.try_map(|name| find(&lanes, channel, name))?;
            routes.insert(channel, route);
        }
        for lane in &lanes {
            let routed = routes
                .iter()
                .filter(|(_, route)| route.lists().flatten().any(|on| Arc::ptr_eq(on, lane)))
                .map(|(channel, _)| *channel)
                .collect();
            lane.set_channels(routed);
        }
        Ok(Self {
            lanes,
            routes,
            templates: parts.templates,
            app_templates: parts.app_templates,
            duplicates: parts.duplicates,
            clock: parts.clock,
            entropy: parts.entropy,
            observer: parts.observer,
        })
    }

    /// How each provider is doing, in the order of the configuration.
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.lanes.iter().map(|lane| lane.health()).collect()
    }

    fn message(&self, envelope: &Envelope, channel: Channel) -> Message {
        let templates = self
            .app_templates
            .get(&envelope.app)
            .unwrap_or(&self.templates);
        let locale: Option<Locale> = envelope
            .locale
            .as_deref()
            .and_then(|locale| locale.parse().ok());
        let rendered = templates.render(&Occasion {
            channel,
            code: &envelope.code,
            purpose: &envelope.purpose,
            locale: locale.as_ref(),
            lifetime: envelope.expires_at.since(self.clock.now()),
        });
        Message {
            // Each hand-over gets its own.
            delivery_id: uuid::Uuid::nil(),
            verification_id: envelope.verification.as_uuid(),
            channel,
            to: envelope.to.clone(),
            code: envelope.code.clone(),
            purpose: envelope.purpose.clone(),
            locale: locale.unwrap_or_else(|| templates.default_locale().clone()),
            expires_at: envelope.expires_at,
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
        }
    }

    /// Hands over once, and writes down what came of it.
    async fn hand_over(
        &self,
        lane: &Lane,
        turn: lane::Turn<'_>,
        message: &Message,
        deadline: Instant,
    ) -> (Outcome, Delivery) {
        let began = Instant::now();
        let outcome = lane.send(turn, message, deadline).await;
        let took = began.elapsed();
        self.observer.handed_over(&HandOver {
            provider: lane.name(),
            channel: message.channel,
            class: outcome.class().as_str(),
            took,
        });
        let (message_id, error) = match outcome.class() {
            Class::Accepted { message_id } => (message_id.clone(), None),
            _ => (None, Some(outcome.to_string())),
        };
        observer::log(lane, message, &outcome, took);
        let delivery = Delivery {
            id: DeliveryId(message.delivery_id),
            channel: message.channel,
            provider: lane.name().to_owned(),
            status: outcome.status(),
            at: self.clock.now(),
            message_id,
            error,
        };
        (outcome, delivery)
    }
}

#[async_trait]
impl Messenger for Courier {
    fn serves(&self, channel: Channel) -> bool {
        self.routes.contains_key(&channel)
    }

    async fn dispatch(&self, envelope: Envelope, deadline: Duration) -> Dispatch {
        let end = Instant::now() + deadline;
        let mut journey = Journey::new(self.duplicates);
        let mut deliveries = Vec::new();
        let mut channels = Vec::with_capacity(envelope.channels.len());
        for channel in &envelope.channels {
            if let Some(route) = self.routes.get(channel) {
                channels.push((*channel, route));
            }
        }
        'channels: for (stage, (channel, route)) in channels.iter().enumerate() {
            let lanes = route.providers(&envelope.to);
            let mut message = None;
            for (position, lane) in lanes.iter().enumerate() {
                let left = end.saturating_duration_since(Instant::now());
                let turn = if left.is_zero() { None } else { lane.turn() };
                let Some(turn) = turn else {
                    journey.passed_over(*channel);
                    tracing::warn!(
                        provider = lane.name(),
                        channel = channel.as_str(),
                        reason = if left.is_zero() {
                            "deadline"
                        } else {
                            "breaker"
                        },
                        "provider passed over"
                    );
                    continue;
                };
                // Without an id of its own, a hand-over could not be told from another.
                let Ok(id) = DeliveryId::generate(&*self.entropy) else {
                    journey.passed_over(*channel);
                    break 'channels;
                };
                let message = message.get_or_insert_with(|| self.message(&envelope, *channel));
                message.delivery_id = id.0;
                let another_waits = position + 1 < lanes.len() || stage + 1 < channels.len();
                let allowed = allowance(lane.timeout(), left, another_waits);
                let until = Instant::now() + allowed;
                let (outcome, delivery) = self.hand_over(lane, turn, message, until).await;
                deliveries.push(delivery);
                match journey.after(*channel, &outcome) {
                    Next::Stop => break 'channels,
                    Next::Provider => {}
                    Next::Channel => break,
                }
            }
        }
        Dispatch {
            deliveries,
            verdict: journey.verdict(),
        }
    }
}

fn find(lanes: &[Arc<Lane>], channel: Channel, name: String) -> Result<Arc<Lane>, InvalidRoute> {
    let Some(lane) = lanes.iter().find(|lane| lane.name() == name) else {
        let known = lanes.iter().map(|lane| lane.name().to_owned()).collect();
        return Err(InvalidRoute::Unknown {
            channel,
            provider: name,
            known,
        });
    };
    if !lane.carries(channel) {
        return Err(InvalidRoute::CannotCarry {
            channel,
            provider: name,
            kind: lane.kind(),
        });
    }
    Ok(Arc::clone(lane))
}

/// Routes and providers that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    /// Two providers with one name.
    #[error("providers.{0}: there are two providers of this name")]
    SameName(String),
    /// A route without providers.
    #[error("channels.{0}: names no provider; leave the channel out to close it")]
    Empty(Channel),
    /// One provider twice in a route.
    #[error("channels.{channel}: names the provider `{provider}` twice")]
    Twice {
        /// The channel.
        channel: Channel,
        /// The provider.
        provider: String,
    },
    /// A provider that does not exist.
    #[error(
        "channels.{channel}: there is no provider `{provider}`; there are: {}",
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    )]
    Unknown {
        /// The channel.
        channel: Channel,
        /// The provider.
        provider: String,
        /// The providers there are.
        known: Vec<String>,
    },
    /// A provider that cannot carry the channel.
    #[error(
        "channels.{channel}: the provider `{provider}` is of the kind {kind}, which cannot carry {channel}"
    )]
    CannotCarry {
        /// The channel.
        channel: Channel,
        /// The provider.
        provider: String,
        /// Its kind.
        kind: &'static str,
    },
}

#[cfg(test)]
mod tests;
