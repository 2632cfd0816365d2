//! The parameters of a generation, out of the query or the body.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use watchword_core::{Alphabet, Channel, Policy, Recipient};

use super::body::{Document, json_invalid};
use crate::json::Members;
use crate::surfaces::dialect::Call;
use crate::surfaces::trouble::Trouble;

const TTL: RangeInclusive<u32> = 1..=3600;
const ATTEMPTS: RangeInclusive<u32> = 1..=60;
const LENGTH: RangeInclusive<u32> = 1..=10;

/// What `POST /` takes in its query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct InQuery {
    /// How long the code lives, in seconds.
    #[param(minimum = 1, maximum = 3600, default = 60)]
    ttl: Option<u32>,
    /// How many wrong codes are borne.
    #[param(minimum = 1, maximum = 60, default = 5)]
    retry_limit: Option<u32>,
    /// How many symbols the code has.
    #[param(minimum = 1, maximum = 10, default = 6)]
    code_length: Option<u32>,
    /// Whether the verification has to repeat the body.
    #[param(default = false)]
    strict_validation: Option<bool>,
    /// Letters and digits instead of digits.
    #[param(default = false)]
    use_alpha_numeric: Option<bool>,
    /// How the code travels; together with `to`.
    #[param(example = "sms")]
    channel: Option<String>,
    /// Whom the code goes to: a phone number or an email address.
    #[param(example = "+14155550123")]
    to: Option<String>,
}

/// What `POST /` takes in its body: any object, which may have to be repeated. These members of it are
/// parameters as in the query, which wins; so they are bound to no type here.
#[derive(ToSchema)]
#[schema(as = UuidGenerate, example = json!({"ttl": 120, "retry_limit": 3, "code_length": 8, "strict_validation": true, "use_alpha_numeric": true}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct InBody {
    /// An integer from 1 to 3600.
    ttl: Option<Value>,
    /// An integer from 1 to 60.
    retry_limit: Option<Value>,
    /// An integer from 1 to 10.
    code_length: Option<Value>,
    /// `true` or `false`.
    strict_validation: Option<Value>,
    /// `true` or `false`.
    use_alpha_numeric: Option<Value>,
    /// `whatsapp`, `sms`, `email` or `voice`.
    channel: Option<Value>,
    /// A phone number or an email address.
    to: Option<Value>,
}

/// What a generation is asked for. What nobody said is up to the policy of the surface.
#[derive(Default)]
pub(super) struct Parameters {
    ttl: Option<u32>,
    attempts: Option<u32>,
    length: Option<u8>,
    letters: Option<bool>,
    pub(super) strict: bool,
    pub(super) channel: Option<Channel>,
    pub(super) to: Option<Recipient>,
}

impl Parameters {
    /// Reads them. The first thing that is wrong is told, in the order of the document.
    pub(super) fn read(call: &Call, document: &Document<'_>) -> Result<Self, Trouble> {
        let mut given = Given {
            query: query(call.uri.query().unwrap_or_default()),
            members: document.members()?,
        };
        let strict = given.flag("strict_validation")?.unwrap_or(false);
        let letters = given.flag("use_alpha_numeric")?;
        let channel = given.text("channel")?;
        let to = given.text("to")?;
        let ttl = given.integer("ttl")?;
        let attempts = given.integer("retry_limit")?;
        let length = given.integer("code_length")?;
        given.members.finish_open().map_err(|_| json_invalid())?;
        let ttl = within(ttl, TTL, "TTL_INVALID")?;
        let attempts = within(attempts, ATTEMPTS, "RETRY_INVALID")?;
        let length = within(length, LENGTH, "CODE_INVALID")?;
        let (channel, to) = addressed(call, channel, to)?;
        Ok(Self {
            ttl,
            attempts,
            length: length.and_then(|length| u8::try_from(length).ok()),
            letters,
            strict,
            channel,
            to,
        })
    }

