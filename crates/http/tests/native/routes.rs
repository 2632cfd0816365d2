//! What holds for every route, driven by the route table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use watchword_http::serve::{Listener, Settings};
use watchword_http::{Area, SurfaceKind, route_table};

use crate::world::{JSON, PHONE, World};

const ID: &str = "0192d3a4-5b6c-8d7e-8f90-123456789abc";

fn concrete(path: &str) -> String {
    path.replace("{id}", ID).replace("{file}", "index.html")
}

/// The methods of each path.
fn paths() -> BTreeMap<String, BTreeSet<String>> {
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for route in route_table(&[SurfaceKind::Native], true).entries() {
        let methods = paths.entry(route.path.clone()).or_default();
        methods.insert(route.method.to_string());
        if route.method == Method::GET {
            methods.insert("HEAD".to_owned());
        }
    }
    paths
}

#[test]
fn the_table_lists_what_the_design_lists() {
    let table = route_table(&[SurfaceKind::Native], false);
    let listed: Vec<_> = table
        .entries()
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    for wanted in [
        "POST /v1/verifications",
        "GET /v1/verifications/{id}",
        "POST /v1/verifications/{id}/check",
        "POST /v1/verifications/check",
        "POST /v1/verifications/{id}/resend",
        "DELETE /v1/verifications/{id}",
        "POST /v1/recipients/unlock",
        "POST /v1/recipients/show",
        "POST /v1/recipients/erase",
        "GET /.well-known/jwks.json",
        "GET /openapi.json",
        "GET /docs/",
        "GET /redoc",
    ] {
        assert!(listed.iter().any(|route| route == wanted), "{wanted}");
    }
    let dev = |route: &watchword_http::RouteEntry| route.area == Area::Dev;
    assert!(
        !table.entries().iter().any(dev),
        "dev mode's pages are in dev mode only"
    );
}

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_405_with_allow() {
    let world = World::dev();
    let all = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
    ];
    for (path, known) in paths() {
        for method in all.iter().filter(|method| !known.contains(**method)) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = world.send(method.clone(), &concrete(&path), &[], "").await;
            assert_eq!(answer.status, 405, "{method} {path}");
            if method != Method::HEAD {
                assert_eq!(answer.code(), "method-not-allowed", "{method} {path}");
            }
            let allowed: BTreeSet<_> = answer
                .header("allow")
                .split(',')
                .map(str::to_owned)
                .collect();
            assert_eq!(allowed, known, "{path}");
        }
    }
}

#[tokio::test]
async fn every_listed_route_is_there() {
    let world = World::dev();
    for route in route_table(&[SurfaceKind::Native], true).entries() {
        if route.path == "/dev/events" {
            continue; // never ends; has a test of its own
        }
        let answer = world
            .send(route.method.clone(), &concrete(&route.path), &[], "")
            .await;
        let missing = answer.text.contains("nothing at this path");
        assert!(
            !missing && answer.status != 405,
            "{} {}",
            route.method,
            route.path
        );
    }
}

/// X21
#[tokio::test]
async fn a_path_has_one_spelling() {
    let world = World::new();
    let id = world.start(PHONE).await;
    for path in [
        "/V1/verifications".to_owned(),
        "/v1/verifications/".to_owned(),
        "/v1//verifications".to_owned(),
        "/v1/./verifications".to_owned(),
        "/v1/x/../verifications".to_owned(),
        "/v1/%2e%2e/v1/verifications".to_owned(),
        "/v0/verifications".to_owned(),
        "/verifications".to_owned(),
        format!("/v1/verifications/{id}/CHECK"),
        format!("/v1/verifications/{id}/check/"),
    ] {
        let answer = world
            .post(&path, json!({ "to": PHONE, "code": "000000" }))
            .await;
        answer.is(404, "not-found");
    }
    let headers = [
        ("x-http-method-override", "DELETE"),
        ("x-method-override", "DELETE"),
    ];
    let read = world
        .send(
            Method::GET,
            &format!("/v1/verifications/{id}"),
            &headers,
            "",
        )
        .await;
    assert_eq!(read.body["status"], "pending");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_on_every_post() {
    let world = World::new();
    for route in route_table(&[SurfaceKind::Native], false).entries() {
        // Callbacks of providers may be larger, and have tests of their own.
        if route.method == Method::POST && route.area != Area::Callbacks {
            let body = vec![b' '; 16 * 1024 + 1];
            let headers = [("content-type", JSON)];
            let answer = world
                .send(Method::POST, &concrete(&route.path), &headers, body)
                .await;
            answer.is(413, "payload-too-large");
        }
    }
}

/// H9: no origin is allowed anything.
#[tokio::test]
async fn no_answer_has_cors_headers() {
    let world = World::dev();
    for (path, methods) in paths() {
        if path == "/dev/events" {
            continue;
        }
        let method = Method::from_bytes(methods.first().unwrap().as_bytes()).unwrap();
        for origin in ["https://evil.example", "null"] {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
            ];
            for method in [method.clone(), Method::OPTIONS] {
                let answer = world.send(method, &concrete(&path), &headers, "").await;
                let cors = answer
                    .headers
                    .keys()
                    .find(|name| name.as_str().starts_with("access-control"));
                assert_eq!(cors, None, "{path}");
            }
        }
    }
}

