//! Clients that take too long over anything are let go, and others do not notice.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use watchword_http::serve::{ConnectionEvent, Stall, Timeouts};

use crate::harness::{SHORT, Server, header, patient, settings, soon};

const REQUEST: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

async fn server(timeouts: Timeouts) -> Server {
    Server::start(settings(timeouts)).await
}

/// Writes one byte after another, for ever, until the server has closed.
async fn drip(mut client: crate::harness::Client, bytes: &[u8]) -> String {
    let (mut read, mut write) = client.0.split();
    let drip = async {
        for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
            if tokio::io::AsyncWriteExt::write_all(&mut write, &[*byte])
                .await
                .is_err()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = Vec::new();
    let listen = read.read_to_end(&mut answer);
    soon(async {
        tokio::select! {
            _ = listen => {}
            () = drip => {}
        }
    })
    .await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let server = server(Timeouts {
        header: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    assert_eq!(client.rest().await, "");
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Head), 1)
        .await;
    server.memory.events(ConnectionEvent::Closed, 1).await;
    server.is_alive().await;
}

#[tokio::test]
async fn a_head_that_stops_halfway_is_let_go() {
    let server = server(Timeouts {
        header: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.write("GET /hello HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(server.stage.reached(), 0);
}

#[tokio::test]
async fn a_head_that_drips_for_ever_is_let_go() {
    let server = server(Timeouts {
        header: SHORT,
        ..patient()
    })
    .await;
    let client = server.connect().await;
    drip(client, b"GET /hello HTTP/1.1\r\nHost: a\r\nX: ").await;
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Head), 1)
        .await;
    assert_eq!(server.stage.reached(), 0);
}

#[tokio::test]
async fn the_second_head_of_a_connection_may_not_drip_either() {
    let server = server(Timeouts {
        header: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.write(REQUEST).await;
    assert!(client.response().await.ends_with("hello"));
    drip(client, b"GET /hello HTTP/1.1\r\nHost: a\r\nX: ").await;
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Head), 1)
        .await;
}

#[tokio::test]
async fn a_head_that_began_behind_another_request_may_not_stop_either() {
    let server = server(Timeouts {
        header: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.write(format!("{REQUEST}GET /hello HT")).await;
    let answers = client.rest().await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Head), 1)
        .await;
}

#[tokio::test]
async fn an_idle_connection_may_wait_longer_than_a_head_may_take() {
    let server = server(Timeouts {
        header: Duration::from_millis(50),
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.write(REQUEST).await;
    assert!(client.response().await.ends_with("hello"));
    tokio::time::sleep(SHORT).await;
    client.write(REQUEST).await;
    assert!(
        client.response().await.ends_with("hello"),
        "it was kept alive"
    );
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let server = server(Timeouts {
        idle: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.write(REQUEST).await;
    assert!(client.response().await.ends_with("hello"));
    assert_eq!(client.rest().await, "");
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Idle), 1)
        .await;
    server.memory.events(ConnectionEvent::Closed, 1).await;
}

#[tokio::test]
async fn a_handler_at_work_is_not_idleness() {
    let short = Duration::from_millis(50);
    let server = server(Timeouts {
        idle: short,
        header: short,
        write_stall: short,
        body: short,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.write("GET /gated HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.stage.entered(1).await;
    tokio::time::sleep(SHORT).await;
    server.stage.gate.add_permits(1);
    assert!(client.response().await.ends_with("through"));
}

#[tokio::test]
async fn a_body_that_stops_is_answered_408_and_closed() {
    let server = server(Timeouts {
        body: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client
        .write("POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
    assert_eq!(
        header(&answer, "content-type"),
        Some("application/problem+json")
    );
    assert_eq!(server.stage.reached(), 0);
    assert_eq!(server.memory.requests(1).await[0].status, 408);
}

#[tokio::test]
async fn a_body_that_drips_for_ever_is_cut_off() {
    let server = server(Timeouts {
        body: SHORT,
        ..patient()
    })
    .await;
    for encoding in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let client = server.connect().await;
        let head = format!("POST /echo/a HTTP/1.1\r\nHost: a\r\n{encoding}\r\n\r\nfffff\r\n");
        let answer = drip(client, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{encoding}: {answer}");
    }
    assert_eq!(server.stage.reached(), 0);
}

#[tokio::test]
async fn a_handler_that_does_not_finish_is_answered_503_and_its_work_dropped() {
    let server = server(Timeouts {
        request: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    for _ in 0..4 {
        let request = "GET /forever HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write(request).await;
        let answer = client.response().await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
        assert!(answer.contains("\"detail\":"), "{answer}");
    }
    client.write(REQUEST).await;
    assert!(
        client.response().await.ends_with("hello"),
        "the connection goes on"
    );
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Request), 4)
        .await;
}

#[tokio::test]
async fn a_body_in_time_leaves_the_handler_its_own_time() {
    let server = server(Timeouts {
        body: Duration::from_millis(50),
        request: SHORT * 2,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client
        .write("GET /gated HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    server.stage.entered(1).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    server.stage.gate.add_permits(1);
    assert!(client.response().await.ends_with("through"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let server = server(Timeouts {
        write_stall: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.write("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Write), 1)
        .await;
    server.memory.events(ConnectionEvent::Closed, 1).await;
    let seen = server.memory.requests(1).await.remove(0);
    assert_eq!(seen.route.as_deref(), Some("/big"));
}

#[tokio::test]
async fn a_slow_reader_that_keeps_reading_is_served() {
    let server = server(Timeouts {
        write_stall: SHORT * 2,
        idle: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.write("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut space = vec![0; 1024 * 1024];
    let mut total = 0;
    while total < crate::harness::BIG {
        let read = soon(client.0.read(&mut space)).await.unwrap();
        assert!(read > 0, "cut off after {total}");
        total += read;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test]
async fn many_stalled_clients_do_not_keep_another_waiting() {
    let server = server(Timeouts {
        header: SHORT,
        body: SHORT,
        ..patient()
    })
    .await;
    let mut stalled = Vec::new();
    for index in 0..200 {
        let mut client = server.connect().await;
        match index % 3 {
            0 => {}
            1 => drop(client.write("GET /hello HTTP/1.1\r\nHo").await),
            _ => drop(
                client
                    .write("POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
                    .await,
            ),
        }
        stalled.push(client);
    }
    server.is_alive().await;
    for mut client in stalled {
        let answer = client.rest().await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
    }
    server.memory.events(ConnectionEvent::Closed, 200).await;
}
