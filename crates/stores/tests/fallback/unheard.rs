//! Callers that do not wait for their answer.

use watchword_core::{Refusal, SendError};

use super::server::{Server, WRONG};
use super::site::{Kind, Site};

const TO: &str = "+14155550100";

/// A client that hangs up does not keep a failure from being counted here.
#[tokio::test]
async fn a_check_that_nobody_waits_for_is_counted_all_the_same() {
    let site = Site::new(Kind::Switched).await;
    let server = Server::of(&site);
    for _ in 0..2 {
        let id = server.started(TO).await;
        for _ in 0..5 {
            let mut check = Box::pin(server.check(id, WRONG));
            let polled = futures_util::poll!(&mut check);
            assert!(polled.is_pending());
            drop(check);
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
    site.cut().await;
    assert!(matches!(
        server.start(TO).await,
        Err(SendError::Refused(Refusal::Locked(_)))
    ));
}
