//! A fleet gets a new secret key, node by node and step by step, while callers go on.

use std::sync::Arc;

use tokio::task::block_in_place;

use super::restart::{Balanced, By, Load};
use super::{Fleet, POLICY, Storage, on_every_store};
use crate::server::{Caller, Server, keygen};

on_every_store! {
    a_key_rotates_under_load_without_one_failed_check
}

const NODES: usize = 3;

/// What the nodes' configuration says of keys.
struct Keys<'a> {
    fleet: &'a Fleet,
    /// The configuration, without them.
    rest: String,
}

impl<'a> Keys<'a> {
    /// Also gives the key that is there.
    fn of(fleet: &'a Fleet) -> (Self, String) {
        let text = std::fs::read_to_string(fleet.folder.path().join("watchword.toml")).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let old = first.strip_prefix("secret_key = ").unwrap().to_owned();
        let rest = rest.to_owned();
        (Self { fleet, rest }, old)
    }

    fn say(&self, keys: &str) {
        let file = self.fleet.folder.path().join("watchword.toml");
        std::fs::write(file, format!("{keys}\n{}", self.rest)).unwrap();
    }
}

/// Restarts one node after the other.
async fn roll(fleet: &Fleet, nodes: &mut [Server], balanced: &Balanced, load: &Load) {
    for (place, node) in nodes.iter_mut().enumerate() {
        load.goes_on_for(60).await;
        node.signal("TERM");
        let new = block_in_place(|| fleet.serve(place));
        balanced.replace(place, &new);
        let mut old = std::mem::replace(node, new);
        assert!(block_in_place(|| old.wait()).success());
    }
    load.goes_on_for(60).await;
}

/// Verifications that are begun before a step and checked after it, one at each node.
async fn begin(fleet: &Fleet, nodes: &[Server], key: &str, step: usize) -> Vec<[String; 3]> {
    let mut begun = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        let to = format!("+1202555{:04}", step * NODES + place);
        let started = Caller::new(node, Some(key)).start(&to).await;
        assert_eq!(started.status, 201, "{}", started.text);
        begun.push([started.id(), fleet.codes(&to).pop().unwrap(), to]);
    }
    begun
}

async fn a_key_rotates_under_load_without_one_failed_check(storage: Storage) {
    let fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 0).await;
    let (key, fleet) = (fleet.make_key(), Arc::new(fleet));
    let (keys, old) = Keys::of(&fleet);
    let new = format!("\"{}\"", keygen(fleet.folder.path()));
    let mut nodes: Vec<Server> = block_in_place(|| (0..NODES).map(|at| fleet.serve(at)).collect());
    let balanced = Arc::new(Balanced::default());
    balanced.take_in(nodes.iter().map(|node| Caller::new(node, Some(&key))));
    let load = |whom| Load::begin(&fleet, whom, || Arc::clone(&balanced));
    let expecting = format!("secret_key = {old}\nnext_secret_key = {new}");
    let both = format!("secret_keys = [{new}, {old}]");
    let mut verified = 0;
    // The last step changes what recipients are found by, so that only handles go on.
    let steps = [
        (expecting, ("+1201555", By::Recipient)),
        (both, ("+1201556", By::Recipient)),
        (format!("secret_key = {new}"), ("+1201557", By::Handle)),
    ];
    for (step, (said, whom)) in steps.into_iter().enumerate() {
        let begun = begin(&fleet, &nodes, &key, step).await;
        keys.say(&said);
        let load = load(whom);
        roll(&fleet, &mut nodes, &balanced, &load).await;
        verified += load.end().await.0;
        for (place, [id, code, to]) in begun.into_iter().enumerate() {
            let caller = Caller::new(&nodes[(place + 1) % NODES], Some(&key));
            let checked = match whom.1 {
                By::Handle => caller.check(&id, &code).await,
                By::Recipient => {
                    let body = serde_json::json!({ "to": to, "code": code });
                    caller.post("/v1/verifications/check", body).await
                }
            };
            assert_eq!(checked.status, 200, "step {step}: {}", checked.text);
        }
    }
    eprintln!("{verified} verified while the key rotated");
    assert_eq!(fleet.twilio.messages().len(), verified + 3 * NODES);
    assert!(nodes.into_iter().all(|node| node.stop().success()));
}
