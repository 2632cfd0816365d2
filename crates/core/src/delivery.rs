//! Deliveries: one hand-over of one message to one provider.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::entropy::{Entropy, EntropyError, draw};

/// Names a delivery. A provider gets it along, so that its receipts find their way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub Uuid);

impl DeliveryId {
    /// A fresh id: a random UUID (RFC 9562 section 5.4).
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        Ok(Self(
            uuid::Builder::from_random_bytes(draw(entropy)?).into_uuid(),
        ))
    }
}

/// How far a delivery came. It only ever moves forward, in this order; `Failed` may still be
/// overtaken by a later proof that the message did arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Sent, and no answer was read: it may have arrived.
    Unknown,
    /// The provider took it.
    Accepted,
    /// The provider handed it on.
    Sent,
    /// It will not arrive.
    Failed,
    /// It arrived.
    Delivered,
    /// It was opened.
    Read,
}

impl DeliveryStatus {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

/// One hand-over of one message to one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// How it travels.
    pub channel: Channel,
    /// The name of the provider in the configuration.
    pub provider: String,
    /// How far it came.
    pub status: DeliveryStatus,
    /// When it came that far.
    pub at: Timestamp,
    /// The provider's own name for the message, where it gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Why it failed: an outcome class, and the provider's code where it gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Delivery {
    /// Replaces NUL in texts: not every store keeps one, and no provider has a reason to send it.
    pub fn drop_nul(&mut self) {
        let texts = [
            Some(&mut self.provider),
            self.message_id.as_mut(),
            self.error.as_mut(),
        ];
        for text in texts.into_iter().flatten() {
            if text.contains('\0') {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
    }

    /// Takes in what is newly known of the same delivery; whether that moved it forward.
    pub fn advance(&mut self, newer: &Self) -> bool {
        // A provider speaks for its own hand-overs only.
        let same = newer.id == self.id && newer.provider == self.provider;
        let forward = same && newer.status > self.status;
        if forward {
            self.status = newer.status;
            self.at = self.at.max(newer.at);
            self.error.clone_from(&newer.error);
            if newer.message_id.is_some() {
                self.message_id.clone_from(&newer.message_id);
            }
        } else if same && self.message_id.is_none() && newer.message_id.is_some() {
            // Its receipt was faster than the answer that names it.
            self.message_id.clone_from(&newer.message_id);
            return true;
        }
        forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(status: DeliveryStatus, second: u64) -> Delivery {
        Delivery {
            id: DeliveryId(Uuid::nil()),
            channel: Channel::Sms,
            provider: "first".to_owned(),
            status,
            at: Timestamp::from_millis(second * 1000),
            message_id: None,
            error: None,
        }
    }

    #[test]
    fn a_delivery_never_goes_back_whatever_the_order_of_its_receipts() {
        use DeliveryStatus::{Accepted, Delivered, Failed, Read, Sent, Unknown};
        let all = [Unknown, Accepted, Sent, Failed, Delivered, Read];
        for (far, before) in all.into_iter().enumerate() {
            for (further, after) in all.into_iter().enumerate() {
                let mut known = delivery(before, 1);
                let moved = known.advance(&delivery(after, 2));
                assert_eq!(moved, further > far, "{before:?} then {after:?}");
                assert_eq!(known.status, if moved { after } else { before });
                let at = Timestamp::from_millis(if moved { 2000 } else { 1000 });
                assert_eq!(known.at, at);
            }
        }
    }

    #[test]
    fn a_receipt_of_another_delivery_changes_nothing() {
        let mut known = delivery(DeliveryStatus::Accepted, 1);
        let mut other = delivery(DeliveryStatus::Delivered, 2);
        other.id = DeliveryId(Uuid::max());
        assert!(!known.advance(&other));
        assert_eq!(known, delivery(DeliveryStatus::Accepted, 1));
    }

    #[test]
    fn a_receipt_of_another_provider_changes_nothing() {
        let mut known = delivery(DeliveryStatus::Accepted, 1);
        let mut other = delivery(DeliveryStatus::Delivered, 2);
        other.provider = "second".to_owned();
        assert!(!known.advance(&other));
        assert_eq!(known, delivery(DeliveryStatus::Accepted, 1));
    }

    #[test]
    fn an_answer_that_comes_after_its_receipt_still_names_the_message() {
        let mut known = delivery(DeliveryStatus::Delivered, 2);
        let mut answer = delivery(DeliveryStatus::Accepted, 1);
        answer.message_id = Some("SM1".to_owned());
        assert!(known.advance(&answer));
        assert_eq!(known.status, DeliveryStatus::Delivered);
        assert_eq!(known.message_id.as_deref(), Some("SM1"));
        assert!(!known.advance(&answer), "nothing new any more");
    }

    #[test]
    fn a_receipt_keeps_the_name_that_the_provider_gave_and_takes_its_own_reason() {
        let mut known = delivery(DeliveryStatus::Accepted, 1);
        known.message_id = Some("SM1".to_owned());
        let mut failed = delivery(DeliveryStatus::Failed, 2);
        failed.error = Some("rejected".to_owned());
        assert!(known.advance(&failed));
        assert_eq!(known.message_id.as_deref(), Some("SM1"));
        assert_eq!(known.error.as_deref(), Some("rejected"));
        assert!(known.advance(&delivery(DeliveryStatus::Delivered, 3)));
        assert_eq!(known.error, None, "it arrived after all");
    }
}
