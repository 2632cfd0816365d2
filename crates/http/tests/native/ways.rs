//! A direct route answers as the router does.

use serde_json::json;

use crate::world::{BothWays, PHONE, World, spellings};

#[tokio::test]
async fn every_request_has_the_same_answer_directly_and_through_the_router() {
    let ways = BothWays::of(World::dev);
    let id = ways.direct.start("+14155550199").await;
    let same = ways.routed.start("+14155550199").await;
    assert_eq!(id, same, "the two worlds draw the same");

    let start = json!({ "to": PHONE, "purpose": "login" }).to_string();
    let check = json!({ "code": "000000" }).to_string();
    let by_recipient = json!({ "to": PHONE, "purpose": "login", "code": "000000" }).to_string();
    let mut answered = 0;
    for (path, body) in [
        ("/v1/verifications", &start),
        ("/v1/verifications/{id}/check", &check),
        ("/v1/verifications/check", &by_recipient),
        ("/v1/verifications/{id}/resend", &"{}".to_owned()),
        ("/v1/recipients/unlock", &json!({ "to": PHONE }).to_string()),
        ("/dev/messages", &String::new()),
    ] {
        let others = [
            path.replace("{id}", "7"),
            path.replace("{id}", "%37"),
            path.replace("{id}", ""),
            path.replace("{id}", "check"),
            path.replace("{id}", "00000000-0000-8000-8000-000000000000"),
        ];
        for spelling in spellings(path).into_iter().chain(others) {
            let spelling = spelling.replace("{id}", &id);
            answered += ways.ask(&spelling, body).await.len();
        }
    }
    assert!(answered > 10, "{answered}");
}
