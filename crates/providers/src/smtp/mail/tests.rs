use super::*;
use crate::samples;

fn from() -> Mailbox {
    sender("Example, Inc. <codes@example.com>").unwrap()
}

fn compose(message: &Message) -> String {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let mail = Mail::compose(&from(), message, now).unwrap_or_else(|o| panic!("{o}"));
    mail.content.to_string()
}

fn headers(mail: &str) -> Vec<&str> {
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    head.split("\r\n").collect()
}

#[test]
fn a_mail_carries_the_headers_that_keep_robots_from_answering() {
    let mail = compose(&samples::mail());
    let headers = headers(&mail);
    for expected in [
        "From: =?utf-8?b?RXhhbXBsZSwgSW5jLg==?= <codes@example.com>".to_owned(),
        format!("To: {}", samples::ADDRESS),
        format!("Message-ID: <{}@example.com>", samples::ID),
        "Date: Mon, 21 Sep 2026 14:13:20 +0000".to_owned(),
        "Auto-Submitted: auto-generated".to_owned(),
        "X-Auto-Response-Suppress: All".to_owned(),
        "MIME-Version: 1.0".to_owned(),
    ] {
        assert!(
            headers.contains(&expected.as_str()),
            "{expected}: {headers:#?}"
        );
    }
    assert!(
        headers.contains(&"Subject: Seu =?utf-8?b?Y8OzZGlnbw==?="),
        "{headers:#?}"
    );
    assert!(mail.is_ascii());
    let (text, html) = (mail.find("text/plain"), mail.find("text/html"));
    assert!(text.is_some() && text < html, "{mail}");
}

#[test]
fn a_mail_without_html_has_a_single_part() {
    let mail = compose(&Message {
        html: None,
        ..samples::mail()
    });
    assert!(!mail.contains("multipart"), "{mail}");
    assert!(mail.contains("text/plain"), "{mail}");
}

#[test]
fn no_text_can_add_a_header_or_end_the_mail() {
    let evil = "Code\r\nBcc: eve@example.org\r\n\r\nhello\n.\r\nRCPT TO:<eve@example.org>\u{85}x";
    let mail = compose(&Message {
        subject: Some(SecretText::new(evil.to_owned())),
        text: SecretText::new(evil.to_owned()),
        html: Some(SecretText::new(evil.to_owned())),
        ..samples::mail()
    });
    for header in headers(&mail) {
        assert!(!header.to_ascii_lowercase().starts_with("bcc"), "{mail}");
        assert!(!header.starts_with("RCPT"), "{mail}");
    }
    assert_eq!(mail.matches("\r\nTo: ").count(), 1, "{mail}");
    assert!(!mail.replace("\r\n", "").contains(['\r', '\n']), "{mail:?}");
}

#[test]
fn the_only_line_of_a_single_dot_is_the_last() {
    for (mail, wire) in [
        ("a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n.\r\n"),
        ("a\r\n\r\nb", "a\r\n\r\nb\r\n.\r\n"),
        ("a\r\n.\r\n.b\r\n..\r\n", "a\r\n..\r\n..b\r\n...\r\n.\r\n"),
        ("a\r\n\r\n.", "a\r\n\r\n..\r\n.\r\n"),
        ("", "\r\n.\r\n"),
    ] {
        assert_eq!(on_the_wire(mail), wire, "{mail:?}");
    }
}

#[test]
fn a_recipient_that_is_no_plain_address_is_refused_before_anything_is_sent() {
    for evil in [
        "a@example.com\r\nRCPT TO:<eve@example.org>",
        "a@example.com>\r\nDATA",
        "a@example.com, eve@example.org",
        "<a@example.com>",
        "a b@example.com",
        "a@exa mple.com",
    ] {
        let message = Message {
            to: Recipient::from_canonical(evil),
            ..samples::mail()
        };
        let outcome = Mail::compose(&from(), &message, Timestamp::default()).err();
        let class = outcome.map(|outcome| outcome.class().as_str());
        assert_eq!(class, Some("invalid_recipient"), "{evil:?}");
    }
}

#[test]
fn a_number_gets_no_mail() {
    let outcome = Mail::compose(&from(), &samples::sms(), Timestamp::default()).err();
    assert_eq!(outcome.unwrap().to_string(), "misconfigured: wrong_channel");
}

#[test]
fn a_sender_is_an_address_with_or_without_a_name() {
    for right in [
        "codes@example.com",
        "Example <codes@example.com>",
        "\"Example, Inc.\" <codes@example.com>",
        "Exämple <codes@xn--exmple-cua.com>",
    ] {
        assert!(sender(right).is_ok(), "{right}");
    }
    for wrong in [
        "",
        "Example",
        "codes@",
        "codes@example.com\r\nBcc: eve@example.org",
        "Example\n <codes@example.com>",
        "codes@exämple.com",
    ] {
        assert!(sender(wrong).is_err(), "{wrong:?}");
    }
}
