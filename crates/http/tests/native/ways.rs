//! A direct route answers as the router does.

use axum::Router;
use axum::http::Method;
use serde_json::json;

use crate::world::{JSON, PHONE, World};

/// The same world twice: as it is reached, and through the router alone.
fn both() -> [World; 2] {
    let (direct, mut routed) = (World::dev(), World::dev());
    routed.router = Router::from(routed.router).into();
    [direct, routed]
}

#[tokio::test]
async fn every_request_has_the_same_answer_directly_and_through_the_router() {
    let start = json!({ "to": PHONE, "purpose": "login" }).to_string();
    let check = json!({ "code": "000000" }).to_string();
    let by_recipient = json!({ "to": PHONE, "purpose": "login", "code": "000000" }).to_string();
    let mut requests = Vec::new();
    for (path, body) in [
        ("/v1/verifications", &start),
        ("/v1/verifications/{id}/check", &check),
        ("/v1/verifications/check", &by_recipient),
        ("/v1/verifications/{id}/resend", &"{}".to_owned()),
        ("/v1/recipients/unlock", &json!({ "to": PHONE }).to_string()),
        ("/dev/messages", &String::new()),
    ] {
        let spellings = [
            path.to_owned(),
            format!("{path}?to=%2B14155550123"),
            format!("{path}/"),
            format!("/{path}"),
            path.replacen("e", "%65", 1),
            path.to_uppercase(),
            path.replace("{id}", "7"),
            path.replace("{id}", "%37"),
            path.replace("{id}", ""),
            path.replace("{id}", "check"),
            path.replace("{id}", "00000000-0000-8000-8000-000000000000"),
        ];
        for spelling in spellings {
            for method in [
                Method::POST,
                Method::GET,
                Method::HEAD,
                Method::PUT,
                Method::DELETE,
                Method::OPTIONS,
            ] {
                for (kind, body) in [
                    (JSON, body.as_str()),
                    (JSON, "{"),
                    (JSON, ""),
                    ("text/plain", body.as_str()),
                ] {
                    requests.push((method.clone(), spelling.clone(), kind, body.to_owned()));
                }
            }
        }
    }
    let [direct, routed] = both();
    let mut ids = [String::new(), String::new()];
    for (world, id) in [&direct, &routed].into_iter().zip(&mut ids) {
        *id = world.start("+14155550199").await;
    }
    assert_eq!(ids[0], ids[1], "the two worlds draw the same");
    let mut answered = 0;
    for (method, path, kind, body) in requests {
        let path = path.replace("{id}", &ids[0]);
        let headers = [("content-type", kind)];
        let mut one = direct
            .send(method.clone(), &path, &headers, body.clone())
            .await;
        let mut other = routed
            .send(method.clone(), &path, &headers, body.clone())
            .await;
        let asked = format!("{method} {path} {kind} {body}");
        assert_eq!(
            one.status, other.status,
            "{asked}: {} {}",
            one.text, other.text
        );
        // The router counts the bytes; of a direct answer the connection does.
        for answer in [&mut one, &mut other] {
            answer.headers.remove("content-length");
        }
        assert_eq!(one.headers, other.headers, "{asked}");
        assert_eq!(one.text, other.text, "{asked}");
        answered += usize::from(one.status.is_success());
    }
    assert!(answered > 10, "{answered}");
}
