//! What every store of accounts promises, as tests that any of them can join:
//! `watchword_core::account_conformance!(async { Arc::new(MemoryAccounts::default()) });`

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "these are tests, for other crates to run"
)]

use std::ops::Deref;
use std::sync::Arc;

use super::{
    AccountId, AccountRecord, AccountStore, CreateOutcome, EmailStatus, Identifier, IdentifierKind,
};
use crate::app::AppId;
use crate::clock::Timestamp;
use crate::keys::{KeyId, Sealed};

/// A store of accounts that is open, with whatever keeps it open.
pub trait Opened: Deref<Target: AccountStore> + Send + Sync + 'static {}

impl<S: Deref<Target: AccountStore> + Send + Sync + 'static> Opened for S {}

/// Runs every promise of a store of accounts, each on a fresh one.
#[macro_export]
macro_rules! account_conformance {
    ($fresh:expr) => {
        $crate::account_conformance! { $fresh =>
            an_account_is_found_by_each_of_its_identifiers_as_it_was_made,
            of_parallel_accounts_with_one_identifier_one_is_made,
            parallel_accounts_that_cross_share_nothing,
            a_refused_account_leaves_nothing_behind,
            an_identifier_under_an_older_key_counts_too,
            outdated_accounts_are_listed_page_by_page,
            a_renewed_account_is_found_by_its_new_identifiers_only,
            a_removed_account_is_gone_and_its_identifiers_are_free,
        }
    };
    ($fresh:expr => $($promise:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                $crate::account::conformance::$promise($fresh.await).await;
            }
        )+
    };
}

const CROWD: u8 = 24;
const OLD: KeyId = KeyId::from_bytes([1; 4]);
const NEW: KeyId = KeyId::from_bytes([2; 4]);

fn email(key: KeyId, number: u8) -> Identifier {
    let kind = IdentifierKind::Email;
    let index = [number; 16];
    Identifier { kind, key, index }
}

fn mobile(key: KeyId, number: u8) -> Identifier {
    let kind = IdentifierKind::Mobile;
    let index = [number; 16];
    Identifier { kind, key, index }
}

fn record(id: u8, identifiers: &[Identifier]) -> AccountRecord {
    AccountRecord {
        id: AccountId::from_bytes([id; 16]),
        app: AppId::default(),
        email_status: EmailStatus::Unverified,
        created_at: Timestamp::from_millis(1_790_000_000_000 + u64::from(id)),
        key: OLD,
        sealed: Sealed::from_bytes(&[id; 40]),
        identifiers: identifiers.to_vec(),
    }
}

async fn create(store: &impl Opened, record: AccountRecord) -> CreateOutcome {
    store.create(record).await.expect("the store works")
}

async fn find(store: &impl Opened, identifier: Identifier) -> Option<AccountRecord> {
    let mut found = store.find(&[identifier]).await.expect("the store works")?;
    found
        .identifiers
        .sort_by_key(|one| (one.kind, one.index, one.key.to_bytes()));
    Some(found)
}

/// Makes accounts at the same time; which of them were made.
async fn crowd(
    store: &Arc<impl Opened>,
    first_id: u8,
    identifiers: impl Fn(u8) -> [Identifier; 2],
) -> Vec<u8> {
    let mut tasks = Vec::new();
    for number in 0..CROWD {
        let store = Arc::clone(store);
        let record = record(first_id + number, &identifiers(number));
        tasks.push(tokio::spawn(async move {
            (number, create(&*store, record).await)
        }));
    }
    let mut made = Vec::new();
    for task in tasks {
        let (number, outcome) = task.await.expect("no panic");
        if outcome == CreateOutcome::Created {
            made.push(number);
        }
    }
    made
}

/// By the address as by the number, and by any of several; not by what looks alike.
pub async fn an_account_is_found_by_each_of_its_identifiers_as_it_was_made(store: impl Opened) {
    let made = record(1, &[email(OLD, 1), mobile(OLD, 2)]);
    let nobody = record(2, &[email(OLD, 3), mobile(OLD, 4)]);
    assert_eq!(create(&store, made.clone()).await, CreateOutcome::Created);
    assert_eq!(create(&store, nobody).await, CreateOutcome::Created);
    for known in [email(OLD, 1), mobile(OLD, 2)] {
        assert_eq!(find(&store, known).await, Some(made.clone()));
    }
    for unknown in [email(OLD, 2), mobile(OLD, 1), email(NEW, 1), email(OLD, 9)] {
        assert_eq!(find(&store, unknown).await, None, "{unknown:?}");
    }
    let any_of = [email(OLD, 9), mobile(OLD, 2)];
    let found = store.find(&any_of).await.expect("the store works");
    assert_eq!(found.map(|found| found.id), Some(made.id));
    assert_eq!(store.find(&[]).await.expect("the store works"), None);
}

