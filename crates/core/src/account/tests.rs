//! Accounts at rest, and what outlives a change of keys.

use super::*;
use crate::fakes::{self, SeededEntropy};
use crate::keys::SecretKey;
use crate::recipient::NumberRules;

mod in_memory {
    use std::sync::Arc;

    use crate::account::MemoryAccounts;

    crate::account_conformance!(async { Arc::new(MemoryAccounts::default()) });
}

fn account(email: &str) -> Account {
    let password = Password::parse("correct horse").unwrap();
    let entropy = SeededEntropy::new(1);
    Account {
        id: AccountId::from_bytes([7; 16]),
        app: AppId::default(),
        email: Email::parse(email).unwrap(),
        email_status: EmailStatus::Unverified,
        mobile: Phone::parse("+14155550123", &NumberRules::default()).unwrap(),
        password: HashCost::default()
            .hash(&password, &entropy, &mut HashMemory::default())
            .unwrap(),
        created_at: Timestamp::from_millis(5),
    }
}

fn ring(newest: u64, leaving: &[u64]) -> KeyRing {
    let secret = |seed: &u64| SecretKey::generate(&SeededEntropy::new(*seed)).unwrap();
    let leaving: Vec<_> = leaving.iter().map(secret).collect();
    KeyRing::new(&secret(&newest), &leaving)
}

#[test]
fn a_record_opens_to_the_account_that_it_was_made_of() {
    let (keys, before) = (fakes::keys(1), account("Ann@Example.org"));
    let record = before.seal(&keys, &SeededEntropy::new(2)).unwrap();
    let after = Account::open(&record, &keys).unwrap();
    assert_eq!(after.email, before.email);
    assert_eq!(after.mobile, before.mobile);
    assert!(after.password == before.password);
    assert_eq!(after.email_status, EmailStatus::Unverified);
    assert_eq!(
        Account::open(&record, &fakes::keys(2)).err(),
        Some(Unsealable)
    );
    let moved = AccountRecord {
        id: AccountId::from_bytes([8; 16]),
        ..record
    };
    assert_eq!(Account::open(&moved, &keys).err(), Some(Unsealable));
}

#[test]
fn a_record_holds_nothing_that_a_thief_could_read() {
    let (keys, account) = (fakes::keys(1), account("ann@example.org"));
    let record = account.seal(&keys, &SeededEntropy::new(2)).unwrap();
    let printed = format!("{record:?} {account:?}");
    let mut held = record.sealed.as_bytes().to_vec();
    for identifier in &record.identifiers {
        held.extend(identifier.index);
    }
    for secret in ["ann@example.org", "4155550123", account.password.expose()] {
        let found = held.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found && !printed.contains(secret), "{secret}");
    }
}

#[test]
fn every_case_of_an_address_is_one_account_and_every_app_has_its_own() {
    let keys = fakes::keys(1);
    let (one, other) = (account("Ann@Example.org"), account("aNN@example.ORG"));
    let index = |account: &Account| of_email(&keys, &account.app, &account.email);
    assert_eq!(index(&one), index(&other));
    let elsewhere = AppId::parse("other").unwrap();
    assert_ne!(index(&one), of_email(&keys, &elsewhere, &one.email));
}

#[test]
fn while_keys_rotate_an_account_is_known_under_each_of_them() {
    let account = account("ann@example.org");
    let entropy = SeededEntropy::new(2);
    let before = account.seal(&ring(1, &[]), &entropy).unwrap();
    let during = ring(2, &[1]);
    let looked_for = of_mobile(&during, &account.app, &account.mobile);
    let known = |record: &AccountRecord, ring: &KeyRing| {
        let wanted = of_mobile(ring, &account.app, &account.mobile);
        wanted.iter().any(|one| record.identifiers.contains(one))
    };
    assert_eq!(looked_for.len(), 2);
    assert!(known(&before, &during));
    let opened = Account::open(&before, &during).unwrap();
    let renewed = opened.seal(&during, &entropy).unwrap();
    for ring in [ring(1, &[]), during, ring(2, &[])] {
        assert!(known(&renewed, &ring));
    }
    assert!(Account::open(&renewed, &ring(2, &[])).is_ok());
    assert!(Account::open(&before, &ring(2, &[])).is_err());
}
