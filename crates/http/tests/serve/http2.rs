//! HTTP/2: what a polite client gets, and what an abusive one does not. The frames are written by
//! hand where no client library would.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use watchword_http::serve::{ConnectionEvent, Limits, Settings, Stall, Timeouts};

use crate::harness::{SHORT, Server, patient, settings, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// HPACK for `GET /`, `http`, authority `a`.
const GET_ROOT: &[u8] = &[0x82, 0x84, 0x86, 0x41, 1, b'a'];

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HPACK for `GET path`, with one more header.
fn get(path: &str, name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x41, 1, b'a', 0x04];
    for text in [path, name, value] {
        if text.is_empty() {
            continue;
        }
        if text == name {
            block.push(0x00);
        }
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.as_bytes());
    }
    block
}

/// A client of raw frames.
struct Raw(TcpStream);

impl Raw {
    async fn connect(server: &Server) -> Self {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
            .await
            .unwrap();
        Self(tcp)
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon(self.0.write_all(bytes.as_ref())).await.is_ok()
    }

    /// The next frame: kind, stream, payload. `None` once the server has closed.
    async fn frame(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        soon(self.0.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        soon(self.0.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], stream, payload))
    }

    /// Reads until the server has closed, and says which kinds of frames came.
    async fn kinds(&mut self) -> Vec<u8> {
        let mut kinds = Vec::new();
        while let Some((kind, ..)) = self.frame().await {
            kinds.push(kind);
        }
        kinds
    }
}

/// A client of the library, its connection driven in the background.
async fn client(server: &Server) -> SendRequest<Bytes> {
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn fetch(client: &SendRequest<Bytes>, path: &str) -> Result<(StatusCode, String), h2::Error> {
    let mut client = soon(client.clone().ready()).await?;
    let request = Request::get(format!("http://a{path}")).body(()).unwrap();
    let (response, _) = client.send_request(request, true)?;
    let response = soon(response).await?;
    let status = response.status();
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(data) = soon(body.data()).await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    Ok((status, text))
}

#[tokio::test]
async fn a_client_that_knows_is_served_http2_on_a_plain_port() {
    let server = Server::start(Settings::default()).await;
    let client = client(&server).await;
    assert_eq!(
        fetch(&client, "/hello").await.unwrap(),
        (StatusCode::OK, "hello".to_owned())
    );
    let (status, _) = fetch(&client, "/panic").await.unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        fetch(&client, "/hello").await.unwrap().1,
        "hello",
        "the connection goes on"
    );
    let seen = server.memory.requests(3).await;
    assert!(seen.iter().all(|seen| seen.complete), "{seen:?}");
}

#[tokio::test]
async fn the_limits_are_announced() {
    let limits = Limits {
        http2_streams: 7,
        header_bytes: 9000,
        ..Limits::default()
    };
    let server = Server::start(Settings {
        limits,
        ..Settings::default()
    })
    .await;
    let mut raw = Raw::connect(&server).await;
    let (kind, _, payload) = raw.frame().await.unwrap();
    assert_eq!(kind, SETTINGS);
    let setting = |id: u8| {
        payload
            .chunks(6)
            .find(|entry| entry[..2] == [0, id])
            .map(|entry| entry[2..].to_vec())
    };
    assert_eq!(setting(3), Some(vec![0, 0, 0, 7]), "concurrent streams");
    assert_eq!(
        setting(6),
        Some(9000_u32.to_be_bytes().to_vec()),
        "header list"
    );
}

#[tokio::test]
async fn a_header_list_over_its_limit_reaches_no_handler() {
    let server = Server::start(settings(patient())).await;
    let client = client(&server).await;
    let mut ready = client.clone().ready().await.unwrap();
    let request = Request::get("http://a/hello")
        .header("x", "x".repeat(20_000))
        .body(())
        .unwrap();
    let (response, _) = ready.send_request(request, true).unwrap();
    if let Ok(response) = soon(response).await {
        assert_eq!(
            response.status(),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        );
    }
    assert_eq!(server.stage.reached(), 0);
    server.is_alive().await;
}

#[tokio::test]
async fn headers_of_the_connection_are_refused() {
    let server = Server::start(settings(patient())).await;
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "1"),
        ("upgrade", "x"),
        ("Upper", "x"),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.write(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &get("/hello", name, value),
        ))
        .await;
        loop {
            match raw.frame().await {
                None | Some((RST_STREAM | GOAWAY, ..)) => break,
                Some((HEADERS, ..)) => panic!("{name} was answered"),
                Some(_) => {}
            }
        }
    }
    assert_eq!(server.stage.reached(), 0);
    let mut raw = Raw::connect(&server).await;
    raw.write(frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &get("/hello", "x-harmless", "1"),
    ))
    .await;
    server.stage.entered(1).await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection_that_sends_it() {
    let server = Server::start(settings(patient())).await;
    let mut raw = Raw::connect(&server).await;
    let mut flood = Vec::new();
    for stream in (1..20_000).step_by(2) {
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET_ROOT));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    raw.write(flood).await;
    raw.kinds().await;
    server.memory.events(ConnectionEvent::Closed, 1).await;
    server.is_alive().await;
}

#[tokio::test]
async fn an_endless_head_ends_the_connection_that_sends_it() {
    let server = Server::start(settings(patient())).await;
    let mut raw = Raw::connect(&server).await;
    raw.write(frame(HEADERS, END_STREAM, 1, GET_ROOT)).await;
    let more = frame(CONTINUATION, 0, 1, &[0x00, 1, b'x', 1, b'y'].repeat(1000));
    let flood = async { while raw.0.write_all(&more).await.is_ok() {} };
    soon(flood).await;
    server.memory.events(ConnectionEvent::Closed, 1).await;
    server.is_alive().await;
}

