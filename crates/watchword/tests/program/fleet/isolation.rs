//! A master of a cluster is cut off from all other servers, and nodes reach it all the same.
//!
//! It answers them until it notices, while its replica takes over: the worst partition, as what it
//! answered is forgotten when it comes back. With a replica that has to confirm every step, nothing may be.
//!
//! The servers speak to each other over ways of this process. So that those know who speaks, each
//! server has a source address of its own; clients have the usual one.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::block_in_place;

use super::failover::{Forgotten, hold, under_load};
use super::partition::{Cut, way_to};
use super::{Fleet, POLICY, Storage, until};
use crate::redis::{self, MASTERS, RedisCluster, RedisServer};

/// The master that is cut off.
const ALONE: usize = 0;

/// Where a server speaks from.
fn address(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(10 + place).unwrap())
}

/// Has the servers speak over ways, those between [`ALONE`] and the others with this cut.
async fn lay_ways(servers: &[RedisServer], cut: &Cut) {
    let crosses = |to: usize| {
        move |from: IpAddr| {
            let known = (0..2 * MASTERS).find(|place| from == IpAddr::V4(address(*place)));
            known.is_some_and(|from| (from == ALONE) != (to == ALONE))
        }
    };
    for (place, server) in servers.iter().enumerate() {
        let bus = format!("127.0.0.1:{}", server.setting("cluster-port"));
        let way = way_to(bus, Arc::clone(cut), crosses(place)).await;
        server.set("cluster-announce-bus-port", &way.port().to_string());
        server.set("cluster-announce-ip", "127.0.0.1");
        // Takes those that speak from elsewhere than 127.0.0.1 for strangers.
        server.set("protected-mode", "no");
        server.set("bind-source-addr", &address(place).to_string());
    }
    // By which its replica follows it, and clients reach it.
    let alone = &servers[ALONE];
    let way = format!("127.0.0.1:{}", alone.port);
    let way = way_to(way, Arc::clone(cut), crosses(ALONE)).await;
    alone.set("cluster-announce-port", &way.port().to_string());
}

/// Asks until a recipient of every shard can be sent a code.
async fn served(fleet: &Fleet, numbers: &AtomicUsize) {
    // More than enough to meet every shard.
    for turn in 0..40 {
        until(201, || async {
            let next = numbers.fetch_add(1, Ordering::Relaxed);
            let to = format!("+1202555{next:04}");
            fleet.callers[turn % 2].start(&to).await
        })
        .await;
    }
}

async fn isolation(rest: &str, confirmed: bool) -> Option<Forgotten> {
    if !redis::is_there() {
        return None;
    }
    let cut = Arc::new(watch::Sender::new(false));
    let cluster = block_in_place(|| {
        let ways = |servers: &[RedisServer]| Handle::current().block_on(lay_ways(servers, &cut));
        RedisCluster::start_with(ways)
    });
    let (alone, replica) = (&cluster.nodes[ALONE], &cluster.nodes[MASTERS + ALONE]);
    let storage = Storage::at(cluster.url(rest));
    let fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 2).await;
    let (fleet, stop) = (Arc::new(fleet), Arc::new(AtomicBool::new(false)));
    let callers = under_load(&fleet, &stop).await;
    cut.send_replace(true);
    block_in_place(|| {
        let (mut theirs, mut its) = (replica.connect(), alone.connect());
        redis::until("the replica takes over", || {
            theirs.ask(&["ROLE"]).list()[0].text() == "master"
        });
        assert_eq!(its.ask(&["ROLE"]).list()[0].text(), "master", "two of them");
        redis::until("the old master notices", || {
            let info = its.ask(&["CLUSTER", "INFO"]).text();
            info.contains("cluster_state:fail")
        });
    });
    let numbers = AtomicUsize::new(0);
    if !confirmed {
        // Also while it is cut off, and says so to who asks it.
        served(&fleet, &numbers).await;
    }
    cut.send_replace(false);
    block_in_place(|| {
        let mut raw = alone.connect();
        redis::until("the old master follows the new one", || {
            let role = raw.ask(&["ROLE"]).list();
            role[0].text() == "slave" && role[3].text() == "connected"
        });
    });
    served(&fleet, &numbers).await;
    stop.store(true, Ordering::Relaxed);
    let mut ledger = Vec::new();
    for caller in callers {
        ledger.extend(caller.await.unwrap());
    }
    let forgotten = hold(&fleet.callers[0], &ledger).await;
    eprintln!("{rest} {} verifications: {forgotten:?}", ledger.len());
    Some(forgotten)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_leave_a_master_that_is_cut_off_and_approve_nothing_a_third_time() {
    isolation("", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_confirmed_is_there_when_its_master_was_cut_off() {
    if let Some(forgotten) = isolation("?wait_replicas=1", true).await {
        assert_eq!(forgotten, Forgotten::default());
    }
}
