use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use watchword_core::Timestamp;

use super::*;
use crate::callback::samples::Sent;
use crate::http::HttpKind;
use crate::samples;
use crate::twilio::{TwilioSmsSettings, TwilioVoiceSettings, TwilioWhatsappSettings};

mod hostile;

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const MESSAGE: &str = "SM0123456789abcdef0123456789abcdef";
const CALL: &str = "CA0123456789abcdef0123456789abcdef";
const PLACE: &str = "https://otp.example.com/callbacks/main";
const QUERY: &str = "v=00000000-0000-0000-0000-000000000000&d=7d444840-9dc0-41d1-b245-5ffdce74fad2";
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn called_back<K: HttpKind>(mut kind: K) -> K {
    kind.called_back_at(&CallbackPlace::new("https://otp.example.com", "main").unwrap());
    kind
}

fn sms() -> impl HttpKind {
    let toml = format!("account_sid = '{SID}'\nauth_token = 'hunter2 old'\nfrom = 'Shop'");
    let settings: TwilioSmsSettings = toml::from_str(&toml).unwrap();
    called_back(settings.provider().unwrap())
}

fn whatsapp() -> impl HttpKind {
    let toml = format!(
        "account_sid = '{SID}'\nauth_token = 'hunter2'\nfrom = '+12015550100'
         content_sid = 'HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
    );
    let settings: TwilioWhatsappSettings = toml::from_str(&toml).unwrap();
    called_back(settings.provider().unwrap())
}

fn voice() -> impl HttpKind {
    let toml = format!("account_sid = '{SID}'\nauth_token = 'hunter2'\nfrom = '+12015550100'");
    let settings: TwilioVoiceSettings = toml::from_str(&toml).unwrap();
    called_back(settings.provider().unwrap())
}

/// Signs as Twilio does, told apart from how this server checks it.
fn signature(token: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields).finish()
}

fn signed_by(token: &str, query: &str, fields: &[(&str, &str)]) -> Sent {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let text: String = sorted
        .iter()
        .map(|(name, value)| format!("{name}{value}"))
        .collect();
    let signature = signature(token, &format!("{PLACE}?{query}{text}"));
    Sent::post(Some(query), form(fields)).with("x-twilio-signature", signature)
}

fn signed(fields: &[(&str, &str)]) -> Sent {
    signed_by("hunter2", QUERY, fields)
}

fn message(status: &str, more: &[(&'static str, &'static str)]) -> Sent {
    let mut fields = vec![
        ("AccountSid", SID),
        ("ApiVersion", "2010-04-01"),
        ("From", "+12015550100"),
        ("MessageSid", MESSAGE),
        ("MessageStatus", status),
        ("SmsSid", MESSAGE),
        ("SmsStatus", status),
        ("To", samples::NUMBER),
    ];
    fields.extend(more);
    signed(&fields)
}

fn call(status: &str) -> Sent {
    signed(&[
        ("AccountSid", SID),
        ("CallSid", CALL),
        ("CallStatus", status),
        ("SequenceNumber", "2"),
    ])
}

#[test]
fn what_goes_along_with_a_message_comes_back_as_its_receipt() {
    for (kind, ids, fields) in [
        (
            &sms() as &dyn Asked,
            MESSAGE,
            [("MessageSid", MESSAGE), ("MessageStatus", "delivered")],
        ),
        (
            &whatsapp(),
            MESSAGE,
            [("MessageSid", MESSAGE), ("MessageStatus", "delivered")],
        ),
        (
            &voice(),
            CALL,
            [("CallSid", CALL), ("CallStatus", "completed")],
        ),
    ] {
        let address = kind.address();
        assert_eq!(address, format!("{PLACE}?{QUERY}"));
        let query = address.split_once('?').unwrap().1;
        let mut all = vec![("AccountSid", SID)];
        all.extend(fields);
        let receipt = signed_by("hunter2", query, &all).receipt(kind.reader());
        assert_eq!(
            receipt.about,
            about(&uuid::Uuid::nil().to_string(), samples::ID).unwrap()
        );
        assert_eq!(receipt.status, DeliveryStatus::Delivered);
        assert_eq!(receipt.message_id.as_deref(), Some(ids));
        assert_eq!(receipt.channel, kind.channel());
    }
}

/// What this test asks of every kind.
trait Asked {
    fn address(&self) -> String;
    fn reader(&self) -> &dyn CallbackReader;
    fn channel(&self) -> Channel;
}

impl<K: HttpKind> Asked for K {
    fn address(&self) -> String {
        let call = self.request(&samples::sms(), NOW).unwrap();
        let fields = form_urlencoded::parse(&call.body);
        let mut addresses = fields.filter(|(name, _)| name == "StatusCallback");
        addresses.next().unwrap().1.into_owned()
    }

    fn reader(&self) -> &dyn CallbackReader {
        self.callbacks().unwrap()
    }

    fn channel(&self) -> Channel {
        let mut all = Channel::ALL.into_iter();
        all.find(|channel| self.carries(*channel)).unwrap()
    }
}

