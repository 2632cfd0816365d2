//! What is kept of a code is worth nothing where it does not belong. Whoever can write to the server
//! moves it here, by exchanging what stands around it.

use watchword_core::fakes::{self, SetClock};
use watchword_core::{
    BindingDigest, CheckOutcome, CheckTarget, Clock as _, Code, Purpose, StartStep, Store as _,
    StoreError, VerificationId,
};

use super::alike::{check, start_for};
use super::fixture::{Fixture, on_a_server};
use super::servers::{Answer, RedisServer};

const RIGHT: &str = "123456";

/// What is at which byte of a place with one recipient, one send and one row of the app that has no name: see `lua/place.lua`.
const RECIPIENT: usize = 3;
const ROW: usize = 23 + 6;
const ID: usize = ROW + 3;
const PURPOSE: usize = ROW + 70 + 2;
const CHANNEL: usize = PURPOSE + "login".len() + 1;
const DIGEST: usize = CHANNEL + 1 + 4;

async fn started() -> Option<(Fixture<RedisServer>, StartStep)> {
    let purpose = Purpose::parse("login").unwrap();
    let (fixture, step) = (on_a_server().await?, start_for(1, 1, purpose));
    let now = SetClock::default().now();
    fixture.start(step.clone(), now).await.unwrap();
    Some((fixture, step))
}

/// Writes other bytes into the row, beside all steps.
fn exchange(fixture: &Fixture<RedisServer>, at: usize, old: &[u8], new: &[u8]) {
    let mut raw = fixture.server.connect();
    let namespace = fixture.url.split_once("namespace=").unwrap().1;
    let keys = raw
        .ask(&["KEYS", &format!("{namespace}:{{0707}}p*")])
        .list();
    let held = raw.ask(&[b"GET".as_slice(), keys[0].bytes()]);
    assert_eq!(&held.bytes()[at..at + old.len()], old);
    let at = at.to_string();
    let set = raw.ask(&[b"SETRANGE".as_slice(), keys[0].bytes(), at.as_bytes(), new]);
    assert!(matches!(set, Answer::Number(_)));
}

async fn checked(
    fixture: &Fixture<RedisServer>,
    id: VerificationId,
) -> Result<CheckOutcome, StoreError> {
    let now = SetClock::default().now();
    fixture.check(check(CheckTarget::Id(id), RIGHT), now).await
}

#[tokio::test]
async fn a_digest_that_was_moved_to_another_place_matches_no_code() {
    let Some((fixture, step)) = started().await else {
        return;
    };
    let outcome = checked(&fixture, step.id).await;
    assert!(
        matches!(outcome, Ok(CheckOutcome::Approved(_))),
        "{outcome:?}"
    );

    let other = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let (id, recipient) = (step.id.as_bytes(), step.recipient.as_bytes());
    let moves = [
        ("verification", ID, id[4..].to_vec(), other(&id[4..])),
        (
            "recipient",
            RECIPIENT,
            recipient[4..].to_vec(),
            other(&recipient[4..]),
        ),
        ("purpose", PURPOSE, b"login".to_vec(), b"logon".to_vec()),
        ("channel", CHANNEL, vec![1], vec![2]),
    ];
    for (what, at, old, new) in moves {
        let (fixture, step) = started().await.unwrap();
        exchange(&fixture, at, &old, &new);
        let mut id = *step.id.as_bytes();
        if at == ID {
            id[4..].copy_from_slice(&new);
        }
        let outcome = checked(&fixture, VerificationId::from_bytes(id)).await;
        let wrong = CheckOutcome::Incorrect {
            attempts_left: 4,
            locks: false,
        };
        assert_eq!(outcome.ok(), Some(wrong), "{what}");
    }
}

/// The script compares a short digest by SHA-1; nothing is approved by that alone.
#[tokio::test]
async fn an_approval_needs_the_digest_itself_beside_the_short_one() {
    let Some((fixture, step)) = started().await else {
        return;
    };
    let (_, hash) = step.digest.parts();
    exchange(&fixture, DIGEST, hash, &[9; 32]);
    let outcome = checked(&fixture, step.id).await;
    let error = outcome.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("somebody else wrote it"), "{why}");
    // It is used up all the same.
    let outcome = checked(&fixture, step.id).await;
    assert_eq!(outcome.unwrap(), CheckOutcome::NotFound);
}

#[tokio::test]
async fn a_code_is_known_under_the_key_that_it_was_made_with_whichever_others_come_along() {
    let Some((fixture, step)) = started().await else {
        return;
    };
    let now = SetClock::default().now();
    let target = CheckTarget::Id(step.id);
    let (binding, code) = (BindingDigest::none(), Code::parse(RIGHT).unwrap());
    let foreign = fakes::keys(2).candidates(&step.app, &binding, &code);
    let mut guess = check(target, RIGHT);
    let own = std::mem::replace(&mut guess.candidates, foreign);
    let wrong = fixture.check(guess.clone(), now).await.unwrap();
    assert_eq!(
        wrong,
        CheckOutcome::Incorrect {
            attempts_left: 4,
            locks: false
        }
    );
    guess.candidates.extend(own);
    let outcome = fixture.check(guess, now).await.unwrap();
    assert!(matches!(outcome, CheckOutcome::Approved(_)), "{outcome:?}");
}
