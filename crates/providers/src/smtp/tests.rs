//! Mail to a server that nobody here wrote.

mod peer;

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use watchword_core::SecretText;
use watchword_core::fakes::SetClock;

use super::*;
use crate::probe::Facts;
use crate::samples;
use crate::secret::Secret;
use peer::{Identity, Peer};

fn provider_with(url: String, ca_file: Option<PathBuf>) -> SmtpProvider {
    let settings = SmtpSettings {
        url: Secret::new(url),
        from: "Example <codes@example.com>".to_owned(),
        timeout: None,
        ca_file,
    };
    SmtpProvider::new("mail", &settings, Arc::new(SetClock::default()))
        .unwrap_or_else(|(setting, fault)| panic!("{setting} {fault}"))
}

fn plain(port: u16) -> SmtpProvider {
    provider_with(format!("smtp://127.0.0.1:{port}"), None)
}

async fn send_within(provider: &SmtpProvider, span: Duration) -> String {
    let deadline = Instant::now() + span;
    provider.send(&samples::mail(), deadline).await.to_string()
}

/// Long enough for any of these servers to answer.
async fn send(provider: &SmtpProvider) -> String {
    send_within(provider, Duration::from_secs(20)).await
}

/// Short enough to wait for, where no answer comes.
async fn send_in_vain(provider: &SmtpProvider) -> String {
    send_within(provider, Duration::from_secs(2)).await
}

#[tokio::test]
async fn a_mail_arrives_whole_with_both_parts_and_its_headers() {
    let Some(peer) = Peer::start(&json!({})) else {
        return;
    };
    let provider = plain(peer.port);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut mail = samples::mail();
    let text = format!("{}\n.\n.dots\n", samples::CODE);
    mail.text = SecretText::new(text);
    let outcome = provider.send(&mail, deadline).await;
    assert_eq!(outcome, Outcome::accepted(Some("4F2C1A")));

    let (mails, _) = peer.finish();
    let [mail] = &mails[..] else {
        panic!("{} mails", mails.len());
    };
    assert_eq!(mail.from, "codes@example.com");
    assert_eq!(mail.to, [samples::ADDRESS]);
    let content = mail.content.replace("\r\n", "\n");
    for part in [
        "From: Example <codes@example.com>\n",
        "Message-ID: <7d444840-9dc0-41d1-b245-5ffdce74fad2@example.com>\n",
        "Auto-Submitted: auto-generated\n",
        "X-Auto-Response-Suppress: All\n",
        "Date: Mon, 21 Sep 2026 14:13:20 +0000\n",
        "Content-Type: multipart/alternative;",
        "Content-Type: text/plain; charset=utf-8\n",
        "Content-Type: text/html; charset=utf-8\n",
        "402718\n.\n.dots\n",
        "<p>Use <b>402718</b>.</p>",
    ] {
        assert!(content.contains(part), "{part:?} in {content}");
    }
}

#[tokio::test]
async fn a_password_goes_over_starttls() {
    let identity = Identity::of("localhost");
    let mut told = identity.told("starttls");
    told["auth"] = json!(["ann@example.com", "p/w é"]);
    let Some(peer) = Peer::start(&told) else {
        return;
    };
    let url = |password: &str| {
        let port = peer.port;
        format!("smtp://ann%40example.com:{password}@localhost:{port}?tls=required")
    };
    let right = provider_with(url("p%2Fw%20%C3%A9"), Some(identity.cert.clone()));
    assert_eq!(send(&right).await, "accepted");
    let wrong = provider_with(url("hunter2"), Some(identity.cert.clone()));
    assert_eq!(send(&wrong).await, "misconfigured: 535 5.7.8");
    let none = format!("smtp://localhost:{}?tls=required", peer.port);
    let none = provider_with(none, Some(identity.cert.clone()));
    assert_eq!(send(&none).await, "misconfigured: 530 5.7.0");
    let (mails, _) = peer.finish();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].tls);
    assert_eq!(mails[0].user.as_deref(), Some("ann@example.com"));
}

