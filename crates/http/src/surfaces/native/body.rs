//! What the native API is sent.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use watchword_core::{
    BindingDigest, Channel, Code, Locale, NumberRules, Policy, Purpose, Recipient, RecipientKind,
    Verifier,
};

use super::call::Call;
use super::problems::is_refused_destination;
use super::view::ChannelName;
use crate::json::Members;
use crate::problem::{Problem, ProblemKind};
use crate::source;

/// The largest `metadata`, in bytes of JSON without white space.
pub(super) const MAX_METADATA: usize = 1024;
/// How long a code may be asked to live, in seconds.
const TTL: std::ops::RangeInclusive<u32> = 30..=600;
/// The longest code that may be asked for.
const MAX_CODE_LENGTH: u32 = 10;

/// A start, read.
pub(super) struct Start {
    pub(super) to: Recipient,
    pub(super) channels: Vec<Channel>,
    pub(super) purpose: Purpose,
    pub(super) locale: Option<String>,
    pub(super) binding: BindingDigest,
    pub(super) metadata: Option<Value>,
    pub(super) remember_me: bool,
    pub(super) end_user_ip: Option<std::net::IpAddr>,
    pub(super) policy: Arc<Policy>,
}

/// What `POST /v1/verifications` takes.
#[derive(ToSchema, serde::Deserialize)]
#[schema(as = StartVerification, example = json!({
    "to": "+14155550123", "channel": "sms", "purpose": "login"
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct StartBody {
    /// A phone number in international form, or in the national form of the server's default region; or an email address.
    #[schema(max_length = 508, example = "+14155550123")]
    to: String,
    /// One channel, or several to try in order. Without it the kind of recipient decides: `email`, or the first of `sms`, `whatsapp`, `voice` that has a provider.
    #[schema(nullable = false)]
    channel: Option<ChannelChoice>,
    /// What the code authorises. It is good for nothing else. Without it: `default`.
    #[schema(max_length = 64, min_length = 1, nullable = false, example = "login")]
    purpose: Option<String>,
    /// The language of the message, such as `pt-BR`.
    #[schema(
        max_length = 35,
        min_length = 2,
        nullable = false,
        example = "en",
        pattern = "^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$"
    )]
    locale: Option<String>,
    /// Any JSON. A check has to repeat the same value, or it is an incorrect code.
    #[schema(value_type = Value, required = false)]
    binding: Option<Value>,
    /// What the caller wants to find again: an object of at most 1 KiB.
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>, nullable = false)]
    metadata: Option<Value>,
    /// Whether the user asked for a long session; the result token says so.
    #[schema(nullable = false)]
    remember_me: Option<bool>,
    /// The address of the end user, which limits then count instead of the caller's. Needs the scope `end_user_ip:assert`, else it is ignored.
    #[schema(nullable = false, example = "203.0.113.7", max_length = 64)]
    end_user_ip: Option<String>,
    /// A longer code than the policy's; at most 10.
    #[schema(nullable = false, minimum = 6, maximum = 10)]
    code_length: Option<u32>,
    /// How long the code lives, in seconds.
    #[schema(nullable = false, minimum = 30, maximum = 600)]
    ttl: Option<u32>,
}

/// One channel, or an ordered list without repetitions.
#[derive(serde::Deserialize)]
pub(super) struct ChannelChoice;

impl PartialSchema for ChannelChoice {
    fn schema() -> RefOr<Schema> {
        let name = || Ref::from_schema_name("ChannelName");
        let list = ArrayBuilder::new()
            .items(name())
            .min_items(Some(1))
            .max_items(Some(4))
            .unique_items(true);
        let choice = OneOfBuilder::new().item(name()).item(list);
        choice
            .description(Some("One channel, or several to try in order."))
            .into()
    }
}

impl ToSchema for ChannelChoice {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("ChannelName".to_owned(), ChannelName::schema()));
    }
}

/// What a resend takes. All of it is optional, and so is the body.
#[derive(ToSchema, serde::Deserialize)]
#[schema(as = ResendCode)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ResendBody {
    /// Other channels than at the start.
    #[schema(nullable = false)]
    channel: Option<ChannelChoice>,
    /// As at the start.
    #[schema(nullable = false, example = "203.0.113.7", max_length = 64)]
    end_user_ip: Option<String>,
}

