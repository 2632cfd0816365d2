//! Strict JSON bodies, shared by every surface that wants them.
//!
//! A body is read as one object whose members keep their raw text. Each member is then asked for by
//! name and type; what nobody asked for is a fault, and so are members that come twice. All faults of a
//! body are collected, each with the JSON pointer (RFC 6901) of its place.
//!
//! **Invariant:** a fault never holds a value of the body, only names of members.

mod answer;
mod body;
mod members;
mod value;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use answer::{answer, answer_with, display};
pub(crate) use body::{BodyError, may_be_json, read_body, wants_json};
pub(crate) use members::Members;

/// One thing that is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Where: a JSON pointer into the body; empty for the whole.
    pub pointer: String,
    /// What, as the end of a sentence about it.
    #[schema(value_type = String)]
    pub detail: Cow<'static, str>,
}

impl Fault {
    /// A fault at a place.
    pub fn new(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => write!(f, "The body {}", self.detail),
            pointer => write!(f, "{pointer} {}", self.detail),
        }
    }
}

/// Appends one step to a pointer. Names are cut, so that a fault stays readable.
fn push_step(pointer: &mut String, name: &str) {
    pointer.push('/');
    for (count, character) in name.chars().enumerate() {
        match character {
            _ if count == 100 => {
                pointer.push('…');
                break;
            }
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}
