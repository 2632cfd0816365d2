//! Caps on connections, and life without file descriptors.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tokio::net::TcpStream;
use watchword_http::client_address::{ForwardingHeader, TrustedProxies};
use watchword_http::serve::{ConnectionEvent, Limits, Settings};

use crate::harness::{Client, Server, patient, settings, soon};

const REQUEST: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn one_source_gets_its_share_of_connections_and_no_more() {
    let limits = Limits {
        connections_per_source: 3,
        ..Limits::default()
    };
    let server = Server::start(Settings {
        limits,
        ..settings(patient())
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.write(REQUEST).await;
        assert!(client.response().await.ends_with("hello"));
        held.push(client);
    }
    let mut fourth = server.connect().await;
    fourth.write(REQUEST).await;
    assert_eq!(fourth.rest().await, "", "closed unanswered");
    assert_eq!(server.memory.count(ConnectionEvent::RefusedSource), 1);
    held.pop();
    server.memory.events(ConnectionEvent::Closed, 1).await;
    server.is_alive().await;
}

#[tokio::test]
async fn the_listener_has_a_total_that_binds_proxies_too() {
    let limits = Limits {
        connections: 2,
        connections_per_source: 1,
        ..Limits::default()
    };
    let proxies = TrustedProxies::parse(ForwardingHeader::XForwardedFor, ["127.0.0.1"]).unwrap();
    let server = Server::start(Settings {
        limits,
        proxies,
        ..settings(patient())
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.write(REQUEST).await;
        assert!(
            client.response().await.ends_with("hello"),
            "a proxy is no single source"
        );
        held.push(client);
    }
    let mut third = server.connect().await;
    third.write(REQUEST).await;
    assert_eq!(third.rest().await, "");
    assert_eq!(server.memory.count(ConnectionEvent::RefusedFull), 1);
}

/// Not a test of its own: what `running_out_of_file_descriptors_is_survived` runs in a process whose
/// descriptors are few. Serves until its standard input ends.
#[tokio::test]
async fn child_that_serves_with_few_descriptors() {
    if std::env::var_os("WATCHWORD_TEST_FEW_DESCRIPTORS").is_none() {
        return;
    }
    let server = Server::start(settings(patient())).await;
    let memory = std::sync::Arc::clone(&server.memory);
    #[allow(clippy::print_stdout, reason = "how the parent learns the port")]
    {
        println!("\nlistening {}", server.address);
        memory.events(ConnectionEvent::AcceptFailed, 1).await;
        println!("\nexhausted");
    }
    let wait = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    let _ = wait.await;
}

#[tokio::test]
async fn running_out_of_file_descriptors_is_survived() {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" --exact --nocapture \"$1\"",
        ])
        .arg(program)
        .arg("caps::child_that_serves_with_few_descriptors")
        .env("WATCHWORD_TEST_FEW_DESCRIPTORS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let address = lines
        .find_map(|line| Some(line.strip_prefix("listening ")?.to_owned()))
        .unwrap();

    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(&address).await.unwrap());
    }
    // Waits until the server has failed to accept, blocking only this test's thread.
    assert!(lines.any(|line| line == "exhausted"));
    drop(held);

    let mut client = Client(TcpStream::connect(&address).await.unwrap());
    client.write(REQUEST).await;
    let answer = client.response().await;
    assert!(answer.ends_with("hello"), "it serves again: {answer}");
    drop(child.stdin.take());
    let ended = soon(tokio::task::spawn_blocking(move || child.wait())).await;
    assert!(ended.unwrap().unwrap().success());
}
