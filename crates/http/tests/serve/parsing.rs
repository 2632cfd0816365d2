//! Requests that two servers could read differently, and requests that are too large, never reach a
//! handler.

use watchword_http::serve::{ConnectionEvent, Settings};

use crate::harness::{Server, header, patient, settings};

#[tokio::test]
async fn an_ambiguous_request_is_answered_400_closed_and_reaches_no_handler() {
    let smuggled = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = "5\r\nhello\r\n0\r\n\r\n";
    let table = [
        ("length and encoding", format!("POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}")),
        ("encoding and length", format!("POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{chunk}")),
        ("two lengths, equal", "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("two lengths", "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_owned()),
        ("a list of lengths", "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello".to_owned()),
        ("a signed length", "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello".to_owned()),
        ("a hexadecimal length", "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello".to_owned()),
        ("white space before a colon", "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello".to_owned()),
        ("a folded line", "POST /echo/a HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("a folded encoding", format!("POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n{chunk}")),
        ("a bare line feed", "POST /echo/a HTTP/1.1\r\nHost: a\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("line feeds only", "POST /echo/a HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello".to_owned()),
        ("a bare line feed at the end", "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\nhello".to_owned()),
        ("a bare carriage return", "POST /echo/a HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\nhello".to_owned()),
        ("an unknown encoding", format!("POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n{chunk}")),
        ("an encoding after chunked", format!("POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n{chunk}")),
        ("two encodings", format!("POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{chunk}")),
        ("an encoding in HTTP/1.0", format!("POST /echo/a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}")),
        ("a chunk size that is not one", "POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a chunk ended by a line feed", "POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n".to_owned()),
        ("no host", "POST /echo/a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("two hosts", "POST /echo/a HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("a null byte", "POST /echo/a HTTP/1.1\r\nHost: a\r\nX: \0\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("an unknown version", "POST /echo/a HTTP/1.2\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("no version", "POST /echo/a\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
    ];
    let server = Server::start(settings(patient())).await;
    for (what, request) in table {
        let answer = server.send(format!("{request}{smuggled}")).await;
        let refused = answer.is_empty()
            || answer.starts_with("HTTP/1.1 400 ")
            || answer.starts_with("HTTP/1.0 400 ");
        assert!(refused, "{what}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.").count(),
            usize::from(!answer.is_empty()),
            "{what}: {answer}"
        );
        assert_eq!(server.stage.reached(), 0, "{what} reached a handler");
    }
    server.is_alive().await;
}

#[tokio::test]
async fn the_same_request_without_the_ambiguity_is_served() {
    let server = Server::start(settings(patient())).await;
    let with_length =
        "POST /echo/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for request in [with_length, chunked] {
        let answer = server.send(request).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_request_is_read_alike_however_its_bytes_are_split() {
    let server = Server::start(settings(patient())).await;
    let one = "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let two = format!("{one}{one}");
    for split in 1..two.len() {
        let mut client = server.connect().await;
        client.0.set_nodelay(true).unwrap();
        client.write(&two[..split]).await;
        tokio::task::yield_now().await;
        client.write(&two[split..]).await;
        client
            .write("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        let answers = client.rest().await;
        assert_eq!(
            answers.matches("HTTP/1.1 200 OK").count(),
            3,
            "split at {split}: {answers}"
        );
        assert_eq!(
            answers.matches("\r\n\r\nhello").count(),
            3,
            "split at {split}: {answers}"
        );
    }
}

#[tokio::test]
async fn a_byte_at_a_time_is_slow_but_right() {
    let server = Server::start(settings(patient())).await;
    let mut client = server.connect().await;
    client.0.set_nodelay(true).unwrap();
    for byte in b"\r\nPOST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" {
        client.write([*byte]).await;
        tokio::task::yield_now().await;
    }
    let answer = client.response().await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn an_ambiguous_request_behind_a_good_one_is_refused_alone() {
    let server = Server::start(settings(patient())).await;
    let good = "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let bad = "POST /echo/a HTTP/1.1\r\nHost: a\nContent-Length: 5\r\n\r\nhello";
    let answers = server.send(format!("{good}{bad}{good}")).await;
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 1, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 400 ").count(), 1, "{answers}");
    assert_eq!(server.stage.reached(), 1);
}

#[tokio::test]
async fn a_chunked_request_is_the_last_of_its_connection() {
    let server = Server::start(settings(patient())).await;
    let chunked = "POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answers = server
        .send(format!("{chunked}GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"))
        .await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    assert_eq!(header(&answers, "connection"), Some("close"));
    assert_eq!(server.stage.reached(), 1);
}

#[tokio::test]
async fn a_head_of_64_kib_or_200_headers_is_answered_431() {
    let server = Server::start(settings(patient())).await;
    let long = format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    let endless = format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\nX: {}",
        "x".repeat(64 * 1024)
    );
    let just_over = format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(16 * 1024)
    );
    let many = format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(200)
    );
    for request in [long, endless, just_over, many] {
        let answer = server.send(&request).await;
        assert!(
            answer.starts_with("HTTP/1.1 431 "),
            "{} bytes: {answer}",
            request.len()
        );
    }
    assert_eq!(server.stage.reached(), 0);
    server.memory.events(ConnectionEvent::Malformed, 4).await;
    let fits = format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n",
        "x".repeat(15 * 1024)
    );
    let answer = server.send(fits).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_request_for_no_path_is_refused_without_a_panic() {
    let server = Server::start(Settings::default()).await;
    for line in [
        "CONNECT a:443",
        "OPTIONS *",
        "TRACE /hello",
        "GET http://b/hello",
        "NONSENSE /hello",
        "GET //",
        "GET /%00%ff",
    ] {
        let answer = server
            .send(format!(
                "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            ))
            .await;
        let status: u16 = answer[9..12].parse().unwrap();
        let expected = if line.contains("http://") {
            200..=200
        } else {
            400..=499
        };
        assert!(expected.contains(&status), "{line}: {answer}");
    }
}

#[tokio::test]
async fn a_body_left_unread_does_not_become_a_request() {
    let server = Server::start(settings(patient())).await;
    let body = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    let request = format!(
        "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = server.send(request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(server.stage.reached(), 1);
}

#[tokio::test]
async fn a_client_that_sends_everything_first_still_gets_to_read_the_answer() {
    let server = Server::start(settings(patient())).await;
    let too_large = "x".repeat(8 * 1024 * 1024);
    let refused = format!("GET /hello HTTP/1.1\r\nHost: a\r\nX: {too_large}\r\n\r\n");
    let unread = format!(
        "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{too_large}",
        too_large.len()
    );
    for (request, status) in [(refused, "431"), (unread, "200")] {
        let mut client = server.connect().await;
        let all = client.write(request).await;
        assert!(all, "it was heard out");
        let answer = client.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}
