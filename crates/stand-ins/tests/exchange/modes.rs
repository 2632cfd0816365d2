//! Every mode does what it says, told by the program or by the recipient's number.

use axum::http::Method;
use serde_json::json;
use watchword_stand_ins::{Family, Mode, Options, StandIn};

use super::orders::{CODE, NUMBER, call, gupshup, plain, twilio_whatsapp};
use super::wire::{Answer, ask};

async fn start(family: Family) -> StandIn {
    StandIn::start(family, Options::default()).await.unwrap()
}

/// The answer to a message that fits, in this mode.
async fn told(stand_in: &StandIn, mode: Mode) -> Option<Answer> {
    stand_in.set_mode(mode);
    plain(stand_in.family(), NUMBER).post(stand_in).await
}

/// The id in an answer that takes a message.
fn id(family: Family, answer: &Answer) -> String {
    let body = answer.json();
    let id = match family {
        Family::Twilio => &body["sid"],
        Family::Meta => &body["messages"][0]["id"],
        Family::Gupshup => &body["messageId"],
    };
    id.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_message_is_taken_as_each_provider_does_it_and_shown_with_its_code() {
    for (family, status) in [
        (Family::Twilio, 201),
        (Family::Meta, 200),
        (Family::Gupshup, 202),
    ] {
        let stand_in = start(family).await;
        let answer = told(&stand_in, Mode::Accept).await.unwrap();
        assert_eq!(answer.status, status);
        let [taken] = &stand_in.messages()[..] else {
            panic!("{:?}", stand_in.messages());
        };
        assert_eq!(taken.id, id(family, &answer));
        assert!(taken.accepted);
        assert_eq!(
            (taken.to.as_str(), taken.code.as_deref()),
            (NUMBER, Some(CODE))
        );
        assert!(!format!("{taken:?}").contains(CODE));
        let url = format!("{}/stand-in/messages", stand_in.base_url());
        let shown = ask(Method::GET, &url, &[], String::new())
            .await
            .unwrap()
            .json();
        assert_eq!(
            (&shown[0]["code"], &shown[0]["did"]["mode"]),
            (&json!(CODE), &json!("accept"))
        );
    }
}

#[tokio::test]
async fn the_code_is_told_from_templates_and_calls_too() {
    let stand_in = start(Family::Twilio).await;
    for (order, channel) in [(twilio_whatsapp(&[]), "whatsapp"), (call(&[]), "voice")] {
        assert_eq!(order.post(&stand_in).await.unwrap().status, 201);
        let messages = stand_in.messages();
        let taken = messages.last().unwrap();
        assert_eq!((taken.channel, taken.to.as_str()), (channel, NUMBER));
        assert_eq!(taken.code.as_deref(), Some(CODE));
    }
    let stand_in = start(Family::Gupshup).await;
    let template = json!({ "id": watchword_stand_ins::account::GUPSHUP_TEMPLATE_ID,
        "params": [CODE, CODE] });
    let twice = gupshup(&[("template", &template.to_string())]);
    assert_eq!(twice.post(&stand_in).await.unwrap().status, 202);
}

#[tokio::test]
async fn a_refusal_has_the_number_that_was_told_and_its_usual_status() {
    for (family, code, status) in [
        (Family::Twilio, 21_211, 400),
        (Family::Twilio, 20_003, 401),
        (Family::Twilio, 20_503, 503),
        (Family::Meta, 131_026, 400),
        (Family::Meta, 190, 401),
        (Family::Meta, 131_000, 500),
        (Family::Gupshup, 4003, 400),
        (Family::Gupshup, 401, 401),
        (Family::Gupshup, 500, 500),
    ] {
        let stand_in = start(family).await;
        let refuse = |status| Mode::Refuse {
            code: Some(code),
            status,
        };
        let answer = told(&stand_in, refuse(None)).await.unwrap();
        assert_eq!(answer.status, status, "{code}");
        let body = answer.json();
        match family {
            Family::Twilio => assert_eq!(
                (&body["code"], &body["status"]),
                (&json!(code), &json!(status))
            ),
            Family::Meta => assert_eq!(body["error"]["code"], code),
            Family::Gupshup => assert_eq!(body["status"], "error"),
        }
        assert!(!stand_in.messages()[0].accepted);
        let answer = told(&stand_in, refuse(Some(418))).await.unwrap();
        assert_eq!(answer.status, 418);
    }
}

#[tokio::test]
async fn throttling_says_when_to_come_back() {
    for family in Family::ALL {
        let stand_in = start(family).await;
        let answer = told(&stand_in, Mode::Throttle { retry_after: 7 })
            .await
            .unwrap();
        assert_eq!(
            (answer.status, &answer.headers["retry-after"]),
            (429, &"7".parse().unwrap())
        );
        assert!(!stand_in.messages()[0].accepted);
    }
}

#[tokio::test]
async fn garbage_and_errors_inside_come_with_a_success() {
    for family in Family::ALL {
        let stand_in = start(family).await;
        let answer = told(&stand_in, Mode::Garbage).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
        let inside = Mode::ErrorInside { code: Some(30_007) };
        let answer = told(&stand_in, inside).await.unwrap();
        assert!((200..300).contains(&answer.status));
        let shown = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            shown.contains("30007") && shown.contains("error"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn closing_ends_the_connection_without_an_answer() {
    for family in Family::ALL {
        let stand_in = start(family).await;
        assert!(told(&stand_in, Mode::Close).await.is_none());
        assert_eq!(stand_in.messages().len(), 1);
        assert!(told(&stand_in, Mode::Accept).await.is_some());
    }
}

/// It is never answered: what ends the wait is that the stand-in ends.
#[tokio::test]
async fn hanging_takes_the_request_and_never_answers() {
    for family in Family::ALL {
        let stand_in = start(family).await;
        stand_in.set_mode(Mode::Hang);
        let order = plain(family, NUMBER);
        tokio::select! {
            biased;
            answer = order.post(&stand_in) => panic!("{answer:?}"),
            () = stand_in.wait_for_messages(1) => {}
        }
        let waiting = order.post(&stand_in);
        let ends = async {
            stand_in.wait_for_messages(2).await;
            // Others are answered meanwhile: only the one waits.
            stand_in.set_mode(Mode::Accept);
            assert!(plain(family, NUMBER).post(&stand_in).await.is_some());
        };
        tokio::select! {
            biased;
            answer = waiting => panic!("{answer:?}"),
            () = ends => {}
        }
        stand_in.shutdown().await;
    }
}

/// Whoever waits gets it; whoever does not was sent the message all the same.
#[tokio::test]
async fn a_slow_answer_is_one_that_takes_the_message() {
    let stand_in = start(Family::Meta).await;
    let answer = told(&stand_in, Mode::Slow { millis: 30 }).await.unwrap();
    assert_eq!(answer.status, 200);
    let hour = Mode::Slow { millis: 3_600_000 };
    tokio::select! {
        biased;
        answer = told(&stand_in, hour) => panic!("{answer:?}"),
        () = stand_in.wait_for_messages(2) => {}
    }
    assert!(stand_in.messages().iter().all(|taken| taken.accepted));
}

#[tokio::test]
async fn a_number_says_what_its_family_does_and_others_take_it() {
    for (family, digit) in [(Family::Twilio, 1), (Family::Meta, 2), (Family::Gupshup, 3)] {
        let stand_in = start(family).await;
        for (of, refused) in [(0, true), (1, digit == 1), (2, digit == 2), (3, digit == 3)] {
            let order = plain(family, &format!("+12015559{of}01"));
            let answer = order.post(&stand_in).await.unwrap();
            assert_eq!(answer.status == 400, refused, "{family:?} {of}");
        }
        let closed = plain(family, "+12015559006").post(&stand_in).await;
        assert!(closed.is_none());
    }
}

#[tokio::test]
async fn what_it_does_is_told_over_http_as_well() {
    let stand_in = start(Family::Gupshup).await;
    let url = format!("{}/stand-in/mode", stand_in.base_url());
    let set = |body: &str| ask(Method::POST, &url, &[], body.to_owned());
    let answer = set(r#"{"mode": "refuse", "code": 4005}"#).await.unwrap();
    assert_eq!(answer.status, 200);
    let answer = plain(Family::Gupshup, NUMBER)
        .post(&stand_in)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("4005"))
    );
    let mode = ask(Method::GET, &url, &[], String::new())
        .await
        .unwrap()
        .json();
    assert_eq!(mode["mode"], "refuse");
    let answer = set(r#"{"mode": "explode"}"#).await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"].as_str().unwrap().contains("explode"));
}

#[tokio::test]
async fn a_stand_in_listens_on_loopback_only_and_ends_when_told() {
    let bind = "0.0.0.0:0".parse().unwrap();
    let refused = StandIn::start(
        Family::Meta,
        Options {
            bind,
            ..Options::default()
        },
    )
    .await;
    assert!(
        refused
            .err()
            .unwrap()
            .to_string()
            .contains("is not loopback")
    );
    let stand_in = start(Family::Meta).await;
    let url = format!("{}/stand-in/mode", stand_in.base_url());
    assert!(ask(Method::GET, &url, &[], String::new()).await.is_some());
    stand_in.shutdown().await;
    assert!(ask(Method::GET, &url, &[], String::new()).await.is_none());
}
