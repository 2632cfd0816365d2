//! One node after the other is replaced while callers go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::{JoinHandle, block_in_place};

use super::kept::{Kept, Places};
use super::{Fleet, POLICY, Storage, on_every_store, until};
use crate::server::{Answer, Caller, SHUTDOWN_DELAY, Server, another};

on_every_store! {
    a_rolling_restart_under_load_fails_no_request
    a_rolling_restart_fails_no_request_of_a_kept_connection
}

const CALLERS: usize = 6;
const NODES: usize = 3;

/// How a caller's requests get to the nodes.
pub(super) trait Client: Send + 'static {
    /// One request, at the node whose turn it is or at a later one. Panics where it fails.
    fn send(
        &mut self,
        turn: usize,
        method: &str,
        path: &str,
        body: &Value,
    ) -> impl Future<Output = Answer> + Send;
}

/// The nodes that callers know of, as a load balancer would.
#[derive(Default)]
pub(super) struct Balanced {
    nodes: Mutex<Vec<Caller>>,
    refused: AtomicUsize,
}

impl Balanced {
    pub(super) fn take_in(&self, callers: impl Iterator<Item = Caller>) {
        let callers = callers.map(|caller| caller.without_reuse());
        *self.nodes.lock().unwrap() = callers.collect();
    }

    /// The same caller goes to another process from now on.
    pub(super) fn replace(&self, place: usize, node: &Server) {
        let mut nodes = self.nodes.lock().unwrap();
        nodes[place] = nodes[place].at(node);
    }
}

/// What a check names.
#[derive(Clone, Copy)]
pub(super) enum By {
    Handle,
    Recipient,
}

/// What the numbers of a load begin with, and what its checks name.
pub(super) type Whom = (&'static str, By);

const USUAL: Whom = ("+1201555", By::Handle);

/// A connection for each request.
impl Client for Arc<Balanced> {
    /// At the next node where this one refuses the connection. Whatever else keeps an answer away
    /// is a failure.
    async fn send(&mut self, turn: usize, method: &str, path: &str, body: &Value) -> Answer {
        for node in turn.. {
            let caller = {
                let nodes = self.nodes.lock().unwrap();
                nodes[node % nodes.len()].clone()
            };
            match caller.try_send(method, path, Some(body), &[]).await {
                Ok(answer) => return answer,
                Err(error) if error.is_connect() => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => panic!("{method} {path} failed: {error:?}"),
            }
        }
        unreachable!("there is always a next node")
    }
}

/// Callers that work until they are told to stop.
pub(super) struct Load {
    callers: Vec<JoinHandle<usize>>,
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Load {
    pub(super) fn begin<C: Client>(fleet: &Arc<Fleet>, whom: Whom, client: impl Fn() -> C) -> Self {
        let (answered, stop) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let callers = (0..CALLERS).map(|caller| {
            let first = caller * (10_000 / CALLERS);
            let told = (Arc::clone(&answered), Arc::clone(&stop));
            tokio::spawn(work(Arc::clone(fleet), client(), (first, whom), told))
        });
        Self {
            callers: callers.collect(),
            answered,
            stop,
        }
    }

    /// Waits for so many more answers.
    pub(super) async fn goes_on_for(&self, answers: usize) {
        let seen = self.answered.load(Ordering::Relaxed);
        while self.answered.load(Ordering::Relaxed) < seen + answers {
            let failed = self.callers.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a caller failed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many verifications came to their end, and how many answers there were.
    pub(super) async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let mut verified = 0;
        for caller in self.callers {
            verified += caller.await.unwrap();
        }
        (verified, self.answered.load(Ordering::Relaxed))
    }
}

/// One caller's recipients: start, miss, approve, try again, each at another node.
async fn work<C: Client>(
    fleet: Arc<Fleet>,
    mut client: C,
    (first, (prefix, by)): (usize, Whom),
    (answered, stop): (Arc<AtomicUsize>, Arc<AtomicBool>),
) -> usize {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let to = format!("{prefix}{:04}", first + done);
        let body = json!({ "to": to });
        let started = client.send(done, "POST", "/v1/verifications", &body).await;
        assert_eq!(started.status, 201, "{}", started.text);
        let codes = fleet.codes(&to);
        assert_eq!(codes.len(), 1, "a start was sent {} times", codes.len());
        let path = match by {
            By::Handle => format!("/v1/verifications/{}/check", started.id()),
            By::Recipient => "/v1/verifications/check".to_owned(),
        };
        let wrong = another(&codes[0]);
        for (turn, code, expected) in [(1, &wrong, 422), (2, &codes[0], 200), (3, &codes[0], 404)] {
            let body = match by {
                By::Handle => json!({ "code": code }),
                By::Recipient => json!({ "to": to, "code": code }),
            };
            let checked = client.send(done + turn, "POST", &path, &body).await;
            assert_eq!(checked.status, expected, "{}", checked.text);
        }
        answered.fetch_add(4, Ordering::Relaxed);
        done += 1;
    }
    done
}

async fn a_rolling_restart_under_load_fails_no_request(storage: Storage) {
    let fleet = Arc::new(Fleet::of(storage).await);
    let balanced = Arc::new(Balanced::default());
    balanced.take_in(fleet.callers.iter().cloned());
    let load = Load::begin(&fleet, USUAL, || Arc::clone(&balanced));
    let mut replaced = Vec::new();
    for place in 0..NODES {
        load.goes_on_for(60).await;
        fleet.nodes[place].signal("TERM");
        let node = block_in_place(|| fleet.serve(place));
        balanced.replace(place, &node);
        replaced.push(node);
    }
    let (verified, answers) = load.end().await;
    let refused = balanced.refused.load(Ordering::Relaxed);
    eprintln!("{verified} verified, {answers} answers, {refused} refused connections");
    assert_eq!(fleet.twilio.messages().len(), verified);
    assert!(replaced.into_iter().all(|node| node.stop().success()));
}

/// A node that goes on for a while after it was told to stop.
fn serve_on(fleet: &Fleet, place: usize) -> Server {
    let mut command = fleet.command();
    command.env(SHUTDOWN_DELAY, "3s");
    block_in_place(|| fleet.start(place, command))
}

async fn a_rolling_restart_fails_no_request_of_a_kept_connection(storage: Storage) {
    let fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 0).await;
    let (key, fleet) = (fleet.make_key(), Arc::new(fleet));
    let mut nodes: Vec<Server> = (0..NODES).map(|place| serve_on(&fleet, place)).collect();
    let places = Arc::new(Places::of(&nodes));
    let load = Load::begin(&fleet, USUAL, || Kept::at(&places, &key));
    for (place, node) in nodes.iter_mut().enumerate() {
        load.goes_on_for(60).await;
        node.signal("TERM");
        let ready = format!("{}/readyz", node.admin);
        let caller = Caller::new(node, None);
        until(503, || caller.get(&ready)).await;
        places.leave_out(place);
        let new = serve_on(&fleet, place);
        places.take_in(place, &new);
        let mut old = std::mem::replace(node, new);
        assert!(block_in_place(|| old.wait()).success());
    }
    load.goes_on_for(60).await;
    let (verified, answers) = load.end().await;
    eprintln!("{verified} verified, {answers} answers over kept connections");
    assert_eq!(fleet.twilio.messages().len(), verified);
}
