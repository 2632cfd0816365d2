use std::collections::BTreeMap;
use std::sync::Arc;

use watchword_core::fakes::{SeededEntropy, SetClock};
use watchword_core::routing::Duplicates;
use watchword_core::{
    CallbackMethod, Channel, DeliveryStatus, Messenger, Receipt, TemplateSettings, Templates,
};

use super::samples::Sent;
use super::*;
use crate::courier::{Courier, CourierParts};
use crate::settings::{Builder, ProviderSettings};

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef";

fn provider(name: &str, public_url: Option<&str>, toml: &str) -> Arc<dyn Provider> {
    let settings: ProviderSettings = toml::from_str(toml).unwrap();
    Builder::new(Arc::new(SetClock::default()), None)
        .called_back_at(public_url)
        .build(name, &settings)
        .unwrap()
}

fn twilio(more: &str) -> String {
    format!("kind = 'twilio-sms'\naccount_sid = '{SID}'\nfrom = 'Shop'\n{more}")
}

fn meta(more: &str) -> String {
    format!(
        "kind = 'meta-whatsapp'\nphone_number_id = '1'\naccess_token = 'x'\ntemplate = 'code'
         language = 'en'\n{more}"
    )
}

fn gupshup(more: &str) -> String {
    format!(
        "kind = 'gupshup-whatsapp'\napi_key = 'x'\nsource = '12015550100'\napp_name = 'x'
         template_id = 'x'\n{more}"
    )
}

#[test]
fn a_provider_takes_callbacks_once_it_has_what_proves_them() {
    let url = Some("https://otp.example.com");
    let key = "api_key = 'SK0123456789abcdef0123456789abcdef'\napi_secret = 'x'";
    for (public_url, toml, takes) in [
        (url, twilio("auth_token = 'x'"), true),
        (url, twilio(&format!("{key}\nauth_token = 'x'")), true),
        (url, twilio(key), false),
        (None, twilio("auth_token = 'x'"), false),
        (None, meta("app_secret = 'x'"), true),
        (url, meta("verify_token = 'x'"), false),
        (None, gupshup(&format!("callback_token = '{TOKEN}'")), true),
        (url, gupshup(""), false),
        (url, "kind = 'webhook'\nurl = 'https://a.example'\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'".to_owned(), false),
    ] {
        let provider = provider("first", public_url, &toml);
        assert_eq!(provider.callbacks().is_some(), takes, "{toml}");
        let by_id = takes && provider.kind() == "gupshup-whatsapp";
        assert_eq!(provider.tracks_by_message_id(), by_id, "{toml}");
    }
}

#[test]
fn a_callback_goes_to_the_provider_that_its_address_names_and_to_no_other() {
    let token = |token: &str| gupshup(&format!("callback_token = '{token}'"));
    let desk = CallbackDesk::new(vec![
        provider("first", None, &token(TOKEN)),
        provider("second", None, &token("fedcba9876543210")),
        provider("third", None, &gupshup("")),
    ]);
    let request = CallbackRequest {
        method: CallbackMethod::Post,
        query: Some("token=0123456789abcdef"),
        headers: &[],
        body: br#"{"type":"message-event","payload":{"id":"x","type":"sent"}}"#,
    };
    let receipt = Receipt {
        about: About::Message("x".to_owned()),
        channel: Channel::Whatsapp,
        status: DeliveryStatus::Sent,
        message_id: Some("x".to_owned()),
        error: None,
    };
    let read = |name: &str| desk.read(name, &request);
    assert_eq!(read("first"), Some(Callback::Receipts(vec![receipt])));
    assert_eq!(read("second"), Some(Callback::Refused));
    for name in ["third", "fourth", "", "First", "first "] {
        assert_eq!(read(name), None, "{name}");
    }
}

#[test]
fn the_address_is_below_the_public_one_and_a_name_is_one_step_of_it() {
    for (public_url, name, address) in [
        (
            "https://otp.example.com",
            "main",
            "https://otp.example.com/callbacks/main",
        ),
        (
            "https://example.com:8443/otp/",
            "main",
            "https://example.com:8443/otp/callbacks/main",
        ),
        (
            "https://example.com",
            "a/b c?é",
            "https://example.com/callbacks/a%2Fb%20c%3F%C3%A9",
        ),
    ] {
        let place = CallbackPlace::new(public_url, name).unwrap();
        assert_eq!(place.url().as_str(), address);
    }
    for wrong in [
        "",
        "otp.example.com",
        "mailto:a@example.com",
        "ftp://a.example",
    ] {
        assert!(CallbackPlace::new(wrong, "main").is_none(), "{wrong}");
    }
}

#[test]
fn an_address_on_this_machine_is_told_to_this_machine_only() {
    let reaches = |place: &str, base: &str| {
        let place = CallbackPlace::new(place, "main").unwrap();
        place.is_reachable_from(&base.parse().unwrap())
    };
    assert!(reaches("https://otp.example.com", "https://api.twilio.com"));
    assert!(reaches("https://otp.example.com", "http://127.0.0.1:9"));
    assert!(reaches("http://127.0.0.1:8080", "http://127.0.0.1:9"));
    for place in [
        "http://127.0.0.1:8080",
        "http://localhost",
        "http://[::1]:1",
    ] {
        assert!(!reaches(place, "https://api.twilio.com"), "{place}");
    }
}

#[test]
fn a_parameter_counts_only_if_it_comes_once() {
    assert_eq!(only(Some("a=1&b=%32"), "b").as_deref(), Some("2"));
    for query in [
        None,
        Some(""),
        Some("b=1&b=1"),
        Some("b=1&%62=2"),
        Some("c=1"),
    ] {
        assert_eq!(only(query, "b"), None, "{query:?}");
    }
}

#[test]
fn only_a_provider_that_brings_nothing_of_ours_back_is_tracked_by_its_own_ids() {
    let chat = gupshup(&format!("callback_token = '{TOKEN}'"));
    let courier = Courier::new(CourierParts {
        providers: vec![
            provider("chat", None, &chat),
            provider("quiet", None, &gupshup("")),
            provider("meta", None, &meta("app_secret = 'x'")),
        ],
        routes: BTreeMap::new(),
        templates: Templates::new(&TemplateSettings::default()).unwrap(),
        app_templates: BTreeMap::new(),
        duplicates: Duplicates::default(),
        clock: Arc::new(SetClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
        observer: Arc::new(()),
    })
    .unwrap();
    for (name, tracked) in [
        ("chat", true),
        ("quiet", false),
        ("meta", false),
        ("x", false),
    ] {
        assert_eq!(courier.tracks(name), tracked, "{name}");
    }
}

/// What the desk hands on is what arrived: nothing is kept from one callback to the next.
#[test]
fn the_same_callback_reads_the_same_however_often_it_comes() {
    let provider = provider(
        "first",
        None,
        &gupshup(&format!("callback_token = '{TOKEN}'")),
    );
    let sent = Sent::post(
        Some("token=0123456789abcdef"),
        r#"{"type":"message-event","payload":{"id":"x","type":"read"}}"#,
    );
    let first = sent.receipt(provider.callbacks().unwrap());
    for _ in 0..3 {
        assert_eq!(sent.receipt(provider.callbacks().unwrap()), first);
    }
}
