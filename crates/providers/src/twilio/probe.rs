//! Looking at a Twilio account, its numbers and its content templates.
//!
//! Sources: Twilio's REST API 2010-04-01 (Accounts, IncomingPhoneNumbers), Content API v1, and its
//! page on API keys: a standard key may do everything but look at the account itself.

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use super::Account;
use crate::http::Reply;
use crate::http::meaning::{is_success, number};
use crate::language::Languages;
use crate::probe::{Facts, Finding, Learned, Question, otherwise, promised, word};
use crate::settings::upstream::{below, is_number};

const CREDENTIALS: &str = "credentials";
const NUMBER: &str = "number";
const TEMPLATE: &str = "template";
const MINUTES: &str = "minutes";

/// A word of an answer, which is `null` where it does not apply.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

impl Account {
    pub(super) fn first_question(&self) -> Question {
        let path = match self.credential {
            "api_key" => format!("{}/IncomingPhoneNumbers.json", self.path()),
            _ => format!("{}.json", self.path()),
        };
        let query: &[_] = match self.credential {
            "api_key" => &[("PageSize", "1")],
            _ => &[],
        };
        self.get(CREDENTIALS, below(&self.base, &path), query)
    }

    fn path(&self) -> String {
        format!("/2010-04-01/Accounts/{}", self.sid)
    }

    fn get(&self, about: &'static str, mut url: Url, query: &[(&str, &str)]) -> Question {
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        Question::get(about, url, headers)
    }

    fn number(&self, number: &str) -> Question {
        let path = format!("{}/IncomingPhoneNumbers.json", self.path());
        let query = [("PhoneNumber", number), ("PageSize", "1")];
        self.get(NUMBER, below(&self.base, &path), &query)
    }

    /// Content templates have a host of their own, unless the operator says where everything is.
    fn content(&self, about: &'static str, sid: &str, more: &str) -> Question {
        let mut base = self.base.clone();
        if base.host_str() == Some("api.twilio.com") {
            // It is a host name, and the scheme stays.
            let _ = base.set_host(Some("content.twilio.com"));
        }
        let url = below(&base, &format!("/v1/Content/{sid}{more}"));
        self.get(about, url, &[]).of(sid)
    }

    fn setting(&self) -> &'static str {
        match self.credential {
            "api_key" => "`api_key` with `api_secret`",
            _ => "`auth_token`",
        }
    }

    /// What the answer to the first question says, and whether it makes sense to go on.
    fn opened(&self, reply: &Reply) -> (Finding, bool) {
        let answer = read(reply);
        let code = number(&answer["code"]);
        let seen = code.map_or_else(String::new, |code| format!(" (error {code})"));
        let problem = |said: String, advice: &str| {
            let finding = Finding::problem(CREDENTIALS, said, advice);
            (finding, false)
        };
        if !is_success(reply) {
            return match (reply.status, code) {
                (_, Some(70_051)) => {
                    let said = format!("`api_key` is restricted and may not be asked{seen}");
                    let advice = "send a code to yourself with `watchword send`";
                    (Finding::unknown(CREDENTIALS, said, advice), false)
                }
                (404, _) | (_, Some(20_404)) => problem(
                    format!("`account_sid` names no account{seen}"),
                    "copy `account_sid` anew from the Twilio console",
                ),
                (_, Some(20_005 | 10_001 | 30_002)) => problem(
                    format!("the account is suspended{seen}"),
                    "see the account in the Twilio console",
                ),
                (_, Some(20_008)) => problem(
                    format!("{} is a test credential{seen}", self.setting()),
                    "use the live ones; test credentials send nothing",
                ),
                _ => (otherwise(CREDENTIALS, self.setting(), reply, code), false),
            };
        }
        if self.credential == "api_key" {
            if answer["incoming_phone_numbers"].is_null() {
                return (otherwise(CREDENTIALS, self.setting(), reply, None), false);
            }
            let said = format!("{} is good", self.setting());
            return (Finding::ok(CREDENTIALS, said), true);
        }
        match (text(&answer, "status"), text(&answer, "type")) {
            ("active", "Trial") => {
                let said = "`auth_token` is good, but this is a trial account";
                let advice = "a trial account sends to verified numbers only; upgrade it";
                (Finding::warning(CREDENTIALS, said, advice), true)
            }
            ("active", _) => (Finding::ok(CREDENTIALS, "`auth_token` is good"), true),
            ("", _) => (otherwise(CREDENTIALS, self.setting(), reply, None), false),
            (status, _) => problem(
                format!("the account is {}", word(status)),
                "see the account in the Twilio console",
            ),
        }
    }
}

fn read(reply: &Reply) -> Value {
    let body = reply.body.as_deref();
    body.and_then(|body| serde_json::from_slice(body).ok())
        .unwrap_or_default()
}

