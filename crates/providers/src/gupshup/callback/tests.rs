use serde_json::json;

use super::*;
use crate::callback::samples::{Scribbler, Sent};
use crate::gupshup::{GupshupSettings, GupshupWhatsapp};
use crate::http::HttpKind;

const SECRET: &str = "0123456789abcdef";
const QUERY: &str = "token=0123456789abcdef";

fn provider(token: &str) -> Result<GupshupWhatsapp, Fault> {
    let toml = format!(
        "api_key = 'x'\nsource = '12015550100'\napp_name = 'x'\ntemplate_id = 'x'
         callback_token = '{token}'"
    );
    toml::from_str::<GupshupSettings>(&toml).unwrap().provider()
}

fn read(sent: &Sent) -> Callback {
    let kind = provider(&format!("{SECRET} fedcba9876543210")).unwrap();
    sent.read(kind.callbacks().unwrap())
}

fn sent(body: &Value) -> Sent {
    Sent::post(Some(QUERY), body.to_string())
}

fn receipts(body: &Value) -> Vec<Receipt> {
    match read(&sent(body)) {
        Callback::Receipts(receipts) => receipts,
        other => panic!("{other:?}"),
    }
}

fn event(state: &str, more: &Value) -> Value {
    json!({"app": "DemoAPI", "timestamp": 1_580_546_677_791_u64, "version": 2,
        "type": "message-event",
        "payload": {"id": "gBEGkYiEB1VXAglK1ZEqA1YKPrU", "gsId": "ee4a68a0-1203-4c85-8dc3-49d0b3226a35",
            "type": state, "destination": "12015550123", "payload": more}})
}

#[track_caller]
fn said(body: &Value) -> (DeliveryStatus, Option<String>) {
    let found = receipts(body);
    assert_eq!(found.len(), 1, "{body}");
    (found[0].status, found[0].error.clone())
}

#[test]
fn an_event_is_about_the_message_that_gupshup_named_when_it_took_it() {
    let id = "ee4a68a0-1203-4c85-8dc3-49d0b3226a35".to_owned();
    let receipt = Receipt {
        about: About::Message(id.clone()),
        channel: Channel::Whatsapp,
        status: DeliveryStatus::Delivered,
        message_id: Some(id.clone()),
        error: None,
    };
    assert_eq!(
        receipts(&event("delivered", &json!({"ts": 1_585_344_475}))),
        [receipt]
    );
    // Until WhatsApp has it, its only name is Gupshup's.
    let enqueued = json!({"type": "message-event",
        "payload": {"id": id, "type": "enqueued", "payload": {"whatsappMessageId": "gBEG"}}});
    assert_eq!(receipts(&enqueued)[0].about, About::Message(id));
}

#[test]
fn each_state_of_an_event_is_as_far_as_it_says() {
    for (state, status) in [
        ("enqueued", DeliveryStatus::Accepted),
        ("sent", DeliveryStatus::Sent),
        ("delivered", DeliveryStatus::Delivered),
        ("read", DeliveryStatus::Read),
    ] {
        assert_eq!(
            said(&event(state, &json!({"ts": "1585344475"}))),
            (status, None)
        );
    }
    for (code, error) in [
        (json!(1002), "invalid_recipient: 1002"),
        (json!("1013"), "invalid_recipient: 1013"),
        (json!(1008), "blocked_recipient: 1008"),
        (json!(470), "rejected: 470"),
        (json!(471), "throttled: 471"),
        (json!(4002), "unavailable: 4002"),
        (json!(1003), "misconfigured: 1003"),
        // Meta's, passed through.
        (json!(131_026), "invalid_recipient: 131026"),
        (json!(190), "misconfigured: 190"),
        (json!(98_765), "rejected: 98765"),
        (json!(null), "rejected: undelivered"),
        (json!("many"), "rejected: undelivered"),
    ] {
        let failed = event(
            "failed",
            &json!({"code": code, "reason": "+12015550123 is not on it"}),
        );
        assert_eq!(
            said(&failed),
            (DeliveryStatus::Failed, Some(error.to_owned())),
            "{code}"
        );
    }
    for state in ["deleted", "Sent", ""] {
        assert_eq!(receipts(&event(state, &json!({}))), []);
    }
}

