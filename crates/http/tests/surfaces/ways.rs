//! A surface answers directly as through the router.

use serde_json::json;
use watchword_http::{Area, route_table};

use crate::listeners;
use crate::public_with;
use crate::world::{BothWays, PHONE, Setting, spellings, without_limits};

#[tokio::test]
async fn every_request_has_the_same_answer_directly_and_through_the_router() {
    let mut answered = 0;
    for serves in listeners() {
        let ways = BothWays::of(|| {
            let setting = Setting {
                dev: true,
                expose_codes: true,
                policy: Some(without_limits()),
                ..Setting::default()
            };
            public_with(&serves, setting)
        });
        // What any of them asks for; each takes its own.
        let body = json!({
            "mobile": PHONE, "mobile_number": PHONE, "phone_number": PHONE, "identifier": PHONE,
            "channel": "sms", "email": "ada@example.com", "password": "correct horse battery",
            "code": "000000", "otp": "000000",
        })
        .to_string();
        for route in route_table(&serves, true).entries() {
            if !matches!(route.area, Area::Surface(_)) {
                continue;
            }
            let path = route.path.replace(['{', '}'], "");
            for spelling in spellings(&path) {
                answered += ways.ask(&spelling, &body).await;
            }
        }
    }
    assert!(answered > 10, "{answered}");
}
