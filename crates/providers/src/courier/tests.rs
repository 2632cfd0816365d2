//! The courier against providers that are told what to answer.

mod deadline;
mod failover;
mod health;
mod throttling;

use std::collections::BTreeMap;

use parking_lot::Mutex;
use watchword_core::fakes::{BrokenEntropy, SeededEntropy, SetClock};
use watchword_core::routing::Detail;
use watchword_core::{
    Code, DeliveryStatus, Purpose, Recipient, TemplateSettings, Verdict, VerificationId,
};

use super::*;
use crate::samples::{CODE, NUMBER};

/// What a told provider does.
#[derive(Clone)]
enum Told {
    Answer(Outcome),
    AnswerAfter(Duration, Outcome),
    Hang,
    /// These in turn, then `accepted`.
    Each(Vec<Outcome>),
}

/// What a provider was given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    provider: &'static str,
    channel: Channel,
    code: String,
    text: String,
    id: uuid::Uuid,
}

type Log = Arc<Mutex<Vec<Given>>>;

/// A provider that does what it is told, and answers `accepted` otherwise.
struct Puppet {
    name: &'static str,
    timeout: Option<Duration>,
    told: Mutex<Option<Told>>,
    log: Log,
}

impl Puppet {
    fn tell(&self, told: Told) {
        *self.told.lock() = Some(told);
    }

    /// Says "too fast" once, then takes what it gets.
    fn throttle_once(&self, retry_after: Option<Duration>) {
        self.tell(Told::Each(vec![of(Class::Throttled { retry_after })]));
    }

    fn answer(&self, class: Class) {
        self.tell(Told::Answer(of(class)));
    }
}

#[async_trait]
impl Provider for Puppet {
    fn name(&self) -> &str {
        self.name
    }

    fn kind(&self) -> &'static str {
        "puppet"
    }

    fn carries(&self, channel: Channel) -> bool {
        channel != Channel::Voice
    }

    fn tracks_by_message_id(&self) -> bool {
        self.name == "w2"
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    async fn send(&self, message: &Message, _deadline: Instant) -> Outcome {
        self.log.lock().push(Given {
            provider: self.name,
            channel: message.channel,
            code: message.code.expose().to_owned(),
            text: message.text.expose().to_owned(),
            id: message.delivery_id,
        });
        let told = match &mut *self.told.lock() {
            Some(Told::Each(outcomes)) if outcomes.is_empty() => None,
            Some(Told::Each(outcomes)) => Some(Told::Answer(outcomes.remove(0))),
            told => told.clone(),
        };
        match told {
            None | Some(Told::Each(_)) => Outcome::accepted(Some("m-1")),
            Some(Told::Answer(outcome)) => outcome,
            Some(Told::AnswerAfter(span, outcome)) => {
                tokio::time::sleep(span).await;
                outcome
            }
            Some(Told::Hang) => std::future::pending().await,
        }
    }
}

fn of(class: Class) -> Outcome {
    Outcome::new(class).with(Detail::Word("told"))
}

/// Puppets, and a courier over them.
struct Stage {
    courier: Courier,
    puppets: Vec<Arc<Puppet>>,
    log: Log,
    classes: Arc<Classes>,
}

