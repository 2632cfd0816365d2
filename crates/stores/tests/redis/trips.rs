//! How often a step goes to the server.

use watchword_core::Store as _;
use watchword_core::fakes::SetClock;
use watchword_core::{AppId, CheckError, Clock as _};

use super::fixture::on_a_server;
use super::node::{Node, WRONG};
use super::servers::{Answer, RawConnection};

const TO: &str = "+14155552671";

/// What clients said since the last time, scripts left out, about keys of one namespace.
fn said(monitor: &mut RawConnection, raw: &mut RawConnection, url: &str) -> Vec<String> {
    let namespace = url.split_once("namespace=").unwrap().1;
    raw.ask(&["ECHO", "that was it"]);
    let mut said = Vec::new();
    while let Some(line) = monitor.line() {
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("that was it") {
            break;
        }
        let own = line.contains(&format!("\"{namespace}:"));
        if own && !line.contains(" lua]") && !line.contains("api-keys") {
            said.push(line);
        }
    }
    said
}

/// A start and a check are one round trip each, and one more where a source is charged, first.
#[tokio::test]
async fn a_start_and_a_check_take_one_round_trip_each() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let node = Node::of(fixture.port(), 1);
    let now = SetClock::default().now();
    // From here on the server knows the scripts.
    let id = node.started("+14155550000").await;
    node.check(id, WRONG).await.unwrap_err();
    node.start("+14155550001", Some("198.51.100.7"))
        .await
        .unwrap();
    fixture.get(&AppId::default(), id, now).await.unwrap();
    let (mut monitor, mut raw) = (fixture.server.connect(), fixture.server.connect());
    assert_eq!(monitor.ask(&["MONITOR"]), Answer::Text(b"OK".to_vec()));

    let found = fixture.get(&AppId::default(), id, now).await.unwrap();
    assert!(found.is_some());
    let lines = said(&mut monitor, &mut raw, &fixture.url);
    assert_eq!(lines.len(), 1, "{lines:?}");

    node.check(id, WRONG).await.unwrap_err();
    let lines = said(&mut monitor, &mut raw, &fixture.url);
    assert_eq!(lines.len(), 1, "{lines:?}");

    // Once more each, as the end of the hand-over is noted.
    let id = node.started(TO).await;
    let lines = said(&mut monitor, &mut raw, &fixture.url);
    assert_eq!(lines.len(), 2, "{lines:?}");
    node.start("+14155550002", Some("198.51.100.7"))
        .await
        .unwrap();
    let lines = said(&mut monitor, &mut raw, &fixture.url);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains(":s"), "the source comes first: {lines:?}");

    node.check(id, &node.code(id)).await.unwrap();
    let lines = said(&mut monitor, &mut raw, &fixture.url);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// Only the node that sent a code knows at once what its digest binds. Another one asks, and that
/// costs no attempt.
#[tokio::test]
async fn a_check_at_another_node_takes_a_second_trip_and_one_attempt() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let other = fixture.beside().await;
    let nodes = [Node::of(fixture.port(), 1), Node::of(other.store(), 2)];
    // From here on the server knows the scripts.
    let id = nodes[0].started("+14155550000").await;
    nodes[0].check(id, WRONG).await.unwrap_err();
    let id = nodes[0].started(TO).await;
    let (mut monitor, mut raw) = (fixture.server.connect(), fixture.server.connect());
    assert_eq!(monitor.ask(&["MONITOR"]), Answer::Text(b"OK".to_vec()));
    for (trips, left) in [(2, 4), (1, 3)] {
        let wrong = nodes[1].check(id, WRONG).await;
        let Err(CheckError::Incorrect { attempts_left }) = wrong else {
            panic!("{wrong:?}");
        };
        assert_eq!(attempts_left, left);
        let lines = said(&mut monitor, &mut raw, &fixture.url);
        assert_eq!(lines.len(), trips, "{lines:?}");
    }
    let right = nodes[1].check(id, &nodes[0].code(id)).await;
    assert!(right.is_ok(), "{right:?}");
}
