//! Providers that send to stand-ins, and the messages they are given.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use watchword_core::fakes::SetClock;
use watchword_core::{
    Channel, Clock, Code, Message, Occasion, Purpose, Recipient, TemplateSettings, Templates,
};
use watchword_providers::{Builder, Provider, ProviderSettings};
use watchword_stand_ins::{Family, Options, StandIn};

/// Every kind that a stand-in plays, and the channel it carries.
pub(crate) const KINDS: [(Family, &str, Channel); 5] = [
    (Family::Twilio, "twilio-sms", Channel::Sms),
    (Family::Twilio, "twilio-whatsapp", Channel::Whatsapp),
    (Family::Twilio, "twilio-voice", Channel::Voice),
    (Family::Meta, "meta-whatsapp", Channel::Whatsapp),
    (Family::Gupshup, "gupshup-whatsapp", Channel::Whatsapp),
];

/// Where messages go, unless told otherwise.
pub(crate) const NUMBER: &str = "+12015550123";

/// Where the outside sees the server.
pub(crate) const PUBLIC_URL: &str = "https://otp.example.com/codes";

/// A stand-in that reports nothing by itself.
pub(crate) async fn stand_in(family: Family) -> StandIn {
    StandIn::start(family, Options::default()).await.unwrap()
}

/// A provider of this kind with the settings that the stand-in gives, and more.
pub(crate) fn provider(kind: &str, stand_in: &StandIn, more: &str) -> Arc<dyn Provider> {
    let settings = format!("{}{more}", stand_in.settings(kind).unwrap());
    let settings: ProviderSettings = toml::from_str(&settings).unwrap();
    let builder = Builder::new(Arc::new(SetClock::default()), None);
    let mut builder = builder.called_back_at(Some(PUBLIC_URL));
    builder.build(kind, &settings).unwrap()
}

/// The built-in text in this language, as a message that lives for five minutes.
pub(crate) fn message(channel: Channel, to: &str, locale: &str, code: &Code) -> Message {
    let settings = TemplateSettings {
        service: "Käse & Wein".to_owned(),
        webotp_domain: Some("shop.example".to_owned().try_into().unwrap()),
        ..TemplateSettings::default()
    };
    let lifetime = Duration::from_mins(5);
    let (locale, purpose) = (locale.parse().unwrap(), Purpose::default());
    let rendered = Templates::new(&settings).unwrap().render(&Occasion {
        channel,
        code,
        purpose: &purpose,
        locale: Some(&locale),
        lifetime,
    });
    Message {
        delivery_id: Uuid::from_u128(7),
        verification_id: Uuid::nil(),
        channel,
        to: Recipient::from_canonical(to),
        code: code.clone(),
        purpose,
        locale,
        expires_at: SetClock::default().now().plus(lifetime),
        subject: rendered.subject,
        text: rendered.text,
        html: rendered.html,
    }
}

/// One with six digits, in English.
pub(crate) fn plain(channel: Channel, to: &str) -> Message {
    message(channel, to, "en", &Code::parse("402718").unwrap())
}