#[derive(Default)]
struct Classes(Mutex<Vec<(String, &'static str)>>);

impl Observer for Classes {
    fn handed_over(&self, hand_over: &HandOver<'_>) {
        let seen = (hand_over.provider.to_owned(), hand_over.class);
        self.0.lock().push(seen);
    }
}

const NAMES: [&str; 6] = ["w1", "w2", "w3", "s1", "s2", "s3"];

impl Stage {
    /// Three providers on each of two channels.
    fn new() -> Self {
        Self::with(None, Duplicates::Once)
    }

    fn with(timeout: Option<Duration>, duplicates: Duplicates) -> Self {
        let log = Log::default();
        let puppets: Vec<_> = NAMES
            .into_iter()
            .map(|name| {
                Arc::new(Puppet {
                    name,
                    timeout,
                    told: Mutex::default(),
                    log: Arc::clone(&log),
                })
            })
            .collect();
        let classes = Arc::new(Classes::default());
        let mut parts = parts(&puppets);
        parts.duplicates = duplicates;
        parts.observer = Arc::clone(&classes) as Arc<dyn Observer>;
        Self {
            courier: Courier::new(parts).unwrap(),
            puppets,
            log,
            classes,
        }
    }

    fn puppet(&self, name: &str) -> &Puppet {
        self.puppets
            .iter()
            .find(|puppet| puppet.name == name)
            .unwrap()
    }

    /// Who was asked, in order.
    fn asked(&self) -> Vec<&'static str> {
        self.log.lock().iter().map(|given| given.provider).collect()
    }

    async fn dispatch(&self, channels: &[Channel]) -> Dispatch {
        let deadline = Duration::from_secs(10);
        self.courier.dispatch(envelope(channels), deadline).await
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn parts(puppets: &[Arc<Puppet>]) -> CourierParts {
    CourierParts {
        providers: puppets
            .iter()
            .map(|puppet| Arc::clone(puppet) as Arc<dyn Provider>)
            .collect(),
        routes: BTreeMap::from([
            (Channel::Whatsapp, Route::new(names(&NAMES[..3]))),
            (Channel::Sms, Route::new(names(&NAMES[3..]))),
        ]),
        templates: Templates::new(&TemplateSettings::default()).unwrap(),
        app_templates: BTreeMap::new(),
        duplicates: Duplicates::default(),
        clock: Arc::new(SetClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
        observer: Arc::new(()),
    }
}

fn envelope(channels: &[Channel]) -> Envelope {
    Envelope {
        verification: VerificationId::from_bytes([3; 16]),
        app: AppId::default(),
        to: Recipient::from_canonical(NUMBER),
        code: Code::parse(CODE).unwrap(),
        purpose: Purpose::default(),
        locale: None,
        expires_at: SetClock::default().now().plus(Duration::from_mins(5)),
        channels: channels.to_vec(),
    }
}

#[tokio::test]
async fn a_message_goes_to_the_first_provider_of_the_first_channel_that_is_served() {
    let stage = Stage::new();
    assert!(stage.courier.serves(Channel::Sms));
    assert!(!stage.courier.serves(Channel::Email));
    let channels = [Channel::Email, Channel::Sms, Channel::Whatsapp];
    let dispatch = stage.dispatch(&channels).await;
    assert_eq!(stage.asked(), ["s1"]);
    assert_eq!(dispatch.verdict, Verdict::Taken(Channel::Sms));
    let [delivery] = &dispatch.deliveries[..] else {
        panic!("{dispatch:?}");
    };
    assert_eq!(delivery.provider, "s1");
    assert_eq!(delivery.status, DeliveryStatus::Accepted);
    assert_eq!(delivery.message_id.as_deref(), Some("m-1"));
    assert_eq!(delivery.error, None);
    assert_eq!(delivery.id.0, stage.log.lock()[0].id);
    assert_eq!(*stage.classes.0.lock(), [("s1".to_owned(), "accepted")]);
}

#[tokio::test]
async fn a_courier_without_a_channel_to_go_or_chance_to_draw_sends_nothing() {
    let stage = Stage::new();
    let dispatch = stage.dispatch(&[Channel::Email]).await;
    assert_eq!(dispatch.verdict, Verdict::Unavailable);
    let mut parts = parts(&stage.puppets);
    parts.entropy = Arc::new(BrokenEntropy);
    let broken = Courier::new(parts).unwrap();
    let dispatch = broken
        .dispatch(envelope(&[Channel::Sms]), Duration::from_secs(10))
        .await;
    assert_eq!(dispatch.verdict, Verdict::Unavailable);
    assert!(dispatch.deliveries.is_empty() && stage.asked().is_empty());
}

#[test]
fn a_courier_knows_whose_receipts_name_messages_by_the_accounts_own_name() {
    let stage = Stage::new();
    let tracked = |name: &str| stage.courier.tracks(name);
    assert!(tracked("w2"));
    assert!(!tracked("w1") && !tracked("nobody"));
}

#[tokio::test]
async fn a_country_can_have_providers_of_its_own() {
    let stage = Stage::new();
    let mut parts = parts(&stage.puppets);
    let route = Route::new(names(&["s1"]))
        .with_prefix("+1", names(&["s3", "s2"]))
        .unwrap();
    parts.routes.insert(Channel::Sms, route);
    let courier = Courier::new(parts).unwrap();
    stage.puppet("s3").answer(Class::Unavailable);
    let deadline = Duration::from_secs(10);
    courier.dispatch(envelope(&[Channel::Sms]), deadline).await;
    let mut german = envelope(&[Channel::Sms]);
    german.to = Recipient::from_canonical("+4915112345678");
    courier.dispatch(german, deadline).await;
    assert_eq!(stage.asked(), ["s3", "s2", "s1"]);
}

#[tokio::test]
async fn an_app_with_texts_of_its_own_is_named_in_its_messages() {
    let stage = Stage::new();
    let mut parts = parts(&stage.puppets);
    let settings = TemplateSettings {
        service: "Bakery".to_owned(),
        ..TemplateSettings::default()
    };
    let app = AppId::default();
    let texts = Templates::new(&settings).unwrap();
    parts.app_templates.insert(app, texts);
    let courier = Courier::new(parts).unwrap();
    let message = courier.message(&envelope(&[Channel::Sms]), Channel::Sms);
    assert!(message.text.expose().contains("Bakery"));
    assert!(message.text.expose().contains(CODE));
}

/// Templates of WhatsApp may be there in languages that the built-in texts lack; a voice has to be that
/// of the text.
#[tokio::test]
async fn a_call_has_the_language_of_its_text_and_a_template_the_one_asked_for() {
    let stage = Stage::new();
    let mut parts = parts(&stage.puppets);
    let settings = TemplateSettings {
        default_locale: "de".parse().unwrap(),
        ..TemplateSettings::default()
    };
    parts.templates = Templates::new(&settings).unwrap();
    let courier = Courier::new(parts).unwrap();
    let mut envelope = envelope(&Channel::ALL);
    for (asked, in_call, in_template) in [
        (None, "de", "de"),
        (Some("sv"), "de", "sv"),
        (Some("pt-BR"), "pt-BR", "pt-BR"),
    ] {
        envelope.locale = asked.map(Into::into);
        for (channel, locale) in [
            (Channel::Voice, in_call),
            (Channel::Whatsapp, in_template),
            (Channel::Email, in_template),
        ] {
            let message = courier.message(&envelope, channel);
            assert_eq!(message.locale.as_str(), locale, "{channel} {asked:?}");
        }
    }
}

#[test]
fn routes_that_do_not_fit_the_providers_are_refused_by_name() {
    let stage = Stage::new();
    let refused = |channel: Channel, list: &[&str]| {
        let mut parts = parts(&stage.puppets);
        parts.routes.insert(channel, Route::new(names(list)));
        Courier::new(parts).err().unwrap().to_string()
    };
    assert_eq!(
        refused(Channel::Sms, &[]),
        "channels.sms: names no provider; leave the channel out to close it"
    );
    assert_eq!(
        refused(Channel::Sms, &["s1", "w1", "s1"]),
        "channels.sms: names the provider `s1` twice"
    );
    assert_eq!(
        refused(Channel::Sms, &["s9"]),
        "channels.sms: there is no provider `s9`; there are: w1, w2, w3, s1, s2, s3"
    );
    assert_eq!(
        refused(Channel::Voice, &["s1"]),
        "channels.voice: the provider `s1` is of the kind puppet, which cannot carry voice"
    );
    let mut parts = parts(&stage.puppets);
    parts.providers.push(Arc::clone(&parts.providers[2]));
    assert_eq!(
        Courier::new(parts).err().unwrap(),
        InvalidRoute::SameName("w3".to_owned())
    );
}
