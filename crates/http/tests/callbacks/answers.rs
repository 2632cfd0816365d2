//! What gets to the reader, and what the provider is answered.

use axum::http::Method;
use watchword_core::{Callback, CallbackMethod};

use crate::world::{World, unreadable};

#[tokio::test]
async fn the_reader_gets_every_byte_as_it_came() {
    let world = World::new();
    let body: Vec<u8> = (0..=255).chain([0xFF, 0, b'\r', b'\n', b'&']).collect();
    let uri = "/callbacks/pigeon?b=%2B+x&a=%zz&&b=it's&=";
    for content_type in [
        &b"application/x-www-form-urlencoded"[..],
        b"application/json",
        b"text/plain; charset=utf-16",
        b"multipart/form-data",
        b"\xff",
    ] {
        let headers: [(&str, &[u8]); 5] = [
            ("content-type", content_type),
            ("X-Twilio-Signature", b"a="),
            ("x-twilio-signature", b"b="),
            ("x-odd", b"\xff\xfe"),
            ("host", b"evil.example"),
        ];
        let answer = world.send(Method::POST, uri, &headers, body.clone()).await;
        assert_eq!(answer.status, 200);
        let seen = world.seen();
        assert_eq!(seen.provider, "pigeon");
        assert_eq!(seen.method, CallbackMethod::Post);
        assert_eq!(seen.query.as_deref(), Some("b=%2B+x&a=%zz&&b=it's&="));
        assert_eq!(seen.body, body);
        let mut expected: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()))
            .collect();
        let mut headers = seen.headers;
        headers.sort();
        expected.sort();
        assert_eq!(headers, expected);
    }
    world.send(Method::GET, "/callbacks/pigeon", &[], "").await;
    let seen = world.seen();
    assert_eq!((seen.method, seen.query), (CallbackMethod::Get, None));
}

#[tokio::test]
async fn what_was_read_decides_the_answer() {
    let world = World::new();
    let answer = world.call("x").await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (200, ""));
    assert_eq!(answer.header("content-type"), "");
    assert_eq!(answer.header("cache-control"), "no-store");
    for (callback, status, code) in [
        (Callback::Refused, 401, "unauthenticated"),
        (Callback::Forbidden, 403, "forbidden"),
        (Callback::Unreadable, 400, "invalid-request"),
    ] {
        world.reads(callback);
        for method in [Method::GET, Method::POST] {
            let answer = world.send(method, "/callbacks/pigeon", &[], "x").await;
            answer.is(status, code);
        }
    }
}

#[tokio::test]
async fn a_challenge_is_answered_as_it_is_and_is_never_a_page() {
    let world = World::new();
    world.reads(Callback::Challenge("1158201444".to_owned()));
    let uri = "/callbacks/pigeon?hub.challenge=1158201444";
    let answer = world.send(Method::GET, uri, &[], "").await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (200, "1158201444"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_name_is_one_step_of_the_path_and_nobody_else_is_known() {
    let world = World::new();
    let post = |uri: &'static str| world.send(Method::POST, uri, &[], "x");
    assert_eq!(post("/callbacks/my%20sms").await.status, 200);
    assert_eq!(world.seen().provider, "my sms");
    for uri in [
        "/callbacks/Pigeon",
        "/callbacks/pigeon%20",
        "/callbacks/%FF",
        "/callbacks/..%2Fpigeon",
        "/callbacks/pigeon/",
        "/callbacks/pigeon/x",
        "/callbacks/",
        "/callbacks",
    ] {
        let answer = post(uri).await;
        assert_eq!(answer.status, 404, "{uri}");
        assert_eq!(answer.json()["code"], "not-found");
    }
}

#[tokio::test]
async fn a_body_for_nobody_is_not_read() {
    let world = World::new();
    let body = unreadable();
    let answer = world
        .send(Method::POST, "/callbacks/nobody", &[], body)
        .await;
    answer.is(404, "not-found");
    assert!(world.seen().body.is_empty());
}
