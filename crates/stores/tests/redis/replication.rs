//! Replicas: waiting for them, and taking one for the master when Sentinels say so.

use std::time::Duration;

use tokio::time::timeout;
use watchword_core::{CheckError, SendError};
use watchword_stores::RedisTime;

use super::fixture::{HANGS, open};
use super::node::{Node, WRONG};
use super::servers::{Answer, RedisServer, is_there, until};

pub(crate) fn replica_of(master: &RedisServer) -> RedisServer {
    let port = master.port.to_string();
    let replica = RedisServer::start(&[
        "--replicaof",
        "127.0.0.1",
        &port,
        "--repl-diskless-sync-delay",
        "0",
    ]);
    let mut raw = replica.connect();
    until("the replica is in step", || {
        let info = raw.ask(&["INFO", "replication"]).text();
        info.contains("master_link_status:up")
    });
    // The replica says so before the master counts what it confirms.
    let mut raw = master.connect();
    until("the master hears of it", || {
        raw.ask(&["SET", "heard", "", "PX", "1000"]);
        raw.ask(&["WAIT", "1", "100"]) == Answer::Number(1)
    });
    replica
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_step_that_too_few_replicas_confirm_is_an_error_that_stays_paid() {
    if !is_there() {
        return;
    }
    let master = RedisServer::start(&[]);
    let replica = replica_of(&master);
    let url = master.url("?wait_replicas=1&wait_timeout=900");
    let storage = open(&url, RedisTime::Caller).await.unwrap();
    let node = Node::of(storage.store(), 1);
    let id = node.started("+14155552671").await;
    let wrong = node.check(id, WRONG).await;
    assert!(matches!(
        wrong,
        Err(CheckError::Incorrect { attempts_left: 4 })
    ));

    replica.hang();
    let start = node.start("+14155552672", None).await;
    assert!(matches!(start, Err(SendError::Failure(_))), "{start:?}");
    let right = node.check(id, &node.code(id)).await;
    assert!(matches!(right, Err(CheckError::Failure(_))), "{right:?}");
    assert_eq!(node.pigeon.count(), 1, "nothing is sent");

    replica.go_on();
    // It was approved, and is not approved again.
    let again = node.check(id, &node.code(id)).await;
    assert!(matches!(again, Err(CheckError::NotFound)), "{again:?}");
    let id = node.started("+14155552673").await;
    assert!(node.check(id, &node.code(id)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_that_sentinels_replace_is_left_for_the_new_one() {
    if !is_there() {
        return;
    }
    let master = RedisServer::start(&[]);
    let replica = replica_of(&master);
    let sentinels: Vec<_> = (0..3)
        .map(|_| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("sentinel.conf");
            let settings = format!(
                "sentinel monitor shop 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds shop 500\n\
                 sentinel failover-timeout shop 2000\n",
                master.port
            );
            std::fs::write(&file, settings).unwrap();
            (RedisServer::sentinel(&file), folder)
        })
        .collect();
    for (sentinel, _) in &sentinels {
        let mut raw = sentinel.connect();
        until("the Sentinels know each other and the replica", || {
            let info = raw.ask(&["INFO", "sentinel"]).text();
            info.contains("slaves=1,sentinels=3")
        });
    }
    let hosts: Vec<_> = sentinels
        .iter()
        .map(|(sentinel, _)| format!("127.0.0.1:{}", sentinel.port))
        .collect();
    let url = format!("redis-sentinel://{}/shop", hosts.join(","));
    let storage = open(&url, RedisTime::Caller).await.unwrap();
    let store = storage.store();
    let node = Node::of(store.clone(), 1);
    let id = node.started("+14155552671").await;
    let mut raw = replica.connect();
    until("the replica has heard of it", || {
        raw.ask(&["DBSIZE"]).number() >= 2
    });
    master.kill();
    let dead = timeout(HANGS, node.check(id, WRONG)).await.unwrap();
    assert!(matches!(dead, Err(CheckError::Failure(_))), "{dead:?}");
    timeout(HANGS, async {
        while store.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the replica takes over");
    assert!(node.check(id, &node.code(id)).await.is_ok());
}
