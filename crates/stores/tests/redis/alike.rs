//! Recipients whose indexes begin alike share a key, and nothing else.

use std::time::Duration;

use watchword_core::fakes::{self, SeededEntropy, SetClock};
use watchword_core::keys::Sealed;
use watchword_core::{
    AppId, BindingDigest, CancelOutcome, Channel, CheckOutcome, CheckStep, CheckTarget, Clock as _,
    Code, CodeContext, CodeDigest, FailureBudget, Note, Purpose, Quota, RecipientIndex, Refusal,
    SendTerms, StartOutcome, StartStep, Status, Store as _, VerificationId, WhenPending,
    Withdrawal,
};

use super::fixture::on_its_own;

const BUDGET: FailureBudget = FailureBudget {
    per_hour: 10,
    per_day: 20,
    in_a_row: 2,
};

fn recipient(number: u8) -> RecipientIndex {
    let mut bytes = [7; 16];
    bytes[15] = number;
    RecipientIndex::from_bytes(bytes)
}

pub(crate) fn start(number: u8, seed: u64) -> StartStep {
    start_for(number, seed, Purpose::default())
}

pub(crate) fn start_for(number: u8, seed: u64, purpose: Purpose) -> StartStep {
    let (entropy, keys) = (SeededEntropy::new(seed), fakes::keys(1));
    let recipient = recipient(number);
    let id = VerificationId::generate(&recipient, &entropy).unwrap();
    let (app, channel) = (AppId::default(), Channel::Sms);
    let code = Code::parse("123456").unwrap();
    let candidate = keys.candidate(&app, &BindingDigest::none(), &code);
    let place = CodeContext {
        id,
        recipient,
        channel,
        purpose: &purpose,
    };
    StartStep {
        id,
        recipient,
        channel,
        digest: CodeDigest::bind(&candidate, place),
        candidate,
        app,
        purpose,
        max_attempts: 5,
        ttl: Duration::from_mins(5),
        details: Sealed::from_bytes(&[number; 40]),
        when_pending: WhenPending::Replace,
        terms: SendTerms {
            cooldown: Duration::ZERO,
            recipient: vec![Quota {
                max: 2,
                window: Duration::from_mins(10),
            }],
            source: None,
            failures: Some(BUDGET),
            horizon: Duration::from_mins(10),
        },
    }
}

pub(crate) fn check(target: CheckTarget, code: &str) -> CheckStep {
    let (app, code) = (AppId::default(), Code::parse(code).unwrap());
    let candidates = fakes::keys(1).candidates(&app, &BindingDigest::none(), &code);
    CheckStep {
        app,
        target,
        candidates,
        failures: Some(BUDGET),
    }
}

#[tokio::test]
async fn recipients_of_one_place_have_limits_codes_and_locks_of_their_own() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    let now = SetClock::default().now();
    let (app, purpose) = (AppId::default(), Purpose::default());
    let by_recipient = |number| CheckTarget::Recipient(recipient(number), Purpose::default());
    // Three of them, by turns, so that records grow before, between and behind others.
    let mut last: Vec<(u8, VerificationId, watchword_core::Charged)> = Vec::new();
    for round in 0..2 {
        for number in 1..=3 {
            let step = start(number, u64::from(number) * 10 + round);
            let id = step.id;
            let started = fixture.start(step, now).await.unwrap();
            let StartOutcome::Started(charged) = started else {
                panic!("{number} in round {round}: {started:?}");
            };
            last.retain(|(known, ..)| *known != number);
            last.push((number, id, charged));
        }
    }
    let mut raw = fixture.server.connect();
    let places = raw.ask(&["KEYS", "ww:{0707}p*"]).list();
    assert_eq!(places.len(), 1, "they share a key");
    for number in 1..=3 {
        let refused = fixture.start(start(number, 99), now).await.unwrap();
        let limited = StartOutcome::Refused(Refusal::RecipientLimit {
            retry_after: Duration::from_mins(10),
        });
        assert_eq!(refused, limited);
    }
    for (number, id, _) in &last {
        fixture.note(*id, Note::default(), now).await.unwrap();
        let found = fixture.get(&app, *id, now).await.unwrap().unwrap();
        assert_eq!((found.id, found.recipient), (*id, recipient(*number)));
        assert_eq!(found.details, Sealed::from_bytes(&[*number; 40]));
        let newest = fixture
            .newest(&app, recipient(*number), &purpose, now)
            .await;
        assert_eq!(newest.unwrap(), Some(found));
    }
    // One is locked, one approved, one withdrawn: each on its own.
    for left in [4, 3] {
        let wrong = fixture.check(check(by_recipient(2), "000000"), now).await;
        let incorrect = CheckOutcome::Incorrect {
            attempts_left: left,
            locks: left == 3,
        };
        assert_eq!(wrong.unwrap(), incorrect);
    }
    let locked = fixture.check(check(by_recipient(2), "123456"), now).await;
    assert!(matches!(locked.unwrap(), CheckOutcome::Locked(_)));
    let approved = fixture.check(check(by_recipient(1), "123456"), now).await;
    let CheckOutcome::Approved(approved) = approved.unwrap() else {
        panic!("it is the right code");
    };
    assert_eq!(approved.recipient, recipient(1));
    let (_, id, charged) = last[2];
    let withdrawal = Withdrawal {
        id,
        charged,
        source: None,
        ends: true,
    };
    fixture.withdraw(withdrawal, now).await.unwrap();
    let again = fixture.start(start(3, 77), now).await.unwrap();
    assert!(matches!(again, StartOutcome::Started(_)), "{again:?}");
    assert!(!fixture.unlock(recipient(1), now).await.unwrap());
    assert!(fixture.unlock(recipient(2), now).await.unwrap());
    let unlocked = fixture.check(check(by_recipient(2), "123456"), now).await;
    assert!(matches!(unlocked.unwrap(), CheckOutcome::Approved(_)));
    let newest = fixture.newest(&app, recipient(3), &purpose, now).await;
    let newest = newest.unwrap().unwrap();
    assert_eq!(newest.status, Status::Pending);
    let canceled = fixture.cancel(&app, newest.id, now).await.unwrap();
    assert!(matches!(canceled, CancelOutcome::Canceled(_)));
    // Half an hour later, a start of one forgets what is its own only.
    let later = now.plus(Duration::from_mins(30));
    fixture.start(start(1, 50), later).await.unwrap();
    assert!(
        fixture
            .newest(&app, recipient(1), &purpose, later)
            .await
            .unwrap()
            .is_some()
    );
}

/// It reads the place that they share and writes it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_takes_nothing_along_of_others_that_begin_meanwhile() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    let (app, now) = (AppId::default(), SetClock::default().now());
    fixture.start(start(0, 0), now).await.unwrap();
    let port = fixture.port();
    let erasing = tokio::spawn(async move {
        let mut done = 0;
        for _ in 0..500 {
            // It gives up where others are at it all the time.
            done += usize::from(port.erase(recipient(0), now).await.is_ok());
        }
        done
    });
    let mut others = Vec::new();
    for number in 1..=200 {
        let step = start(number, number.into());
        others.push(step.id);
        let started = fixture.start(step, now).await.unwrap();
        assert!(matches!(started, StartOutcome::Started(_)), "{started:?}");
    }
    assert!(erasing.await.unwrap() > 0);
    for id in others {
        assert!(
            fixture.get(&app, id, now).await.unwrap().is_some(),
            "{id:?}"
        );
    }
}