/// H8, through the serving layer, as clients see it.
#[tokio::test]
async fn everything_dynamic_is_no_store_and_everything_is_nosniff() {
    let world = World::dev();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None)
        .await
        .unwrap();
    let address = listener.local_addr();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(
        world.router.clone(),
        Settings::default(),
        Arc::new(()),
        shutdown.clone(),
    ));
    for route in route_table(&[SurfaceKind::Native], true).entries() {
        let head = head(address, &route.method, &concrete(&route.path)).await;
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.to_owned())
        };
        assert_eq!(
            header("x-content-type-options").as_deref(),
            Some("nosniff"),
            "{}",
            route.path
        );
        assert_eq!(header("server"), None);
        let cached = header("cache-control").unwrap();
        let dynamic = match route.area {
            Area::Surface(_) | Area::Callbacks | Area::Admin => true,
            Area::Dev => !route.path.contains('.'),
            Area::WellKnown | Area::Docs => false,
        };
        match route.path.as_str() {
            "/dev/events" => assert!(cached.contains("no-")),
            _ if dynamic => assert_eq!(cached, "no-store", "{}", route.path),
            _ => assert!(!cached.is_empty()),
        }
    }
    shutdown.cancel();
    let _ = serving.await;
}

/// The head of the answer to a request that a browser could make.
async fn head(address: SocketAddr, method: &Method, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {JSON}\r\ncontent-length: 2\r\n\
         connection: close\r\n\r\n{{}}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(
            socket.read_buf(&mut head).await.unwrap() > 0,
            "{method} {path}"
        );
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    head.split("\r\n\r\n").next().unwrap().to_owned()
}

/// X28: whatever is asked, no answer outside the inbox holds a code that was sent.
#[tokio::test]
async fn no_answer_of_the_surface_holds_a_code() {
    let world = World::without_limits();
    let mut answers = Vec::new();
    for index in 0..20 {
        let to = format!("+1415555{:04}", 100 + index);
        let started = world.post("/v1/verifications", json!({ "to": to })).await;
        let id = started.body["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/verifications/{id}");
        answers.push(started);
        answers.push(world.get(&path).await);
        answers.push(world.post(&format!("{path}/resend"), json!({})).await);
        answers.push(world.check(&id, &world.wrong_code(&id)).await);
        let code = world.code(&id);
        let typo = json!({ "code": code, "x": code });
        answers.push(world.post(&format!("{path}/check"), typo).await);
        answers.push(world.check(&id, &code).await);
        answers.push(world.delete(&path).await);
    }
    let codes = world.codes();
    for answer in answers {
        // Ids, times and tokens hold digits of their own: only whole runs of six count.
        let runs = answer.text.split(|c: char| !c.is_ascii_alphanumeric());
        let runs: BTreeSet<_> = runs.collect();
        let headers: Vec<_> = answer
            .headers
            .values()
            .map(|value| value.to_str().unwrap())
            .collect();
        for code in &codes {
            assert!(!runs.contains(code.as_str()), "{}", answer.text);
            assert!(!headers.contains(&code.as_str()));
        }
    }
}

#[tokio::test]
async fn a_request_without_a_client_address_is_not_served() {
    use tower::ServiceExt as _;
    let world = World::new();
    let request = Request::post("/v1/verifications")
        .header("content-type", JSON)
        .header(
            "authorization",
            format!("Bearer {}", world.key.clone().unwrap()),
        )
        .body(Body::from(json!({ "to": PHONE }).to_string()))
        .unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(
        std::str::from_utf8(&body)
            .unwrap()
            .contains("internal-error")
    );
    assert_eq!(world.pigeon.count(), 0);
}
