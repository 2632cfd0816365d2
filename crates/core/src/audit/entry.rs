//! One line of the audit log.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::clock::Timestamp;
use crate::event::{Event, Subject};

/// Something that an auditor may ask about. Carries no code and no recipient in clear: the keyed
/// index tells whoever knows the recipient and the secret key that it is about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: &'static str,
    /// Why, or which.
    pub reason: Option<Cow<'a, str>>,
    /// Over which channel.
    pub channel: Option<&'static str>,
    /// About what.
    pub subject: Subject<'a>,
}

impl<'a> Entry<'a> {
    /// An entry of something that is no step of a verification.
    #[must_use]
    pub fn new(at: Timestamp, event: &'static str, reason: impl Into<Cow<'a, str>>) -> Self {
        Self {
            at,
            event,
            reason: Some(reason.into()),
            channel: None,
            subject: Subject::default(),
        }
    }

    /// The entry of an event; `None` for those that no auditor asks about.
    #[must_use]
    pub fn of(event: Event, subject: &Subject<'a>, at: Timestamp) -> Option<Self> {
        let (name, reason, channel) = match event {
            Event::Started(channel) => ("verification.started", None, Some(channel)),
            Event::Resent(channel) => ("verification.resent", None, Some(channel)),
            Event::SendRefused(refusal) => ("send.refused", Some(refusal.as_str()), None),
            Event::Approved(channel) => ("verification.approved", None, Some(channel)),
            Event::CheckFailed(failure) => ("check.refused", Some(failure.as_str()), None),
            Event::Canceled => ("verification.canceled", None, None),
            Event::Locked => ("recipient.locked", None, None),
            Event::Unlocked => ("recipient.unlocked", None, None),
            Event::RecipientShown => ("recipient.shown", None, None),
            Event::RecipientErased => ("recipient.erased", None, None),
            Event::CodeShown => ("code.shown", None, None),
            Event::FellBack { channel, taken } => {
                let reason = (!taken).then_some("taken by no provider");
                ("verification.fell_back", reason, Some(channel))
            }
            Event::Receipt(..) | Event::StoreFailed => return None,
        };
        Some(Self {
            at,
            event: name,
            reason: reason.map(Cow::Borrowed),
            channel: channel.map(crate::channel::Channel::as_str),
            subject: *subject,
        })
    }

    /// Adds it to a page, as a line.
    pub fn write(&self, body: &mut Vec<u8>) {
        // Strings only, into memory: it cannot fail.
        let _ = serde_json::to_writer(&mut *body, self);
        body.push(b'\n');
    }
}

/// What is not known is left out.
impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let subject = &self.subject;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("at", &format_args!("{}", self.at))?;
        map.serialize_entry("event", self.event)?;
        if let Some(reason) = &self.reason {
            map.serialize_entry("reason", reason)?;
        }
        if let Some(app) = subject.app {
            map.serialize_entry("app", app.as_str())?;
        }
        if let Some(id) = subject.verification {
            map.serialize_entry("verification", &format_args!("{id}"))?;
        }
        if let Some(recipient) = subject.recipient {
            map.serialize_entry("recipient", &format_args!("{recipient}"))?;
        }
        if let Some(channel) = self.channel {
            map.serialize_entry("channel", channel)?;
        }
        if let Some(key) = subject.by {
            map.serialize_entry("by", key.as_str())?;
        }
        map.end()
    }
}
