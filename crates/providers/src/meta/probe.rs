//! Looking at a number and its template.
//!
//! Sources: Meta's page "Messaging Health Status" (the number's answer also names the business
//! account, which the configuration does not), and its reference of message templates.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use super::MetaWhatsapp;
use crate::http::Reply;
use crate::http::meaning::{is_success, number};
use crate::probe::{Facts, Finding, Learned, Question, otherwise, promised, word};
use crate::settings::upstream::is_digits;

const CREDENTIALS: &str = "credentials";
const TEMPLATE: &str = "template";

impl MetaWhatsapp {
    pub(super) fn first_question(&self) -> Vec<Question> {
        let path = self.number_path().to_owned();
        vec![self.get(CREDENTIALS, &path, &[("fields", "id,health_status")])]
    }

    pub(super) fn answered(&self, question: &Question, reply: &Reply, facts: &Facts) -> Learned {
        match question.about {
            TEMPLATE => Learned {
                findings: self.templates(reply, facts),
                next: Vec::new(),
            },
            _ => self.number(reply),
        }
    }

    /// `/v25.0/106540352242922`
    fn number_path(&self) -> &str {
        let path = self.url.path();
        path.strip_suffix("/messages").unwrap_or(path)
    }

    fn get(&self, about: &'static str, path: &str, query: &[(&str, &str)]) -> Question {
        let mut url: Url = self.url.clone();
        url.set_path(path);
        url.query_pairs_mut().extend_pairs(query);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        Question::get(about, url, headers)
    }

    fn number(&self, reply: &Reply) -> Learned {
        let Some(answer) = parse::<Number>(reply) else {
            return Learned::of(otherwise(CREDENTIALS, "`access_token`", reply, None));
        };
        if let Some(error) = answer.error {
            return Learned::of(refused(&error, reply));
        }
        if !is_success(reply) || answer.id.is_none() {
            return Learned::of(otherwise(CREDENTIALS, "`access_token`", reply, None));
        }
        let said = "`access_token` is good for the number of `phone_number_id`";
        let mut learned = Learned::of(Finding::ok(CREDENTIALS, said));
        let health = answer.health_status.unwrap_or_default();
        learned.findings.extend(health.finding());
        match health.account() {
            Some(account) => {
                let base = self
                    .number_path()
                    .rsplit_once('/')
                    .map_or("", |both| both.0);
                let query = [
                    ("name", self.template.as_str()),
                    (
                        "fields",
                        "name,status,category,language,components,message_send_ttl_seconds",
                    ),
                    ("limit", "100"),
                ];
                let path = format!("{base}/{account}/message_templates");
                learned.next.push(self.get(TEMPLATE, &path, &query));
            }
            None => learned.findings.push(Finding::unknown(
                TEMPLATE,
                "the answer names no business account, where templates are",
                "look at the template in WhatsApp Manager",
            )),
        }
        learned
    }

    fn templates(&self, reply: &Reply, facts: &Facts) -> Vec<Finding> {
        let Some(answer) = parse::<Templates>(reply) else {
            return vec![otherwise(TEMPLATE, "`access_token`", reply, None)];
        };
        if let Some(error) = answer.error {
            return vec![match error.code() {
                Some(3 | 10 | 100 | 200..=299) => Finding::unknown(
                    TEMPLATE,
                    "`access_token` may send, but not look at templates",
                    "give its system user whatsapp_business_management for this check, or look in \
                     WhatsApp Manager",
                ),
                _ => refused(&error, reply),
            }];
        }
        let Some(data) = answer.data.filter(|_| is_success(reply)) else {
            return vec![otherwise(TEMPLATE, "`access_token`", reply, None)];
        };
        let more = answer.paging.is_some_and(|paging| paging.next.is_some());
        let all = self.language.all().into_iter();
        all.flat_map(|language| {
            // The filter by name also finds longer names.
            let found = data.iter().find(|one| {
                one.name.as_deref() == Some(&self.template)
                    && one.language.as_deref() == Some(language)
            });
            let called = format!("`{}` in `{language}`", self.template);
            match found {
                Some(found) => found.findings(&called, facts),
                None if more => vec![Finding::unknown(
                    TEMPLATE,
                    format!("{called} is not among the first hundred templates"),
                    "look in WhatsApp Manager",
                )],
                None => vec![Finding::problem(
                    TEMPLATE,
                    format!("there is no {called}"),
                    "correct `template` or `language`, or submit it for this language",
                )],
            }
        })
        .collect()
    }
}

fn parse<'a, T: Deserialize<'a>>(reply: &'a Reply) -> Option<T> {
    serde_json::from_slice(reply.body.as_deref()?).ok()
}