#[test]
fn a_call_is_reported_at_every_turn() {
    let call = voice().request(&samples::sms(), NOW).unwrap();
    let fields = form_urlencoded::parse(&call.body);
    let events: Vec<_> = fields
        .filter(|(name, _)| name == "StatusCallbackEvent")
        .map(|(_, event)| event.into_owned())
        .collect();
    assert_eq!(events, ["initiated", "ringing", "answered", "completed"]);
}

#[test]
fn nobody_is_asked_to_call_an_address_that_they_cannot_reach() {
    let toml = format!("account_sid = '{SID}'\nauth_token = 'hunter2'\nfrom = 'Shop'");
    let mut kind = toml::from_str::<TwilioSmsSettings>(&toml)
        .unwrap()
        .provider()
        .unwrap();
    let sent = |kind: &dyn Fn() -> bytes::Bytes| String::from_utf8(kind().to_vec()).unwrap();
    let without = sent(&|| kind.request(&samples::sms(), NOW).unwrap().body);
    assert!(!without.contains("StatusCallback"), "{without}");
    kind.called_back_at(&CallbackPlace::new("http://127.0.0.1:8080", "main").unwrap());
    assert!(kind.callbacks().is_some());
    let local = sent(&|| kind.request(&samples::sms(), NOW).unwrap().body);
    assert_eq!(local, without);
}

#[test]
fn each_state_of_a_message_is_as_far_as_it_says() {
    let (sms, whatsapp) = (sms(), whatsapp());
    for (state, status) in [
        ("accepted", DeliveryStatus::Accepted),
        ("scheduled", DeliveryStatus::Accepted),
        ("queued", DeliveryStatus::Accepted),
        ("sending", DeliveryStatus::Accepted),
        ("sent", DeliveryStatus::Sent),
        ("partially_delivered", DeliveryStatus::Sent),
        ("delivered", DeliveryStatus::Delivered),
        ("read", DeliveryStatus::Read),
    ] {
        for kind in [&sms as &dyn Asked, &whatsapp] {
            assert_eq!(message(state, &[]).said(kind.reader()), (status, None));
        }
        // A number beside a success is none.
        let odd = message(state, &[("ErrorCode", "0")]);
        assert_eq!(odd.said(sms.reader()), (status, None));
    }
    for (state, code, error) in [
        ("failed", "30008", "unavailable: 30008"),
        ("undelivered", "30003", "unavailable: 30003"),
        ("undelivered", "30005", "invalid_recipient: 30005"),
        ("undelivered", "30004", "blocked_recipient: 30004"),
        ("undelivered", "30036", "expired: 30036"),
        ("failed", "63024", "invalid_recipient: 63024"),
        ("failed", "99999", "rejected: 99999"),
        ("failed", "0", "rejected: undelivered"),
        ("failed", "many", "rejected: undelivered"),
        ("failed", "-1", "rejected: undelivered"),
        ("failed", "99999999999999", "rejected: undelivered"),
        ("canceled", "", "rejected: canceled"),
    ] {
        let sent = message(state, &[("ErrorCode", code)]);
        let failed = (DeliveryStatus::Failed, Some(error.to_owned()));
        assert_eq!(sent.said(sms.reader()), failed, "{state} {code}");
    }
    for state in ["receiving", "received", "DELIVERED", "", "teleported"] {
        let nothing = Callback::Receipts(Vec::new());
        assert_eq!(message(state, &[]).read(sms.reader()), nothing, "{state}");
    }
}

#[test]
fn each_state_of_a_call_is_as_far_as_it_says() {
    let voice = voice();
    for (state, status, error) in [
        ("queued", DeliveryStatus::Accepted, None),
        ("initiated", DeliveryStatus::Accepted, None),
        ("ringing", DeliveryStatus::Sent, None),
        ("in-progress", DeliveryStatus::Sent, None),
        ("completed", DeliveryStatus::Delivered, None),
        ("busy", DeliveryStatus::Failed, Some("unavailable: busy")),
        (
            "no-answer",
            DeliveryStatus::Failed,
            Some("unavailable: no_answer"),
        ),
        (
            "failed",
            DeliveryStatus::Failed,
            Some("unavailable: call_failed"),
        ),
        (
            "canceled",
            DeliveryStatus::Failed,
            Some("unknown: canceled"),
        ),
    ] {
        let said = call(state).said(voice.reader());
        assert_eq!(said, (status, error.map(str::to_owned)), "{state}");
    }
    let nothing = Callback::Receipts(Vec::new());
    assert_eq!(call("transferred").read(voice.reader()), nothing);
    assert_eq!(message("delivered", &[]).read(voice.reader()), nothing);
    assert_eq!(call("completed").read(sms().reader()), nothing);
}

