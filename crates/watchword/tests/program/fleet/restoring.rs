//! What was copied as docs/storage.md says comes back: a dump of PostgreSQL, an RDB file of Redis.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use super::{Fleet, PATIENCE, POLICY, POSTGRES, Storage};
use crate::redis::{self, RedisServer};
use crate::server::{Caller, another};

/// Numbers whose codes were used, are pending after one miss, and may not be sent any more.
const USED: &str = "+12025550101";
const PENDING: &str = "+12025550102";
const FULL: &str = "+12025550103";
/// Whose code was sent after the copy.
const LATER: &str = "+12025550104";

type Sent = (String, String);

/// What happened before the copy.
struct Before {
    used: Sent,
    pending: Sent,
}

async fn history(fleet: &Fleet) -> Before {
    let caller = &fleet.callers[0];
    let [used, pending] = [fleet.begin(USED).await, fleet.begin(PENDING).await];
    assert_eq!(caller.check(&used.0, &used.1).await.status, 200);
    let wrong = another(&pending.1);
    assert_eq!(caller.check(&pending.0, &wrong).await.status, 422);
    for _ in 0..3 {
        assert_eq!(caller.start(FULL).await.status, 201);
    }
    Before { used, pending }
}

/// What a server knows that began with the copy.
async fn comes_back(caller: &Caller, before: &Before, later: &Sent) {
    let check = async |(id, code): &Sent| caller.check(id, code).await.status;
    assert_eq!(check(&before.used).await, 404, "an approval is forgotten");
    assert_eq!(check(later).await, 404, "what came after the copy is there");
    let (id, code) = &before.pending;
    let missed = caller.check(id, &another(code)).await;
    assert_eq!(missed.json()["attempts_remaining"], 3, "{}", missed.text);
    assert_eq!(check(&before.pending).await, 200, "a code is forgotten");
    assert_eq!(check(&before.pending).await, 404);
    assert_eq!(caller.start(FULL).await.status, 429, "a limit is forgotten");
    assert_eq!(caller.start(LATER).await.status, 201);
}

/// Copies between what happened before and after, restores between two nodes.
async fn a_copy_is_restored<C>(
    storage: Storage,
    copy: impl FnOnce() -> C + Send + 'static,
    restore: impl FnOnce(C) + Send + 'static,
) where
    C: Send + 'static,
{
    let mut fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 0).await;
    let key = fleet.make_key();
    let node = fleet.serve(0);
    fleet.callers.push(Caller::new(&node, Some(&key)));
    let before = history(&fleet).await;
    let copied = tokio::task::spawn_blocking(copy).await.unwrap();
    let later = fleet.begin(LATER).await;
    assert!(tokio::task::block_in_place(|| node.stop().success()));
    tokio::task::spawn_blocking(move || restore(copied))
        .await
        .unwrap();
    let node = fleet.serve(1);
    comes_back(&Caller::new(&node, Some(&key)), &before, &later).await;
    assert!(tokio::task::block_in_place(|| node.stop().success()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_postgresql_is_restored() {
    let storage = tokio::task::spawn_blocking(Storage::postgres);
    let Some(storage) = storage.await.unwrap() else {
        return;
    };
    let server = POSTGRES.unwrap();
    let database = storage.url.split(['/', '?']).nth(3).unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let (at, from) = (database.clone(), folder.path().join("watchword.sql"));
    let into = from.clone();
    let copy = move || {
        let dump = server.dump(&at, &["--schema=watchword"]);
        std::fs::write(into, dump).unwrap();
    };
    let restore = move |()| {
        server.sql(&database, "DROP SCHEMA watchword CASCADE");
        let dump = File::open(from).unwrap();
        let restored = server.psql(&database).stdin(dump).output().unwrap();
        assert!(restored.status.success(), "{restored:?}");
    };
    a_copy_is_restored(storage, copy, restore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_redis_is_restored() {
    if !redis::is_there() {
        return;
    }
    let started = tokio::task::spawn_blocking(|| Arc::new(RedisServer::start(&[])));
    let server = started.await.unwrap();
    let storage = Storage {
        _held: Some(Arc::clone(&server) as _),
        ..Storage::at(server.url(""))
    };
    let copying = Arc::clone(&server);
    let copy = move || {
        let mut connection = copying.connect();
        connection.ask(&["BGSAVE"]);
        let mut saves = move || {
            let told = connection.ask(&["INFO", "persistence"]).text();
            told.contains("rdb_bgsave_in_progress:1")
        };
        let began = Instant::now();
        while saves() {
            assert!(began.elapsed() < PATIENCE, "it is never saved");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::fs::read(copying.folder().join("dump.rdb")).unwrap()
    };
    let restore = move |dump: Vec<u8>| {
        server.kill();
        std::fs::write(server.folder().join("dump.rdb"), dump).unwrap();
        server.start_again();
    };
    a_copy_is_restored(storage, copy, restore).await;
}
