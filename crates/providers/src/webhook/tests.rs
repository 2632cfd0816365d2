use standardwebhooks::Webhook as Receiver;

use super::*;
use crate::samples;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn kind(secret: &str) -> Webhook {
    let url = Url::parse("https://hooks.example.com/otp").unwrap();
    Webhook::new(url, Keys::parse(secret).unwrap())
}

fn call(secret: &str, now: Timestamp) -> Call {
    kind(secret).request(&samples::sms(), now).unwrap()
}

#[test]
fn the_signature_is_that_of_the_published_vector() {
    let keys = Keys::parse(KEY).unwrap();
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    assert_eq!(
        keys.sign(id, 1_614_265_330, br#"{"test": 2432232314}"#),
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    );
}

#[test]
fn the_reference_receiver_accepts_a_message_and_refuses_it_changed() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap());
    for secret in [KEY.to_owned(), format!("{OTHER} {KEY}")] {
        let call = call(&secret, now);
        let receiver = Receiver::new(KEY).unwrap();
        receiver.verify(&call.body, &call.headers).unwrap();
        let mut changed = call.body.to_vec();
        changed[20] ^= 1;
        assert!(receiver.verify(&changed, &call.headers).is_err());
    }
    let stranger = call(OTHER, now);
    let receiver = Receiver::new(KEY).unwrap();
    assert!(receiver.verify(&stranger.body, &stranger.headers).is_err());
}

#[test]
fn the_body_is_the_message_as_documented() {
    let call = call(KEY, Timestamp::from_millis(1_790_000_000_123));
    let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "type": "message.send",
            "timestamp": "2026-09-21T14:13:20.123Z",
            "data": {
                "id": samples::ID,
                "channel": "sms",
                "to": samples::NUMBER,
                "code": samples::CODE,
                "text": "402718 é o seu código",
                "locale": "pt-BR",
                "purpose": "login",
                "expires_at": "2026-09-21T14:18:20.000Z",
            },
        })
    );
    assert_eq!(call.headers["content-type"], "application/json");
    assert_eq!(call.headers["webhook-id"], samples::ID);
    assert_eq!(call.headers["webhook-timestamp"], "1790000000");
}

#[test]
fn a_status_says_what_became_of_the_message() {
    for (status, class) in [
        (200, "accepted"),
        (204, "accepted"),
        (302, "misconfigured"),
        (400, "rejected"),
        (401, "misconfigured"),
        (403, "misconfigured"),
        (404, "misconfigured"),
        (410, "misconfigured"),
        (422, "rejected"),
        (429, "throttled"),
        (500, "unavailable"),
        (502, "unavailable"),
        (503, "unavailable"),
        (504, "unknown"),
    ] {
        let reply = Reply {
            status,
            retry_after: None,
            body: None,
        };
        assert_eq!(kind(KEY).read(&reply).class().as_str(), class, "{status}");
    }
}

#[test]
fn a_key_has_its_prefix_and_24_to_64_bytes() {
    let key = |length: usize| format!("whsec_{}", STANDARD.encode(vec![7; length]));
    for right in [key(24), key(64), format!(" {} \n {} ", key(32), key(32))] {
        assert!(Keys::parse(&right).is_ok(), "{right}");
    }
    for wrong in [
        String::new(),
        key(23),
        key(65),
        key(32).replace("whsec_", ""),
        key(32).replace("whsec_", "whsk_"),
        "whsec_!!!!".to_owned(),
        format!("{} {}", key(32), key(8)),
    ] {
        assert!(Keys::parse(&wrong).is_err(), "{wrong}");
    }
}
