//! How often a step goes to the server.

use watchword_core::Store as _;
use watchword_core::fakes::SetClock;
use watchword_core::moving::copy;
use watchword_core::{AppId, Channel, CheckError, Clock as _};

use super::fixture::on_a_server;
use super::node::{Node, WRONG};
use super::servers::{Answer, RawConnection};

const TO: &str = "+14155552671";

/// What clients said since the last time, scripts left out, about keys of one namespace.
fn said(monitor: &mut RawConnection, raw: &mut RawConnection, url: &str) -> Vec<String> {
    let namespace = url.split_once("namespace=").unwrap().1;
    // Other tests hear, and say, the same on the server that all share.
    let that_was_it = format!("that was it of {namespace}\"");
    raw.ask(&["ECHO", that_was_it.trim_end_matches('"')]);
    let mut said = Vec::new();
    while let Some(line) = monitor.line() {
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(&that_was_it) {
            break;
        }
        let own = line.contains(&format!("\"{namespace}:"));
        if own && !line.contains(" lua]") && !line.contains("api-keys") {
            said.push(line);
        }
    }
    said
}

/// A start, with or without a source that pays, and a check are one round trip each.
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
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains(":s"),
        "the source pays as well: {lines:?}"
    );

    node.check(id, &node.code(id)).await.unwrap();
    let lines = said(&mut monitor, &mut raw, &fixture.url);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// Whoever checks knows a part of what the digest binds only; the server knows the rest.
#[tokio::test]
async fn a_check_at_another_node_takes_one_round_trip() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let other = fixture.beside().await;
    let nodes = [Node::of(fixture.port(), 1), Node::of(other.store(), 2)];
    // From here on the server knows the scripts.
    let id = nodes[0].started("+14155550000").await;
    nodes[0].check(id, WRONG).await.unwrap_err();
    nodes[0].resend(id).await.unwrap();
    let id = nodes[0].started(TO).await;
    let (mut monitor, mut raw) = (fixture.server.connect(), fixture.server.connect());
    assert_eq!(monitor.ask(&["MONITOR"]), Answer::Text(b"OK".to_vec()));
    let wrong = nodes[1].check(id, WRONG).await;
    let one_less = matches!(wrong, Err(CheckError::Incorrect { attempts_left: 4 }));
    assert!(one_less, "{wrong:?}");
    let lines = said(&mut monitor, &mut raw, &fixture.url);
    assert_eq!(lines.len(), 1, "{lines:?}");
    // Also where the other node is the one that knows.
    let voice = Some(Channel::Voice);
    nodes[1].resend_over(id, voice).await.unwrap();
    said(&mut monitor, &mut raw, &fixture.url);
    let right = nodes[0].check(id, &nodes[1].code(id)).await;
    assert!(right.is_ok(), "{right:?}");
    let lines = said(&mut monitor, &mut raw, &fixture.url);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// Nobody knew its code when it was written, so the server cannot compare by its own hash.
#[tokio::test]
async fn a_check_of_a_code_that_was_copied_here_takes_a_second_trip_and_one_attempt() {
    let (Some(from), Some(to)) = (on_a_server().await, on_a_server().await) else {
        return;
    };
    let nodes = [Node::of(from.port(), 1), Node::of(to.port(), 2)];
    let ids = [
        nodes[0].started(TO).await,
        nodes[0].started("+14155550000").await,
    ];
    let now = SetClock::default().now();
    copy(&*from.store, &*to.store, now, &|_| {}).await.unwrap();
    // From here on the server knows the scripts.
    nodes[1].check(ids[1], WRONG).await.unwrap_err();
    let (mut monitor, mut raw) = (to.server.connect(), to.server.connect());
    assert_eq!(monitor.ask(&["MONITOR"]), Answer::Text(b"OK".to_vec()));
    for left in [4, 3] {
        let wrong = nodes[1].check(ids[0], WRONG).await;
        let Err(CheckError::Incorrect { attempts_left }) = wrong else {
            panic!("{wrong:?}");
        };
        assert_eq!(attempts_left, left);
        let lines = said(&mut monitor, &mut raw, &to.url);
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
    let right = nodes[1].check(ids[0], &nodes[0].code(ids[0])).await;
    assert!(right.is_ok(), "{right:?}");
    // A fresh code is one of here.
    nodes[1].resend(ids[1]).await.unwrap();
    said(&mut monitor, &mut raw, &to.url);
    let right = nodes[1].check(ids[1], &nodes[1].code(ids[1])).await;
    assert!(right.is_ok(), "{right:?}");
    let lines = said(&mut monitor, &mut raw, &to.url);
    assert_eq!(lines.len(), 1, "{lines:?}");
}
