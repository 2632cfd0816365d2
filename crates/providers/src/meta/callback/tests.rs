use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use watchword_core::{Message, Timestamp};

use super::*;
use crate::callback::samples::{Scribbler, Sent};
use crate::http::HttpKind;
use crate::meta::{MetaSettings, MetaWhatsapp};
use crate::samples;

const NUMBER: &str = "106540352242922";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const REFERENCE: &str = "00000000-0000-0000-0000-000000000000.7d444840-9dc0-41d1-b245-5ffdce74fad2";

fn kind() -> MetaWhatsapp {
    let toml = format!(
        "phone_number_id = '{NUMBER}'\naccess_token = 'x'\ntemplate = 'code'\nlanguage = 'en'
         app_secret = '{SECRET}'\nverify_token = ' meatyhamhock '"
    );
    let settings: MetaSettings = toml::from_str(&toml).unwrap();
    settings.provider().unwrap()
}

fn signed_by(secret: &str, body: &[u8]) -> Sent {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let digest: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Sent::post(None, body).with("x-hub-signature-256", format!("sha256={digest}"))
}

fn signed(body: &Value) -> Sent {
    signed_by(SECRET, body.to_string().as_bytes())
}

fn change(number: &str, statuses: &Value) -> Value {
    json!({"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
        "statuses": statuses,
    }})
}

fn account(changes: &[Value]) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]})
}

fn one(status: &Value) -> Sent {
    signed(&account(&[change(NUMBER, &json!([status]))]))
}

fn read(sent: &Sent) -> Callback {
    sent.read(kind().callbacks().unwrap())
}