    /// The policy of the surface, with what was asked for.
    pub(super) fn policy(&self, base: &Policy) -> Policy {
        let mut policy = base.clone();
        if let Some(ttl) = self.ttl {
            policy.ttl = Duration::from_secs(ttl.into());
        }
        if let Some(attempts) = self.attempts {
            policy.max_attempts = attempts;
        }
        if let Some(length) = self.length {
            policy.code.length = length;
        }
        if let Some(letters) = self.letters {
            policy.code.alphabet = match letters {
                true => Alphabet::Alphanumeric,
                false => Alphabet::Digits,
            };
        }
        policy
    }
}

/// Whom the code goes to, if anybody.
fn addressed(
    call: &Call,
    channel: Option<Cow<'_, str>>,
    to: Option<Cow<'_, str>>,
) -> Result<(Option<Channel>, Option<Recipient>), Trouble> {
    let (channel, to) = match (channel, to) {
        (None, None) => return Ok((None, None)),
        (None, Some(_)) => return Err(invalid("CHANNEL_INVALID")),
        (Some(channel), to) => {
            let channel: Result<Channel, _> = channel.trim().to_ascii_lowercase().parse();
            (channel.map_err(|_| invalid("CHANNEL_INVALID"))?, to)
        }
    };
    let to = to.ok_or_else(|| invalid("TO_INVALID"))?;
    let to = call.recipient(channel, &to);
    let to = to.ok_or_else(|| invalid("TO_INVALID"))?;
    Ok((Some(channel), Some(to)))
}

fn within(
    value: Option<Integer>,
    range: RangeInclusive<u32>,
    message: &'static str,
) -> Result<Option<u32>, Trouble> {
    match value {
        None => Ok(None),
        Some(Integer(Some(value))) if range.contains(&value) => Ok(Some(value)),
        Some(_) => Err(invalid(message)),
    }
}

fn invalid(message: &'static str) -> Trouble {
    Trouble::Invalid(message.into())
}

/// An integer; nothing, where it is far out of any range.
#[derive(Clone, Copy)]
struct Integer(Option<u32>);

/// The query, decoded. A name that comes twice is kept twice.
fn query(query: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes()).collect()
}

/// Where parameters come from.
struct Given<'a> {
    query: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    members: Members<'a>,
}

impl<'a> Given<'a> {
    /// The value in the query.
    ///
    /// # Errors
    /// When it comes twice: whoever reads the first and whoever reads the last would disagree.
    fn in_query(&self, name: &str) -> Result<Option<Cow<'a, str>>, Trouble> {
        let mut values = self.query.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(invalid("REQUEST_BODY_INVALID")),
            (value, _) => Ok(value.map(|(_, value)| value.clone())),
        }
    }

    /// The raw value in the body; `null` is none.
    fn in_body(&mut self, name: &str) -> Option<&'a str> {
        self.members.raw(name).filter(|raw| *raw != "null")
    }

    fn integer(&mut self, name: &str) -> Result<Option<Integer>, Trouble> {
        let raw = self.in_body(name);
        if let Some(value) = self.in_query(name)? {
            return Ok(Some(Integer(value.parse().ok())));
        }
        let Some(raw) = raw else {
            return Ok(None);
        };
        let digits = raw.strip_prefix('-').unwrap_or(raw);
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Some(Integer(raw.parse().ok())))
        } else {
            Err(json_invalid())
        }
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, Trouble> {
        let raw = self.in_body(name);
        let (value, wrong) = match self.in_query(name)? {
            Some(value) => (Some(value), invalid("REQUEST_BODY_INVALID")),
            None => (raw.map(Cow::Borrowed), json_invalid()),
        };
        match value.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(wrong),
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Trouble> {
        let raw = self.in_body(name);
        if let Some(value) = self.in_query(name)? {
            return Ok(Some(value));
        }
        let read = |raw| serde_json::from_str::<Cow<'a, str>>(raw).map_err(|_| json_invalid());
        raw.map(read).transpose()
    }
}
