//! The chain of the audit log: every edit shows, and what the retention removes does not.

#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use watchword_core::Timestamp;
use watchword_core::audit::{Anchor, Broken, Chain, Draft, Link, Page, Proof, Verified};
use watchword_core::fakes::{self, SeededEntropy};
use watchword_core::keys::{KeyRing, SecretKey};

fn draft(number: u64) -> Draft {
    Draft {
        written_at: Timestamp::from_millis(1_790_000_000_000 + number),
        writer: format!("node-{}", number % 3),
        entries: 1,
        body: format!("{{\"event\":\"verification.started\",\"n\":{number}}}\n").into_bytes(),
    }
}

fn chain_of(pages: u64, keys: &KeyRing) -> Vec<Page> {
    let mut chain: Vec<Page> = Vec::new();
    for number in 1..=pages {
        let last = chain.last().map(|page| page.link);
        chain.push(Page::behind(last, draft(number), keys));
    }
    chain
}

fn verify(anchor: Option<Anchor>, pages: &[Page], keys: &KeyRing) -> Result<Verified, Broken> {
    verify_expecting(anchor, pages, keys, None)
}

fn verify_expecting(
    anchor: Option<Anchor>,
    pages: &[Page],
    keys: &KeyRing,
    expected: Option<Link>,
) -> Result<Verified, Broken> {
    let mut chain = Chain::new(anchor, keys)?.expecting(expected);
    for page in pages {
        chain.follow(page)?;
    }
    chain.end()
}

fn secret(byte: u8) -> SecretKey {
    SecretKey::generate(&SeededEntropy::new(u64::from(byte))).unwrap()
}

#[test]
fn a_chain_as_it_was_written_is_in_order() {
    let keys = fakes::keys(1);
    let pages = chain_of(5, &keys);
    let verified = verify(None, &pages, &keys).unwrap();
    assert_eq!((verified.pages, verified.entries), (5, 5));
    assert_eq!(verified.last, pages.last().map(|page| page.link));
    assert_eq!(verify(None, &[], &keys).unwrap().last, None);
}

#[test]
fn a_page_that_is_taken_out_put_in_or_exchanged_shows() {
    let keys = fakes::keys(1);
    let pages = chain_of(4, &keys);

    let mut without = pages.clone();
    without.remove(1);
    let missing = Broken::Missing {
        expected: 2,
        found: 3,
    };
    assert_eq!(verify(None, &without, &keys), Err(missing));
    let without_first = verify(None, &pages[1..], &keys);
    assert_eq!(
        without_first,
        Err(Broken::Missing {
            expected: 1,
            found: 2
        })
    );

    let mut swapped = pages.clone();
    swapped.swap(1, 2);
    assert!(verify(None, &swapped, &keys).is_err());

    // Somebody who can write to the store and does not have the key makes a chain anew.
    let foreign = chain_of(4, &fakes::keys(2));
    assert!(verify(None, &foreign, &keys).is_err());
    let mut remade = pages.clone();
    let mut forged = Page::behind(Some(pages[2].link), draft(99), &fakes::keys(2));
    forged.key = pages[3].key;
    remade[3] = forged;
    assert_eq!(verify(None, &remade, &keys), Err(Broken::Forged(4)));

    // A page of another history of ours does not fit in.
    let mut other = draft(1);
    other.body = b"{}\n".to_vec();
    let other = Page::behind(None, other, &keys);
    let mut exchanged = pages.clone();
    exchanged[0] = other;
    assert_eq!(verify(None, &exchanged, &keys), Err(Broken::Exchanged(2)));
    // Nor if the page behind it is made to follow it.
    exchanged[1].previous = exchanged[0].link.hash;
    assert_eq!(verify(None, &exchanged, &keys), Err(Broken::Changed(2)));
}

#[test]
fn a_chain_that_was_cut_off_shows_to_whoever_remembers_a_page() {
    let keys = fakes::keys(1);
    let pages = chain_of(4, &keys);
    let remembered = Some(pages[3].link);
    assert!(verify_expecting(None, &pages, &keys, remembered).is_ok());
    let cut = verify_expecting(None, &pages[..3], &keys, remembered);
    assert_eq!(cut, Err(Broken::Unexpected(4)));
    // And one that was cut off and went on.
    let mut regrown = pages[..3].to_vec();
    let mut other = draft(4);
    other.body.clear();
    regrown.push(Page::behind(Some(pages[2].link), other, &keys));
    let regrown = verify_expecting(None, &regrown, &keys, remembered);
    assert_eq!(regrown, Err(Broken::Unexpected(4)));
}

