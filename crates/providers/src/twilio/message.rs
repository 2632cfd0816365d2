//! Messages through Twilio: SMS, and WhatsApp content templates.

use serde_json::json;
use watchword_core::routing::Outcome;
use watchword_core::{Channel, Message, Timestamp};
use zeroize::Zeroizing;

use super::{Account, probe, read, validity};
use crate::callback::{CallbackPlace, CallbackReader};
use crate::http::{Call, HttpKind, Reply};
use crate::language::Languages;
use crate::probe::{Facts, Learned, Question};

/// What the ids of messages begin with.
pub(super) const SIDS: [&str; 2] = ["SM", "MM"];

/// Who a message comes from; one of the two at least.
pub(super) struct From {
    pub(super) number: Option<String>,
    pub(super) service: Option<String>,
}

impl From {
    fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let number = self.number.as_deref().map(|number| ("From", number));
        let service = self.service.as_deref();
        number
            .into_iter()
            .chain(service.map(|sid| ("MessagingServiceSid", sid)))
    }
}

/// Texts to phones.
pub(crate) struct TwilioSms {
    pub(super) account: Account,
    pub(super) from: From,
}

impl HttpKind for TwilioSms {
    const KIND: &'static str = "twilio-sms";

    fn carries(&self, channel: Channel) -> bool {
        channel == Channel::Sms
    }

    fn request(&self, message: &Message, now: Timestamp) -> Result<Call, Outcome> {
        let validity = validity(message, now)?.to_string();
        let mut fields = vec![("To", message.to.canonical())];
        fields.extend(self.from.fields());
        fields.push(("Body", message.text.expose()));
        fields.push(("ValidityPeriod", &validity));
        let callback = self.account.status_callback(message);
        fields.extend(callback.as_deref().map(|url| ("StatusCallback", url)));
        Ok(self.account.call("Messages", &fields))
    }

    fn read(&self, reply: &Reply) -> Outcome {
        read(reply, &SIDS)
    }

    fn questions(&self) -> Vec<Question> {
        vec![self.account.first_question()]
    }

    fn learn(&self, question: &Question, reply: &Reply, _facts: &Facts) -> Learned {
        let number = self.from.number.as_deref();
        probe::with_number(&self.account, number, "sms", question, reply)
    }

    fn called_back_at(&mut self, place: &CallbackPlace) {
        self.account.called_back_at(place, Channel::Sms);
    }

    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        self.account.callbacks()
    }
}

/// An approved authentication template, which takes the code as its only variable. Free text is
/// never sent: WhatsApp refuses it outside a conversation.
pub(crate) struct TwilioWhatsapp {
    pub(super) account: Account,
    pub(super) from: From,
    pub(super) content: Languages,
}

impl HttpKind for TwilioWhatsapp {
    const KIND: &'static str = "twilio-whatsapp";

    fn carries(&self, channel: Channel) -> bool {
        channel == Channel::Whatsapp
    }

    fn request(&self, message: &Message, now: Timestamp) -> Result<Call, Outcome> {
        let validity = validity(message, now)?.to_string();
        let to = format!("whatsapp:{}", message.to.canonical());
        let variables = Zeroizing::new(json!({ "1": message.code.expose() }).to_string());
        let mut fields = vec![("To", to.as_str())];
        fields.extend(self.from.fields());
        fields.push(("ContentSid", self.content.get(&message.locale)));
        fields.push(("ContentVariables", &variables));
        fields.push(("ValidityPeriod", &validity));
        let callback = self.account.status_callback(message);
        fields.extend(callback.as_deref().map(|url| ("StatusCallback", url)));
        Ok(self.account.call("Messages", &fields))
    }

    fn read(&self, reply: &Reply) -> Outcome {
        read(reply, &SIDS)
    }

    fn questions(&self) -> Vec<Question> {
        vec![self.account.first_question()]
    }

    fn learn(&self, question: &Question, reply: &Reply, facts: &Facts) -> Learned {
        probe::with_contents(&self.account, &self.content, question, reply, facts)
    }

    fn called_back_at(&mut self, place: &CallbackPlace) {
        self.account.called_back_at(place, Channel::Whatsapp);
    }

    fn callbacks(&self) -> Option<&dyn CallbackReader> {
        self.account.callbacks()
    }
}
