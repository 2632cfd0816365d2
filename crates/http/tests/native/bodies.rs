//! Malformed bodies: always a 4xx that names the place, never a 500, nothing sent, nothing counted.

use axum::body::Body;
use axum::http::Method;
use bytes::Bytes;
use serde_json::json;

use crate::world::{JSON, PHONE, World};

async fn refused(world: &World, path: &str, body: impl Into<Body>) -> crate::world::Answer {
    world
        .send(Method::POST, path, &[("content-type", JSON)], body)
        .await
}

#[tokio::test]
async fn malformed_starts_are_400_at_the_right_pointer_and_send_nothing() {
    let world = World::new();
    let phone = |rest: &str| format!(r#"{{"to":"{PHONE}",{rest}}}"#).into_bytes();
    let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(17), "}".repeat(17));
    let large = format!(r#""metadata":{{"a":"{}"}}"#, "x".repeat(1020));
    let long = "x".repeat(65);
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (b"".to_vec(), &[""]),
        (b"null".to_vec(), &[""]),
        (b"[]".to_vec(), &[""]),
        (b"\"text\"".to_vec(), &[""]),
        (b"{".to_vec(), &[""]),
        (br#"{"to":"+14155550123"} x"#.to_vec(), &[""]),
        (br#"{"to":"+14155550123",}"#.to_vec(), &[""]),
        (b"{\"to\":\"\xff\"}".to_vec(), &[""]),
        (b"{\"to\":\"+1415\x0055550123\"}".to_vec(), &[""]),
        (b"{}".to_vec(), &["/to"]),
        (br#"{"to":null}"#.to_vec(), &["/to"]),
        (br#"{"to":14155550123}"#.to_vec(), &["/to"]),
        (
            br#"{"to":["+14155550123","+14155550199"]}"#.to_vec(),
            &["/to"],
        ),
        (br#"{"to":{"number":"+14155550123"}}"#.to_vec(), &["/to"]),
        (br#"{"to":"+14155550123,+14155550199"}"#.to_vec(), &["/to"]),
        (
            br#"{"to":"a@example.com,b@example.com"}"#.to_vec(),
            &["/to"],
        ),
        (br#"{"to":"+14155550123;ext=1"}"#.to_vec(), &["/to"]),
        (br#"{"to":"+14155550123\u0000"}"#.to_vec(), &["/to"]),
        (br#"{"to":"\ud83d"}"#.to_vec(), &["/to"]),
        (br#"{"to":"5550123"}"#.to_vec(), &["/to"]),
        (br#"{"to":"' OR 1=1; --@"}"#.to_vec(), &["/to"]),
        (
            br#"{"to":"+14155550123","to":"+14155550199"}"#.to_vec(),
            &["/to"],
        ),
        (
            br#"{"to":"+14155550123","t\u006f":"+14155550199"}"#.to_vec(),
            &["/to"],
        ),
        (phone(r#""TO":"x""#), &["/TO"]),
        (phone(r#""$where":"1""#), &["/$where"]),
        (phone(r#""a/b~c":1"#), &["/a~1b~0c"]),
        (phone(r#""code":"123456""#), &["/code"]),
        (phone(r#""channel":"pigeon""#), &["/channel"]),
        (phone(r#""channel":null"#), &["/channel"]),
        (phone(r#""channel":[]"#), &["/channel"]),
        (phone(r#""channel":["sms","sms"]"#), &["/channel/1"]),
        (phone(r#""channel":["sms",5]"#), &["/channel/1"]),
        (phone(r#""channel":["sms",["voice"]]"#), &["/channel/1"]),
        (phone(r#""channel":"email""#), &["/channel"]),
        (phone(r#""channel":["sms","email"]"#), &["/channel/1"]),
        (phone(r#""purpose":"""#), &["/purpose"]),
        (phone(r#""purpose":7"#), &["/purpose"]),
        (phone(r#""purpose":"log\u0000in""#), &["/purpose"]),
        (phone(&format!(r#""purpose":"{long}""#)), &["/purpose"]),
        (phone(r#""locale":"../en""#), &["/locale"]),
        (phone(r#""locale":true"#), &["/locale"]),
        (phone(r#""remember_me":"yes""#), &["/remember_me"]),
        (phone(r#""remember_me":1"#), &["/remember_me"]),
        (
            phone(r#""end_user_ip":"not an address""#),
            &["/end_user_ip"],
        ),
        (phone(r#""end_user_ip":"10.0.0.0/8""#), &["/end_user_ip"]),
        (phone(r#""metadata":[]"#), &["/metadata"]),
        (phone(r#""metadata":null"#), &["/metadata"]),
        (
            phone(r#""metadata":{"a":{"b":1,"b":2}}"#),
            &["/metadata/a/b"],
        ),
        (phone(r#""metadata":{"a":"\u0000"}"#), &["/metadata/a"]),
        (phone(r#""metadata":{"a":"\udc00"}"#), &["/metadata"]),
        (phone(r#""metadata":{"a":1e400}"#), &["/metadata"]),
        (phone(&large), &["/metadata"]),
        (phone(r#""binding":{"a":{"b":1,"b":2}}"#), &["/binding/a/b"]),
        (phone(r#""binding":"\ud800""#), &["/binding"]),
        (phone(r#""code_length":5"#), &["/code_length"]),
        (phone(r#""code_length":11"#), &["/code_length"]),
        (phone(r#""code_length":"8""#), &["/code_length"]),
        (phone(r#""ttl":29"#), &["/ttl"]),
        (phone(r#""ttl":601"#), &["/ttl"]),
        (phone(r#""ttl":60.0"#), &["/ttl"]),
        (phone(r#""ttl":"60""#), &["/ttl"]),
        (phone(r#""ttl":-1"#), &["/ttl"]),
        (phone(r#""ttl":9223372036854775808"#), &["/ttl"]),
        (phone(r#""ttl":1e400"#), &["/ttl"]),
        (phone(r#""ttl":null"#), &["/ttl"]),
        (
            phone(r#""ttl":1,"purpose":2,"x":3"#),
            &["/purpose", "/ttl", "/x"],
        ),
    ];
    assert!(cases.len() >= 30);
    for (body, pointers) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = refused(&world, "/v1/verifications", body).await;
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text);
        assert_eq!(answer.code(), "invalid-request", "{shown}");
        assert_eq!(answer.pointers(), pointers, "{shown}");
        assert!(!answer.text.contains("4155550123"), "{}", answer.text);
    }
    for member in ["metadata", "binding"] {
        for deep in [&deep, &deep_object] {
            let body = phone(&format!(r#""{member}":{deep}"#));
            refused(&world, "/v1/verifications", body)
                .await
                .is(400, "invalid-request");
        }
    }
    assert_eq!(world.pigeon.count(), 0);
    // None of it consumed a slot, nor began a cooldown.
    world.start(PHONE).await;
}

#[tokio::test]
async fn malformed_checks_are_400_and_cost_no_attempt() {
    let world = World::new();
    let id = world.start(PHONE).await;
    let many: Vec<_> = (0..100).map(|code| format!("{code:06}")).collect();
    for body in [
        "{}".to_owned(),
        r#"{"code":true}"#.to_owned(),
        r#"{"code":0}"#.to_owned(),
        r#"{"code":123456}"#.to_owned(),
        r#"{"code":null}"#.to_owned(),
        r#"{"code":""}"#.to_owned(),
        r#"{"code":{"$ne":""}}"#.to_owned(),
        json!({ "code": many }).to_string(),
        r#"{"code":"000000","code":"000001"}"#.to_owned(),
        r#"{"code":"000000","attempts":9}"#.to_owned(),
        r#"{"code":"000000","to":"+14155550123"}"#.to_owned(),
        r#"{"code":"000000\u0000"}"#.to_owned(),
        r#"{"code":"000000","binding":{"a":1,"a":1}}"#.to_owned(),
        r#"{"Code":"000000"}"#.to_owned(),
    ] {
        let path = format!("/v1/verifications/{id}/check");
        let answer = refused(&world, &path, body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (400, "invalid-request"),
            "{body}"
        );
        assert!(!answer.pointers().is_empty(), "{body}");
    }
    for (body, pointer) in [
        (json!({ "code": "000000" }), "/to"),
        (json!({ "to": "nobody", "code": "000000" }), "/to"),
        (json!({ "to": "+19005550123", "code": "000000" }), "/to"),
        (
            json!({ "to": PHONE, "code": "000000", "purpose": "" }),
            "/purpose",
        ),
    ] {
        let answer = world.post("/v1/verifications/check", body).await;
        answer.is(400, "invalid-request");
        assert_eq!(answer.pointers(), [pointer]);
    }
    let read = world.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(read.body["attempts_remaining"], 5);
}

#[tokio::test]
async fn only_json_is_read() {
    let world = World::new();
    let body = json!({ "to": PHONE }).to_string();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
    ] {
        let headers = [("content-type", content_type)];
        let answer = world
            .send(Method::POST, "/v1/verifications", &headers, body.clone())
            .await;
        answer.is(415, "unsupported-media-type");
    }
    let untyped = world
        .send(Method::POST, "/v1/verifications", &[], body)
        .await;
    untyped.is(415, "unsupported-media-type");
    assert_eq!(world.pigeon.count(), 0);
}

#[tokio::test]
async fn a_body_of_16_kib_is_read_and_a_byte_more_is_not_whoever_announces_it() {
    let world = World::new();
    let body = |length: usize| {
        let mut body = json!({ "to": PHONE }).to_string();
        let missing = length - body.len();
        body.push_str(&" ".repeat(missing));
        body
    };
    refused(&world, "/v1/verifications", body(16 * 1024 + 1))
        .await
        .is(413, "payload-too-large");
    let announced = [("content-type", JSON), ("content-length", "4294967296")];
    let answer = world
        .send(Method::POST, "/v1/verifications", &announced, "{}")
        .await;
    answer.is(413, "payload-too-large");
    let endless = futures_util::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 512]))
    });
    let answer = refused(&world, "/v1/verifications", Body::from_stream(endless)).await;
    answer.is(413, "payload-too-large");
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
    let answer = refused(&world, "/v1/verifications", Body::from_stream(broken)).await;
    answer.is(400, "invalid-request");
    let whole = refused(&world, "/v1/verifications", body(16 * 1024)).await;
    assert_eq!(whole.status, 201, "{}", whole.text);
}

/// X36, X65: what is an id of nothing leads to nothing, whatever it holds.
#[tokio::test]
async fn what_is_no_id_is_not_found() {
    let world = World::new();
    for id in [
        "x",
        "123",
        "%00",
        "%ff%fe",
        "'%20OR%201=1",
        "..%2f..%2fetc",
        "0192d3a4-5b6c-8d7e-8f90",
    ] {
        world
            .get(&format!("/v1/verifications/{id}"))
            .await
            .is(404, "not-found");
        world
            .delete(&format!("/v1/verifications/{id}"))
            .await
            .is(404, "not-found");
        world.check(id, "000000").await.is(404, "not-found");
        world
            .post(&format!("/v1/verifications/{id}/resend"), json!({}))
            .await
            .is(404, "not-found");
    }
}