#[test]
fn what_the_retention_removed_is_no_gap_and_what_others_removed_is() {
    let keys = fakes::keys(1);
    let pages = chain_of(5, &keys);
    let anchor = Anchor::at(pages[2].link, &keys);
    let verified = verify(Some(anchor), &pages[3..], &keys).unwrap();
    assert_eq!((verified.pages, verified.removed), (2, 3));
    let remembered = Some(pages[1].link);
    assert!(verify_expecting(Some(anchor), &pages[3..], &keys, remembered).is_ok());

    let forged = Anchor::at(pages[3].link, &fakes::keys(2));
    let forged = Anchor {
        key: anchor.key,
        ..forged
    };
    assert_eq!(
        verify(Some(forged), &pages[4..], &keys),
        Err(Broken::Removed(4))
    );
    // Under a key of nobody: the pages behind it do not prove that ours removed the others.
    let unknown = Anchor::at(pages[3].link, &fakes::keys(2));
    let hidden = verify(Some(unknown), &pages[4..], &keys);
    assert!(
        matches!(hidden, Err(Broken::UnknownRemoval { number: 4, .. })),
        "{hidden:?}"
    );
    // The MAC of a page is not that of an anchor.
    let page = &pages[3];
    let borrowed = Anchor {
        link: page.link,
        key: page.key,
        mac: page.mac,
    };
    assert_eq!(
        verify(Some(borrowed), &pages[4..], &keys),
        Err(Broken::Removed(4))
    );
}

#[test]
fn pages_under_a_key_that_left_are_proven_by_the_pages_behind_them() {
    let (old, new) = (secret(1), secret(2));
    let before = KeyRing::new(&old, &[]);
    let after = KeyRing::new(&new, &[]);
    let mut pages = chain_of(3, &before);
    let unknown = verify(None, &pages, &after);
    assert!(
        matches!(unknown, Err(Broken::UnknownKey { number: 3, .. })),
        "{unknown:?}"
    );
    let last = pages.last().map(|page| page.link);
    pages.push(Page::behind(last, draft(4), &KeyRing::new(&new, &[old])));
    assert_eq!(verify(None, &pages, &after).unwrap().pages, 4);
    pages[1].draft.body.push(b' ');
    assert_eq!(verify(None, &pages, &after), Err(Broken::Changed(2)));
}

proptest! {
    #[test]
    fn no_bit_of_a_page_can_be_turned(at in 0_usize..3, what in 0_u8..8, bit in 0_usize..2048) {
        let keys = fakes::keys(1);
        let mut pages = chain_of(3, &keys);
        let page = &mut pages[at];
        let turn = |bytes: &mut [u8]| {
            let length = bytes.len() * 8;
            bytes[bit % length / 8] ^= 1 << (bit % 8);
        };
        match what {
            0 => turn(&mut page.draft.body),
            1 => page.draft.writer.push('x'),
            2 => turn(&mut page.previous),
            3 => turn(&mut page.link.hash),
            4 => turn(&mut page.mac),
            5 => page.draft.entries ^= 1 << (bit % 32),
            6 => page.link.number ^= 1 << (bit % 63),
            _ => {
                let at = page.draft.written_at.as_millis() ^ (1 << (bit % 30));
                page.draft.written_at = Timestamp::from_millis(at);
            }
        }
        prop_assert!(verify(None, &pages, &keys).is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_in_memory_keep_the_promises_of_a_store() {
    let store = std::sync::Arc::new(watchword_core::audit::MemoryAudit::default());
    watchword_core::audit::conformance::keeps_its_promises(store).await;
}

/// Seen to fail where the pages behind a page are not held against it.
#[test]
fn the_age_of_a_page_is_proven_by_its_key_or_by_the_pages_behind_it() {
    let (old, new) = (secret(1), secret(2));
    let mut pages = chain_of(4, &KeyRing::new(&old, &[]));
    let last = pages.last().map(|page| page.link);
    let after = KeyRing::new(&new, &[]);
    pages.push(Page::behind(last, draft(5), &KeyRing::new(&new, &[old])));
    let prove = |page: &Page, behind: &[Page]| {
        let mut proof = Proof::of(page, &after)?;
        proof.go_on(behind, &after)?;
        Ok(proof.anchor(&after))
    };
    let anchor = Some(Anchor::at(pages[1].link, &after));
    assert_eq!(prove(&pages[1], &pages[2..]), Ok(anchor));
    assert_eq!(prove(&pages[1], &pages[2..4]), Ok(None));
    let newest = Some(Anchor::at(pages[4].link, &after));
    assert_eq!(Proof::of(&pages[4], &after).unwrap().anchor(&after), newest);
    let nothing = prove(&pages[3], &[]);
    assert!(
        matches!(nothing, Err(Broken::UnknownKey { number: 4, .. })),
        "{nothing:?}"
    );

    let mut aged = pages[1].clone();
    aged.draft.written_at = Timestamp::default();
    assert_eq!(prove(&aged, &pages[2..]), Err(Broken::Changed(2)));
    let remade = Page::behind(Some(pages[0].link), aged.draft, &fakes::keys(3));
    assert_eq!(prove(&remade, &pages[2..]), Err(Broken::Exchanged(3)));
    let mut gap = pages.clone();
    gap.remove(2);
    let missing = Broken::Missing {
        expected: 3,
        found: 4,
    };
    assert_eq!(prove(&gap[1], &gap[2..]), Err(missing));
}