#[tokio::test]
async fn a_look_goes_as_far_as_the_login_and_leaves_no_mail() {
    let identity = Identity::of("localhost");
    let mut told = identity.told("starttls");
    told["auth"] = json!(["me", "right"]);
    let Some(peer) = Peer::start(&told) else {
        return;
    };
    for (password, ca_file, said) in [
        (
            "right",
            Some(&identity.cert),
            "the mail server answers over TLS; the login is right",
        ),
        (
            "hunter2",
            Some(&identity.cert),
            "the login was refused (535)",
        ),
        ("right", None, "the certificate is not trusted"),
    ] {
        let url = format!("smtp://me:{password}@localhost:{}?tls=required", peer.port);
        let provider = provider_with(url, ca_file.cloned());
        let limit = Duration::from_secs(20);
        let probed = provider.probe(&Facts::default(), limit).await;
        let [finding] = &probed.findings[..] else {
            panic!("{:?}", probed.findings);
        };
        assert_eq!(finding.said, said);
    }
    let (mails, connections) = peer.finish();
    assert_eq!((mails.len(), connections), (0, 3));
}

#[tokio::test]
async fn a_look_at_a_server_that_says_nothing_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = plain(listener.local_addr().unwrap().port());
    let limit = Duration::from_millis(200);
    let probed = provider.probe(&Facts::default(), limit).await;
    let said = &probed.findings[0].said;
    assert_eq!(said, "no answer within 0.2 s to the connection");
}

#[tokio::test]
async fn tls_from_the_first_byte_works() {
    let identity = Identity::of("localhost");
    let Some(peer) = Peer::start(&identity.told("implicit")) else {
        return;
    };
    let url = format!("smtps://localhost:{}", peer.port);
    let provider = provider_with(url, Some(identity.cert.clone()));
    assert_eq!(send(&provider).await, "accepted");
    let (mails, _) = peer.finish();
    assert!(mails.len() == 1 && mails[0].tls);
}

