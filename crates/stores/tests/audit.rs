//! The audit log in a database file.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use watchword_core::audit::{Anchor, AuditStore, Draft, Page, conformance};
use watchword_core::{Timestamp, fakes};
use watchword_stores::{StorageUrl, open_audit};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_audit_log_in_a_file_keeps_the_promises_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("watchword.db"));
    let store = open_audit(&url, &StorageUrl::Memory).await.unwrap();
    conformance::keeps_its_promises(store).await;
}

#[tokio::test]
async fn an_audit_log_is_there_again_after_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("watchword.db"));
    let store = open_audit(&url, &url).await.unwrap();
    conformance::keeps_its_promises(store).await;
    let store = open_audit(&url, &url).await.unwrap();
    assert_eq!(store.last().await.unwrap().unwrap().number, 151);
}

/// Adds pages of a busy second.
async fn fill(store: &Arc<dyn AuditStore>, pages: usize) {
    for _ in 0..pages {
        let draft = Draft {
            written_at: Timestamp::from_millis(1_790_000_000_000),
            writer: "node".to_owned(),
            entries: 1,
            body: vec![b'x'; 100 << 10],
        };
        let page = Page::behind(store.last().await.unwrap(), draft, &fakes::keys(1));
        assert!(store.append(page).await.unwrap());
    }
}

/// Months of pages in one transaction keep steps from the file for seconds.
#[tokio::test]
async fn what_was_removed_is_deleted_in_portions_and_a_crash_between_two_hides_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watchword.db");
    let url = StorageUrl::Sqlite(path.clone());
    let mut store = open_audit(&url, &url).await.unwrap();
    let file = rusqlite::Connection::open(path).unwrap();
    let left = || {
        let count = "SELECT count(*) FROM audit_page";
        file.query_row(count, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    fill(&store, 11).await;
    let anchor = Anchor::at(store.last().await.unwrap().unwrap(), &fakes::keys(1));
    store.remove(anchor).await.unwrap();
    let mut seen = vec![left()];
    loop {
        assert_eq!(store.pages(0, 100).await.unwrap(), []);
        assert_eq!(store.last().await.unwrap(), Some(anchor.link));
        if !store.prune().await.unwrap() {
            break;
        }
        seen.push(left());
        drop(store);
        store = open_audit(&url, &url).await.unwrap();
    }
    assert_eq!(seen, [11, 8, 5, 2, 0]);
    fill(&store, 1).await;
    assert!(!store.prune().await.unwrap());
    assert_eq!(store.pages(0, 100).await.unwrap().len(), 1);
}