/// What a check by id takes.
#[derive(ToSchema, serde::Deserialize)]
#[schema(as = CheckCode, example = json!({"code": "123456"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct CheckBody {
    /// What the user typed. Spaces and dashes do not count.
    #[schema(min_length = 1, max_length = 256, example = "123456")]
    code: String,
    /// The binding of the start.
    #[schema(value_type = Value, required = false)]
    binding: Option<Value>,
}

/// What a check by recipient takes.
#[derive(ToSchema, serde::Deserialize)]
#[schema(as = CheckCodeOfRecipient, example = json!({"to": "+14155550123", "purpose": "login", "code": "123456"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct CheckRecipientBody {
    /// Whom the code went to.
    #[schema(max_length = 508, example = "+14155550123")]
    to: String,
    /// What the code authorises.
    #[schema(max_length = 64, min_length = 1, nullable = false, example = "login")]
    purpose: Option<String>,
    /// What the user typed.
    #[schema(min_length = 1, max_length = 256, example = "123456")]
    code: String,
    /// The binding of the start.
    #[schema(value_type = Value, required = false)]
    binding: Option<Value>,
}

/// What an unlock takes.
#[derive(ToSchema, serde::Deserialize)]
#[schema(as = UnlockRecipient, example = json!({"to": "+14155550123"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct UnlockBody {
    /// Who was vouched for.
    #[schema(max_length = 508, example = "+14155550123")]
    to: String,
}

impl Start {
    /// Reads a start for a caller whose policy is `policy`.
    pub(super) fn read(call: &Call, policy: &Arc<Policy>) -> Result<Self, Problem> {
        let app = &call.app;
        let mut members = Members::read(&call.body)?;
        let mut refused = None;
        let to = members.required_text("to").and_then(|raw| {
            let parsed = Recipient::parse(&raw, &app.numbers);
            match parsed {
                Ok(to) => return Some(to),
                Err(error) if is_refused_destination(error) => refused = Some(error),
                Err(error) => members.fault_at("to", error.to_string()),
            }
            None
        });
        let kind = to.as_ref().map(Recipient::kind);
        let channels = channels(&mut members, kind, &app.verifier);
        let purpose = members.parsed("purpose", Purpose::parse);
        let locale = members.parsed("locale", str::parse::<Locale>);
        let binding = binding(&mut members);
        let metadata = members.object("metadata", MAX_METADATA).map(Value::Object);
        let remember_me = members.flag("remember_me").unwrap_or_default();
        let end_user_ip = members.parsed("end_user_ip", |said| {
            source::end_user_ip(app, &call.caller, said)
        });
        let shortest = u32::from(policy.code.length).min(MAX_CODE_LENGTH);
        let code_length = members.integer("code_length", shortest..=MAX_CODE_LENGTH);
        let ttl = members.integer("ttl", TTL);
        let channels = match (channels, kind) {
            (Some(channels), _) => channels,
            (None, Some(kind)) => by_kind(&mut members, kind, &app.verifier),
            (None, None) => Vec::new(),
        };
        members.finish()?;
        if let Some(error) = refused {
            let detail = format!("/to {error}");
            return Err(Problem::new(ProblemKind::DestinationRefused, detail));
        }
        // Without a recipient there was a fault, and we are not here.
        let to = to.ok_or_else(|| Problem::at("/to", "is missing"))?;
        Ok(Self {
            to,
            channels,
            purpose: purpose.unwrap_or_default(),
            locale: locale.map(String::from),
            binding,
            metadata,
            remember_me,
            end_user_ip: end_user_ip.flatten(),
            policy: adjusted(policy, code_length, ttl),
        })
    }
}

/// What the body of a resend says.
pub(super) struct Resend {
    pub(super) channels: Option<Vec<Channel>>,
    pub(super) end_user_ip: Option<std::net::IpAddr>,
}

impl Resend {
    pub(super) fn read(call: &Call) -> Result<Self, Problem> {
        let mut members = Members::read_optional(&call.body)?;
        let channels = channels(&mut members, None, &call.app.verifier);
        let end_user_ip = members.parsed("end_user_ip", |said| {
            source::end_user_ip(&call.app, &call.caller, said)
        });
        members.finish()?;
        Ok(Self {
            channels,
            end_user_ip: end_user_ip.flatten(),
        })
    }
}

