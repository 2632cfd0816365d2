//! What goes out fits the contracts, whatever the language and the code.

use std::time::Duration;

use tokio::time::Instant;
use watchword_core::fakes::SeededEntropy;
use watchword_core::routing::Class;
use watchword_core::{Alphabet, Code, CodeFormat};

use super::messages::{KINDS, NUMBER, message, plain, provider, stand_in};

/// The languages that texts are built in for, one that Meta writes otherwise, and one that nobody
/// has.
const LOCALES: [&str; 10] = [
    "en", "es", "pt", "pt-BR", "fr", "de", "hi", "ar", "id", "sw",
];

/// A minute: no stand-in takes so long.
fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

#[tokio::test]
async fn every_language_and_every_form_of_code_is_taken_and_arrives_as_it_was() {
    let entropy = SeededEntropy::new(7);
    for (family, kind, channel) in KINDS {
        let stand_in = stand_in(family).await;
        let provider = provider(kind, &stand_in, "");
        for locale in LOCALES {
            for alphabet in [Alphabet::Digits, Alphabet::Alphanumeric] {
                for length in CodeFormat::LENGTHS {
                    let code = Code::generate(CodeFormat { alphabet, length }, &entropy).unwrap();
                    let message = message(channel, NUMBER, locale, &code);
                    let outcome = provider.send(&message, soon()).await;
                    let messages = stand_in.messages();
                    let taken = messages.last().unwrap();
                    let accepted = Class::Accepted {
                        message_id: Some(taken.id.clone()),
                    };
                    assert_eq!(*outcome.class(), accepted, "{kind} {locale} {length}");
                    assert_eq!(
                        (taken.channel, taken.to.as_str()),
                        (channel.as_str(), NUMBER)
                    );
                    if let Some(text) = &taken.text {
                        assert_eq!(text, message.text.expose());
                    }
                    // Whether a word is a code can be told from its form only where it is one of
                    // 4 signs or more.
                    if channel == watchword_core::Channel::Whatsapp || length >= 4 {
                        let seen = taken.code.as_deref();
                        assert_eq!(seen, Some(code.expose()), "{kind} {locale}");
                    }
                }
            }
        }
        let all = LOCALES.len() * 2 * CodeFormat::LENGTHS.count();
        assert_eq!(stand_in.messages().len(), all);
    }
}

/// What the published contracts leave open, and this program promises.
#[tokio::test]
async fn the_remaining_life_of_the_code_the_hand_over_and_the_language_go_along() {
    for (family, kind, channel) in KINDS {
        let stand_in = stand_in(family).await;
        let provider = provider(kind, &stand_in, "");
        let german = message(channel, NUMBER, "de", &plain(channel, NUMBER).code);
        provider.send(&german, soon()).await;
        let request = stand_in.messages()[0].request.clone();
        match kind {
            "twilio-sms" | "twilio-whatsapp" => assert_eq!(request["ValidityPeriod"], 300),
            "meta-whatsapp" => {
                let id = german.delivery_id.hyphenated().to_string();
                assert!(
                    request["biz_opaque_callback_data"]
                        .as_str()
                        .unwrap()
                        .contains(&id)
                );
                assert_eq!(request["template"]["language"]["code"], "de");
            }
            _ => {}
        }
        if kind == "twilio-whatsapp" {
            let german = watchword_stand_ins::account::TWILIO_CONTENT_SID_DE;
            assert_eq!(request["ContentSid"], german);
        }
    }
}

#[tokio::test]
async fn an_api_key_and_a_messaging_service_serve_as_well() {
    use watchword_stand_ins::{Family, account};
    let stand_in = stand_in(Family::Twilio).await;
    let settings = format!(
        "kind = 'twilio-sms'\nbase_url = '{}'\naccount_sid = '{}'\napi_key = '{}'
         api_secret = '{}'\nmessaging_service_sid = '{}'",
        stand_in.base_url(),
        account::TWILIO_ACCOUNT_SID,
        account::TWILIO_API_KEY,
        account::TWILIO_API_SECRET,
        account::TWILIO_MESSAGING_SERVICE_SID,
    );
    let settings = toml::from_str(&settings).unwrap();
    let clock = std::sync::Arc::new(watchword_core::fakes::SetClock::default());
    let mut builder = watchword_providers::Builder::new(clock, None);
    let provider = builder.build("texts", &settings).unwrap();
    let message = plain(watchword_core::Channel::Sms, NUMBER);
    let outcome = provider.send(&message, soon()).await;
    assert_eq!(outcome.class().as_str(), "accepted");
}
