//! A master that becomes a replica: it hangs up on nobody and answers everything, but takes
//! nothing any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use watchword_core::{CheckError, SendError, Store, VerificationId};
use watchword_stores::RedisTime;

use super::fixture::{HANGS, open};
use super::node::{Node, WRONG};
use super::replication::replica_of;
use super::servers::{Answer, RedisServer, is_there, until};

const TO: &str = "+14155552671";

fn follow(server: &RedisServer, host: &str, port: &str) {
    let done = server.connect().ask(&["REPLICAOF", host, port]);
    assert_eq!(done, Answer::Text(b"OK".to_vec()));
}

/// The replica takes over, as a person or a managed service does it.
fn fail_over(master: &RedisServer, replica: &RedisServer) {
    let keys = |server: &RedisServer| server.connect().ask(&["DBSIZE"]);
    until("the replica has all of it", || {
        keys(replica) == keys(master)
    });
    follow(replica, "NO", "ONE");
    follow(master, "127.0.0.1", &replica.port.to_string());
    let mut raw = master.connect();
    until("the master follows", || {
        let info = raw.ask(&["INFO", "replication"]).text();
        info.contains("role:slave") && info.contains("master_link_status:up")
    });
}

async fn is_out_of_order(node: &Node, store: &dyn Store, id: VerificationId) {
    let sent = node.pigeon.count();
    let start = node.start("+14155550142", None).await;
    assert!(matches!(start, Err(SendError::Failure(_))), "{start:?}");
    let check = node.check(id, WRONG).await;
    assert!(matches!(check, Err(CheckError::Failure(_))), "{check:?}");
    store.ready().await.unwrap_err();
    assert_eq!(node.pigeon.count(), sent, "nothing is sent");
}

async fn serves(store: &dyn Store) {
    let serving = timeout(HANGS, async {
        while store.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    serving.await.expect("it does not serve");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_that_becomes_a_replica_is_an_error_until_it_is_a_master_again() {
    if !is_there() {
        return;
    }
    let master = RedisServer::start(&[]);
    let replica = replica_of(&master);
    let storage = open(&master.url(""), RedisTime::Caller).await.unwrap();
    let store = storage.store();
    let node = Node::of(Arc::clone(&store), 1);
    let id = node.started(TO).await;
    fail_over(&master, &replica);
    is_out_of_order(&node, &*store, id).await;
    follow(&master, "NO", "ONE");
    serves(&*store).await;
    assert!(node.check(id, &node.code(id)).await.is_ok());
}

/// Forwards connections to whichever server it is told, as a proxy does, or a name that is looked
/// up. Those that it has made stay where they are.
async fn door_to(port: &Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (door, port) = (listener.local_addr().unwrap().port(), Arc::clone(port));
    tokio::spawn(async move {
        while let Ok((mut inner, _)) = listener.accept().await {
            let port = port.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let mut outer = TcpStream::connect(("127.0.0.1", port)).await?;
                tokio::io::copy_bidirectional(&mut inner, &mut outer).await
            });
        }
    });
    door
}

/// With one connection to a server, and with those that wait for replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_master_behind_the_same_name_is_followed_without_a_restart() {
    if !is_there() {
        return;
    }
    for settings in ["", "?wait_replicas=1&wait_timeout=900"] {
        let master = RedisServer::start(&[]);
        let replica = replica_of(&master);
        let behind = Arc::new(AtomicU16::new(master.port));
        let url = format!("redis://127.0.0.1:{}{settings}", door_to(&behind).await);
        let storage = open(&url, RedisTime::Caller).await.unwrap();
        let store = storage.store();
        let node = Node::of(Arc::clone(&store), 1);
        let id = node.started(TO).await;
        fail_over(&master, &replica);
        is_out_of_order(&node, &*store, id).await;
        behind.store(replica.port, Ordering::SeqCst);
        serves(&*store).await;
        for number in 0..32 {
            node.started(&format!("+1415555{number:04}")).await;
        }
        assert!(node.check(id, &node.code(id)).await.is_ok());
    }
}
