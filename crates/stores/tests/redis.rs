//! Redis: the promises of every store, and those of this one, against real servers.
//!
//! They need `redis-server`. Without it they are skipped, which is said, unless
//! `WATCHWORD_TEST_ALL_STORES=1` is set: then they fail.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "servers/redis.rs"]
mod servers;

#[path = "redis/fixture.rs"]
mod fixture;
#[path = "redis/node.rs"]
mod node;

#[path = "redis/alike.rs"]
mod alike;
#[path = "redis/demotion.rs"]
mod demotion;
#[path = "redis/digests.rs"]
mod digests;
#[path = "redis/fleet.rs"]
mod fleet;
#[path = "redis/keys.rs"]
mod keys;
#[path = "redis/outages.rs"]
mod outages;
#[path = "redis/refusals.rs"]
mod refusals;
#[path = "redis/replication.rs"]
mod replication;
#[path = "redis/shards.rs"]
mod shards;
#[path = "redis/trips.rs"]
mod trips;

mod single {
    use super::fixture::{asked, hold_server, on_a_server};

    watchword_core::store_conformance!(asked(on_a_server()));

    #[test]
    fn random_histories_come_out_as_in_the_naive_model() {
        let _held = hold_server();
        watchword_core::conformance::model_histories_of(64, || asked(on_a_server()));
    }
}

mod cluster {
    use super::fixture::{asked, hold_cluster, on_a_cluster};

    watchword_core::store_conformance!(asked(on_a_cluster()));

    #[test]
    fn random_histories_come_out_as_in_the_naive_model() {
        let _held = hold_cluster();
        watchword_core::conformance::model_histories_of(64, || asked(on_a_cluster()));
    }
}