/// What an error means for a question: here `100` is a number that is not there, or not for this
/// token.
fn refused(error: &Fault, reply: &Reply) -> Finding {
    let code = error.code();
    let seen = code.map_or_else(String::new, |code| format!(" (error {code})"));
    match code {
        Some(190 | 0 | 104) => Finding::problem(
            CREDENTIALS,
            format!("`access_token` is refused{seen}"),
            "it is wrong, expired or revoked: make one for a system user, without an end, and set \
             `access_token`",
        ),
        Some(33 | 100) => Finding::problem(
            CREDENTIALS,
            format!("`phone_number_id` is not there for this token{seen}"),
            "copy `phone_number_id` (it is not the number), and give the system user of \
             `access_token` the WhatsApp account",
        ),
        Some(3 | 10 | 200..=299) => Finding::problem(
            CREDENTIALS,
            format!("`access_token` lacks a permission{seen}"),
            "give its system user whatsapp_business_messaging, and make a new token",
        ),
        Some(4 | 80_007) => Finding::unknown(
            CREDENTIALS,
            format!("asked too often{seen}"),
            "try again later",
        ),
        Some(1 | 2) => Finding::warning(
            CREDENTIALS,
            format!("Meta has a fault of its own{seen}"),
            "try again later; see metastatus.com",
        ),
        _ => otherwise(CREDENTIALS, "`access_token`", reply, code),
    }
}

#[derive(Deserialize)]
struct Fault {
    code: Option<Value>,
}

impl Fault {
    fn code(&self) -> Option<u32> {
        self.code.as_ref().and_then(number)
    }
}

#[derive(Deserialize)]
struct Number {
    error: Option<Fault>,
    id: Option<String>,
    health_status: Option<Health>,
}

#[derive(Default, Deserialize)]
struct Health {
    can_send_message: Option<String>,
    #[serde(default)]
    entities: Vec<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    entity_type: Option<String>,
    id: Option<String>,
    can_send_message: Option<String>,
    #[serde(default)]
    errors: Vec<Value>,
}

impl Health {
    fn account(&self) -> Option<&str> {
        let is_account = |entity: &&Entity| entity.entity_type.as_deref() == Some("WABA");
        let account = self.entities.iter().find(is_account)?;
        account.id.as_deref().filter(|id| is_digits(id))
    }

    fn finding(&self) -> Option<Finding> {
        let state = self.can_send_message.as_deref()?;
        if state == "AVAILABLE" {
            return Some(Finding::ok(
                "account",
                "Meta says that it can send messages",
            ));
        }
        let at_fault = self.entities.iter().filter(|entity| {
            entity
                .can_send_message
                .as_deref()
                .is_some_and(|state| state != "AVAILABLE")
        });
        let at_fault: Vec<String> = at_fault.map(Entity::told).collect();
        let said = format!("Meta says {}: {}", word(state), at_fault.join(", "));
        let advice = "see the account in WhatsApp Manager; Meta tells the reason there";
        Some(match state {
            "BLOCKED" => Finding::problem("account", said, advice),
            _ => Finding::warning("account", said, advice),
        })
    }
}

impl Entity {
    fn told(&self) -> String {
        let what = word(self.entity_type.as_deref().unwrap_or_default());
        let codes = self
            .errors
            .iter()
            .filter_map(|error| number(&error["error_code"]));
        let codes: Vec<String> = codes.map(|code| format!("error {code}")).collect();
        match codes.is_empty() {
            true => what.to_owned(),
            false => format!("{what} ({})", codes.join(", ")),
        }
    }
}

#[derive(Deserialize)]
struct Templates {
    error: Option<Fault>,
    data: Option<Vec<Template>>,
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Paging {
    next: Option<Value>,
}

#[derive(Deserialize)]
struct Template {
    name: Option<String>,
    language: Option<String>,
    status: Option<String>,
    category: Option<String>,
    #[serde(default)]
    components: Vec<Value>,
    message_send_ttl_seconds: Option<Value>,
}

impl Template {
    fn findings(&self, called: &str, facts: &Facts) -> Vec<Finding> {
        let status = self.status.as_deref().unwrap_or_default();
        if !status.eq_ignore_ascii_case("approved") {
            let advice = "see the reason in WhatsApp Manager; a message needs an approved template";
            let said = format!("{called} is not approved: {}", word(status));
            return vec![Finding::problem(TEMPLATE, said, advice)];
        }
        let category = self.category.as_deref().unwrap_or_default();
        if !category.eq_ignore_ascii_case("authentication") {
            let said = format!("{called} is of the category {}", word(category));
            let advice = "make one of the category Authentication, and name it in `template`";
            return vec![Finding::problem(TEMPLATE, said, advice)];
        }
        let minutes = self
            .components
            .iter()
            .find_map(|part| part["code_expiration_minutes"].as_u64());
        let mut found: Vec<Finding> = minutes
            .and_then(|minutes| promised(minutes, called, facts))
            .into_iter()
            .collect();
        found.extend(self.too_long(called, facts));
        if found.is_empty() {
            found.push(Finding::ok(TEMPLATE, format!("{called} is approved")));
        }
        found
    }

    /// Meta goes on trying to deliver for so long; `-1` stands for 30 days.
    fn too_long(&self, called: &str, facts: &Facts) -> Option<Finding> {
        let given = self.message_send_ttl_seconds.as_ref()?;
        let seconds = match given.as_i64() {
            Some(-1) => 30 * 24 * 3600,
            _ => u64::from(number(given)?),
        };
        let shortest = facts.lifetimes.iter().min()?;
        if Duration::from_secs(seconds) <= *shortest {
            return None;
        }
        let said = format!(
            "{called} is delivered for up to {seconds} s, and codes live {} s",
            shortest.as_secs()
        );
        let advice = "lower message_send_ttl_seconds of the template";
        Some(Finding::warning(TEMPLATE, said, advice))
    }
}

#[cfg(test)]
mod tests;
