//! What may be looked up without sending anything.

use axum::http::Method;
use serde_json::{Value, json};
use watchword_stand_ins::{Family, Mode, Options, StandIn, account};

use super::orders::{NUMBER, basic, plain};
use super::wire::ask;

async fn look(stand_in: &StandIn, path: &str, authorization: &str) -> (u16, Value) {
    let url = format!("{}{path}", stand_in.base_url());
    let headers = [("authorization", authorization)];
    let answer = ask(Method::GET, &url, &headers, String::new())
        .await
        .unwrap();
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_account_of_twilio_its_templates_and_messages_can_be_looked_up() {
    let stand_in = StandIn::start(Family::Twilio, Options::default())
        .await
        .unwrap();
    stand_in.set_mode(Mode::AcceptWithoutReceipts);
    let sid = account::TWILIO_ACCOUNT_SID;
    let right = basic(sid, account::TWILIO_AUTH_TOKEN);
    let account_path = format!("/2010-04-01/Accounts/{sid}.json");
    let (status, body) = look(&stand_in, &account_path, &right).await;
    assert_eq!((status, &body["status"]), (200, &json!("active")));
    let (status, body) = look(&stand_in, &account_path, &basic(sid, "wrong")).await;
    assert_eq!((status, &body["code"]), (401, &json!(20_003)));

    let numbers = format!("/2010-04-01/Accounts/{sid}/IncomingPhoneNumbers.json");
    for (query, count) in [
        ("", 1),
        ("?PhoneNumber=%2B12015550100", 1),
        ("?PhoneNumber=%2B12015550199", 0),
    ] {
        let (_, body) = look(&stand_in, &format!("{numbers}{query}"), &right).await;
        let found = body["incoming_phone_numbers"].as_array().unwrap();
        assert_eq!(found.len(), count, "{query}");
    }

    plain(Family::Twilio, NUMBER).post(&stand_in).await.unwrap();
    let id = &stand_in.messages()[0].id;
    let path = format!("/2010-04-01/Accounts/{sid}/Messages/{id}.json");
    let (status, body) = look(&stand_in, &path, &right).await;
    assert_eq!((status, &body["status"]), (200, &json!("queued")));
    let (status, _) = look(&stand_in, &path.replace(id, "SM1"), &right).await;
    assert_eq!(status, 404);

    for (content, approval) in [
        (account::TWILIO_CONTENT_SID, "approved"),
        (account::TWILIO_CONTENT_SID_PENDING, "pending"),
    ] {
        let path = format!("/v1/Content/{content}");
        let (_, body) = look(&stand_in, &path, &right).await;
        assert!(body["types"]["whatsapp/authentication"].is_object());
        let (_, body) = look(&stand_in, &format!("{path}/ApprovalRequests"), &right).await;
        assert_eq!(body["whatsapp"]["status"], approval);
    }
    let (_, body) = look(&stand_in, "/v1/ContentAndApprovals", &right).await;
    assert_eq!(
        body["contents"][2]["approval_requests"]["status"],
        "pending"
    );
    let (status, _) = look(&stand_in, "/v1/Content/HX9", &right).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_number_of_meta_and_its_templates_can_be_looked_up() {
    let stand_in = StandIn::start(Family::Meta, Options::default())
        .await
        .unwrap();
    let right = format!("Bearer {}", account::META_ACCESS_TOKEN);
    let number = format!(
        "/v25.0/{}?fields=verified_name",
        account::META_PHONE_NUMBER_ID
    );
    let (status, body) = look(&stand_in, &number, &right).await;
    assert_eq!(
        (status, &body["id"]),
        (200, &json!(account::META_PHONE_NUMBER_ID))
    );
    let account = &body["health_status"]["entities"][1]["id"];
    assert_eq!(account, account::META_BUSINESS_ACCOUNT_ID);
    let (status, body) = look(&stand_in, &number, "Bearer wrong").await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!(190)));
    let templates = format!(
        "/v25.0/{}/message_templates",
        account::META_BUSINESS_ACCOUNT_ID
    );
    for (query, count) in [("", 9), ("?name=verification_code", 9), ("?name=other", 0)] {
        let (_, body) = look(&stand_in, &format!("{templates}{query}"), &right).await;
        assert_eq!(body["data"].as_array().unwrap().len(), count, "{query}");
    }
    let (status, _) = look(&stand_in, "/v25.0/1", &right).await;
    assert_eq!(status, 400);
    let (status, _) = look(&stand_in, "/latest/1", &right).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn the_settings_of_every_kind_are_a_table_of_its_own() {
    for family in Family::ALL {
        let stand_in = StandIn::start(family, Options::default()).await.unwrap();
        for other in Family::ALL {
            for kind in account::kinds(other) {
                let Some(lines) = stand_in.settings(kind) else {
                    assert_ne!(family, other);
                    continue;
                };
                let table: toml::Table = lines.parse().unwrap();
                assert_eq!(table["kind"].as_str(), Some(*kind));
                assert_eq!(
                    table["base_url"].as_str(),
                    Some(stand_in.base_url().as_str())
                );
                assert_eq!(family, other);
            }
        }
    }
}
