//! Headers, ids, panics, reports: what one request and its response are promised.

use watchword_http::client_address::{ForwardingHeader, TrustedProxies};
use watchword_http::serve::Settings;

use crate::harness::{Cause, Server, header, patient, settings};

#[tokio::test]
async fn every_response_forbids_sniffing_and_storing_and_hides_the_server() {
    let server = Server::start(Settings::default()).await;
    for (method, path) in [
        ("GET", "/hello"),
        ("GET", "/nowhere"),
        ("DELETE", "/hello"),
        ("HEAD", "/hello"),
        ("GET", "/panic"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = server.send(request).await;
        assert_eq!(
            header(&answer, "x-content-type-options"),
            Some("nosniff"),
            "{answer}"
        );
        assert_eq!(
            header(&answer, "cache-control"),
            Some("no-store"),
            "{answer}"
        );
        assert!(header(&answer, "x-request-id").is_some(), "{answer}");
        assert_eq!(header(&answer, "server"), None, "{answer}");
    }
}

#[tokio::test]
async fn a_response_keeps_the_caching_it_chose() {
    let server = Server::start(Settings::default()).await;
    let answer = server
        .send("GET /failing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(
        header(&answer, "cache-control"),
        Some("max-age=60"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_panic_costs_its_own_request_and_not_the_connection() {
    let server = Server::start(Settings::default()).await;
    let mut client = server.connect().await;
    client.write("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.response().await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(
        !answer.contains("402718"),
        "the payload stays here: {answer}"
    );
    client.write("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.response().await;
    assert!(
        answer.ends_with("hello"),
        "the same connection goes on: {answer}"
    );
    let seen = server.memory.requests(2).await;
    assert_eq!(
        (seen[0].status, seen[0].route.as_deref()),
        (500, Some("/panic"))
    );
}

#[tokio::test]
async fn the_observer_hears_the_template_and_never_the_path() {
    let server = Server::start(Settings::default()).await;
    let mut client = server.connect().await;
    client
        .write(
            "POST /echo/402718?code=402718 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        )
        .await;
    let answer = client.response().await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    let seen = server.memory.requests(1).await.remove(0);
    assert_eq!(seen.route.as_deref(), Some("/echo/{name}"));
    assert_eq!((seen.method.as_str(), seen.status), ("POST", 200));
    assert_eq!((seen.body_bytes, seen.complete), (5, true));
    assert_eq!(
        Some(seen.request_id.as_str()),
        header(&answer, "x-request-id")
    );
    assert_eq!(seen.client, "127.0.0.1");
    assert!(!format!("{seen:?}").contains("402718"));
}

#[tokio::test]
async fn an_unknown_path_has_no_template() {
    let server = Server::start(Settings::default()).await;
    server
        .send("GET /402718 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let seen = server.memory.requests(1).await.remove(0);
    assert_eq!((seen.route, seen.status), (None, 404));
}

#[tokio::test]
async fn a_cause_left_in_the_response_reaches_the_observer() {
    let server = Server::start(Settings::default()).await;
    server
        .send("GET /failing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let seen = server.memory.requests(1).await.remove(0);
    assert_eq!((seen.status, seen.cause), (409, Some(Cause("kept"))));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_reported_once_as_499() {
    let server = Server::start(settings(patient())).await;
    let mut client = server.connect().await;
    client
        .write("GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    server.stage.entered(1).await;
    drop(client);
    let seen = server.memory.requests(1).await;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].status, seen[0].complete), (499, false));
    assert_eq!(seen[0].route.as_deref(), Some("/forever"));
}

#[tokio::test]
async fn a_client_that_leaves_behind_its_body_is_reported_as_499() {
    let server = Server::start(settings(patient())).await;
    let mut client = server.connect().await;
    client
        .write("POST /forever HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    server.stage.entered(1).await;
    drop(client);
    let seen = server.memory.requests(1).await;
    assert_eq!((seen[0].status, seen[0].complete), (499, false));
}

#[tokio::test]
async fn a_client_that_leaves_a_page_in_the_making_ends_it() {
    let server = Server::start(settings(patient())).await;
    let mut client = server.connect().await;
    client
        .write("GET /unfinished HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let mut some = [0; 1024];
    crate::harness::soon(tokio::io::AsyncReadExt::read(&mut client.0, &mut some))
        .await
        .unwrap();
    drop(client);
    let seen = server.memory.requests(1).await.remove(0);
    assert_eq!((seen.status, seen.complete), (200, false));
}

#[tokio::test]
async fn what_a_client_sends_while_it_waits_is_its_next_request() {
    let server = Server::start(settings(patient())).await;
    let mut client = server.connect().await;
    client.write("GET /gated HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.stage.entered(1).await;
    let next = "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n";
    client.write(next.to_owned() + &"x".repeat(1200)).await;
    server.is_alive().await;
    server.stage.gate.add_permits(1);
    assert!(client.response().await.ends_with("through"));
    client.write("y".repeat(800)).await;
    let echoed = client.response().await;
    assert!(echoed.ends_with(&("x".repeat(1200) + &"y".repeat(800))));
}

#[tokio::test]
async fn a_response_that_was_not_taken_is_reported_incomplete() {
    let server = Server::start(settings(patient())).await;
    let mut client = server.connect().await;
    client.write("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut some = [0; 1024];
    crate::harness::soon(tokio::io::AsyncReadExt::read(&mut client.0, &mut some))
        .await
        .unwrap();
    drop(client);
    let seen = server.memory.requests(1).await.remove(0);
    assert_eq!((seen.status, seen.complete), (200, false));
    assert!(seen.body_bytes < crate::harness::BIG as u64);
}

#[tokio::test]
async fn requests_on_one_connection_have_ids_of_their_own() {
    let server = Server::start(Settings::default()).await;
    let mut client = server.connect().await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..20 {
        client
            .write("GET /who HTTP/1.1\r\nHost: a\r\nX-Request-Id: chosen\r\n\r\n")
            .await;
        let answer = client.response().await;
        let id = header(&answer, "x-request-id").unwrap().to_owned();
        assert!(
            answer.ends_with(&format!("127.0.0.1 {id}")),
            "handler and header agree: {answer}"
        );
        ids.insert(id);
    }
    assert_eq!(ids.len(), 20);
    assert!(!ids.contains("chosen"), "a stranger does not choose an id");
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_and_the_request() {
    let proxies = TrustedProxies::parse(ForwardingHeader::XForwardedFor, ["127.0.0.0/8"]).unwrap();
    let server = Server::start(Settings {
        proxies,
        ..Settings::default()
    })
    .await;
    let ask = |headers: &str| {
        let request = format!("GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        let server = &server;
        async move { server.send(request).await }
    };
    let answer = ask("X-Forwarded-For: 203.0.113.9\r\nX-Request-Id: edge-1.a_B\r\n").await;
    assert!(answer.ends_with("203.0.113.9 edge-1.a_B"), "{answer}");
    assert_eq!(header(&answer, "x-request-id"), Some("edge-1.a_B"));
    let answer = ask("X-Forwarded-For: 203.0.113.9\r\nX-Request-Id: a b\r\n").await;
    assert_ne!(
        header(&answer, "x-request-id"),
        Some("a b"),
        "an invalid id is replaced"
    );
}

#[tokio::test]
async fn a_stranger_does_not_choose_an_address_by_any_header() {
    let server = Server::start(Settings::default()).await;
    for name in [
        "X-Forwarded-For",
        "Forwarded",
        "X-Real-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
    ] {
        for value in ["203.0.113.9", "for=203.0.113.9"] {
            let request = format!(
                "GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{name}: {value}\r\n\r\n"
            );
            let answer = server.send(request).await;
            assert!(answer.contains("\r\n\r\n127.0.0.1 "), "{name}: {answer}");
        }
    }
}
