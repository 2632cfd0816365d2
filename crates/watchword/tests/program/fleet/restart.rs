//! One node after the other is replaced while callers go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Fleet, Storage, on_every_store};
use crate::server::{Answer, Caller, another};

on_every_store! {
    a_rolling_restart_under_load_fails_no_request
}

/// The nodes that callers know of, as a load balancer would.
struct Balanced {
    nodes: Mutex<Vec<Caller>>,
    refused: AtomicUsize,
    answered: AtomicUsize,
}

impl Balanced {
    /// One request, at the next node where this one refuses the connection. Whatever else keeps
    /// an answer away is a failure.
    async fn send(&self, turn: usize, method: &str, path: &str, body: Option<&Value>) -> Answer {
        for node in turn.. {
            let caller = {
                let nodes = self.nodes.lock().unwrap();
                nodes[node % nodes.len()].clone()
            };
            match caller.try_send(method, path, body, &[]).await {
                Ok(answer) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return answer;
                }
                Err(error) if error.is_connect() => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => panic!("{method} {path} failed: {error:?}"),
            }
        }
        unreachable!("there is always a next node")
    }
}

/// One caller's recipients: start, miss, approve, try again, each at another node.
async fn work(
    fleet: Arc<Fleet>,
    balanced: Arc<Balanced>,
    first: usize,
    stop: Arc<AtomicBool>,
) -> usize {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let to = format!("+1201555{:04}", first + done);
        let body = json!({ "to": to });
        let started = balanced.send(done, "POST", "/v1/verifications", Some(&body));
        let started = started.await;
        assert_eq!(started.status, 201, "{}", started.text);
        let codes = fleet.codes(&to);
        assert_eq!(codes.len(), 1, "a start was sent {} times", codes.len());
        let path = format!("/v1/verifications/{}/check", started.id());
        let wrong = another(&codes[0]);
        for (turn, code, expected) in [(1, &wrong, 422), (2, &codes[0], 200), (3, &codes[0], 404)] {
            let body = json!({ "code": code });
            let checked = balanced.send(done + turn, "POST", &path, Some(&body)).await;
            assert_eq!(checked.status, expected, "{}", checked.text);
        }
        done += 1;
    }
    done
}

async fn a_rolling_restart_under_load_fails_no_request(storage: Storage) {
    const CALLERS: usize = 6;
    let fleet = Arc::new(Fleet::of(storage).await);
    let balanced = Arc::new(Balanced {
        nodes: Mutex::new(fleet.callers.iter().map(Caller::without_reuse).collect()),
        refused: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
    });
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (fleet, balanced) = (Arc::clone(&fleet), Arc::clone(&balanced));
            let first = caller * (10_000 / CALLERS);
            tokio::spawn(work(fleet, balanced, first, Arc::clone(&stop)))
        })
        .collect();
    let mut replaced = Vec::new();
    for place in 0..fleet.nodes.len() {
        let seen = balanced.answered.load(Ordering::Relaxed);
        while balanced.answered.load(Ordering::Relaxed) < seen + 60 {
            assert!(
                callers.iter().all(|caller| !caller.is_finished()),
                "a caller failed"
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        fleet.nodes[place].signal("TERM");
        let (all, handle) = (Arc::clone(&fleet), tokio::runtime::Handle::current());
        let node = handle
            .spawn_blocking(move || all.serve(place))
            .await
            .unwrap();
        let caller = fleet.callers[place].at(&node).without_reuse();
        balanced.nodes.lock().unwrap()[place] = caller;
        replaced.push(node);
    }
    stop.store(true, Ordering::Relaxed);
    let mut verified = 0;
    for caller in callers {
        verified += caller.await.unwrap();
    }
    let (answered, refused) = (&balanced.answered, &balanced.refused);
    eprintln!(
        "{verified} verified, {} answers, {} refused connections",
        answered.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed)
    );
    assert_eq!(fleet.twilio.messages().len(), verified);
    assert!(replaced.into_iter().all(|node| node.stop().success()));
}