/// What the body of a check says. `whose` is read from a check by recipient only.
pub(super) struct Check {
    pub(super) whose: Option<(Recipient, Purpose)>,
    pub(super) code: Code,
    pub(super) binding: BindingDigest,
}

impl Check {
    pub(super) fn by_id(body: &[u8]) -> Result<Self, Problem> {
        Self::read(body, None)
    }

    pub(super) fn by_recipient(body: &[u8], numbers: &NumberRules) -> Result<Self, Problem> {
        Self::read(body, Some(numbers))
    }

    fn read(body: &[u8], numbers: Option<&NumberRules>) -> Result<Self, Problem> {
        let mut members = Members::read(body)?;
        let whose = numbers.and_then(|numbers| {
            let to = members.required("to", |raw| Recipient::parse(raw, numbers));
            let purpose = members
                .parsed("purpose", Purpose::parse)
                .unwrap_or_default();
            Some((to?, purpose))
        });
        let code = members.required("code", Code::parse);
        let binding = binding(&mut members);
        members.finish()?;
        // Without a code there was a fault, and we are not here.
        let code = code.ok_or_else(|| Problem::at("/code", "is missing"))?;
        Ok(Self {
            whose,
            code,
            binding,
        })
    }
}

/// Reads the body of an unlock.
pub(super) fn unlocked(body: &[u8], numbers: &NumberRules) -> Result<Recipient, Problem> {
    let mut members = Members::read(body)?;
    let to = members.required("to", |raw| Recipient::parse(raw, numbers));
    members.finish()?;
    to.ok_or_else(|| Problem::at("/to", "is missing"))
}

fn binding(members: &mut Members<'_>) -> BindingDigest {
    let Some(raw) = members.raw("binding") else {
        return BindingDigest::none();
    };
    match BindingDigest::of_json(raw) {
        Ok(binding) => binding,
        Err(error) => {
            members.fault(
                format!("/binding{}", error.pointer),
                error.fault.to_string(),
            );
            BindingDigest::none()
        }
    }
}

/// The channels that a body names; `None` if it names none, or none that can be used.
fn channels(
    members: &mut Members<'_>,
    kind: Option<RecipientKind>,
    verifier: &Verifier,
) -> Option<Vec<Channel>> {
    let named = members.texts("channel")?;
    if named.is_empty() {
        members.fault_at("channel", "names no channel");
    }
    let mut channels = Vec::with_capacity(Channel::ALL.len());
    for (pointer, name) in named {
        let detail = match name.parse::<Channel>() {
            Err(unknown) => unknown.to_string(),
            Ok(channel) if channels.contains(&channel) => "is named twice".to_owned(),
            Ok(channel) if kind.is_some_and(|kind| channel.reaches() != kind) => {
                format!("names {channel}, which does not reach this kind of recipient")
            }
            Ok(channel) if !verifier.serves(channel) => {
                format!("names {channel}, which has no provider here")
            }
            Ok(channel) => {
                channels.push(channel);
                continue;
            }
        };
        members.fault(pointer, detail);
        if channels.len() == Channel::ALL.len() {
            break;
        }
    }
    Some(channels)
}

/// The channel that reaches this kind of recipient.
fn by_kind(members: &mut Members<'_>, kind: RecipientKind, verifier: &Verifier) -> Vec<Channel> {
    let candidates: &[Channel] = match kind {
        RecipientKind::Email => &[Channel::Email],
        RecipientKind::Phone => &[Channel::Sms, Channel::Whatsapp, Channel::Voice],
    };
    let served = candidates.iter().find(|channel| verifier.serves(**channel));
    if served.is_none() {
        members.fault_at(
            "channel",
            "is not given, and no channel for this kind of recipient has a provider",
        );
    }
    served.into_iter().copied().collect()
}

/// The policy with what one request changes of it.
fn adjusted(policy: &Arc<Policy>, code_length: Option<u32>, ttl: Option<u32>) -> Arc<Policy> {
    if code_length.is_none() && ttl.is_none() {
        return Arc::clone(policy);
    }
    let mut adjusted = Policy::clone(policy);
    if let Some(length) = code_length.and_then(|length| u8::try_from(length).ok()) {
        adjusted.code.length = length;
    }
    if let Some(seconds) = ttl {
        adjusted.ttl = Duration::from_secs(seconds.into());
    }
    Arc::new(adjusted)
}
