//! A provider of the kind `webhook` against servers that misbehave.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use watchword_core::fakes::SetClock;

use super::*;
use crate::samples;
use crate::secret::Secret;
use crate::settings::{Builder, ProviderSettings, WebhookSettings};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn provider(url: &str) -> Arc<dyn Provider> {
    let settings = ProviderSettings::Webhook(WebhookSettings {
        url: Secret::new(url.to_owned()),
        secret: Secret::new(KEY.to_owned()),
        timeout: None,
    });
    Builder::new(Arc::new(SetClock::default()), None)
        .build("hook", &settings)
        .unwrap()
}

async fn send_within(url: &str, span: Duration) -> Outcome {
    let deadline = Instant::now() + span;
    provider(url).send(&samples::sms(), deadline).await
}

async fn send(url: &str) -> String {
    send_within(url, Duration::from_secs(20)).await.to_string()
}

async fn send_in_vain(url: &str) -> String {
    send_within(url, Duration::from_secs(2)).await.to_string()
}

/// Reads one request to the end of its body.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return text;
        }
    }
}

/// A server that answers every connection's first request with these bytes; and what it was asked.
async fn server(answer: impl Into<Vec<u8>>) -> (String, mpsc::UnboundedReceiver<String>) {
    let answer: Vec<u8> = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/otp", listener.local_addr().unwrap());
    let (say, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = say.send(read_request(&mut stream).await);
            let _ = stream.write_all(&answer).await;
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_message_is_posted_once_with_its_length_and_its_signature() {
    let (url, mut asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(send(&url).await, "accepted");
    let request = asked.recv().await.unwrap();
    assert!(request.starts_with("POST /otp HTTP/1.1\r\n"), "{request}");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    for line in [
        "content-type: application/json".to_owned(),
        format!("content-length: {}", body.len()),
        format!("webhook-id: {}", samples::ID),
        "webhook-timestamp: 1790000000".to_owned(),
    ] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }
    assert!(head.contains("webhook-signature: v1,"), "{head}");
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_never_followed() {
    let (target, mut asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let answer =
            format!("HTTP/1.1 {status}\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        let (url, _) = server(answer).await;
        let expected = format!("misconfigured: HTTP {}", &status[..3]);
        assert_eq!(send(&url).await, expected);
    }
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn a_receiver_that_says_slow_down_is_left_alone_as_long_as_it_wants() {
    let seconds = "retry-after: 7";
    let date = "date: Sun, 06 Nov 1994 08:49:30 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT";
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        for wait in [seconds, date] {
            let answer = format!("HTTP/1.1 {status}\r\n{wait}\r\ncontent-length: 0\r\n\r\n");
            let (url, _) = server(answer).await;
            let outcome = send_within(&url, Duration::from_secs(20)).await;
            let retry_after = Some(Duration::from_secs(7));
            assert_eq!(
                *outcome.class(),
                watchword_core::routing::Class::Throttled { retry_after },
                "{status} {wait}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_surely_not_sent_and_what_may_have_been_stay_apart() {
    // Nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/otp", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(send(&url).await, "unavailable: connect");

    // Somebody listens and never answers the TLS handshake: the message is still here.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("https://{address}/otp");
    assert_eq!(send_in_vain(&url).await, "unavailable: timeout");
    // The same without TLS: it has been written.
    let url = format!("http://{address}/otp");
    assert_eq!(send_in_vain(&url).await, "unknown: timeout");

    // It was read, and the connection ends without an answer, or with none that can be read.
    for answer in ["", "HTTP/1.1 2", "nonsense\r\n\r\n"] {
        let (url, _) = server(answer).await;
        assert_eq!(send(&url).await, "unknown: connection_lost", "{answer:?}");
    }
}

#[tokio::test]
async fn an_endless_reply_is_not_read_to_its_end() {
    let size = Sender::MAX_REPLY + 1;
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + size, b'x');
    let (url, _) = server(answer).await;
    let call = || Call {
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    };
    let sender = Sender::new().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let reply = sender.post(call(), deadline).await.unwrap();
    assert_eq!((reply.status, reply.body), (200, None));
    // A 2xx is an acceptance, whatever comes after it.
    assert_eq!(send(&url).await, "accepted");

    // One that never ends is left at the deadline, with the status that was read.
    let (url, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").await;
    assert_eq!(send_in_vain(&url).await, "accepted");
}

#[tokio::test]
async fn a_receiver_with_a_certificate_that_nobody_vouches_for_gets_nothing() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_ok()
    });
    let outcome = send(&format!("https://localhost:{port}/otp")).await;
    assert_eq!(outcome, "misconfigured: certificate");
    assert!(!served.await.unwrap());
}

#[tokio::test]
async fn a_call_to_a_place_that_is_not_admitted_is_never_made() {
    let call = Call {
        url: "http://192.0.2.1/otp".parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let outcome = Sender::new()
        .unwrap()
        .post(call, deadline)
        .await
        .unwrap_err();
    assert_eq!(outcome.to_string(), "misconfigured: insecure_url");
}