#[test]
fn events_about_something_else_say_nothing() {
    for body in [
        json!({"type": "user-event", "payload": {"phone": "callbackSetPhone", "type": "sandbox-start"}}),
        json!({"type": "message", "payload": {"id": "x", "type": "sent"}}),
        json!({"type": "billing-event", "payload": {}}),
        json!({"type": "message-event"}),
        json!({"type": "message-event", "payload": {"type": "sent"}}),
        json!({"type": "message-event", "payload": {"id": "a b", "type": "sent"}}),
        json!({"type": "message-event", "payload": {"id": 7, "type": "sent"}}),
        json!({"type": ["message-event"], "payload": 3}),
        json!({}),
    ] {
        assert_eq!(receipts(&body), [], "{body}");
    }
}

fn passed_through(statuses: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "gs_app_id": "x", "entry": [{"id": "1",
        "changes": [{"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"phone_number_id": "7"}, "statuses": statuses}}]}]})
}

#[test]
fn statuses_in_metas_format_are_about_gupshups_name_too() {
    let statuses = json!([
        {"gs_id": "g1", "id": "wamid.1", "status": "enqueued", "timestamp": "1710930461"},
        {"gs_id": "g2", "id": "wamid.2", "status": "sent", "timestamp": 1_710_941_393_420_u64},
        {"gs_id": "g3", "id": "wamid.3", "status": "delivered"},
        {"id": "wamid.4", "status": "read"},
        {"gs_id": "g5", "status": "failed", "errors": [{"code": 131_026}]},
        {"gs_id": "g6", "status": "failed", "errors": [{"code": 1002}]},
        {"gs_id": "g7", "status": "deleted"},
    ]);
    let found: Vec<_> = receipts(&passed_through(&statuses))
        .into_iter()
        .map(|receipt| (receipt.about, receipt.status, receipt.error))
        .collect();
    let about = |id: &str| About::Message(id.to_owned());
    let failed = |error: &str| Some(error.to_owned());
    assert_eq!(
        found,
        [
            (about("g1"), DeliveryStatus::Accepted, None),
            (about("g2"), DeliveryStatus::Sent, None),
            (about("g3"), DeliveryStatus::Delivered, None),
            (about("wamid.4"), DeliveryStatus::Read, None),
            (
                about("g5"),
                DeliveryStatus::Failed,
                failed("invalid_recipient: 131026")
            ),
            (
                about("g6"),
                DeliveryStatus::Failed,
                failed("invalid_recipient: 1002")
            ),
        ]
    );
    let many: Value = (0..1500)
        .map(|n| json!({"gs_id": format!("g{n}"), "status": "sent"}))
        .collect();
    assert_eq!(receipts(&passed_through(&many)).len(), MAX_RECEIPTS);
}

#[test]
fn the_token_may_come_in_the_address_or_in_a_header_or_in_both() {
    let body = event("sent", &json!({})).to_string();
    let post = |query: Option<&str>| Sent::post(query, body.clone());
    let bearer = "Bearer 0123456789abcdef";
    for sent in [
        post(Some(QUERY)),
        post(Some("x=y&token=%30123456789abcdef")),
        post(Some("token=fedcba9876543210")),
        post(None).with("authorization", bearer),
        post(None).with("authorization", "bearer 0123456789abcdef"),
        post(Some(QUERY)).with("authorization", bearer),
    ] {
        assert!(matches!(read(&sent), Callback::Receipts(found) if found.len() == 1));
    }
    for sent in [
        post(None),
        post(Some("")),
        post(Some("token=")),
        post(Some("Token=0123456789abcdef")),
        post(Some("token=0123456789abcde")),
        post(Some("token=0123456789abcdeF")),
        post(Some("token=0123456789abcdef0")),
        post(Some("token=0123456789abcdef+fedcba9876543210")),
        post(Some("token=0123456789abcdef&token=0123456789abcdef")),
        post(Some("token=wrong&token=0123456789abcdef")),
        post(None).with("authorization", "0123456789abcdef"),
        post(None).with("authorization", "Basic 0123456789abcdef"),
        post(None).with("authorization", "Bearer"),
        post(None)
            .with("authorization", bearer)
            .with("authorization", bearer),
        post(None).with("x-token", "0123456789abcdef"),
        // Right in one place and wrong in the other.
        post(Some(QUERY)).with("authorization", "Bearer wrong"),
        post(Some("token=wrong")).with("authorization", bearer),
        post(Some(QUERY))
            .with("authorization", bearer)
            .with("authorization", bearer),
    ] {
        assert_eq!(read(&sent), Callback::Refused, "{:?}", sent.query);
    }
}

/// The body is not signed: who has the token may say anything. The token is all there is.
#[test]
fn a_token_with_any_bit_turned_is_refused() {
    let genuine = Sent::post(None, event("sent", &json!({})).to_string())
        .with("authorization", "Bearer 0123456789abcdef");
    for flipped in genuine.flipped() {
        if flipped.body == genuine.body {
            let same = flipped.headers[0]
                .1
                .eq_ignore_ascii_case(&genuine.headers[0].1)
                && flipped.headers[0].1.ends_with(b" 0123456789abcdef");
            assert_eq!(read(&flipped) != Callback::Refused, same);
        }
    }
    let in_address = Sent::post(Some(QUERY), "");
    for flipped in in_address.flipped() {
        assert_eq!(read(&flipped), Callback::Refused, "{:?}", flipped.query);
    }
}

#[test]
fn hostile_bodies_are_unreadable_and_not_looked_at_without_a_token() {
    let nested = "{\"payload\":".repeat(100_000);
    for body in [
        &b"[]"[..],
        b"{",
        b"7",
        b"{\"type\":\"message-event\",\"type\":\"message-event\"}",
        b"{\"a\":1e999}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\0\"}",
        nested.as_bytes(),
    ] {
        assert_eq!(read(&Sent::post(Some(QUERY), body)), Callback::Unreadable);
        assert_eq!(read(&Sent::post(Some("token=x"), body)), Callback::Refused);
    }
    // An address may be tried out without a body.
    assert_eq!(read(&Sent::get(QUERY)), Callback::Receipts(Vec::new()));
}

#[test]
fn a_token_that_could_be_guessed_is_a_fault_that_shows_nothing() {
    for token in ["hunter2", "0123456789abcde", "0123456789abcdef hunter2"] {
        let (setting, fault) = provider(token).err().unwrap();
        assert_eq!(setting, "callback_token");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
    assert!(provider(SECRET).is_ok());
}

#[test]
fn whatever_comes_nothing_breaks() {
    let mut scribbler = Scribbler(0xC0DE);
    let kind = provider(SECRET).unwrap();
    let reader = kind.callbacks().unwrap();
    let v2 = event("failed", &json!({"code": 1002})).to_string();
    let v3 = passed_through(&json!([{"gs_id": "g", "status": "sent"}])).to_string();
    for _ in 0..3000 {
        let body = match scribbler.next() % 3 {
            0 => scribbler.bytes(300),
            1 => scribbler.damaged(v2.as_bytes()),
            _ => scribbler.damaged(v3.as_bytes()),
        };
        Sent::post(Some(QUERY), body).read(reader);
        let header = scribbler.damaged(b"Bearer 0123456789abcdef");
        let query = scribbler.damaged(QUERY.as_bytes());
        Sent::post(Some(&String::from_utf8_lossy(&query)), v2.clone())
            .with("authorization", header)
            .read(reader);
    }
}
