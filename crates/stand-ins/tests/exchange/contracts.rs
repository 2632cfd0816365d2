//! Requests that break a contract are refused, and the field is named.

use serde_json::{Value, json};
use watchword_stand_ins::{Family, Options, StandIn, account};

use super::orders::{CODE, Order, basic, call, gupshup, meta, sms, twilio_whatsapp};

async fn start(family: Family) -> StandIn {
    StandIn::start(family, Options::default()).await.unwrap()
}

/// Posts each and gives what was said of it; none may be written down as a message.
async fn refusals(family: Family, orders: Vec<(&str, Order)>) {
    let stand_in = start(family).await;
    for (field, order) in orders {
        let answer = order.post(&stand_in).await.unwrap();
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!((400..500).contains(&answer.status), "{field}: {body}");
        assert!(body.contains(&format!("{field}: ")), "{field}: {body}");
        assert!(!body.contains(CODE), "{body}");
    }
    assert_eq!(stand_in.messages().len(), 0);
}

#[tokio::test]
async fn a_message_to_twilio_that_is_not_of_its_description_is_refused_by_field() {
    let long = "x".repeat(1601);
    let service = [("From", ""), ("MessagingServiceSid", "MG1")];
    let foreign = [
        ("From", ""),
        ("MessagingServiceSid", "MG00000000000000000000000000000009"),
    ];
    let free_text = [
        ("ContentSid", ""),
        ("ContentVariables", ""),
        ("Body", "402718"),
    ];
    refusals(
        Family::Twilio,
        vec![
            ("To", sms(&[("To", "")])),
            ("To", sms(&[("To", "2015550123")])),
            ("From", sms(&[("From", "")])),
            ("From", sms(&[("From", "+12015550199")])),
            ("From", sms(&[("From", "whatsapp:+12015550100")])),
            ("Body", sms(&[("Body", "")])),
            ("Body", sms(&[("Body", &long)])),
            ("ValidityPeriod", sms(&[("ValidityPeriod", "soon")])),
            ("ValidityPeriod", sms(&[("ValidityPeriod", "36001")])),
            (
                "ValidityPeriod",
                sms(&[("ValidityPeriod", "300"), ("ValidityPeriod", "1")]),
            ),
            ("SmartEncoded", sms(&[("SmartEncoded", "maybe")])),
            ("RiskCheck", sms(&[("RiskCheck", "perhaps")])),
            ("Surprise", sms(&[("Surprise", "1")])),
            ("MessagingServiceSid", sms(&service)),
            ("MessagingServiceSid", sms(&foreign)),
            ("StatusCallback", sms(&[("StatusCallback", "/callbacks/x")])),
            (
                "StatusCallback",
                sms(&[("StatusCallback", "https://my_host.example/x")]),
            ),
            (
                "Content-Type",
                sms(&[]).with_header("content-type", "application/json"),
            ),
            ("ContentSid", twilio_whatsapp(&free_text)),
            ("ContentSid", twilio_whatsapp(&[("ContentSid", "HX1")])),
            (
                "ContentSid",
                twilio_whatsapp(&[("ContentSid", account::TWILIO_CONTENT_SID_PENDING)]),
            ),
            (
                "ContentVariables",
                twilio_whatsapp(&[("ContentVariables", "402718")]),
            ),
            (
                "ContentVariables",
                twilio_whatsapp(&[("ContentVariables", r#"{"1":"402718","2":"x"}"#)]),
            ),
            ("From", twilio_whatsapp(&[("From", "+12015550100")])),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_call_that_is_not_of_twilios_description_is_refused_by_field() {
    let long = format!("<Response><Say>{}</Say></Response>", "4, ".repeat(1400));
    refusals(
        Family::Twilio,
        vec![
            ("To", call(&[("To", "Ann")])),
            ("From", call(&[("From", "")])),
            ("From", call(&[("From", "Shop")])),
            ("Twiml", call(&[("Twiml", "")])),
            ("Twiml", call(&[("Twiml", "Your code is 402718")])),
            (
                "Twiml",
                call(&[("Twiml", "<Response><Say>a & b</Say></Response>")]),
            ),
            ("Twiml", call(&[("Twiml", &long)])),
            ("Url", call(&[("Url", "https://example.com/twiml")])),
            ("Timeout", call(&[("Timeout", "601")])),
            ("ValidityPeriod", call(&[("ValidityPeriod", "300")])),
            (
                "StatusCallbackEvent",
                call(&[("StatusCallbackEvent", "hung-up")]),
            ),
            (
                "StatusCallbackMethod",
                call(&[("StatusCallbackMethod", "PUT")]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_message_to_meta_that_is_not_as_documented_is_refused_by_field() {
    let at = |path: &'static str, value: Value| meta(&[(path, value)]);
    let button = "/template/components/1";
    let other = json!([{ "type": "text", "text": "402719" }]);
    let long = json!([{ "type": "text", "text": "4027184027184027" }]);
    refusals(
        Family::Meta,
        vec![
            ("messaging_product", at("/messaging_product", Value::Null)),
            ("to", at("/to", json!("+12015550123"))),
            ("to", at("/to", json!(12_015_550_123_u64))),
            ("type", at("/type", json!("text"))),
            ("surprise", at("/surprise", json!(1))),
            ("template.name", at("/template/name", json!("other"))),
            ("template.name", at("/template/name", json!("Ver Code"))),
            ("template.language", at("/template/language", Value::Null)),
            (
                "template.language.code",
                at("/template/language/code", json!("en-US")),
            ),
            (
                "template.language.code",
                at("/template/language/code", json!("sw")),
            ),
            ("template.components", at(button, Value::Null)),
            (
                "template.components.0.parameters",
                at("/template/components/0/parameters", json!([])),
            ),
            (
                "template.components.0.parameters.0.text",
                at("/template/components/0/parameters", long),
            ),
            (
                "template.components.1.index",
                at("/template/components/1/index", json!(0)),
            ),
            (
                "template.components.1.index",
                at("/template/components/1/index", json!("1")),
            ),
            (
                "template.components.1.sub_type",
                at("/template/components/1/sub_type", json!("copy_code")),
            ),
            (
                "template.components.1.parameters.0.text",
                at("/template/components/1/parameters", other),
            ),
            (
                "biz_opaque_callback_data",
                at("/biz_opaque_callback_data", json!("x".repeat(255))),
            ),
            (
                "Content-Type",
                meta(&[]).with_header("content-type", "text/plain"),
            ),
            (
                "body",
                Order {
                    body: "{".to_owned(),
                    ..meta(&[])
                },
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_message_to_gupshup_that_is_not_as_documented_is_refused_by_field() {
    let template =
        |params: Value| json!({ "id": account::GUPSHUP_TEMPLATE_ID, "params": params }).to_string();
    let (other, none) = (template(json!([CODE, "402719"])), template(json!([])));
    let number = template(json!([402_718]));
    let unknown = template(json!([CODE])).replace("0001", "0009");
    refusals(
        Family::Gupshup,
        vec![
            ("destination", gupshup(&[("destination", "")])),
            ("destination", gupshup(&[("destination", "+12015550123")])),
            ("source", gupshup(&[("source", "12015550199")])),
            ("channel", gupshup(&[("channel", "sms")])),
            ("src.name", gupshup(&[("src.name", "Other")])),
            ("template", gupshup(&[("template", "402718")])),
            ("template.params", gupshup(&[("template", &none)])),
            ("template.params.0", gupshup(&[("template", &number)])),
            ("template.params.1", gupshup(&[("template", &other)])),
            ("template.id", gupshup(&[("template", &unknown)])),
            ("surprise", gupshup(&[("surprise", "1")])),
            (
                "Content-Type",
                gupshup(&[]).with_header("content-type", "application/json"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn wrong_credentials_are_refused_as_each_provider_does_it() {
    let sid = account::TWILIO_ACCOUNT_SID;
    let wrong = basic(sid, "wrong");
    let (twilio, at_meta, at_gupshup) = (
        start(Family::Twilio).await,
        start(Family::Meta).await,
        start(Family::Gupshup).await,
    );
    let answer = sms(&[])
        .with_header("authorization", &wrong)
        .post(&twilio)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (401, &json!(20_003))
    );
    let key = basic(account::TWILIO_API_KEY, account::TWILIO_API_SECRET);
    let answer = sms(&[])
        .with_header("authorization", &key)
        .post(&twilio)
        .await
        .unwrap();
    assert_eq!(answer.status, 201);
    let mut elsewhere = sms(&[]);
    elsewhere.path = elsewhere.path.replace("0001/", "0002/");
    let answer = elsewhere.post(&twilio).await.unwrap();
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (404, &json!(20_404))
    );
    let order = meta(&[]).with_header("authorization", "Bearer wrong");
    let answer = order.post(&at_meta).await.unwrap();
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (401, &json!(190))
    );
    let order = gupshup(&[]).with_header("apikey", "wrong");
    let answer = order.post(&at_gupshup).await.unwrap();
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (401, &json!("error"))
    );
}
