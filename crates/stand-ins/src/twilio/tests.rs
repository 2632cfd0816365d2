//! What the stand-in answers, held against the published description, too.

use super::*;
use crate::contract::component;
use crate::mode::Mode;

fn taken(channel: &'static str, request: Value) -> Taken {
    Taken {
        id: match channel {
            "voice" => format!("CA{}", Uuid::nil().simple()),
            _ => format!("SM{}", Uuid::nil().simple()),
        },
        channel,
        to: "+12015550123".to_owned(),
        code: None,
        text: None,
        mode: Mode::Accept,
        accepted: true,
        callback_url: None,
        request,
        receipts: Vec::new(),
    }
}

#[test]
fn what_is_answered_is_as_published() {
    let message = component(&DESCRIPTION, "api.v2010.account.message");
    let call = component(&DESCRIPTION, "api.v2010.account.call");
    let to = json!({ "To": "+12015550123", "From": "+12015550100", "Body": "x" });
    let by_service = json!({ "To": "+12015550123",
        "MessagingServiceSid": crate::account::TWILIO_MESSAGING_SERVICE_SID });
    for request in [to.clone(), by_service] {
        assert_eq!(message.check(&resource(&taken("sms", request))), Ok(()));
    }
    assert_eq!(call.check(&resource(&taken("voice", to.clone()))), Ok(()));
    let wrong = json!({ "sid": "SM1", "surprise": 1 });
    assert!(message.check(&wrong).is_err());
    assert!(call.check(&resource(&taken("sms", to))).is_err());
}

#[test]
fn a_call_reports_what_was_asked_for() {
    let statuses = |request: &Value, fails: bool| {
        let taken = taken("voice", request.clone());
        let plan = match fails {
            true => Twilio.fails(&taken, None),
            false => Twilio.arrives(&taken),
        };
        let statuses: Vec<_> = plan.into_iter().map(|receipt| receipt.status).collect();
        statuses.join(" ")
    };
    let nothing = json!({});
    let all = json!({ "StatusCallbackEvent": ["completed", "initiated", "answered", "ringing"] });
    assert_eq!(statuses(&nothing, false), "completed");
    assert_eq!(statuses(&nothing, true), "no-answer");
    assert_eq!(
        statuses(&all, false),
        "initiated ringing in-progress completed"
    );
    assert_eq!(statuses(&all, true), "initiated ringing no-answer");
}
