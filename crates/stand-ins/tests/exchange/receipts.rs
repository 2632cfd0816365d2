//! What a stand-in reports, how it is signed, and in which order.

use axum::http::Method;
use serde_json::{Value, json};
use watchword_stand_ins::{
    CallbackFault, EventFormat, Family, Mode, Options, Receipt, StandIn, account, signature,
};

use super::orders::{CODE, NUMBER, call, plain, sms, twilio_whatsapp};
use super::wire::{Called, Receiver, ask};

/// A stand-in that reports at once, to this receiver.
async fn start(family: Family, receiver: &Receiver, options: Options) -> StandIn {
    let options = Options {
        callbacks: Some(format!("{}/callbacks/x?a=b", receiver.url)),
        receipt_pause: std::time::Duration::ZERO,
        ..options
    };
    StandIn::start(family, options).await.unwrap()
}

/// What is reported of one message in this mode, as it arrived.
async fn reported(family: Family, mode: Mode, options: Options) -> Vec<Called> {
    let receiver = Receiver::start().await;
    let stand_in = start(family, &receiver, options).await;
    stand_in.set_mode(mode);
    assert!(plain(family, NUMBER).post(&stand_in).await.is_some());
    stand_in.settled().await;
    let told = &stand_in.messages()[0].receipts;
    assert!(told.iter().all(|told| told.answered == Some(200)));
    let called = receiver.called();
    assert_eq!(called.len(), told.len());
    for called in &called {
        assert_eq!(called.uri.path(), "/callbacks/x");
        assert!(!String::from_utf8_lossy(&called.body).contains(CODE));
    }
    called
}