/// Whether they share the number or the address.
pub async fn of_parallel_accounts_with_one_identifier_one_is_made(store: impl Opened) {
    let store = Arc::new(store);
    let made = crowd(&store, 0, |number| [email(OLD, number), mobile(OLD, 100)]).await;
    assert_eq!(made.len(), 1, "accounts with one number: {made:?}");
    let made = crowd(&store, 100, |number| {
        [email(OLD, 200), mobile(OLD, 101 + number)]
    })
    .await;
    assert_eq!(made.len(), 1, "accounts with one address: {made:?}");
    assert!(find(&*store, mobile(OLD, 100)).await.is_some());
}

/// Each shares its address with one neighbour and its number with the other.
pub async fn parallel_accounts_that_cross_share_nothing(store: impl Opened) {
    let store = Arc::new(store);
    let made = crowd(&store, 0, |number| {
        [email(OLD, number / 2), mobile(OLD, number.div_ceil(2))]
    });
    let mut made = made.await;
    made.sort_unstable();
    assert!(!made.is_empty());
    for pair in made.windows(2) {
        let (one, other) = (pair[0], pair[1]);
        assert_ne!(one / 2, other / 2, "one address: {made:?}");
        assert_ne!(one.div_ceil(2), other.div_ceil(2), "one number: {made:?}");
    }
}

/// What it had for itself is free for the next.
pub async fn a_refused_account_leaves_nothing_behind(store: impl Opened) {
    create(&store, record(1, &[email(OLD, 1), mobile(OLD, 1)])).await;
    let refused = record(2, &[email(OLD, 2), mobile(OLD, 1)]);
    assert_eq!(create(&store, refused).await, CreateOutcome::Taken);
    assert_eq!(find(&store, email(OLD, 2)).await, None);
    let third = record(2, &[email(OLD, 2), mobile(OLD, 2)]);
    assert_eq!(create(&store, third).await, CreateOutcome::Created);
}

/// While keys rotate, an account that one node made under the old key is seen by those that have
/// both.
pub async fn an_identifier_under_an_older_key_counts_too(store: impl Opened) {
    create(&store, record(1, &[email(OLD, 1), mobile(OLD, 1)])).await;
    let both = [email(NEW, 7), email(OLD, 2), mobile(NEW, 8), mobile(OLD, 1)];
    assert_eq!(create(&store, record(2, &both)).await, CreateOutcome::Taken);
    assert_eq!(find(&store, email(NEW, 7)).await, None);
}

/// In the order of their ids, and none that is under the newest key already.
pub async fn outdated_accounts_are_listed_page_by_page(store: impl Opened) {
    for number in 1..=5 {
        let mut record = record(number, &[email(OLD, number), mobile(OLD, number)]);
        if number == 3 {
            record.key = NEW;
        }
        create(&store, record).await;
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .outdated(NEW, after, 2)
            .await
            .expect("the store works");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last.id);
        listed.extend(page.iter().map(|record| record.id.as_bytes()[0]));
    }
    assert_eq!(listed, [1, 2, 4, 5]);
}

/// And it is the same account.
pub async fn a_renewed_account_is_found_by_its_new_identifiers_only(store: impl Opened) {
    create(&store, record(1, &[email(OLD, 1), mobile(OLD, 1)])).await;
    let mut renewed = record(1, &[email(NEW, 1), mobile(NEW, 1)]);
    renewed.key = NEW;
    renewed.sealed = Sealed::from_bytes(b"sealed anew");
    assert!(store.renew(renewed.clone()).await.expect("the store works"));
    assert_eq!(find(&store, email(OLD, 1)).await, None);
    assert_eq!(find(&store, mobile(NEW, 1)).await, Some(renewed));
    let stranger = record(9, &[email(NEW, 9), mobile(NEW, 9)]);
    assert!(!store.renew(stranger).await.expect("the store works"));
    assert_eq!(find(&store, email(NEW, 9)).await, None);
    let outdated = store.outdated(NEW, None, 10).await;
    assert_eq!(outdated.expect("the store works"), []);
}

/// Others keep theirs.
pub async fn a_removed_account_is_gone_and_its_identifiers_are_free(store: impl Opened) {
    let gone = record(1, &[email(OLD, 1), mobile(NEW, 1)]);
    let other = record(2, &[email(OLD, 2), mobile(OLD, 2)]);
    create(&store, gone.clone()).await;
    create(&store, other.clone()).await;
    assert!(store.remove(gone.id).await.expect("the store works"));
    assert!(!store.remove(gone.id).await.expect("the store works"));
    for identifier in [email(OLD, 1), mobile(NEW, 1)] {
        assert_eq!(find(&store, identifier).await, None);
    }
    assert_eq!(find(&store, email(OLD, 2)).await, Some(other));
    let next = record(3, &[email(OLD, 1), mobile(OLD, 9)]);
    assert_eq!(create(&store, next).await, CreateOutcome::Created);
}
