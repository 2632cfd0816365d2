//! Questions over a real connection, to servers of the tests.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use watchword_core::fakes::SetClock;

use super::*;
use crate::provider::Provider;
use crate::settings::{Builder, ProviderSettings};

/// Longer than any of these servers needs.
const LIMIT: Duration = Duration::from_secs(20);

/// Answers each request with the next of these; hangs when there is none left.
async fn server(answers: Vec<String>) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (say, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
                    break;
                }
            }
            let _ = say.send(String::from_utf8_lossy(&request).into_owned());
            match answers.next() {
                Some(answer) => {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                None => open.push(stream),
            }
        }
    });
    (url, asked)
}

fn json(status: u16, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn twilio(url: &str) -> Arc<dyn Provider> {
    twilio_with(&format!("kind = 'twilio-sms'\nbase_url = '{url}'"))
}

fn twilio_with(more: &str) -> Arc<dyn Provider> {
    let settings = format!(
        "account_sid = 'AC0123456789abcdef0123456789abcdef'\nauth_token = 'hunter2'\n\
         from = '+12015550100'\n{more}"
    );
    let settings: ProviderSettings = toml::from_str(&settings).unwrap();
    Builder::new(Arc::new(SetClock::default()), None)
        .build("tw", &settings)
        .unwrap()
}

fn told(probed: &Probed) -> Vec<(&str, Verdict)> {
    let findings = probed.findings.iter();
    findings.map(|one| (one.about, one.verdict)).collect()
}

const ACTIVE: &str = r#"{"status":"active","type":"Full","friendly_name":"ours"}"#;

#[tokio::test]
async fn questions_are_asked_one_after_the_other_and_only_read() {
    let numbers = r#"{"incoming_phone_numbers":[{"capabilities":{"sms":true}}]}"#;
    let (url, mut asked) = server(vec![json(200, "", ACTIVE), json(200, "", numbers)]).await;
    let probed = twilio(&url).probe(&Facts::default(), LIMIT).await;
    let expected = [("credentials", Verdict::Ok), ("number", Verdict::Ok)];
    assert_eq!(told(&probed), expected);
    assert_eq!(probed.ahead, None, "no answer had a date");
    for path in [
        ".json",
        "/IncomingPhoneNumbers.json?PhoneNumber=%2B12015550100&PageSize=1",
    ] {
        let request = asked.recv().await.unwrap();
        let line = format!(
            "GET /2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef{path} HTTP/1.1\r\n"
        );
        assert!(request.starts_with(&line), "{request}");
        assert!(request.contains("authorization: Basic "), "{request}");
    }
}

#[tokio::test]
async fn a_provider_that_hangs_costs_one_limit_and_is_asked_nothing_more() {
    let (url, mut asked) = server(vec![json(200, "", ACTIVE)]).await;
    let (one, other) = ("a".repeat(32), "b".repeat(32));
    let provider = twilio_with(&format!(
        "kind = 'twilio-whatsapp'\nbase_url = '{url}'\n\
         content_sid = {{ default = 'HX{one}', de = 'HX{other}' }}"
    ));
    let limit = Duration::from_millis(200);
    let probed = provider.probe(&Facts::default(), limit).await;
    let expected = [
        ("credentials", Verdict::Ok),
        ("connection", Verdict::Problem),
    ];
    assert_eq!(told(&probed), expected);
    assert_eq!(probed.findings[1].said, "no answer within 0.2 s");
    asked.recv().await.unwrap();
    asked.recv().await.unwrap();
    assert!(asked.try_recv().is_err(), "the other template");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_credentials() {
    let (there, mut asked_there) = server(Vec::new()).await;
    let to = format!("Location: {there}/\r\n");
    let (url, _asked) = server(vec![json(307, &to, "")]).await;
    let probed = twilio(&url).probe(&Facts::default(), LIMIT).await;
    assert_eq!(told(&probed), [("credentials", Verdict::Problem)]);
    assert!(probed.findings[0].said.contains("redirect"));
    assert!(asked_there.try_recv().is_err());
}

#[tokio::test]
async fn a_date_tells_how_far_the_clocks_are_apart() {
    // The clock of the fakes stands at 2026-09-21T14:13:20Z.
    let date = "Date: Mon, 21 Sep 2026 14:12:20 GMT\r\n";
    let numbers = r#"{"incoming_phone_numbers":[]}"#;
    let (url, _asked) = server(vec![json(200, date, ACTIVE), json(200, "", numbers)]).await;
    let probed = twilio(&url).probe(&Facts::default(), LIMIT).await;
    assert_eq!(probed.ahead, Some(59_500), "half a second is rounding");
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let probed = twilio(&url).probe(&Facts::default(), LIMIT).await;
    assert_eq!(told(&probed), [("connection", Verdict::Problem)]);
    assert_eq!(probed.findings[0].said, "no connection");
}

#[tokio::test]
async fn a_webhook_and_gupshup_are_only_reached_and_say_so() {
    let answer = json(404, "", "");
    let (url, mut asked) = server(vec![answer.clone(), answer]).await;
    for (settings, expected) in [
        (
            format!(
                "kind = 'webhook'\nurl = '{url}/hook?token=hunter2'\n\
                 secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'"
            ),
            &[("connection", Verdict::Ok)][..],
        ),
        (
            format!(
                "kind = 'gupshup-whatsapp'\napi_key = 'hunter2'\nsource = '12015550100'\n\
                 app_name = 'app'\ntemplate_id = 't'\nbase_url = '{url}'"
            ),
            &[
                ("connection", Verdict::Ok),
                ("credentials", Verdict::Unknown),
            ],
        ),
    ] {
        let settings: ProviderSettings = toml::from_str(&settings).unwrap();
        let mut builder = Builder::new(Arc::new(SetClock::default()), None);
        let provider = builder.build("p", &settings).unwrap();
        let probed = provider.probe(&Facts::default(), LIMIT).await;
        assert_eq!(told(&probed), expected);
        let request = asked.recv().await.unwrap();
        assert!(request.starts_with("HEAD / HTTP/1.1\r\n"), "{request}");
        assert!(!request.contains("hunter2"), "{request}");
    }
}

#[test]
fn words_of_a_reply_are_shown_only_when_they_are_plain() {
    assert_eq!(word("PENDING_DELETION"), "PENDING_DELETION");
    let long = "a".repeat(33);
    for text in ["", "two words", "\u{1b}[2J", "hunter2@mail", long.as_str()] {
        assert_eq!(word(text), "something unknown");
    }
}

#[test]
fn minutes_that_a_template_promises_have_to_be_those_of_every_policy() {
    let facts = |seconds: &[u64]| Facts {
        lifetimes: seconds.iter().copied().map(Duration::from_secs).collect(),
    };
    assert_eq!(promised(5, "t", &facts(&[300])), None);
    let other = promised(5, "t", &facts(&[300, 180])).unwrap();
    assert_eq!(other.verdict, Verdict::Warning);
    assert_eq!(
        other.said,
        "t says that codes expire in 5 min, and they live 180 s"
    );
    assert!(other.advice.unwrap().contains("`policy.ttl`"));
}