/// For what comes from a number, which has to be able to do `what`.
pub(super) fn with_number(
    account: &Account,
    from: Option<&str>,
    what: &'static str,
    question: &Question,
    reply: &Reply,
) -> Learned {
    if question.about == NUMBER {
        return Learned::of(numbered(account, what, reply));
    }
    let (finding, good) = account.opened(reply);
    // Others are words or short codes, which are not looked up.
    let from = from.filter(|from| good && is_number(from));
    Learned {
        findings: vec![finding],
        next: from.map(|from| account.number(from)).into_iter().collect(),
    }
}

fn numbered(account: &Account, what: &'static str, reply: &Reply) -> Finding {
    let answer = read(reply);
    let Some(found) = answer["incoming_phone_numbers"]
        .as_array()
        .filter(|_| is_success(reply))
    else {
        return otherwise(NUMBER, account.setting(), reply, number(&answer["code"]));
    };
    let Some(found) = found.first() else {
        let advice = match what {
            "voice" => "see whether `from` is spelled right, or is a verified caller id",
            _ => "see whether `from` is spelled right, and is not hosted elsewhere",
        };
        let said = "`from` is not among the numbers of the account";
        return Finding::warning(NUMBER, said, advice);
    };
    let can = &found["capabilities"];
    // Written in small letters here, in capitals elsewhere.
    let able = can[what].as_bool().or(can[what.to_uppercase()].as_bool());
    match able {
        Some(false) => Finding::problem(
            NUMBER,
            format!("the number of `from` cannot do {what}"),
            "choose another number for `from`",
        ),
        _ => Finding::ok(NUMBER, "`from` is a number of the account"),
    }
}

/// For what comes from content templates.
pub(super) fn with_contents(
    account: &Account,
    contents: &Languages,
    question: &Question,
    reply: &Reply,
    facts: &Facts,
) -> Learned {
    let sid = question.which.as_str();
    match question.about {
        TEMPLATE => approval(account, sid, reply),
        MINUTES => Learned {
            findings: minutes(account, sid, reply, facts).into_iter().collect(),
            next: Vec::new(),
        },
        _ => {
            let (finding, good) = account.opened(reply);
            let all = contents.all().into_iter().filter(|_| good);
            Learned {
                findings: vec![finding],
                next: all
                    .map(|sid| account.content(TEMPLATE, sid, "/ApprovalRequests"))
                    .collect(),
            }
        }
    }
}

#[derive(Deserialize)]
struct Approval {
    status: String,
    category: Option<String>,
}

fn approval(account: &Account, sid: &str, reply: &Reply) -> Learned {
    let answer = read(reply);
    if reply.status == 404 {
        let said = format!("{sid} is no template of this account");
        let advice = "copy `content_sid` anew from the Twilio console (Content Template Builder)";
        return Learned::of(Finding::problem(TEMPLATE, said, advice));
    }
    if !is_success(reply) || answer["sid"].is_null() {
        let code = number(&answer["code"]);
        return Learned::of(otherwise(TEMPLATE, account.setting(), reply, code));
    }
    let approval = Approval::deserialize(&answer["whatsapp"]).ok();
    let status = approval
        .as_ref()
        .map_or("unsubmitted", |approval| &approval.status);
    if !status.eq_ignore_ascii_case("approved") {
        let said = format!("{sid} is not approved for WhatsApp: {}", word(status));
        let advice = "submit it for WhatsApp in the Twilio console, see the reason there, or set \
                      another `content_sid`";
        return Learned::of(Finding::problem(TEMPLATE, said, advice));
    }
    let category = approval.and_then(|approval| approval.category);
    match category {
        Some(other) if !other.eq_ignore_ascii_case("authentication") => {
            let said = format!("{sid} is of the category {}", word(&other));
            let advice = "make one of the category Authentication, and set it as `content_sid`";
            Learned::of(Finding::problem(TEMPLATE, said, advice))
        }
        _ => Learned {
            findings: vec![Finding::ok(TEMPLATE, format!("{sid} is approved"))],
            next: vec![account.content(MINUTES, sid, "")],
        },
    }
}

/// The minutes belong to the template; nothing is said where it names none.
fn minutes(account: &Account, sid: &str, reply: &Reply, facts: &Facts) -> Option<Finding> {
    let answer = read(reply);
    if !is_success(reply) {
        let code = number(&answer["code"]);
        return Some(otherwise(TEMPLATE, account.setting(), reply, code));
    }
    let kind = &answer["types"]["whatsapp/authentication"];
    if kind.is_null() {
        let said = format!("{sid} is no authentication template");
        let advice = "make one of the type WhatsApp Authentication, and set it as `content_sid`";
        return Some(Finding::problem(TEMPLATE, said, advice));
    }
    promised(kind["code_expiration_minutes"].as_u64()?, sid, facts)
}

#[cfg(test)]
mod tests;
