//! A surface answers directly as through the router.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::json;
use watchword_http::{Area, SurfaceKind, route_table};

use crate::listeners;
use crate::public_with;
use crate::world::{BothWays, PHONE, Setting, spellings, without_limits};

#[tokio::test]
async fn every_request_has_the_same_answer_directly_and_through_the_router() {
    let mut posted = BTreeSet::new();
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
            let Area::Surface(kind) = route.area else {
                continue;
            };
            let path = route.path.replace(['{', '}'], "");
            for spelling in spellings(&path) {
                let succeeded = ways.ask(&spelling, &body).await;
                if succeeded.contains(&Method::POST) {
                    posted.insert(kind);
                }
            }
        }
    }
    // The native one knows every member that it takes, and is asked in a test of its own; `auth` needs accounts.
    let sending = [SurfaceKind::Otp, SurfaceKind::Whatsapp, SurfaceKind::Uuid];
    assert_eq!(posted, sending.into());
}