#[test]
fn a_callback_without_our_ids_is_about_the_message_that_it_names() {
    let fields = [
        ("AccountSid", SID),
        ("MessageSid", MESSAGE),
        ("MessageStatus", "sent"),
    ];
    for query in [
        "",
        "v=1&d=2",
        "v=00000000-0000-0000-0000-000000000000",
        "x=1",
    ] {
        let receipt = signed_by("hunter2", query, &fields).receipt(sms().reader());
        assert_eq!(receipt.about, About::Message(MESSAGE.to_owned()), "{query}");
    }
    let twice = format!("{QUERY}&d=7d444840-9dc0-41d1-b245-5ffdce74fad3");
    let receipt = signed_by("hunter2", &twice, &fields).receipt(sms().reader());
    assert_eq!(receipt.about, About::Message(MESSAGE.to_owned()));
}

/// Some spellings of a form are the same form: `%2B` and `%2b`.
#[test]
fn a_callback_with_any_bit_turned_is_refused_or_says_the_very_same() {
    let sms = sms();
    let genuine = message("delivered", &[("RawDlrDoneDate", "2611210518")]);
    let decoded = |sent: &Sent| {
        let pairs = form_urlencoded::parse(&sent.body);
        let mut pairs: Vec<_> = pairs
            .map(|(n, v)| (n.into_owned(), v.into_owned()))
            .collect();
        pairs.sort();
        pairs
    };
    let said = genuine.read(sms.reader());
    assert!(matches!(&said, Callback::Receipts(receipts) if receipts.len() == 1));
    let (mut refused, mut same) = (0, 0);
    for flipped in genuine.flipped() {
        match flipped.read(sms.reader()) {
            Callback::Refused => refused += 1,
            other => {
                assert_eq!(decoded(&flipped), decoded(&genuine));
                assert_eq!(flipped.headers, genuine.headers);
                assert_eq!(flipped.query, genuine.query);
                assert_eq!(other, said);
                same += 1;
            }
        }
    }
    // The B of two `%2B`, and nothing else.
    assert_eq!(same, 2);
    assert!(refused > 2500, "{refused}");
}

#[test]
fn without_exactly_one_signature_of_this_account_nothing_is_read() {
    let sms = sms();
    let genuine = message("delivered", &[]);
    let signature = genuine.headers[0].1.clone();
    let missing = Sent {
        headers: Vec::new(),
        ..genuine.clone()
    };
    let doubled = genuine
        .clone()
        .with("x-twilio-signature", signature.clone());
    let cut = Sent {
        headers: Vec::new(),
        ..genuine.clone()
    }
    .with("x-twilio-signature", &signature[..20]);
    let misplaced = Sent {
        headers: Vec::new(),
        ..genuine.clone()
    }
    .with("x-hub-signature-256", signature);
    for sent in [missing, doubled, cut, misplaced] {
        assert_eq!(sent.read(sms.reader()), Callback::Refused);
    }
    let fields = [
        ("AccountSid", SID),
        ("MessageSid", MESSAGE),
        ("MessageStatus", "sent"),
    ];
    let old = signed_by("old", QUERY, &fields);
    assert_eq!(old.said(sms.reader()).0, DeliveryStatus::Sent);
    for token in ["", "Hunter2", "hunter2 old", "stranger"] {
        let sent = signed_by(token, QUERY, &fields);
        assert_eq!(sent.read(sms.reader()), Callback::Refused, "{token}");
    }
}

#[test]
fn another_account_is_refused_even_with_our_token() {
    let other = "AC0123456789abcdef0123456789abcdee";
    for account in [
        &[("AccountSid", other)][..],
        &[],
        &[("AccountSid", SID), ("AccountSid", other)],
    ] {
        let mut fields = vec![("MessageSid", MESSAGE), ("MessageStatus", "delivered")];
        fields.extend(account);
        assert_eq!(signed(&fields).read(sms().reader()), Callback::Refused);
    }
}

/// Without separators, the end of an address and the first field look alike when signed.
#[test]
fn fields_that_were_moved_into_the_address_say_nothing() {
    let genuine = message("delivered", &[]);
    let fields: Vec<_> = form_urlencoded::parse(&genuine.body).collect();
    let text: String = fields
        .iter()
        .map(|(name, value)| format!("{name}{value}"))
        .collect();
    let moved = Sent {
        query: Some(format!("{QUERY}{text}")),
        body: Vec::new(),
        ..genuine
    };
    assert_eq!(moved.read(sms().reader()), Callback::Refused);
}

#[test]
fn a_get_brings_its_fields_in_the_address() {
    let query = format!("{QUERY}&AccountSid={SID}&MessageSid={MESSAGE}&MessageStatus=read");
    let right = signature("hunter2", &format!("{PLACE}?{query}"));
    let sent = Sent::get(&query).with("x-twilio-signature", right);
    assert_eq!(sent.said(sms().reader()), (DeliveryStatus::Read, None));
    for flipped in sent.flipped() {
        assert_eq!(flipped.read(sms().reader()), Callback::Refused);
    }
    // A body that comes along is nobody's.
    let body = b"MessageStatus=failed".to_vec();
    assert_eq!(
        Sent { body, ..sent }.said(sms().reader()),
        (DeliveryStatus::Read, None)
    );
}
