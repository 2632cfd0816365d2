//! What the replies of a mail server mean.
//!
//! Codes: RFC 5321 section 4.2, RFC 3463 (enhanced), RFC 4954 (authentication), RFC 7504 (521 and
//! 556). The text of a reply is looked at here and goes no further: it echoes addresses.

use watchword_core::routing::{Class, Detail, Outcome};

/// How far a hand-over has come, or which command a reply answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Waiting for a free connection.
    #[default]
    Seat,
    /// Connecting, TLS from the first byte, greeting and EHLO.
    Connect,
    /// STARTTLS.
    Tls,
    /// AUTH.
    Auth,
    /// Making a kept connection ready with RSET.
    Reset,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA.
    Data,
    /// The mail itself. From here on it may have been sent.
    Content,
}

impl Stage {
    pub(super) const ALL: [Self; 9] = [
        Self::Seat,
        Self::Connect,
        Self::Tls,
        Self::Auth,
        Self::Reset,
        Self::Sender,
        Self::Recipient,
        Self::Data,
        Self::Content,
    ];

    /// What the operator reads when it took too long.
    pub(super) const fn timeout(self) -> &'static str {
        match self {
            Self::Seat => "timeout_busy",
            Self::Connect => "timeout_connect",
            Self::Tls => "timeout_tls",
            Self::Auth => "timeout_auth",
            Self::Reset => "timeout_reset",
            Self::Sender => "timeout_mail",
            Self::Recipient => "timeout_rcpt",
            Self::Data => "timeout_data",
            Self::Content => "timeout",
        }
    }
}

/// What a refusal means.
pub(super) fn classify(stage: Stage, code: u16, text: &str) -> Outcome {
    let enhanced = enhanced(code, text);
    let about = enhanced.map(|[_, subject, detail]| (subject, detail));
    let outcome = match code {
        400..=499 => transient(stage, code, about, text),
        500..=599 => permanent(stage, code, about),
        // An answer to something else: the two sides are out of step.
        _ => Outcome::new(Class::Unavailable),
    };
    outcome.with(Detail::Smtp {
        reply: code,
        enhanced,
    })
}

fn transient(stage: Stage, code: u16, about: Option<(u16, u16)>, text: &str) -> Outcome {
    // Mailbox and address: somebody else's mail may well go through.
    let about_recipient = matches!(about, Some((1 | 2, _)));
    let paced = matches!(code, 421 | 450 | 451 | 452) && speaks_of_pace(text);
    if about == Some((7, 28)) || (code == 452 && about == Some((5, 3))) || paced {
        let outcome = Outcome::new(Class::Throttled { retry_after: None });
        return if about_recipient {
            outcome.about_recipient()
        } else {
            outcome
        };
    }
    let outcome = Outcome::new(Class::Unavailable);
    // A reply to RCPT is about the recipient (greylisting too), unless it closes the connection or
    // speaks of the server itself.
    let to_rcpt = stage == Stage::Recipient && code != 421 && !matches!(about, Some((3, _)));
    if about_recipient || to_rcpt {
        outcome.about_recipient()
    } else {
        outcome
    }
}

fn permanent(stage: Stage, code: u16, about: Option<(u16, u16)>) -> Outcome {
    let misconfigured = Outcome::new(Class::Misconfigured);
    let rejected = Outcome::new(Class::Rejected);
    // Before there is a mail, only the operator can be meant.
    if stage < Stage::Sender {
        return misconfigured;
    }
    // Nor can anybody else while the server knows the sender only.
    let (invalid, full) = if stage == Stage::Sender {
        (misconfigured.clone(), misconfigured.clone())
    } else {
        let full = Outcome::new(Class::Unavailable).about_recipient();
        (Outcome::new(Class::InvalidRecipient), full)
    };
    match (code, about) {
        (530 | 534 | 535 | 538, _) | (_, Some((7, 8 | 9 | 60) | (1, 7 | 8))) => misconfigured,
        // How Gmail says that the account has sent all that it may in a day, to whomever.
        (_, Some((4, 5))) => misconfigured,
        (_, Some((2, 2))) => full,
        (521 | 556, _) | (_, Some((1, _) | (2, 1) | (4, 4))) => invalid,
        (_, Some((6 | 7, _) | (3, 4))) => rejected,
        // A server that cannot parse an odd address says so of the command. Were that the
        // operator's fault, anybody could close the channel with such an address.
        (501, _) if stage == Stage::Recipient => invalid,
        (500..=504 | 555, _) => misconfigured,
        // The server itself, or the network: but for "no answer from the host", which many say of an address.
        (550 | 551 | 553, Some((3, _) | (4, 0 | 2 | 3 | 6..))) => rejected,
        (550 | 551 | 553, _) => invalid,
        (552, _) if stage == Stage::Recipient => full,
        _ => rejected,
    }
}

/// The enhanced status code at the beginning of a text, or of any of its words, if its class is
/// that of the reply.
fn enhanced(code: u16, text: &str) -> Option<[u16; 3]> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
        .filter_map(|word| {
            let mut parts = word.split('.').map(|part| {
                let fits = (1..=3).contains(&part.len());
                part.parse::<u16>().ok().filter(|_| fits)
            });
            let found = [parts.next()??, parts.next()??, parts.next()??];
            (parts.next().is_none() && found[0] == code / 100).then_some(found)
        })
        .next()
}

fn speaks_of_pace(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("too many")
        || text.contains("throttl")
        || text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| matches!(word, "rate" | "ratelimit" | "ratelimited"))
}

/// The name that a server gave a mail it took, as in `2.0.0 Ok: queued as 4F2C1A`.
pub(super) fn queue_id(text: &str) -> Option<&str> {
    let (_, tail) = text.split_once("queued as ")?;
    let end = tail
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .unwrap_or(tail.len());
    (1..=64).contains(&end).then_some(&tail[..end])
}

#[cfg(test)]
mod tests;
