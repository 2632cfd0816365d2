//! Bodies that are JSON, and bodies that are nothing.

use sha2::{Digest, Sha256};

use super::*;
use crate::callback::samples::Scribbler;

fn json(body: &str) -> Sent {
    let digest: String = Sha256::digest(body.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let query = format!("{QUERY}&bodySHA256={digest}");
    let signature = signature("hunter2", &format!("{PLACE}?{query}"));
    Sent::post(Some(&query), body).with("x-twilio-signature", signature)
}

#[test]
fn a_json_callback_with_any_bit_turned_is_refused() {
    let sms = sms();
    let body = format!(
        "{{\"AccountSid\":\"{SID}\",\"MessageSid\":\"{MESSAGE}\",\"MessageStatus\":\"undelivered\",
          \"ErrorCode\":30003,\"Extra\":[{{}}],\"Nothing\":null}}"
    );
    let genuine = json(&body);
    let failed = (
        DeliveryStatus::Failed,
        Some("unavailable: 30003".to_owned()),
    );
    assert_eq!(genuine.said(sms.reader()), failed);
    for flipped in genuine.flipped() {
        assert_eq!(flipped.read(sms.reader()), Callback::Refused);
    }
}

#[test]
fn a_json_body_is_not_proven_by_the_signature_of_a_form() {
    let body = format!("{{\"AccountSid\":\"{SID}\",\"MessageStatus\":\"delivered\"}}");
    let signature = signature("hunter2", &format!("{PLACE}?{QUERY}"));
    let sent = Sent::post(Some(QUERY), body.clone()).with("x-twilio-signature", signature);
    assert_eq!(sent.read(sms().reader()), Callback::Refused);
    // Nor is any other body by the signature of an empty one.
    let empty = Sent {
        body: Vec::new(),
        ..sent
    };
    assert_eq!(empty.read(sms().reader()), Callback::Refused);
}

#[test]
fn hostile_bodies_are_unreadable_or_say_nothing_even_when_signed() {
    let sms = sms();
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    for body in [
        "",
        "[]",
        "null",
        "{",
        "{\"a\":1e999}",
        "{\"AccountSid\":\"x\",\"AccountSid\":\"x\"}",
        "{\"a\":\"\0\"}",
        &nested,
    ] {
        assert_eq!(json(body).read(sms.reader()), Callback::Unreadable);
    }
    let sid = "SM".repeat(200);
    let odd = [
        ("AccountSid", SID),
        ("MessageSid", &sid),
        ("MessageStatus", "sent"),
    ];
    assert_eq!(
        signed(&odd).read(sms.reader()),
        Callback::Receipts(Vec::new())
    );
    // Signed as well as any, and too long to be looked at.
    let text = "a".repeat(MAX_BODY);
    let fields = |extra| {
        [
            ("AccountSid", SID),
            ("MessageSid", MESSAGE),
            ("Extra", extra),
        ]
    };
    assert_eq!(signed(&fields(&text)).read(sms.reader()), Callback::Refused);
    let shorter = &text[..60 * 1024];
    assert_eq!(
        signed(&fields(shorter)).read(sms.reader()),
        Callback::Receipts(Vec::new())
    );
}

#[test]
fn whatever_comes_nothing_breaks() {
    let (sms, voice) = (sms(), voice());
    let mut scribbler = Scribbler(0x5EED);
    let genuine = message("delivered", &[]);
    for _ in 0..3000 {
        let body = match scribbler.next() % 2 {
            0 => scribbler.bytes(300),
            _ => scribbler.damaged(&genuine.body),
        };
        let query = String::from_utf8_lossy(&scribbler.damaged(QUERY.as_bytes())).into_owned();
        let sent = Sent {
            body,
            query: Some(query),
            ..genuine.clone()
        };
        let odd = Sent {
            headers: Vec::new(),
            ..sent.clone()
        }
        .with("x-twilio-signature", scribbler.bytes(40));
        for sent in [sent, odd] {
            sent.read(sms.reader());
            sent.read(voice.reader());
        }
        // Signed, so that what comes after the proof sees it, too.
        let text =
            scribbler.damaged(br#"{"AccountSid":"x","MessageSid":"SM1","ErrorCode":-1.5e3}"#);
        json(&String::from_utf8_lossy(&text)).read(sms.reader());
    }
}
