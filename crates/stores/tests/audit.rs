//! The audit log in a database file.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use watchword_core::account::{AccountId, AccountRecord, EmailStatus};
use watchword_core::audit::{Draft, Page, conformance};
use watchword_core::fakes::{self, SetClock};
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::{AppId, Timestamp};
use watchword_stores::{Neighbour, OpenOptions, StorageUrl, open, open_audit};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_audit_log_in_a_file_keeps_the_promises_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("watchword.db"));
    let store = open_audit(&url, &Neighbour::elsewhere(&StorageUrl::Memory))
        .await
        .unwrap();
    conformance::keeps_its_promises(store).await;
}

#[tokio::test]
async fn an_audit_log_is_there_again_after_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("watchword.db"));
    let store = open_audit(&url, &Neighbour::elsewhere(&url)).await.unwrap();
    conformance::keeps_its_promises(store).await;
    let store = open_audit(&url, &Neighbour::elsewhere(&url)).await.unwrap();
    assert_eq!(store.last().await.unwrap().unwrap().number, 151);
}

/// Months of pages in one transaction keep steps from the file for seconds.
#[tokio::test]
async fn what_was_removed_is_deleted_in_portions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watchword.db");
    let url = StorageUrl::Sqlite(path.clone());
    let store = open_audit(&url, &Neighbour::elsewhere(&url)).await.unwrap();
    let file = rusqlite::Connection::open(path).unwrap();
    let left = async || {
        let count = "SELECT count(*) FROM audit_page";
        file.query_row(count, [], |row| row.get(0)).unwrap()
    };
    conformance::deletes_in_portions(&*store, left).await;
}

/// With a writer of their own, groups of steps would wait for it. Whoever has none ends with the journal.
#[tokio::test]
async fn what_lies_in_the_file_of_a_store_is_written_by_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("watchword.db"));
    let keys = Arc::new(fakes::keys(1));
    let clock = Arc::new(SetClock::default());
    let opened = open(&url, OpenOptions::new(Arc::clone(&keys), clock));
    let opened = opened.await.unwrap();
    let audit = open_audit(&url, &opened.neighbour).await.unwrap();
    let accounts = Arc::clone(&opened.accounts);
    let page = |last| {
        let draft = Draft {
            written_at: Timestamp::from_millis(1_790_000_000_000),
            writer: "node".to_owned(),
            entries: 1,
            body: b"one\n".to_vec(),
        };
        Page::behind(last, draft, &keys)
    };
    let account = |number| AccountRecord {
        id: AccountId::from_bytes([number; 16]),
        app: AppId::default(),
        email_status: EmailStatus::Unverified,
        created_at: Timestamp::from_millis(5),
        key: KeyId::from_bytes([0, 0, 0, 9]),
        sealed: Sealed::from_bytes(b"sealed"),
        identifiers: Vec::new(),
    };
    assert!(audit.append(page(None)).await.unwrap());
    accounts.create(account(1)).await.unwrap();
    let last = audit.last().await.unwrap();
    opened.close().await;
    for refused in [
        audit.append(page(last)).await.map(drop),
        accounts.create(account(2)).await.map(drop),
    ] {
        let why = format!("{:?}", refused.unwrap_err());
        assert!(why.contains("the storage is closed"), "{why}");
    }
    assert_eq!(audit.last().await.unwrap(), last);
}
