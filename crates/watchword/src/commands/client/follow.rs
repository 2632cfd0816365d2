//! What becomes of a verification's deliveries, change by change.

use std::collections::HashMap;

use serde_json::Value;

/// What has been told already of the deliveries of one verification.
pub(super) struct Following {
    /// The last channel that was asked for; nothing if the server chose.
    last_channel: Option<String>,
    told: HashMap<String, String>,
}

/// What one look at a verification has brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// What changed since the look before, one line each.
    pub(super) lines: Vec<String>,
    /// Nothing more is to be expected.
    pub(super) done: bool,
}

impl Following {
    pub(super) fn new(last_channel: Option<String>) -> Self {
        Self {
            last_channel,
            told: HashMap::new(),
        }
    }

    /// Takes in a verification as the server shows it.
    pub(super) fn take(&mut self, verification: &Value) -> Seen {
        let deliveries = verification["deliveries"].as_array();
        let deliveries = deliveries.map(Vec::as_slice).unwrap_or_default();
        let mut lines: Vec<String> = deliveries
            .iter()
            .filter_map(|delivery| self.news(delivery))
            .collect();
        let status = text(verification, "status");
        let ended = status != "pending";
        if ended {
            lines.push(format!("  the verification is {status}"));
        }
        Seen {
            lines,
            done: ended || self.is_settled(deliveries),
        }
    }

    fn news(&mut self, delivery: &Value) -> Option<String> {
        let status = text(delivery, "status");
        let before = self
            .told
            .insert(text(delivery, "id").to_owned(), status.to_owned());
        if before.as_deref() == Some(status) {
            return None;
        }
        let mut line = format!(
            "  {}  {}  {}  {status}",
            text(delivery, "at"),
            text(delivery, "channel"),
            text(delivery, "provider"),
        );
        if let Some(error) = delivery["error"].as_str() {
            line.push_str("  ");
            line.push_str(error);
        }
        Some(line)
    }

    /// Every delivery has come as far as it can, and no other will follow: one arrived, or the
    /// last channel has had its turn.
    fn is_settled(&self, deliveries: &[Value]) -> bool {
        let has_arrived =
            |delivery: &Value| matches!(text(delivery, "status"), "delivered" | "read");
        let has_failed = |delivery: &Value| text(delivery, "status") == "failed";
        let Some(last) = deliveries.last() else {
            return false;
        };
        let was_last = match &self.last_channel {
            Some(channel) => text(last, "channel") == channel,
            None => true,
        };
        let all = deliveries
            .iter()
            .all(|delivery| has_arrived(delivery) || has_failed(delivery));
        all && (was_last || deliveries.iter().any(has_arrived))
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(id: &str, channel: &str, status: &str) -> Value {
        json!({"id": id, "channel": channel, "provider": "tw", "status": status,
               "at": "2026-09-21T14:13:20Z"})
    }

    fn pending(deliveries: &[Value]) -> Value {
        json!({"status": "pending", "deliveries": deliveries})
    }

    #[test]
    fn each_change_is_told_once_and_a_delivery_that_arrived_ends_it() {
        let mut following = Following::new(None);
        let seen = following.take(&pending(&[delivery("1", "sms", "accepted")]));
        let line = "  2026-09-21T14:13:20Z  sms  tw  accepted".to_owned();
        assert_eq!((seen.lines, seen.done), (vec![line], false));
        let seen = following.take(&pending(&[delivery("1", "sms", "accepted")]));
        assert_eq!((seen.lines.len(), seen.done), (0, false));
        let seen = following.take(&pending(&[delivery("1", "sms", "delivered")]));
        assert_eq!((seen.lines.len(), seen.done), (1, true));
    }

    #[test]
    fn a_failure_ends_it_only_when_no_channel_is_left() {
        let failed = delivery("1", "whatsapp", "failed");
        let mut following = Following::new(Some("sms".to_owned()));
        assert!(!following.take(&pending(std::slice::from_ref(&failed))).done);
        let both = [failed.clone(), delivery("2", "sms", "sent")];
        assert!(!following.take(&pending(&both)).done);
        let both = [failed.clone(), delivery("2", "sms", "delivered")];
        assert!(following.take(&pending(&both)).done);
        assert!(Following::new(None).take(&pending(&[failed])).done);
    }

    #[test]
    fn a_reason_is_shown_where_the_server_gives_one() {
        let mut failed = delivery("1", "sms", "failed");
        failed["error"] = json!("invalid_recipient");
        let seen = Following::new(None).take(&pending(&[failed]));
        assert!(seen.lines[0].ends_with("failed  invalid_recipient"));
    }

    #[test]
    fn the_end_of_the_verification_is_the_end_of_following() {
        let ended = json!({"status": "approved", "deliveries": [delivery("1", "sms", "sent")]});
        let seen = Following::new(None).take(&ended);
        assert_eq!(seen.lines[1], "  the verification is approved");
        assert!(seen.done);
    }
}