#[tokio::test]
async fn a_server_with_a_wrong_certificate_gets_nothing() {
    let (right, other) = (Identity::of("localhost"), Identity::of("mail.example.org"));
    for mode in ["starttls", "implicit"] {
        for (identity, ca_file) in [
            // Nobody vouches for it.
            (&right, None),
            // Somebody vouches for another one.
            (&right, Some(other.cert.clone())),
            // It is for another name.
            (&other, Some(other.cert.clone())),
        ] {
            let mut told = identity.told(mode);
            told["auth"] = json!(["u", "p"]);
            let Some(peer) = Peer::start(&told) else {
                return;
            };
            let port = peer.port;
            let urls = match mode {
                "implicit" => vec![format!("smtps://u:p@localhost:{port}")],
                _ => ["required", "opportunistic"]
                    .map(|tls| format!("smtp://u:p@localhost:{port}?tls={tls}"))
                    .to_vec(),
            };
            for url in urls {
                let provider = provider_with(url, ca_file.clone());
                assert_eq!(send(&provider).await, "misconfigured: certificate");
            }
            assert!(peer.finish().0.is_empty());
        }
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing_where_tls_is_required() {
    let Some(peer) = Peer::start(&json!({})) else {
        return;
    };
    let url = |tls: &str| format!("smtp://localhost:{}?tls={tls}", peer.port);
    let required = provider_with(url("required"), None);
    assert_eq!(send(&required).await, "misconfigured: no_starttls");
    let opportunistic = provider_with(url("opportunistic"), None);
    assert_eq!(send(&opportunistic).await, "accepted");
    let (mails, _) = peer.finish();
    assert_eq!(mails.len(), 1);
}

#[tokio::test]
async fn a_password_never_goes_in_the_clear_to_another_machine() {
    let Some(peer) = Peer::start(&json!({ "auth": ["u", "p"] })) else {
        return;
    };
    let url = format!("smtp://u:p@localhost:{}?tls=opportunistic", peer.port);
    let local = provider_with(url.clone(), None);
    assert_eq!(send(&local).await, "accepted");
    let mut server = Server::parse(&url, Vec::new(), "example.com").unwrap();
    server.local = false;
    let remote = SmtpProvider {
        pool: Pool::new(server),
        ..provider_with(url, None)
    };
    assert_eq!(send(&remote).await, "misconfigured: no_starttls");
    assert_eq!(peer.finish().0.len(), 1);
}

#[tokio::test]
async fn a_refusal_is_classified_and_leaves_the_connection_in_order() {
    for (command, reply, expected) in [
        (
            "mail",
            "553 5.1.8 no such sender domain",
            "misconfigured: 553 5.1.8",
        ),
        (
            "rcpt",
            "550 5.1.1 <Ann.Lee@mail.example>: unknown",
            "invalid_recipient: 550 5.1.1",
        ),
        ("rcpt", "450 4.7.1 greylisted", "unavailable: 450 4.7.1"),
        ("rcpt", "452 4.5.3 too many", "throttled: 452 4.5.3"),
        ("rcpt", "550 nobody", "invalid_recipient: 550"),
        ("data", "554 5.7.1 spam", "rejected: 554 5.7.1"),
        ("data", "451 4.3.0 disk", "unavailable: 451 4.3.0"),
        ("data", "552 5.2.2 full", "unavailable: 552 5.2.2"),
    ] {
        let told: Value = json!({ command: reply, "once": true });
        let Some(peer) = Peer::start(&told) else {
            return;
        };
        let provider = plain(peer.port);
        assert_eq!(send(&provider).await, expected, "{reply}");
        assert_eq!(send(&provider).await, "accepted", "after {reply}");
        let (mails, connections) = peer.finish();
        assert_eq!((mails.len(), connections), (1, 1), "{reply}");
        assert_eq!(mails[0].to, [samples::ADDRESS]);
    }
}

#[tokio::test]
async fn connections_are_kept_and_replaced_when_the_server_hung_up() {
    let Some(peer) = Peer::start(&json!({ "rcpt": "421 4.3.2 shutting down", "once": true }))
    else {
        return;
    };
    let provider = plain(peer.port);
    assert_eq!(send(&provider).await, "unavailable: 421 4.3.2");
    for _ in 0..3 {
        assert_eq!(send(&provider).await, "accepted");
    }
    let (mails, connections) = peer.finish();
    assert_eq!((mails.len(), connections), (3, 2));
    assert!(mails.iter().all(|mail| mail.connections == 2));
    // Nobody is there any more: the kept connection is dead, and so is a new one.
    assert_eq!(send(&provider).await, "unavailable: connect");
}

#[tokio::test]
async fn what_was_surely_not_sent_and_what_may_have_been_stay_apart() {
    for (command, told, expected) in [
        ("mail", "hang", "unavailable: timeout_mail"),
        ("rcpt", "hang", "unavailable: timeout_rcpt"),
        ("data", "hang", "unknown: timeout"),
        ("mail", "drop", "unavailable: connection_lost"),
        ("rcpt", "drop", "unavailable: connection_lost"),
        ("data", "drop", "unknown: connection_lost"),
    ] {
        let Some(peer) = Peer::start(&json!({ command: told, "once": true })) else {
            return;
        };
        let provider = plain(peer.port);
        let outcome = match told {
            "hang" => send_in_vain(&provider).await,
            _ => send(&provider).await,
        };
        assert_eq!(outcome, expected, "{told} at {command}");
        // The connection that was given up half way serves nobody else.
        assert_eq!(
            send(&provider).await,
            "accepted",
            "after {told} at {command}"
        );
        let (mails, connections) = peer.finish();
        assert_eq!(connections, 2, "{told} at {command}");
        let last = mails.last().unwrap();
        assert!(last.content.contains("Message-ID"), "{}", last.content);
        assert_eq!(last.to, [samples::ADDRESS]);
    }
}

#[tokio::test]
async fn a_server_that_greets_nobody_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let provider = plain(port);
    assert_eq!(
        send_in_vain(&provider).await,
        "unavailable: timeout_connect"
    );
}

/// Somebody on the way adds replies to the one for STARTTLS, in the hope that they are read as
/// the server's own after the handshake (as in CVE-2011-0411), so that every reply is one late and
/// the mail seems taken before it is.
#[tokio::test]
async fn replies_that_are_out_of_step_are_not_taken_for_success() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        // One reply too many at EHLO; from there on each command reads the reply before its own.
        stream.write_all(b"220 hello\r\n").await.unwrap();
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|n| n > 0) {
            let reply: &[u8] = match line.get(..4) {
                Some("EHLO") => b"250 hello\r\n250 injected\r\n",
                Some("DATA") => b"354 go on\r\n",
                _ => b"250 OK\r\n",
            };
            stream.write_all(reply).await.unwrap();
            line.clear();
        }
    });
    assert_eq!(send(&plain(port)).await, "unavailable: 250");
}
