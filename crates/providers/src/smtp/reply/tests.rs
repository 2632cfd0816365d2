use super::*;

fn class(stage: Stage, reply: &str) -> String {
    let (code, text) = reply.split_once(' ').unwrap_or((reply, ""));
    let outcome = classify(stage, code.parse().unwrap(), text);
    let about = if outcome.is_about_recipient() && !outcome.class().refuses_recipient() {
        "/recipient"
    } else {
        ""
    };
    format!("{}{about}", outcome.class().as_str())
}

fn check(stage: Stage, table: &[(&str, &str)]) {
    for (reply, expected) in table {
        assert_eq!(class(stage, reply), *expected, "{stage:?}: {reply}");
    }
}

#[test]
fn replies_to_the_recipient_are_classified() {
    check(
        Stage::Recipient,
        &[
            // Temporary faults: of the server, or (the breaker must not care) of this mailbox.
            ("421 4.3.2 Service shutting down", "unavailable"),
            ("421 closing", "unavailable"),
            ("451 4.3.0 Temporary lookup failure", "unavailable"),
            ("450 4.2.1 mailbox busy", "unavailable/recipient"),
            ("450 4.7.1 Greylisted, try again", "unavailable/recipient"),
            ("451 4.7.1 Greylisted", "unavailable/recipient"),
            ("450 mailbox unavailable", "unavailable/recipient"),
            (
                "452 4.2.2 The mailbox is over quota",
                "unavailable/recipient",
            ),
            ("552 5.2.2 Mailbox full", "unavailable/recipient"),
            ("552 exceeded storage allocation", "unavailable/recipient"),
            // Too fast.
            ("452 4.5.3 Too many recipients", "throttled"),
            ("421 4.7.28 unusual rate of mail", "throttled"),
            ("450 4.7.28 slow down", "throttled"),
            ("451 rate limit exceeded", "throttled"),
            ("452 too many messages", "throttled"),
            (
                "450 4.2.1 receiving mail at a rate that",
                "throttled/recipient",
            ),
            ("451 4.3.5 could not generate", "unavailable"),
            // Nobody there.
            ("550 5.1.1 User unknown", "invalid_recipient"),
            ("550 5.1.2 Bad domain", "invalid_recipient"),
            ("553 5.1.3 Bad address syntax", "invalid_recipient"),
            ("551 5.1.6 Moved", "invalid_recipient"),
            ("556 5.1.10 Null MX", "invalid_recipient"),
            ("550 5.2.1 Mailbox disabled", "invalid_recipient"),
            ("550 5.4.4 Host not found", "invalid_recipient"),
            ("521 Host does not accept mail", "invalid_recipient"),
            ("556 Domain does not accept mail", "invalid_recipient"),
            ("550 no such user", "invalid_recipient"),
            ("553 mailbox name not allowed", "invalid_recipient"),
            ("551 user not local", "invalid_recipient"),
            ("550 5.4.1 Recipient address rejected", "invalid_recipient"),
            ("550 5.5.0 mailbox unavailable", "invalid_recipient"),
            ("501 Syntax error in parameters", "invalid_recipient"),
            // Refused for good.
            ("550 5.7.1 Relaying denied", "rejected"),
            ("554 5.7.1 Blocked by policy", "rejected"),
            ("554 5.6.0 Content", "rejected"),
            ("552 5.3.4 Message too big", "rejected"),
            ("554 transaction failed", "rejected"),
            // The operator's to mend.
            ("530 5.7.0 Authentication required", "misconfigured"),
            ("530 Must issue STARTTLS first", "misconfigured"),
            (
                "550 5.7.60 Client may not send as this sender",
                "misconfigured",
            ),
            ("553 5.1.8 Sender domain not found", "misconfigured"),
            (
                "550 5.4.5 Daily user sending limit exceeded",
                "misconfigured",
            ),
            // Of the server, whoever the recipient is.
            ("550 5.3.2 System not accepting messages", "rejected"),
            ("550 5.4.6 Routing loop detected", "rejected"),
            ("503 bad sequence", "misconfigured"),
            ("555 parameters not recognised", "misconfigured"),
        ],
    );
}

