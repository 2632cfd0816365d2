//! What every store of the audit log promises, for any of them to be held to.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test, for other crates to run"
)]

use std::sync::Arc;

use super::{Anchor, AuditStore, Chain, Draft, Page};
use crate::clock::Timestamp;
use crate::fakes;

fn draft(number: u64) -> Draft {
    Draft {
        written_at: Timestamp::from_millis(1_790_000_000_000 + number),
        writer: "node".to_owned(),
        entries: 2,
        body: vec![b'\n'; 100],
    }
}

async fn write<S: AuditStore + ?Sized>(store: &S, number: u64) {
    let keys = fakes::keys(1);
    loop {
        let last = store.last().await.expect("it answers");
        let page = Page::behind(last, draft(number), &keys);
        if store.append(page).await.expect("it answers") {
            return;
        }
    }
}

/// Everything, on a fresh store: pages come back as they were, of many that are appended at once
/// each has a place of its own, and what is removed leaves an anchor behind.
pub async fn keeps_its_promises<S: AuditStore + ?Sized>(store: Arc<S>) {
    let keys = fakes::keys(1);
    assert_eq!(store.last().await.expect("it answers"), None);
    assert_eq!(store.anchor().await.expect("it answers"), None);
    assert_eq!(store.pages(0, 10).await.expect("it answers"), []);

    let first = Page::behind(None, draft(1), &keys);
    assert!(store.append(first.clone()).await.expect("it answers"));
    assert_eq!(store.last().await.expect("it answers"), Some(first.link));
    assert_eq!(
        store.pages(0, 10).await.expect("it answers"),
        std::slice::from_ref(&first)
    );
    // Its place is taken, and there are no gaps.
    let rival = Page::behind(None, draft(2), &keys);
    assert!(!store.append(rival).await.expect("it answers"));
    let mut far = Page::behind(Some(first.link), draft(3), &keys);
    far.link.number = 7;
    assert!(!store.append(far).await.expect("it answers"));

    let writers = (2..=20).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { write(&*store, number).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no writer panics");
    }
    let pages = store.pages(0, 100).await.expect("it answers");
    let numbers: Vec<_> = pages.iter().map(|page| page.link.number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let some = store.pages(5, 3).await.expect("it answers");
    assert_eq!(some, pages[5..8]);

    let moment = pages[9].draft.written_at;
    let before = store.last_before(moment).await.expect("it answers");
    let older = pages.iter().filter(|page| page.draft.written_at < moment);
    let expected = older.max_by_key(|page| page.draft.written_at);
    assert_eq!(before, expected.map(|page| page.link));

    let anchor = Anchor::at(pages[11].link, &keys);
    store.remove(anchor).await.expect("it answers");
    store
        .remove(Anchor::at(pages[3].link, &keys))
        .await
        .expect("it answers");
    assert_eq!(store.anchor().await.expect("it answers"), Some(anchor));
    let again = Anchor::at(pages[11].link, &fakes::keys(2));
    for anchor in [again, anchor] {
        store.remove(anchor).await.expect("it answers");
        assert_eq!(store.anchor().await.expect("it answers"), Some(anchor));
    }
    // At once, though they may still be there; and not less once they are gone.
    let kept = pages[12..].iter().map(|page| page.draft.written_at);
    let oldest = kept.min().expect("there are some");
    let mut more = true;
    while more {
        let rest = store.pages(0, 100).await.expect("it answers");
        assert_eq!(rest, pages[12..]);
        let older = store.last_before(oldest).await.expect("it answers");
        assert_eq!(older, None);
        more = store.prune().await.expect("it answers");
    }
    let rest = store.pages(0, 100).await.expect("it answers");
    assert_eq!(rest, pages[12..]);
    let mut chain = Chain::new(Some(anchor), &keys).expect("it is ours");
    for page in &rest {
        chain.follow(page).expect("it is in order");
    }
    assert_eq!(chain.end().expect("it is in order").pages, 8);

    // With nothing left, the chain goes on behind the anchor, however long it takes to delete the rest.
    for number in 21..=150 {
        write(&*store, number).await;
    }
    let last = store.last().await.expect("it answers").expect("a page");
    assert_eq!(last.number, 150);
    store
        .remove(Anchor::at(last, &keys))
        .await
        .expect("it answers");
    loop {
        assert_eq!(store.last().await.expect("it answers"), Some(last));
        assert_eq!(store.pages(0, 1).await.expect("it answers"), []);
        if !store.prune().await.expect("it answers") {
            break;
        }
    }
    write(&*store, 151).await;
    let newest = store.last().await.expect("it answers");
    assert_eq!(newest.map(|link| link.number), Some(151));
}

/// That what was removed is deleted in small portions until nothing of it is left. `left` counts the pages that are
/// there, removed ones among them. The store is fresh.
pub async fn deletes_in_portions<S: AuditStore + ?Sized>(store: &S, left: impl AsyncFn() -> i64) {
    let keys = fakes::keys(1);
    for number in 1..=11 {
        let draft = Draft {
            body: vec![b'x'; 100 << 10],
            ..draft(number)
        };
        let page = Page::behind(store.last().await.expect("it answers"), draft, &keys);
        assert!(store.append(page).await.expect("it answers"));
    }
    let pages = store.pages(9, 1).await.expect("it answers");
    let anchor = Anchor::at(pages[0].link, &keys);
    store.remove(anchor).await.expect("it answers");
    let mut seen = vec![left().await];
    while store.prune().await.expect("it answers") {
        seen.push(left().await);
        assert!(seen.len() < 10, "{seen:?}");
    }
    assert_eq!(seen, [11, 8, 5, 2, 1]);
}
