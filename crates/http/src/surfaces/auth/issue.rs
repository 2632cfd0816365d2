//! What is wrong with a body, as pydantic 1 tells it: a list of places, texts and types.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::json::{Fault, Members};
use crate::surfaces::dialect::json;

/// What is wrong with a body.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthIssues)]
pub(super) struct Issues {
    detail: Vec<Issue>,
}

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuthIssue)]
pub(super) struct Issue {
    /// Where: `body`, and the name of a member.
    #[schema(value_type = Vec<String>, example = json!(["body", "email"]))]
    loc: Vec<Cow<'static, str>>,
    /// What, for people.
    #[schema(value_type = String, example = "value is not a valid email address")]
    msg: Cow<'static, str>,
    /// What, for programs.
    #[serde(rename = "type")]
    #[schema(example = "value_error.email")]
    kind: &'static str,
    /// The figures in the text, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ctx: Option<Limit>,
}

/// The figure that a text was measured by.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuthIssueLimit)]
pub(super) struct Limit {
    limit_value: usize,
}

/// What can be wrong with a member.
pub(super) enum Wrong {
    Missing,
    Null,
    NotText,
    NotBoolean,
    NotEmail,
    TooShort(usize),
    TooLong(usize),
    /// In our own words.
    Value(Cow<'static, str>),
}

impl Wrong {
    fn at(self, name: &'static str) -> Issue {
        let limit = |limit_value| Some(Limit { limit_value });
        let (kind, msg, ctx) = match self {
            Self::Missing => ("value_error.missing", "field required".into(), None),
            Self::Null => (
                "type_error.none.not_allowed",
                "none is not an allowed value".into(),
                None,
            ),
            Self::NotText => ("type_error.str", "str type expected".into(), None),
            Self::NotBoolean => (
                "type_error.bool",
                "value could not be parsed to a boolean".into(),
                None,
            ),
            Self::NotEmail => (
                "value_error.email",
                "value is not a valid email address".into(),
                None,
            ),
            Self::TooShort(least) => (
                "value_error.any_str.min_length",
                format!("ensure this value has at least {least} characters").into(),
                limit(least),
            ),
            Self::TooLong(most) => (
                "value_error.any_str.max_length",
                format!("ensure this value has at most {most} characters").into(),
                limit(most),
            ),
            Self::Value(text) => ("value_error", text, None),
        };
        Issue {
            loc: vec!["body".into(), name.into()],
            msg,
            kind,
            ctx,
        }
    }
}

impl Issues {
    pub(super) fn into_response(self) -> Response {
        json(StatusCode::UNPROCESSABLE_ENTITY, &self)
    }

    /// Faults that were found before anybody asked for a member. None of them holds a value.
    fn of_body(body: &[u8], faults: Vec<Fault>) -> Self {
        let issue = |fault: Fault| {
            let mut loc = vec![Cow::Borrowed("body")];
            if let Some(name) = fault.pointer.strip_prefix('/') {
                loc.push(Cow::Owned(name.to_owned()));
                let msg = fault.detail;
                return Issue {
                    loc,
                    msg,
                    kind: "value_error",
                    ctx: None,
                };
            }
            let (kind, msg) = if body.trim_ascii().is_empty() {
                ("value_error.missing", "field required".into())
            } else if serde_json::from_slice::<Value>(body).is_ok() {
                ("type_error.dict", "value is not a valid dict".into())
            } else {
                ("value_error.jsondecode", fault.to_string().into())
            };
            Issue {
                loc,
                msg,
                kind,
                ctx: None,
            }
        };
        let detail = faults.into_iter().map(issue).collect();
        Self { detail }
    }

    /// What the frame found, in the same form.
    pub(super) fn of_faults(faults: &[Fault]) -> Self {
        let faults = faults.iter().cloned();
        Self::of_body(b"{", faults.collect())
    }
}

/// Reads a body member by member and gathers what is wrong with it.
pub(super) struct Reader<'a> {
    body: &'a [u8],
    members: Members<'a>,
    issues: Vec<Issue>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Result<Self, Issues> {
        let members = Members::read(body).map_err(|faults| Issues::of_body(body, faults))?;
        Ok(Self {
            body,
            members,
            issues: Vec::new(),
        })
    }

    /// A string that has to be there.
    pub(super) fn text(&mut self, name: &'static str) -> Option<zeroize::Zeroizing<String>> {
        let raw = self.members.raw(name);
        self.required(name, raw)
    }

    /// A string that has to be there under the first name, or else under the second.
    pub(super) fn text_of_either(
        &mut self,
        [first, second]: [&'static str; 2],
    ) -> Option<(&'static str, zeroize::Zeroizing<String>)> {
        let (one, other) = (self.members.raw(first), self.members.raw(second));
        let (name, raw) = match (one, other) {
            (None, Some(raw)) => (second, Some(raw)),
            (one, _) => (first, one),
        };
        Some((name, self.required(name, raw)?))
    }

    /// The text of a member as it came, whatever its type.
    pub(super) fn raw(&mut self, name: &'static str) -> Option<&'a str> {
        self.members.raw(name)
    }

    /// The string that a member's text spells.
    pub(super) fn required(
        &mut self,
        name: &'static str,
        raw: Option<&str>,
    ) -> Option<zeroize::Zeroizing<String>> {
        let wrong = match raw {
            None => Wrong::Missing,
            Some("null") => Wrong::Null,
            Some(raw) if !raw.starts_with('"') => Wrong::NotText,
            Some(raw) => match serde_json::from_str::<String>(raw).map(zeroize::Zeroizing::new) {
                Ok(text) if text.contains('\0') => Wrong::Value("has a NUL character".into()),
                Ok(text) => return Some(text),
                Err(_) => Wrong::Value("is not Unicode: half a surrogate pair".into()),
            },
        };
        self.wrong(name, wrong);
        None
    }

    /// `true` or `false`; `false` where nobody says.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        match self.members.raw(name) {
            None | Some("false") => false,
            Some("true") => true,
            Some("null") => {
                self.wrong(name, Wrong::Null);
                false
            }
            Some(_) => {
                self.wrong(name, Wrong::NotBoolean);
                false
            }
        }
    }

    pub(super) fn wrong(&mut self, name: &'static str, wrong: Wrong) {
        self.issues.push(wrong.at(name));
    }

    /// Ends the reading. Members that nobody asked for are fine; members that come twice are not.
    pub(super) fn finish(mut self) -> Result<(), Issues> {
        if let Err(faults) = self.members.finish_open() {
            let twice = Issues::of_body(self.body, faults);
            self.issues.extend(twice.detail);
        }
        if self.issues.is_empty() {
            return Ok(());
        }
        let detail = self.issues;
        Err(Issues { detail })
    }

    /// What is left when a value that has to be there is not: there was an issue.
    pub(super) fn nothing() -> Issues {
        let detail = Vec::new();
        Issues { detail }
    }
}
