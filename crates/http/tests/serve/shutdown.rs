//! Shutdown finishes what is in flight and waits for nothing else.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use watchword_http::serve::{ConnectionEvent, Drained, Timeouts};

use crate::harness::{SHORT, Server, header, patient, settings, soon};

const REQUEST: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn what_is_in_flight_finishes_while_idle_connections_close_at_once() {
    let server = Server::start(settings(patient())).await;
    let mut idle = server.connect().await;
    idle.write(REQUEST).await;
    assert!(idle.response().await.ends_with("hello"));
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write("GET /gated HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.stage.entered(2).await;

    server.shutdown.cancel();
    assert_eq!(idle.rest().await, "", "closed while another is still busy");
    assert_eq!(
        silent.rest().await,
        "",
        "closed while another is still busy"
    );
    assert!(!server.task.is_finished());
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon(refused).await;

    server.stage.gate.add_permits(1);
    let answer = busy.rest().await;
    assert!(answer.ends_with("through"), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"), "{answer}");
    assert_eq!(soon(server.task).await.unwrap(), Drained { cut_off: 0 });
}

#[tokio::test]
async fn a_server_that_is_left_answers_everybody_once_more_and_sends_them_elsewhere() {
    let server = Server::start(settings(patient())).await;
    let mut kept = server.connect().await;
    kept.write(REQUEST).await;
    assert_eq!(header(&kept.response().await, "connection"), None);
    let mut busy = server.connect().await;
    busy.write("GET /gated HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.stage.entered(2).await;

    server.leaving.cancel();
    let mut newcomer = server.connect().await;
    server.stage.gate.add_permits(1);
    kept.write(REQUEST).await;
    newcomer.write(REQUEST).await;
    for (client, body) in [
        (&mut busy, "through"),
        (&mut kept, "hello"),
        (&mut newcomer, "hello"),
    ] {
        let answer = client.rest().await;
        assert!(answer.ends_with(body), "{answer}");
        assert_eq!(header(&answer, "connection"), Some("close"), "{answer}");
    }
    assert!(!server.task.is_finished(), "it serves until it is closed");
    // Who has nothing to ask is not waited for.
    let mut idle = server.connect().await;
    server.memory.events(ConnectionEvent::Opened, 4).await;
    server.shutdown.cancel();
    assert_eq!(idle.rest().await, "");
    assert!(soon(server.task).await.unwrap().is_complete());
}

/// Closing takes some moments on Linux, in which an answer may not look as if another could follow.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_asks_while_the_server_closes_without_notice_is_sent_elsewhere_too() {
    let server = Server::start(settings(patient())).await;
    let mut kept = server.connect().await;
    kept.write(REQUEST).await;
    assert_eq!(header(&kept.response().await, "connection"), None);
    server.shutdown.cancel();
    kept.write(REQUEST).await;
    let answer = kept.rest().await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"), "{answer}");
    assert!(soon(server.task).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_body_on_its_way_is_awaited() {
    let server = Server::start(settings(patient())).await;
    let mut busy = server.connect().await;
    busy.write(
        "POST /echo/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    )
    .await;
    let mut go_on = [0; 25];
    soon(busy.0.read_exact(&mut go_on)).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "));
    server.shutdown.cancel();
    let mut idle = server.connect_if_open().await;
    if let Some(idle) = &mut idle {
        idle.rest().await;
    }
    busy.write("hello").await;
    assert!(busy.rest().await.ends_with("\r\n\r\nhello"));
    assert!(soon(server.task).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_head_on_its_way_is_awaited() {
    let server = Server::start(settings(patient())).await;
    let mut first = server.connect().await;
    first.write(REQUEST).await;
    assert!(first.response().await.ends_with("hello"));
    first.write("GET /hello HTTP/1.1\r\nHo").await;
    let mut second = server.connect().await;
    second.write("GET /gated HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.stage.entered(2).await;
    // The first connection's bytes were written before the second's, whose handler has begun.
    tokio::time::sleep(SHORT).await;
    server.shutdown.cancel();
    server.stage.gate.add_permits(1);
    assert!(second.rest().await.ends_with("through"));
    first.write("st: a\r\n\r\n").await;
    assert!(first.rest().await.ends_with("hello"));
    assert!(soon(server.task).await.unwrap().is_complete());
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off_and_said_so() {
    let server = Server::start(settings(Timeouts {
        drain: SHORT,
        ..patient()
    }))
    .await;
    let mut stuck = server.connect().await;
    stuck
        .write("GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    server.stage.entered(1).await;
    server.shutdown.cancel();
    assert_eq!(stuck.rest().await, "");
    let drained = soon(server.task).await.unwrap();
    assert_eq!(drained, Drained { cut_off: 1 });
    assert!(!drained.is_complete());
    assert_eq!(server.memory.requests(1).await[0].status, 499);
    assert_eq!(server.memory.count(ConnectionEvent::Closed), 1);
}

#[tokio::test]
async fn giving_up_the_serve_future_closes_everything() {
    let server = Server::start(settings(patient())).await;
    let mut stuck = server.connect().await;
    stuck
        .write("GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    server.stage.entered(1).await;
    server.task.abort();
    assert_eq!(stuck.rest().await, "");
    server.memory.events(ConnectionEvent::Closed, 1).await;
}

#[tokio::test]
async fn nothing_accepted_under_load_is_dropped_by_a_shutdown() {
    let server = Server::start(settings(patient())).await;
    let address = server.address;
    let clients: Vec<_> = (0..32)
        .map(|_| {
            tokio::spawn(async move {
                let mut answered = 0;
                // Each request has a connection of its own: one that was taken must be answered.
                while let Ok(tcp) = TcpStream::connect(address).await {
                    let mut client = crate::harness::Client(tcp);
                    client
                        .write("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        .await;
                    let answer = client.rest().await;
                    if !answer.ends_with("hello") {
                        break;
                    }
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    server.memory.requests(200).await;
    server.shutdown.cancel();
    let mut answered = 0;
    for client in clients {
        answered += soon(client).await.unwrap();
    }
    assert!(soon(server.task).await.unwrap().is_complete());
    assert_eq!(
        answered,
        server.memory.finished(),
        "every request that began was answered"
    );
}

#[tokio::test]
async fn who_is_in_the_queue_when_shutdown_begins_is_answered() {
    let server = Server::start(settings(patient())).await;
    server.is_alive().await;
    // On this single thread the server does not get to accept before it hears of the shutdown.
    let tcp = std::net::TcpStream::connect(server.address).unwrap();
    std::io::Write::write_all(&mut &tcp, REQUEST.as_bytes()).unwrap();
    server.shutdown.cancel();
    tcp.set_nonblocking(true).unwrap();
    let mut queued = crate::harness::Client(TcpStream::from_std(tcp).unwrap());
    assert!(queued.rest().await.ends_with("hello"));
    assert!(soon(server.task).await.unwrap().is_complete());
}
