//! Calls through Twilio.

use watchword_core::routing::{Class, Detail, Outcome};
use watchword_core::{Channel, Message, Timestamp};

use super::{Account, probe, read, twiml, validity};
use crate::callback::{CallbackPlace, CallbackReader};
use crate::http::{Call, HttpKind, Reply};
use crate::probe::{Facts, Learned, Question};

/// Calls that say the code to whoever presses a key.
pub(crate) struct TwilioVoice {
    pub(super) account: Account,
    pub(super) from: String,
}

impl TwilioVoice {
    /// Twilio refuses longer documents, in characters.
    const MAX_TWIML: usize = 4000;
    /// How long a phone rings, in seconds: most mailboxes answer later.
    const RING: u64 = 25;
    /// How long a call may last, in seconds. No wait in the document may be shorter: see
    /// [`twiml::document`].
    pub(super) const LONGEST: u64 = 120;
}

impl HttpKind for TwilioVoice {
    const KIND: &'static str = "twilio-voice";

    fn carries(&self, channel: Channel) -> bool {
        channel == Channel::Voice
    }

    fn request(&self, message: &Message, now: Timestamp) -> Result<Call, Outcome> {
        let ring = validity(message, now)?.min(Self::RING).to_string();
        let document = twiml::document(message);
        if document.chars().count() > Self::MAX_TWIML {
            return Err(Outcome::new(Class::Rejected).with(Detail::Word("text_too_long")));
        }
        let longest = Self::LONGEST.to_string();
        let mut fields = vec![
            ("To", message.to.canonical()),
            ("From", &self.from),
            ("Twiml", &document),
            ("Timeout", &ring),
            ("TimeLimit", &longest),
        ];
        let callback = self.account.status_callback(message);
        if let Some(url) = &callback {
            fields.push(("StatusCallback", url));
            let events = ["initiated", "ringing", "answered", "completed"];
            fields.extend(events.map(|event| ("StatusCallbackEvent", event)));
        }
        Ok(self.account.call("Calls", &fields))
    }

    fn read(&self, reply: &Reply) -> Outcome {
        read(reply, &["CA"])
    }

    fn questions(&self) -> Vec<Question> {
        vec![self.account.first_question()]
    }

    fn learn(&self, question: &Question, reply: &Reply, _facts: &Facts) -> Learned {
        probe::with_number(&self.account, Some(&self.from), "voice", question, reply)
    }

    fn called_back_at(&mut self, place: &CallbackPlace) {
        self.account.called_back_at(place, Channel::Voice);
    }

    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        self.account.callbacks()
    }
}