fn receipts(sent: &Sent) -> Vec<Receipt> {
    match read(sent) {
        Callback::Receipts(receipts) => receipts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_goes_along_with_a_message_comes_back_in_its_receipt() {
    let message = Message {
        channel: Channel::Whatsapp,
        ..samples::sms()
    };
    let now = Timestamp::from_millis(1_790_000_000_000);
    let call = kind().request(&message, now).unwrap();
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body["biz_opaque_callback_data"], REFERENCE);
    let found = receipts(&one(&json!({
        "id": "wamid.HBgL", "status": "delivered", "timestamp": "1750030073",
        "recipient_id": "16505551234",
        "biz_opaque_callback_data": body["biz_opaque_callback_data"],
        "pricing": {"billable": true, "category": "authentication"},
    })));
    let receipt = Receipt {
        about: about(&uuid::Uuid::nil().to_string(), samples::ID).unwrap(),
        channel: Channel::Whatsapp,
        status: DeliveryStatus::Delivered,
        message_id: Some("wamid.HBgL".to_owned()),
        error: None,
    };
    assert_eq!(found, [receipt]);
}

#[test]
fn each_state_is_as_far_as_it_says() {
    for (state, status) in [
        ("sent", DeliveryStatus::Sent),
        ("delivered", DeliveryStatus::Delivered),
        ("read", DeliveryStatus::Read),
        ("played", DeliveryStatus::Read),
    ] {
        let found = receipts(&one(&json!({"id": "wamid.A", "status": state})));
        assert_eq!((found.len(), found[0].status), (1, status), "{state}");
        assert_eq!(found[0].about, About::Message("wamid.A".to_owned()));
        assert_eq!(found[0].error, None);
    }
    for status in [
        json!({"id": "wamid.A", "status": "pending"}),
        json!({"id": "wamid.A", "status": 7}),
        json!({"id": "wamid.A"}),
        json!({"status": "sent"}),
        json!({"id": "a b", "status": "sent"}),
        json!({"id": "x".repeat(200), "status": "sent"}),
        json!({"id": 5, "status": "sent"}),
        json!("sent"),
        Value::Null,
    ] {
        assert_eq!(receipts(&one(&status)), [], "{status}");
    }
}

#[test]
fn a_failure_says_its_class_and_number_and_nothing_else() {
    for (errors, error) in [
        (
            json!([{"code": 131_026, "title": "Message undeliverable"}]),
            "invalid_recipient: 131026",
        ),
        (json!([{"code": "131049"}]), "rejected: 131049"),
        (json!([{"code": 131_056}]), "throttled: 131056"),
        (
            json!([{"code": 131_000}, {"code": 190}]),
            "unavailable: 131000",
        ),
        (json!([{"code": 190}]), "misconfigured: 190"),
        (json!([{"code": 999_999}]), "rejected: 999999"),
        (
            json!([{"code": "+1 201 555 0123"}]),
            "rejected: undelivered",
        ),
        (json!([{"code": -1}]), "rejected: undelivered"),
        (json!([]), "rejected: undelivered"),
        (json!("no"), "rejected: undelivered"),
        (Value::Null, "rejected: undelivered"),
    ] {
        let found = receipts(&one(
            &json!({"id": "w", "status": "failed", "errors": errors}),
        ));
        assert_eq!(found[0].status, DeliveryStatus::Failed);
        assert_eq!(found[0].error.as_deref(), Some(error), "{errors}");
    }
}

#[test]
fn a_reference_that_is_not_ours_is_none() {
    for reference in [
        "",
        ".",
        "att_01",
        &REFERENCE[..36],
        &format!("{REFERENCE}.x"),
        "1.2",
    ] {
        let status = json!({"id": "w", "status": "sent", "biz_opaque_callback_data": reference});
        assert_eq!(
            receipts(&one(&status))[0].about,
            About::Message("w".to_owned())
        );
        let nameless = json!({"status": "sent", "biz_opaque_callback_data": reference});
        assert_eq!(receipts(&one(&nameless)), []);
    }
    let nameless = json!({"status": "sent", "biz_opaque_callback_data": REFERENCE});
    let found = receipts(&one(&nameless));
    assert_eq!((found.len(), &found[0].message_id), (1, &None));
}

#[test]
fn every_status_of_our_number_counts_and_no_other() {
    let status = |id: &str| json!({"id": id, "status": "sent"});
    let ours = |ids: &[&str]| change(NUMBER, &ids.iter().map(|id| status(id)).collect());
    let body = json!({
        "object": "whatsapp_business_account",
        "gs_app_id": "x",
        "entry": [
            {"id": "1", "changes": [
                ours(&["a", "b"]),
                change("106540352242923", &json!([status("foreign")])),
                json!({"field": "messages", "value": {"statuses": [status("nobody")]}}),
            ]},
            {"id": "2", "changes": [
                json!({"field": "account_update", "value": ours(&["odd"])["value"]}),
                ours(&["c"]),
            ]},
            {"id": "3"}, 4, null, {"changes": {}},
        ],
    });
    let found = receipts(&signed(&body));
    let ids: Vec<_> = found
        .iter()
        .filter_map(|one| one.message_id.as_deref())
        .collect();
    assert_eq!(ids, ["a", "b", "c"]);
    for other in [
        json!({"object": "page", "entry": body["entry"]}),
        json!({"entry": body["entry"]}),
        json!({"object": "whatsapp_business_account", "entry": {}}),
        json!({}),
        account(&[change(NUMBER, &Value::Null)]),
    ] {
        assert_eq!(receipts(&signed(&other)), [], "{other}");
    }
}

#[test]
fn no_more_receipts_are_read_than_meta_bundles() {
    let statuses: Value = (0..1500)
        .map(|n| json!({"id": format!("w{n}"), "status": "sent"}))
        .collect();
    let found = receipts(&signed(&account(&[change(NUMBER, &statuses)])));
    assert_eq!(found.len(), MAX_RECEIPTS);
    assert_eq!(found[999].message_id.as_deref(), Some("w999"));
}

#[test]
fn a_callback_with_any_bit_turned_is_refused() {
    let status = json!({"id": "wamid.A", "status": "delivered", "name": "ä",
        "biz_opaque_callback_data": REFERENCE});
    let genuine = one(&status);
    assert_eq!(receipts(&genuine).len(), 1);
    let same = |flipped: &Sent| {
        let text = |sent: &Sent| String::from_utf8_lossy(&sent.headers[0].1).to_ascii_lowercase();
        // Hexadecimal digits may have either case; the word before them not.
        let is_word = flipped.headers[0].1.starts_with(b"sha256=");
        flipped.body == genuine.body && is_word && text(flipped) == text(&genuine)
    };
    for flipped in genuine.flipped() {
        let expected = if same(&flipped) {
            read(&genuine)
        } else {
            Callback::Refused
        };
        assert_eq!(read(&flipped), expected);
    }
}

#[test]
fn without_exactly_one_signature_of_this_app_nothing_is_read() {
    let genuine = one(&json!({"id": "w", "status": "sent"}));
    let signature = genuine.headers[0].1.clone();
    let bare = Sent {
        headers: Vec::new(),
        ..genuine.clone()
    };
    for sent in [
        bare.clone(),
        genuine
            .clone()
            .with("x-hub-signature-256", signature.clone()),
        bare.clone().with("x-hub-signature", signature.clone()),
        bare.clone().with("x-hub-signature-256", &signature[..70]),
        bare.clone().with("x-hub-signature-256", ""),
        signed_by("another secret", &genuine.body),
        signed_by("", &genuine.body),
        Sent {
            body: Vec::new(),
            ..genuine
        },
    ] {
        assert_eq!(read(&sent), Callback::Refused);
    }
}

#[test]
fn hostile_bodies_are_unreadable_even_when_signed() {
    let nested = "[".repeat(100_000);
    let deep = format!("{{\"entry\":{}{}}}", "[".repeat(100), "]".repeat(100));
    for body in [
        &b""[..],
        b"[]",
        b"null",
        b"\"whatsapp_business_account\"",
        b"{\"object\":\"a\",\"object\":\"a\"}",
        b"{\"a\":1e999}",
        b"{\"a\":\"\0\"}",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        nested.as_bytes(),
        deep.as_bytes(),
    ] {
        assert_eq!(read(&signed_by(SECRET, body)), Callback::Unreadable);
        // What nobody vouches for is not even looked at.
        assert_eq!(read(&signed_by("other", body)), Callback::Refused);
    }
}

fn handshake(query: &str) -> Callback {
    read(&Sent::get(query))
}

#[test]
fn a_handshake_with_our_word_is_answered_with_the_challenge_as_it_is() {
    for challenge in ["1158201444", "a-b_c.D", &"9".repeat(128)] {
        let query =
            format!("hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token=meatyhamhock");
        assert_eq!(handshake(&query), Callback::Challenge(challenge.to_owned()));
    }
    let encoded = "hub%2Emode=subscribe&hub.verify%5Ftoken=meatyhamhock&hub.challenge=1&x=y";
    assert_eq!(handshake(encoded), Callback::Challenge("1".to_owned()));
}

#[test]
fn a_handshake_without_our_word_is_forbidden() {
    for query in [
        "",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhoc",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhocks",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=Meatyhamhock",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock&hub.verify_token=x",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=meatyhamhock",
        "hub.challenge=1&hub.verify_token=meatyhamhock",
        "hub_mode=subscribe&hub_challenge=1&hub_verify_token=meatyhamhock",
    ] {
        assert_eq!(handshake(query), Callback::Forbidden, "{query}");
    }
    // Nor is it answered where no word was agreed, or by a signature.
    let toml = format!(
        "phone_number_id = '1'\naccess_token = 'x'\ntemplate = 'code'\nlanguage = 'en'
         app_secret = '{SECRET}'"
    );
    let wordless: MetaSettings = toml::from_str(&toml).unwrap();
    let wordless = wordless.provider().unwrap();
    for query in [
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=1",
    ] {
        let mut sent = signed_by(SECRET, b"");
        sent.method = CallbackMethod::Get;
        sent.query = Some(query.to_owned());
        assert_eq!(
            sent.read(wordless.callbacks().unwrap()),
            Callback::Forbidden
        );
    }
}

#[test]
fn a_challenge_that_is_not_a_short_word_is_not_repeated() {
    for challenge in [
        "",
        "%3Cscript%3E",
        "1%0D%0Ax:y",
        "1+1",
        "%C3%A9",
        "1&hub.challenge=2",
        &"9".repeat(129),
    ] {
        let query =
            format!("hub.mode=subscribe&hub.verify_token=meatyhamhock&hub.challenge={challenge}");
        assert_eq!(handshake(&query), Callback::Unreadable, "{challenge}");
    }
}

#[test]
fn whatever_comes_nothing_breaks() {
    let kind = kind();
    let reader = kind.callbacks().unwrap();
    let genuine = one(&json!({"id": "w", "status": "failed", "errors": [{"code": 131_026}]}));
    let query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock";
    let mut scribbler = Scribbler(0xBAD);
    for _ in 0..3000 {
        let body = match scribbler.next() % 3 {
            0 => scribbler.bytes(300),
            _ => scribbler.damaged(&genuine.body),
        };
        signed_by(SECRET, &body).read(reader);
        let header = scribbler.damaged(&genuine.headers[0].1);
        Sent::post(None, body)
            .with("x-hub-signature-256", header)
            .read(reader);
        let query = scribbler.damaged(query.as_bytes());
        Sent::get(&String::from_utf8_lossy(&query)).read(reader);
    }
}