#[tokio::test]
async fn pings_do_not_keep_an_idle_connection_open() {
    let server = Server::start(settings(Timeouts {
        idle: SHORT,
        ..patient()
    }))
    .await;
    let mut raw = Raw::connect(&server).await;
    let (mut read, mut write) = raw.0.split();
    let ping = async {
        while write.write_all(&frame(PING, 0, 0, &[7; 8])).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let drain = async {
        let mut space = [0; 1024];
        while matches!(read.read(&mut space).await, Ok(1..)) {}
    };
    soon(async {
        tokio::select! {
            () = ping => {}
            () = drain => {}
        }
    })
    .await;
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Idle), 1)
        .await;
    server.memory.events(ConnectionEvent::Closed, 1).await;
}

#[tokio::test]
async fn half_a_preface_is_let_go() {
    let server = Server::start(settings(Timeouts {
        header: SHORT,
        ..patient()
    }))
    .await;
    let mut client = server.connect().await;
    client.write(&PREFACE[..10]).await;
    assert_eq!(client.rest().await, "");
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Head), 1)
        .await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_let_go() {
    let server = Server::start(settings(Timeouts {
        idle: SHORT,
        ..patient()
    }))
    .await;
    let mut raw = Raw::connect(&server).await;
    raw.write(frame(HEADERS, END_STREAM, 1, GET_ROOT)).await;
    raw.kinds().await;
    server.memory.events(ConnectionEvent::Closed, 1).await;
    assert_eq!(server.memory.finished(), 0);
}

#[tokio::test]
async fn a_stream_whose_window_stays_shut_is_let_go() {
    let timeouts = Timeouts {
        request: SHORT,
        write_stall: SHORT,
        ..patient()
    };
    let server = Server::start(settings(timeouts)).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/big", "", ""));
    tcp.write_all(&[PREFACE, &no_window, &request].concat())
        .await
        .unwrap();
    let mut raw = Raw(tcp);
    raw.kinds().await;
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Write), 1)
        .await;
    let seen = server.memory.requests(1).await.remove(0);
    assert_eq!(
        (seen.route.as_deref(), seen.complete),
        (Some("/big"), false)
    );
}

#[tokio::test]
async fn a_slow_body_costs_its_own_stream_only() {
    let server = Server::start(settings(Timeouts {
        body: SHORT,
        ..patient()
    }))
    .await;
    let client = client(&server).await;
    let mut ready = client.clone().ready().await.unwrap();
    let gated = tokio::spawn({
        let client = client.clone();
        async move { fetch(&client, "/gated").await }
    });
    server.stage.entered(1).await;
    let request = Request::post("http://a/echo/a").body(()).unwrap();
    let (response, _never_sent) = ready.send_request(request, false).unwrap();
    assert_eq!(
        soon(response).await.unwrap().status(),
        StatusCode::REQUEST_TIMEOUT
    );
    server.stage.gate.add_permits(1);
    assert_eq!(soon(gated).await.unwrap().unwrap().1, "through");
}

#[tokio::test]
async fn shutdown_finishes_open_streams_and_closes_idle_connections() {
    let server = Server::start(settings(patient())).await;
    let (busy, idle) = (client(&server).await, client(&server).await);
    assert_eq!(fetch(&idle, "/hello").await.unwrap().1, "hello");
    let gated = tokio::spawn({
        let busy = busy.clone();
        async move { fetch(&busy, "/gated").await }
    });
    server.stage.entered(2).await;
    server.shutdown.cancel();
    server.memory.events(ConnectionEvent::Closed, 1).await;
    assert!(!server.task.is_finished());
    server.stage.gate.add_permits(1);
    assert_eq!(soon(gated).await.unwrap().unwrap().1, "through");
    drop((busy, idle));
    assert!(soon(server.task).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_server_that_is_left_sends_http2_away_and_loses_no_stream_that_crosses_it() {
    let server = Server::start(settings(patient())).await;
    let mut raw = Raw::connect(&server).await;
    assert!(raw.frame().await.is_some(), "it was greeted");
    server.leaving.cancel();
    let (mut last, mut ping) = (None, Vec::new());
    while last.is_none() || ping.is_empty() {
        match raw.frame().await {
            Some((GOAWAY, _, payload)) => last = Some(payload[..4].to_vec()),
            Some((PING, _, payload)) => ping = payload,
            Some(_) => {}
            None => panic!("closed without a word"),
        }
    }
    assert_eq!(
        last.unwrap(),
        0x7fff_ffff_u32.to_be_bytes(),
        "no stream is refused yet"
    );
    // The client had sent it before it heard.
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, GET_ROOT);
    raw.write([request, frame(PING, 1, 0, &ping)].concat())
        .await;
    assert!(raw.kinds().await.contains(&HEADERS), "it was answered");
    assert!(!server.task.is_finished());
    server.shutdown.cancel();
    assert!(soon(server.task).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_silent_idle_client_does_not_hold_up_shutdown() {
    let server = Server::start(settings(patient())).await;
    let mut raw = Raw::connect(&server).await;
    assert!(raw.frame().await.is_some(), "it was greeted");
    server.shutdown.cancel();
    assert!(soon(server.task).await.unwrap().is_complete());
}
