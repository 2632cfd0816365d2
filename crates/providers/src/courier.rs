//! The courier: core's messenger over all configured providers.

mod lane;
mod observer;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use watchword_core::routing::{
    Class, Duplicates, Journey, Outcome, PassedOver, Place, Route, Step, allowance, spread,
};
use watchword_core::{
    AppId, Channel, Clock, Delivery, DeliveryId, Dispatch, Entropy, Envelope, Locale, Message,
    Messenger, Occasion, Templates,
};

pub use lane::ProviderHealth;
use lane::{Lane, Pseudonym};
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
    /// Chance, for the ids of deliveries and the length of waits.
    pub entropy: Arc<dyn Entropy>,
    /// Who is told of every hand-over.
    pub observer: Arc<dyn Observer>,
}

/// Hands messages to providers, in the order of the channel's route, until one takes it.
///
/// The rule of what comes next is core's [`Journey`]. A dispatch lasts no longer than its deadline
/// and the life of its code, waits for held providers among it. Dropping a dispatch gives it up; a provider
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
    /// The key of the names that holds know recipients by. It never leaves this process.
    pseudonyms: RandomState,
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
            pseudonyms: RandomState::new(),
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
        let mut locale = locale.unwrap_or_else(|| templates.default_locale().clone());
        if channel == Channel::Voice {
            // A voice of one language does not read the text of another.
            locale = templates.spoken_in(&locale).clone();
        }
        Message {
            // Each hand-over gets its own.
            delivery_id: uuid::Uuid::nil(),
            verification_id: envelope.verification.as_uuid(),
            channel,
            to: envelope.to.clone(),
            code: envelope.code.clone(),
            purpose: envelope.purpose.clone(),
            locale,
            expires_at: envelope.expires_at,
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
        }
    }

    /// Chance for a wait. Without any, waits are as long as they can be.
    fn draw(&self) -> u32 {
        let mut bytes = [0; 4];
        match self.entropy.fill(&mut bytes) {
            Ok(()) => u32::from_le_bytes(bytes),
            Err(_) => u32::MAX,
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
        let outcome = lane.send(turn, message, deadline, || self.draw()).await;
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

    fn tracks(&self, provider: &str) -> bool {
        let named = self.lanes.iter().find(|lane| lane.name() == provider);
        named.is_some_and(|lane| lane.tracks_by_message_id())
    }

    async fn dispatch(&self, envelope: Envelope, deadline: Duration) -> Dispatch {
        let life = envelope.expires_at.since(self.clock.now());
        let end = Instant::now() + deadline.min(life);
        let to = Pseudonym(self.pseudonyms.hash_one(envelope.to.canonical()));
        let mut stages = Vec::with_capacity(envelope.channels.len());
        for channel in &envelope.channels {
            if let Some(route) = self.routes.get(channel) {
                stages.push((*channel, route.providers(&envelope.to)));
            }
        }
        let way = stages.iter().map(|(on, lanes)| (*on, lanes.len()));
        let at = |place: Place| &stages[place.stage].1[place.position];
        let mut journey = Journey::new(self.duplicates, way);
        let mut deliveries = Vec::new();
        let mut rendered: Option<Message> = None;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match journey.step(left, |place| at(place).readiness(to)) {
                Step::Ask {
                    place,
                    another_waits,
                } => {
                    let (channel, lane) = (stages[place.stage].0, at(place));
                    let Some(turn) = lane.turn(to) else {
                        journey.passed_over(place);
                        observer::passed_over(lane, channel, PassedOver::Breaker);
                        continue;
                    };
                    // Without an id of its own, a hand-over could not be told from another.
                    let Ok(id) = DeliveryId::generate(&*self.entropy) else {
                        journey.passed_over(place);
                        break;
                    };
                    let mut message = match rendered.take() {
                        Some(message) if message.channel == channel => message,
                        _ => self.message(&envelope, channel),
                    };
                    message.delivery_id = id.0;
                    let until = Instant::now() + allowance(lane.timeout(), left, another_waits);
                    let (outcome, delivery) = self.hand_over(lane, turn, &message, until).await;
                    deliveries.push(delivery);
                    journey.after(place, &outcome);
                    rendered = Some(message);
                }
                Step::PassOver { place, why } => {
                    observer::passed_over(at(place), stages[place.stage].0, why);
                }
                Step::Wait(wait) => {
                    // The text gives the lifetime, which is shorter afterwards.
                    rendered = None;
                    tokio::time::sleep(spread(wait, self.draw())).await;
                }
                Step::Stop => break,
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
