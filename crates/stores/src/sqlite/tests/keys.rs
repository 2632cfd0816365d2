//! Who may open a file, and with which secret.

use watchword_core::keys::SecretKey;

use super::*;

fn secret(seed: u64) -> SecretKey {
    SecretKey::generate(&SeededEntropy::new(seed)).unwrap()
}

fn ring(newest: u64, leaving: &[u64]) -> KeyRing {
    let leaving: Vec<_> = leaving.iter().map(|seed| secret(*seed)).collect();
    KeyRing::new(&secret(newest), &leaving)
}

fn reopen(path: &Path, keys: &KeyRing) -> Result<(), OpenError> {
    open_with(path, &Arc::new(SetClock::default()), keys).map(drop)
}

#[test]
fn a_foreign_secret_is_refused_and_the_right_one_still_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    reopen(&path, &ring(1, &[])).unwrap();
    let refused = reopen(&path, &ring(2, &[])).unwrap_err();
    assert!(matches!(refused, OpenError::WrongKey { .. }));
    assert!(refused.to_string().contains("secret_key is not the one"));
    reopen(&path, &ring(1, &[])).unwrap();
}

#[test]
fn a_secret_is_replaced_by_way_of_a_ring_that_holds_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    reopen(&path, &ring(1, &[])).unwrap();
    reopen(&path, &ring(2, &[1])).unwrap();
    reopen(&path, &ring(2, &[])).unwrap();
    assert!(matches!(
        reopen(&path, &ring(1, &[])),
        Err(OpenError::WrongKey { .. })
    ));
}

#[test]
fn a_second_store_on_a_file_in_use_is_refused_until_the_first_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let clock = Arc::new(SetClock::default());
    let first = open(&path, &clock).unwrap();
    let refused = open(&path, &clock).err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains("another process"));
    assert!(matches!(migrate(&path), Err(OpenError::InUse { .. })));
    drop(first);
    assert!(open(&path, &clock).is_ok());
}

#[tokio::test]
async fn no_more_than_the_maximum_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        max_live: 3,
        snapshot_after: u64::MAX,
        keys: &keys(),
        clock: Arc::new(SetClock::default()),
    };
    let embedded = Embedded::open(&folder.path().join(FILE), settings).unwrap();
    let now = SetClock::default().now();
    for number in 0..3 {
        embedded.store.start(start_step(number), now).await.unwrap();
    }
    let fourth = embedded.store.start(start_step(3), now).await;
    assert!(matches!(
        fourth,
        Err(watchword_core::StoreError::Full { max: 3 })
    ));
}
