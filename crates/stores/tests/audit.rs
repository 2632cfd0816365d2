//! The audit log in a database file.
#![allow(clippy::unwrap_used, reason = "a test")]

use watchword_core::audit::conformance;
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

/// Months of pages in one transaction keep steps from the file for seconds.
#[tokio::test]
async fn what_was_removed_is_deleted_in_portions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watchword.db");
    let url = StorageUrl::Sqlite(path.clone());
    let store = open_audit(&url, &url).await.unwrap();
    let file = rusqlite::Connection::open(path).unwrap();
    let left = async || {
        let count = "SELECT count(*) FROM audit_page";
        file.query_row(count, [], |row| row.get(0)).unwrap()
    };
    conformance::deletes_in_portions(&*store, left).await;
}