#[test]
fn replies_to_the_sender_and_the_mail_are_classified() {
    check(
        Stage::Sender,
        &[
            ("550 5.1.7 Bad sender", "misconfigured"),
            ("553 5.1.8 Bad sender domain", "misconfigured"),
            ("553 sender rejected", "misconfigured"),
            ("550 sender rejected", "misconfigured"),
            ("550 5.1.0 sender rejected", "misconfigured"),
            ("550 5.2.1 mailbox of the sender disabled", "misconfigured"),
            ("552 5.2.2 mailbox of the sender full", "misconfigured"),
            ("551 5.7.1 no", "rejected"),
            ("556 5.1.10 sender's domain takes no mail", "misconfigured"),
            ("530 5.7.1 Authentication required", "misconfigured"),
            ("552 5.3.4 too big", "rejected"),
            ("451 4.3.0 later", "unavailable"),
            ("452 4.3.1 Insufficient system storage", "unavailable"),
            ("500 5.5.2 unrecognised", "misconfigured"),
            ("501 5.5.4 parameters", "misconfigured"),
            ("502 not implemented", "misconfigured"),
            ("504 parameter", "misconfigured"),
        ],
    );
    check(
        Stage::Content,
        &[
            ("550 5.7.1 looks like spam", "rejected"),
            ("554 5.7.26 unauthenticated", "rejected"),
            ("554 no", "rejected"),
            ("552 5.2.2 over quota", "unavailable/recipient"),
            ("550 5.1.1 unknown after all", "invalid_recipient"),
            ("550 no such user", "invalid_recipient"),
            (
                "550 5.4.5 Daily user sending quota exceeded",
                "misconfigured",
            ),
            ("550 5.7.60 may not send as", "misconfigured"),
            ("552 too much mail data", "rejected"),
            ("451 4.3.0 local error", "unavailable"),
            ("421 4.4.2 timeout", "unavailable"),
        ],
    );
}

#[test]
fn replies_before_there_is_a_mail_never_blame_the_recipient() {
    check(
        Stage::Auth,
        &[
            ("535 5.7.8 Bad credentials", "misconfigured"),
            ("534 5.7.9 Mechanism too weak", "misconfigured"),
            ("538 5.7.11 Encryption required", "misconfigured"),
            ("550 5.7.1 no", "misconfigured"),
            ("454 4.7.0 Temporary authentication failure", "unavailable"),
            ("421 4.7.0 Too many connections", "throttled"),
        ],
    );
    check(
        Stage::Connect,
        &[
            ("554 No SMTP service here", "misconfigured"),
            ("521 does not accept mail", "misconfigured"),
            ("421 busy", "unavailable"),
        ],
    );
    check(Stage::Data, &[("250 out of step", "unavailable")]);
}

#[test]
fn an_enhanced_code_is_read_from_the_text_and_only_where_it_fits_the_reply() {
    assert_eq!(enhanced(550, "5.1.1 <a@b>: unknown"), Some([5, 1, 1]));
    assert_eq!(enhanced(550, "<a@b>: 5.1.10 unknown"), Some([5, 1, 10]));
    assert_eq!(enhanced(550, "#5.1.1 unknown"), Some([5, 1, 1]));
    assert_eq!(enhanced(450, "5.1.1 unknown"), None);
    for text in [
        "",
        "unknown",
        "5.1",
        "5.1.1.2",
        "5.1234.1",
        "5..1",
        "from 5.1.1.9 (x)",
    ] {
        assert_eq!(enhanced(550, text), None, "{text}");
    }
}

#[test]
fn an_outcome_keeps_the_numbers_of_a_reply_and_none_of_its_words() {
    let outcome = classify(Stage::Recipient, 550, "5.1.1 <ann@mail.example>: unknown");
    assert_eq!(outcome.to_string(), "invalid_recipient: 550 5.1.1");
    assert!(!format!("{outcome:?}").contains("ann"));
}

#[test]
fn the_name_of_a_queued_mail_is_found() {
    assert_eq!(queue_id("2.0.0 Ok: queued as 4F2C1A"), Some("4F2C1A"));
    assert_eq!(queue_id("Ok: queued as 4F2C1A (mx1)"), Some("4F2C1A"));
    assert_eq!(queue_id("OK"), None);
    assert_eq!(queue_id("queued as <a@b>"), None);
}
