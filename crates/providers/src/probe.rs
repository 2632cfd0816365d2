//! Looking at an account without sending anything to anybody.
//!
//! A kind that speaks HTTP names its [`Question`]s and says what an answer teaches; both are pure,
//! as `request` and `read` are. `ask` puts the sender around them.
//!
//! **Invariant:** a [`Finding`] holds words of this program, settings that are no secret, numbers,
//! and single words of a reply (`word`); never a secret or a text that somebody else wrote.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use watchword_core::{Clock, Timestamp};

use crate::http::{HttpKind, Reply, Sender};

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It cannot be told from here.
    Unknown,
    /// It works, and somebody should look at it.
    Warning,
    /// Messages will not arrive, or not all of them.
    Problem,
}

/// One thing that a look at an account found. It is printed as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, such as `credentials`.
    pub about: &'static str,
    /// How well it is.
    pub verdict: Verdict,
    /// What was found.
    pub said: String,
    /// What to do next; names the setting, if it is one.
    pub advice: Option<String>,
}

impl Finding {
    pub(crate) fn ok(about: &'static str, said: impl Into<String>) -> Self {
        Self {
            about,
            verdict: Verdict::Ok,
            said: said.into(),
            advice: None,
        }
    }

    pub(crate) fn unknown(about: &'static str, said: impl Into<String>, advice: &str) -> Self {
        Self::with(Verdict::Unknown, about, said, advice)
    }

    pub(crate) fn warning(about: &'static str, said: impl Into<String>, advice: &str) -> Self {
        Self::with(Verdict::Warning, about, said, advice)
    }

    pub(crate) fn problem(about: &'static str, said: impl Into<String>, advice: &str) -> Self {
        Self::with(Verdict::Problem, about, said, advice)
    }

    fn with(verdict: Verdict, about: &'static str, said: impl Into<String>, advice: &str) -> Self {
        Self {
            about,
            verdict,
            said: said.into(),
            advice: Some(advice.to_owned()),
        }
    }
}

/// What a look at an account has to know of the rest of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// How long codes live, by every policy that is in use.
    pub lifetimes: Vec<Duration>,
}

/// What a look at an account found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// In the order of the questions.
    pub findings: Vec<Finding>,
    /// How far this machine's clock is ahead of the provider's, in milliseconds, as far as a
    /// clock of whole seconds tells. Nothing where no answer had a `Date`.
    pub ahead: Option<i64>,
}

impl Probed {
    /// Nothing can be asked of this kind.
    pub(crate) fn unknown(kind: &'static str) -> Self {
        let said = format!("not checkable: {kind} has nothing that could be asked for free");
        let advice = "send a code to yourself with `watchword send`";
        Self {
            findings: vec![Finding::unknown("account", said, advice)],
            ahead: None,
        }
    }
}

/// One request that changes nothing at the provider.
pub struct Question {
    /// What it is about; findings say the same.
    pub about: &'static str,
    /// Which of several, where the kind asks the same about several things.
    pub which: String,
    /// `GET`, or `HEAD` where the body does not matter.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Credentials and the like.
    pub headers: HeaderMap,
}

impl Question {
    pub(crate) fn get(about: &'static str, url: Url, headers: HeaderMap) -> Self {
        Self {
            about,
            which: String::new(),
            method: Method::GET,
            url,
            headers,
        }
    }

    pub(crate) fn of(mut self, which: &str) -> Self {
        which.clone_into(&mut self.which);
        self
    }

    /// Asks the server of `url`, and not its path, for nothing: whether it is there.
    pub(crate) fn reach(url: &Url) -> Self {
        let mut root = url.clone();
        root.set_path("/");
        root.set_query(None);
        Self {
            method: Method::HEAD,
            ..Self::get("connection", root, HeaderMap::new())
        }
    }
}

/// What an answer taught.
#[derive(Default)]
pub struct Learned {
    /// What is known now.
    pub findings: Vec<Finding>,
    /// What to ask next, in this order.
    pub next: Vec<Question>,
}