fn field(called: &Called, name: &str) -> String {
    let form = called.form();
    let found = form.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

/// The one status in a webhook of Meta's form.
fn status(called: &Called) -> Value {
    called.json()["entry"][0]["changes"][0]["value"]["statuses"][0].clone()
}

fn states(family: Family, called: &[Called]) -> String {
    let state = |called: &Called| match family {
        Family::Twilio => field(called, "MessageStatus"),
        Family::Meta => status(called)["status"].as_str().unwrap().to_owned(),
        Family::Gupshup => called.json()["payload"]["type"]
            .as_str()
            .unwrap()
            .to_owned(),
    };
    called.iter().map(state).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_message_is_followed_until_it_was_read_or_failed_or_not_at_all() {
    let slow = Mode::Slow { millis: 1 };
    let fails = Mode::AcceptThenFail { code: None };
    for (family, arrives, failed, disordered) in [
        (
            Family::Twilio,
            "sent delivered",
            "sent undelivered",
            "delivered sent delivered sent",
        ),
        (
            Family::Meta,
            "sent delivered read",
            "sent failed",
            "read delivered sent read delivered sent",
        ),
        (
            Family::Gupshup,
            "enqueued sent delivered read",
            "enqueued failed",
            "read delivered sent enqueued read delivered sent enqueued",
        ),
    ] {
        for (mode, expected) in [
            (Mode::Accept, arrives),
            (slow, arrives),
            (fails, failed),
            (Mode::DisorderedReceipts, disordered),
            (Mode::AcceptWithoutReceipts, ""),
            (Mode::Garbage, ""),
        ] {
            let called = reported(family, mode, Options::default()).await;
            assert_eq!(states(family, &called), expected, "{family:?} {mode:?}");
        }
    }
}

#[tokio::test]
async fn a_failure_is_reported_with_the_number_that_was_told() {
    let fails = |code| Mode::AcceptThenFail { code: Some(code) };
    let called = reported(Family::Twilio, fails(30_003), Options::default()).await;
    assert_eq!(field(&called[1], "ErrorCode"), "30003");
    assert_eq!(field(&called[0], "ErrorCode"), "");
    let called = reported(Family::Meta, fails(131_049), Options::default()).await;
    assert_eq!(status(&called[1])["errors"][0]["code"], 131_049);
    let called = reported(Family::Gupshup, fails(1008), Options::default()).await;
    assert_eq!(called[1].json()["payload"]["payload"]["code"], 1008);
}

#[tokio::test]
async fn twilio_signs_the_address_and_the_fields() {
    let called = reported(Family::Twilio, Mode::Accept, Options::default()).await;
    for called in &called {
        let url = format!("http://{}{}", called.header("host"), called.uri);
        let expected = signature::twilio(account::TWILIO_AUTH_TOKEN, &url, &called.form());
        assert_eq!(called.header("x-twilio-signature"), expected);
        assert!(
            called
                .header("content-type")
                .starts_with("application/x-www-form-urlencoded")
        );
        assert_eq!(field(called, "MessageSid"), field(called, "SmsSid"));
        assert_eq!(field(called, "To"), NUMBER);
    }
}

#[tokio::test]
async fn twilio_signs_json_by_its_digest_in_the_query() {
    let options = Options {
        json_receipts: true,
        ..Options::default()
    };
    let receiver = Receiver::start().await;
    let stand_in = start(Family::Twilio, &receiver, options).await;
    plain(Family::Twilio, NUMBER).post(&stand_in).await.unwrap();
    stand_in.settled().await;
    let called = &receiver.called()[0];
    let plain = format!("http://{}/callbacks/x?a=b", called.header("host"));
    let url = signature::twilio_json_url(&plain, &called.body);
    assert_eq!(
        format!("http://{}{}", called.header("host"), called.uri),
        url
    );
    let expected = signature::twilio(account::TWILIO_AUTH_TOKEN, &url, &[]);
    assert_eq!(called.header("x-twilio-signature"), expected);
    assert_eq!(called.json()["MessageStatus"], "sent");
}

#[tokio::test]
async fn twilio_reports_whatsapp_and_calls_in_words_of_their_own_and_where_the_request_says() {
    let receiver = Receiver::start().await;
    let options = Options {
        receipt_pause: std::time::Duration::ZERO,
        ..Options::default()
    };
    let stand_in = StandIn::start(Family::Twilio, options).await.unwrap();
    let url = format!("{}/own#ct=2000&rc=2", receiver.url);
    let own = ("StatusCallback", url.as_str());
    twilio_whatsapp(&[own]).post(&stand_in).await.unwrap();
    stand_in.settled().await;
    let asked = ["initiated", "ringing", "answered", "completed"];
    let asked = asked.map(|event| ("StatusCallbackEvent", event));
    call(&[&[own], &asked[..]].concat())
        .post(&stand_in)
        .await
        .unwrap();
    stand_in.settled().await;
    // Without an address nothing is sent.
    sms(&[]).post(&stand_in).await.unwrap();
    stand_in.settled().await;
    let called = receiver.called();
    assert_eq!(states(Family::Twilio, &called[..3]), "sent delivered read");
    assert_eq!(field(&called[2], "EventType"), "READ");
    assert_eq!(field(&called[2], "ChannelPrefix"), "whatsapp");
    assert_eq!(field(&called[2], "To"), "whatsapp:+12015550123");
    let calls: Vec<_> = called[3..]
        .iter()
        .map(|called| field(called, "CallStatus"))
        .collect();
    assert_eq!(calls, ["initiated", "ringing", "in-progress", "completed"]);
    assert_eq!(field(&called[6], "SequenceNumber"), "3");
    for called in &called {
        let url = format!("{}/own", receiver.url);
        let expected = signature::twilio(account::TWILIO_AUTH_TOKEN, &url, &called.form());
        assert_eq!(called.header("x-twilio-signature"), expected);
    }
}

#[tokio::test]
async fn meta_signs_the_bytes_and_sends_them_in_ascii() {
    let fails = Mode::AcceptThenFail { code: None };
    let called = reported(Family::Meta, fails, Options::default()).await;
    for called in &called {
        let expected = signature::hub(account::META_APP_SECRET, &called.body);
        assert_eq!(called.header("x-hub-signature-256"), expected);
        assert!(called.body.is_ascii());
        assert_eq!(status(called)["biz_opaque_callback_data"], "att_01");
        assert!(status(called)["timestamp"].is_string());
    }
    assert!(String::from_utf8_lossy(&called[1].body).contains(r"\u2013"));
}

#[tokio::test]
async fn meta_registers_an_address_that_repeats_its_challenge() {
    let receiver = Receiver::start().await;
    let stand_in = start(Family::Meta, &receiver, Options::default()).await;
    assert_eq!(stand_in.subscribe().await, Ok(true));
    let query = receiver.called()[0].uri.query().unwrap().to_owned();
    assert!(
        query.starts_with("a=b&hub.mode=subscribe&hub.challenge="),
        "{query}"
    );
    // One that answers something else is not registered.
    let other = Options {
        callbacks: Some(format!("{}/stand-in/mode", stand_in.base_url())),
        ..Options::default()
    };
    let other = StandIn::start(Family::Meta, other).await.unwrap();
    assert_eq!(other.subscribe().await, Ok(false));
    let nowhere = StandIn::start(Family::Meta, Options::default())
        .await
        .unwrap();
    assert_eq!(nowhere.subscribe().await, Err(CallbackFault::NoAddress));
}

#[tokio::test]
async fn gupshup_sends_events_of_either_form_with_its_token() {
    let called = reported(Family::Gupshup, Mode::Accept, Options::default()).await;
    let first = called[0].json();
    assert_eq!(
        (&first["type"], &first["version"]),
        (&json!("message-event"), &json!(2))
    );
    // Before WhatsApp has it, the id is Gupshup's; later that one is called gsId.
    let id = &first["payload"]["id"];
    for called in &called[1..] {
        assert_eq!(&called.json()["payload"]["gsId"], id);
        assert_ne!(&called.json()["payload"]["id"], id);
        let bearer = format!("Bearer {}", account::GUPSHUP_CALLBACK_TOKEN);
        assert_eq!(called.header("authorization"), bearer);
    }
    let v3 = Options {
        event_format: EventFormat::V3,
        ..Options::default()
    };
    let fails = Mode::AcceptThenFail {
        code: Some(131_026),
    };
    let called = reported(Family::Gupshup, fails, v3).await;
    assert!(status(&called[0])["timestamp"].is_number());
    assert_eq!(status(&called[1])["status"], "failed");
    assert_eq!(status(&called[1])["errors"][0]["code"], 131_026);
    assert_eq!(status(&called[1])["gs_id"], status(&called[0])["gs_id"]);
}

#[tokio::test]
async fn a_receipt_can_be_sent_made_and_changed_by_hand() {
    let receiver = Receiver::start().await;
    let stand_in = start(Family::Meta, &receiver, Options::default()).await;
    stand_in.set_mode(Mode::AcceptWithoutReceipts);
    plain(Family::Meta, NUMBER).post(&stand_in).await.unwrap();
    let id = stand_in.messages()[0].id.clone();
    let read = Receipt::new("read");
    assert_eq!(stand_in.send_receipt(&id, &read).await, Ok(200));
    let mut callback = stand_in.callback(&id, &read).unwrap();
    callback.body[0] = b'[';
    assert_eq!(stand_in.post(&callback).await, Ok(200));
    let url = format!("{}/stand-in/receipts", stand_in.base_url());
    let body = json!({ "id": id, "status": "failed", "code": 131_026 }).to_string();
    let answer = ask(Method::POST, &url, &[], body).await.unwrap();
    assert_eq!(answer.json()["answered"], 200);
    let unknown = stand_in.send_receipt("wamid.x", &read).await;
    assert_eq!(unknown, Err(CallbackFault::NoMessage));
    let called = receiver.called();
    assert_eq!(called.len(), 3);
    assert_eq!(called[1].body[0], b'[');
    assert_eq!(status(&called[2])["errors"][0]["code"], 131_026);
    assert_eq!(stand_in.messages()[0].receipts.len(), 2);
}

#[tokio::test]
async fn receipts_leave_the_machine_under_no_circumstances() {
    let options = Options {
        callbacks: Some("https://otp.example.com/callbacks/x".to_owned()),
        receipt_pause: std::time::Duration::ZERO,
        ..Options::default()
    };
    let stand_in = StandIn::start(Family::Meta, options.clone()).await.unwrap();
    plain(Family::Meta, NUMBER).post(&stand_in).await.unwrap();
    stand_in.settled().await;
    assert_eq!(stand_in.messages()[0].receipts[0].answered, None);
    // A proxy in front: signed for the public address, posted to this machine.
    let receiver = Receiver::start().await;
    let options = Options {
        callbacks_via: Some(receiver.url.clone()),
        ..options
    };
    let stand_in = StandIn::start(Family::Twilio, options).await.unwrap();
    plain(Family::Twilio, NUMBER).post(&stand_in).await.unwrap();
    stand_in.settled().await;
    let called = &receiver.called()[0];
    let url = "https://otp.example.com/callbacks/x";
    let expected = signature::twilio(account::TWILIO_AUTH_TOKEN, url, &called.form());
    assert_eq!(called.header("x-twilio-signature"), expected);
}
