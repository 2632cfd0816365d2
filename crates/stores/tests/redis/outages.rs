//! Servers that die, hang, forget and come back. An error, never a hang and never a guess; and
//! served again without anybody's help.

use std::time::Duration;

use tokio::time::timeout;
use watchword_core::{CheckError, SendError, Store as _, VerificationId};

use super::fixture::{Fixture, HANGS, on, on_a_server, on_its_own};
use super::node::{Node, WRONG};
use super::servers::{Answer, MASTERS, RedisCluster, RedisServer, is_there, until};

const TO: &str = "+14155552671";

/// What has to end, one way or the other.
async fn ends<T>(what: impl Future<Output = T>) -> T {
    timeout(HANGS, what).await.expect("it hangs")
}

async fn is_out_of_order(node: &Node, fixture: &Fixture<RedisServer>, id: VerificationId) {
    let start = ends(node.start(TO, None)).await;
    assert!(matches!(start, Err(SendError::Failure(_))), "{start:?}");
    let check = ends(node.check(id, WRONG)).await;
    assert!(matches!(check, Err(CheckError::Failure(_))), "{check:?}");
    ends(fixture.ready()).await.unwrap_err();
}

/// Until it serves again, it says that it does not.
async fn serves_again(node: &Node, fixture: &Fixture<RedisServer>) {
    ends(async {
        while fixture.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let id = ends(node.started("+14155550142")).await;
    assert!(ends(node.check(id, &node.code(id))).await.is_ok());
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_and_serves_again_when_it_is_back() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    let node = Node::of(fixture.port(), 1);
    let id = node.started(TO).await;
    fixture.server.kill();
    is_out_of_order(&node, &fixture, id).await;
    assert_eq!(node.pigeon.count(), 1, "nothing is sent meanwhile");
    fixture.server.start_again();
    serves_again(&node, &fixture).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_an_error_and_serves_again_when_it_goes_on() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    let node = Node::of(fixture.port(), 1);
    let id = node.started(TO).await;
    fixture.server.hang();
    is_out_of_order(&node, &fixture, id).await;
    assert_eq!(node.pigeon.count(), 1, "nothing is sent meanwhile");
    fixture.server.go_on();
    serves_again(&node, &fixture).await;
}

/// The guess whose answer was lost was made once, not again: five attempts, five comparisons.
#[tokio::test]
async fn a_lost_answer_is_an_error_and_never_a_second_try() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    let node = Node::of(fixture.port(), 1);
    // From here on the server knows the script.
    let other = node.started("+14155550143").await;
    node.check(other, WRONG).await.unwrap_err();
    let id = node.started(TO).await;
    fixture.server.hang();
    // It goes on while there would still be time for a second try.
    let go_on = async {
        tokio::time::sleep(Duration::from_millis(1300)).await;
        fixture.server.go_on();
    };
    let (lost, ()) = ends(async { tokio::join!(node.check(id, WRONG), go_on) }).await;
    assert!(matches!(lost, Err(CheckError::Failure(_))), "{lost:?}");
    let mut left = Vec::new();
    while let Err(outcome) = ends(node.check(id, WRONG)).await {
        match outcome {
            CheckError::Incorrect { attempts_left } => left.push(attempts_left),
            CheckError::Failure(_) => {}
            _ => break,
        }
    }
    // What was sent before it hung is done when it goes on.
    assert_eq!(left, [3, 2, 1, 0]);
}

/// Lets the runtime see what the other end of its connections did. Each turn looks at them.
async fn looks_at_its_connections() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What is known before a step is sent costs no step: neither a connection that was closed while
/// nobody used it, nor a server that went and came back meanwhile.
#[tokio::test]
async fn a_kept_connection_that_ended_is_replaced_before_the_next_step() {
    if !is_there() {
        return;
    }
    let server = std::sync::Arc::new(RedisServer::start(&["--appendonly", "yes"]));
    let url = server.url("?step_timeout=30000");
    let fixture = on(server, url).await;
    let node = Node::of(fixture.port(), 1);
    let id = node.started(TO).await;
    for left in [4, 3] {
        fixture
            .server
            .connect()
            .ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        looks_at_its_connections().await;
        let wrong = ends(node.check(id, WRONG)).await;
        let counted = matches!(wrong, Err(CheckError::Incorrect { attempts_left, .. }) if attempts_left == left);
        assert!(counted, "{wrong:?}");
    }
    fixture.server.kill();
    looks_at_its_connections().await;
    fixture.server.start_again();
    // It takes connections before it has read what it kept.
    let pong = Answer::Text(b"PONG".to_vec());
    until("it serves", || {
        fixture.server.connect().ask(&["PING"]) == pong
    });
    assert!(ends(node.check(id, &node.code(id))).await.is_ok());
}

#[tokio::test]
async fn scripts_that_a_server_forgot_are_told_again() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let node = Node::of(fixture.port(), 1);
    let id = node.started(TO).await;
    let mut raw = fixture.server.connect();
    for _ in 0..2 {
        raw.ask(&["SCRIPT", "FLUSH"]);
        let wrong = node.check(id, WRONG).await;
        assert!(matches!(wrong, Err(CheckError::Incorrect { .. })));
        raw.ask(&["SCRIPT", "FLUSH"]);
        node.resend(id).await.unwrap();
    }
    assert!(node.check(id, &node.code(id)).await.is_ok());
}

/// With a third of its keys gone, a cluster serves the others; once a replica has taken over, all
/// of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_of_a_cluster_that_dies_takes_no_other_along_and_is_replaced() {
    if !is_there() {
        return;
    }
    let cluster = std::sync::Arc::new(RedisCluster::start());
    let url = cluster.url("");
    let fixture = on(cluster, url).await;
    let node = Node::of(fixture.port(), 1);
    let mut ids = Vec::new();
    for number in 0..30 {
        let to = format!("+1415555{number:04}");
        ids.push(node.started(&to).await);
    }
    fixture.server.nodes[MASTERS - 1].kill();
    let wrong_at_all = async || {
        let mut failed = 0;
        for id in &ids {
            match ends(node.check(*id, WRONG)).await {
                Err(CheckError::Failure(_)) => failed += 1,
                Err(_) => {}
                Ok(_) => panic!("a wrong code was approved"),
            }
        }
        failed
    };
    let failed = wrong_at_all().await;
    assert!(
        failed > 0 && failed < ids.len(),
        "{failed} of {}",
        ids.len()
    );
    fixture.ready().await.unwrap();
    ends(async {
        while wrong_at_all().await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    for number in 0..30 {
        node.started(&format!("+1415556{number:04}")).await;
    }
}