impl Learned {
    pub(crate) fn of(finding: Finding) -> Self {
        Self {
            findings: vec![finding],
            next: Vec::new(),
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Plain HTTP to another machine.
    Insecure,
    /// Nothing came in time.
    Timeout,
    /// The name of the host is unknown.
    Dns,
    /// No connection.
    Connect,
    /// The certificate is not trusted.
    Certificate,
    /// TLS failed otherwise.
    Tls,
    /// The connection broke.
    Lost,
}

impl Silence {
    /// What is the matter, and what to do about it.
    #[must_use]
    pub fn told(self, limit: Duration) -> (String, &'static str) {
        let fixed = |said: &str, advice| (said.to_owned(), advice);
        match self {
            Self::Insecure => fixed(
                "plain HTTP to another machine is not asked",
                "write an https address",
            ),
            Self::Timeout => (
                format!("no answer within {} s", limit.as_secs_f32()),
                "see whether this machine may connect out (firewall, HTTPS_PROXY), and whether the \
                 other side is up",
            ),
            Self::Dns => fixed(
                "the name of the host does not resolve",
                "see whether it is spelled right and whether this machine can resolve names",
            ),
            Self::Connect => fixed(
                "no connection",
                "see whether this machine may connect out (firewall, HTTPS_PROXY), and whether the \
                 other side is up",
            ),
            Self::Certificate => fixed(
                "the certificate is not trusted",
                "see whether it is valid for this name; this machine may lack certificates \
                 (package ca-certificates) or be behind something that opens TLS",
            ),
            Self::Tls => fixed(
                "TLS fails",
                "see whether the other side speaks TLS 1.2 or 1.3",
            ),
            Self::Lost => fixed(
                "the connection broke before an answer came",
                "try again; see whether something between closes connections",
            ),
        }
    }

    fn finding(self, limit: Duration) -> Finding {
        let (said, advice) = self.told(limit);
        Finding::problem("connection", said, advice)
    }
}

/// Asks all questions of a kind, one after the other, until one has no answer.
pub(crate) async fn ask<K: HttpKind>(
    kind: &K,
    sender: &Sender,
    clock: &dyn Clock,
    facts: &Facts,
    limit: Duration,
) -> Probed {
    let mut waiting: Vec<Question> = kind.questions();
    if waiting.is_empty() {
        return Probed::unknown(K::KIND);
    }
    waiting.reverse();
    let mut probed = Probed::default();
    while let Some(question) = waiting.pop() {
        let before = clock.now();
        match sender.ask(&question, limit).await {
            Ok((reply, date)) => {
                let ahead = date.map(|theirs| ahead(before, clock.now(), theirs));
                probed.ahead = probed.ahead.or(ahead);
                let learned = kind.learn(&question, &reply, facts);
                probed.findings.extend(learned.findings);
                waiting.extend(learned.next.into_iter().rev());
            }
            Err(silence) => {
                probed.findings.push(silence.finding(limit));
                break;
            }
        }
    }
    probed
}

/// How far our clock is ahead of one that read `theirs`, in whole seconds, sometime between two of
/// our moments.
fn ahead(before: Timestamp, after: Timestamp, theirs: Timestamp) -> i64 {
    let millis = |moment: Timestamp| i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
    let ours = i64::midpoint(millis(before), millis(after));
    ours - (millis(theirs) + 500)
}

/// A word of a reply that may be shown: letters, digits and `_` only, and not many.
pub(crate) fn word(text: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let shown = (1..=32).contains(&text.len()) && text.bytes().all(plain);
    if shown { text } else { "something unknown" }
}

/// What an answer says that is neither a success nor one that the kind knows: credentials that are
/// refused (`setting` names them), too many questions, a fault at the provider.
pub(crate) fn otherwise(
    about: &'static str,
    setting: &str,
    reply: &Reply,
    code: Option<u32>,
) -> Finding {
    let number = code
        .map(|code| format!(", error {code}"))
        .unwrap_or_default();
    let seen = format!("HTTP {}{number}", reply.status);
    match reply.status {
        401 | 403 => Finding::problem(
            about,
            format!("{setting} refused ({seen})"),
            &format!("copy {setting} anew from the provider's console"),
        ),
        300..=399 => Finding::problem(
            about,
            format!("answers with a redirect ({seen}), which is not followed"),
            "set `base_url` to where the API is now",
        ),
        429 => Finding::unknown(
            about,
            format!("asked too often ({seen})"),
            "try again later",
        ),
        408 | 500..=599 => Finding::warning(
            about,
            format!("the provider has a fault of its own ({seen})"),
            "try again later; see the provider's status page",
        ),
        _ => Finding::unknown(
            about,
            format!("the answer is not one that is known ({seen})"),
            "see whether `base_url` is that of the provider's API",
        ),
    }
}

/// Says it where the minutes that a template promises are not those that codes live.
pub(crate) fn promised(minutes: u64, template: &str, facts: &Facts) -> Option<Finding> {
    let promised = Duration::from_secs(minutes.saturating_mul(60));
    let other = facts.lifetimes.iter().find(|span| **span != promised)?;
    let said = format!(
        "{template} says that codes expire in {minutes} min, and they live {} s",
        other.as_secs()
    );
    let advice = "make a template with the right minutes, or set `policy.ttl` to those";
    Some(Finding::warning("template", said, advice))
}

#[cfg(test)]
mod tests;
