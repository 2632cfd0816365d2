//! Whole storages are copied into Redis and out of it.

use std::sync::Arc;

use watchword_core::Clock as _;
use watchword_core::moving::Class;
use watchword_stores::{Move, MoveAccounts, MoveError, OpenError, StorageUrl, copy, open};

use crate::ALONE;
use crate::copies::{PEOPLE, Real, file, fill, found, options, serve, wanted};
use crate::home::{Shared, server};
use crate::servers::{RedisServer, is_there};

/// A namespace of the Redis that all tests share.
fn namespace() -> Option<(Shared, StorageUrl)> {
    let server = server()?;
    let url = StorageUrl::Redis(Box::new(server.url().parse().unwrap()));
    Some((server, url))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_accounts_arrives_from_sqlite_in_redis_and_back() {
    let _alone = ALONE.lock().await;
    let Some((_server, there)) = namespace() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (here, back) = (file(&folder, "a.db"), file(&folder, "b.db"));
    fill(&here).await;
    let plan = |from: &StorageUrl, to: &StorageUrl, accounts| Move {
        accounts,
        ..wanted(from, to)
    };
    let refused = copy(&plan(&here, &there, MoveAccounts::Unsaid), &|_| {}).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, MoveError::NoRoomForAccounts { .. }),
        "{refused}"
    );
    interrupted_without_accounts(&plan(&here, &there, MoveAccounts::Stay)).await;
    let refused = open(&there, options()).await.err().unwrap();
    assert!(matches!(refused, OpenError::HalfCopied { .. }), "{refused}");
    for _ in 0..2 {
        let moved = copy(&plan(&here, &there, MoveAccounts::Stay), &|_| {})
            .await
            .unwrap();
        assert!(moved.is_good(), "{moved:?}");
        assert_eq!(moved.to.rows(Class::Recipients), u64::from(PEOPLE));
        assert_eq!(moved.to.rows(Class::ApiKeys), 3);
    }
    let moved = copy(&plan(&there, &back, MoveAccounts::Unsaid), &|_| {})
        .await
        .unwrap();
    assert!(moved.is_good(), "{moved:?}");
    let at = Real.now();
    assert_eq!(
        found(&here, at).await.differences(&found(&back, at).await),
        []
    );
    serve(&there).await.close().await;
    let refused = copy(&plan(&here, &there, MoveAccounts::Stay), &|_| {})
        .await
        .unwrap_err();
    assert!(matches!(refused, MoveError::Occupied { .. }), "{refused}");
}

async fn interrupted_without_accounts(wanted: &Move) {
    let (from, to, keys) = (
        wanted.from.clone(),
        wanted.to.clone(),
        Arc::clone(&wanted.keys),
    );
    let copying = tokio::spawn(async move {
        let wanted = Move {
            from,
            to,
            accounts: MoveAccounts::Stay,
            keys,
            clock: Arc::new(Real),
        };
        let told = |rows| assert!(rows < 1000, "interrupted");
        copy(&wanted, &told).await.map(drop)
    });
    assert!(copying.await.unwrap_err().is_panic());
}

/// A server that throws keys away when its memory is full would throw limits and locks away, and
/// may have done so already.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_throws_keys_away_is_neither_source_nor_target() {
    if !is_there() {
        return;
    }
    let evicting = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    let server = tokio::task::spawn_blocking(move || RedisServer::start(&evicting));
    let server = server.await.unwrap();
    let there = StorageUrl::Redis(Box::new(server.url("").parse().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let (full, new) = (file(&folder, "a.db"), file(&folder, "b.db"));
    fill(&full).await;
    for (from, to) in [(&full, &there), (&there, &new)] {
        let plan = Move {
            accounts: MoveAccounts::Stay,
            ..wanted(from, to)
        };
        let refused = copy(&plan, &|_| {}).await.unwrap_err().to_string();
        assert!(refused.contains("allkeys-lru"), "{refused}");
        assert!(refused.contains("noeviction"), "{refused}");
    }
    assert_eq!(server.connect().ask(&["DBSIZE"]).number(), 0);
    assert!(!folder.path().join("b.db").exists());
}
